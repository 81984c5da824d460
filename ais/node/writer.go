package node

import (
	"io"
	"net/http"
	"sync"
)

// writer notes whether anything of the answer was sent. It keeps the way to
// sendfile open (io.ReaderFrom). Writers are pooled: one is valid only until
// the handler returns.
type writer struct {
	w    http.ResponseWriter
	r    *http.Request
	from io.ReaderFrom // of w, nil if it has none
	sent bool          // status line or more
	body bool          // some of the content was written
}

var writerPool = sync.Pool{New: func() any { return new(writer) }}

func newWriter(w http.ResponseWriter, r *http.Request) *writer {
	sw := writerPool.Get().(*writer)
	sw.w, sw.r = w, r
	sw.from, _ = w.(io.ReaderFrom)
	sw.sent, sw.body = false, false
	return sw
}

// release gives the writer back; it must not be used afterwards.
func (w *writer) release() {
	w.w, w.r, w.from = nil, nil, nil
	writerPool.Put(w)
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.sent = true
	}
	w.w.WriteHeader(status)
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	w.sent = true
	if !w.body {
		w.body = true
		if n, done, err := w.writeWhole(p); done {
			return n, err
		}
	}
	return w.w.Write(p)
}

// WriteString implements io.StringWriter.
func (w *writer) WriteString(s string) (int, error) {
	w.sent, w.body = true, true
	return io.WriteString(w.w, s)
}

// ReadFrom implements io.ReaderFrom: a file goes out by sendfile.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.sent, w.body = true, true
	if w.from != nil {
		return w.from.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.w}, r)
}

// Flush implements http.Flusher.
func (w *writer) Flush() {
	w.sent = true
	if f, ok := w.w.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap lets http.ResponseController reach what is below.
func (w *writer) Unwrap() http.ResponseWriter { return w.w }
