package target

import (
	"io"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/cmn/metrics"
)

// pass copies the body of another target's answer. What fails after the answer
// began shows as a connection that ends before the announced length.
func (t *Target) pass(w http.ResponseWriter, res *http.Response) {
	buf := t.memory.Get(sumBuffer)
	defer buf.Free()
	// A ReaderFrom of the writer would bring a buffer of its own.
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, res.Body, buf.Bytes()); err != nil {
		t.metrics.HTTPWriteFailed()
	}
}

// countRelayed counts a read that another target's content answered.
func (t *Target) countRelayed(req *objectRequest, method string, size int64) {
	op, size := metrics.Get, max(size, 0)
	if method == http.MethodHead {
		op, size = metrics.Head, 0
	}
	t.metrics.Done(op, req.key.Bck, size, time.Since(req.began))
}
