package node

import (
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// laggingWriter answers a change that this primary has made: the answer names
// the nodes that were not waited for, because they do not acknowledge changes.
// They have the change as soon as they do.
type laggingWriter struct {
	http.ResponseWriter
	n *Node // nil once the answer has begun
}

// tellLagging makes the answer to a change name the nodes that lag behind.
func (n *Node) tellLagging(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return w
	}
	return &laggingWriter{ResponseWriter: w, n: n}
}

// WriteHeader implements http.ResponseWriter.
func (w *laggingWriter) WriteHeader(status int) {
	w.tell()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *laggingWriter) Write(p []byte) (int, error) {
	w.tell()
	return w.ResponseWriter.Write(p)
}

func (w *laggingWriter) tell() {
	if w.n == nil {
		return
	}
	if cp := w.n.Control(); cp != nil {
		if ids := cp.Lagging(); len(ids) > 0 {
			w.Header()[wire.HeaderLagging] = []string{strings.Join(ids, ",")}
		}
	}
	w.n = nil
}
