package target

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// putObject stores the body as the object and answers with its attributes.
// Everything that can be refused without the body is refused before it is read.
func (t *Target) putObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	opts, err := putOptions(r)
	if err != nil {
		return err
	}
	opts.SkipVC = req.query.Bool(wire.QuerySkipVC)
	if err := t.fs.OutOfSpace(); err != nil {
		return err
	}
	if err := t.staying(req.key); err != nil {
		return err
	}
	body := &countingBody{r: r.Body}
	attrs, err := t.store.Put(r.Context(), req.key, body, opts)
	if err != nil {
		return err
	}
	set := newHeaders(w)
	set.attributes(&attrs)
	set.setAll(wire.HeaderContentLength, zeroLength)
	delete(set.h, "Connection") // the body has been read to its end: no reason to close
	w.WriteHeader(http.StatusOK)
	t.metrics.Done(metrics.Put, req.key.Bck, body.read, time.Since(req.began))
	if req.marker.Sent > 0 {
		t.metrics.Redirected(metrics.Put, time.Duration(req.began.UnixNano()-req.marker.Sent))
	}
	return nil
}

// maxVersion bounds the version that a client names, in bytes.
const maxVersion = 256

// putOptions reads what the headers say of the object.
func putOptions(r *http.Request) (core.PutOptions, error) {
	opts := core.PutOptions{Size: r.ContentLength, Version: first(r.Header[wire.HeaderObjVersion])}
	if len(opts.Version) > maxVersion {
		return opts, apierr.BadRequest("header %s: %d bytes, at most %d are taken", wire.HeaderObjVersion, len(opts.Version), maxVersion)
	}
	if kind := first(r.Header[wire.HeaderObjChecksumType]); kind != "" {
		if err := cksum.Validate(kind); err != nil {
			return opts, apierr.BadRequest("header %s: %v", wire.HeaderObjChecksumType, err)
		}
		opts.Checksum = cksum.Value{Type: kind, Value: first(r.Header[wire.HeaderObjChecksumValue])}
	}
	lines := r.Header[wire.HeaderObjCustomMD]
	if len(lines) == 0 {
		return opts, nil
	}
	opts.Custom = make([]core.KV, len(lines))
	for i, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return opts, apierr.BadRequest("custom metadata: invalid format %.64q, expecting key=value", line)
		}
		opts.Custom[i] = core.KV{Key: key, Value: value}
	}
	return opts, core.ValidateCustom(opts.Custom)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// countingBody counts what was read of a body.
type countingBody struct {
	r    io.Reader
	read int64
}

// Read implements io.Reader.
func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	return n, err
}
