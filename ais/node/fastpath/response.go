package fastpath

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
)

const (
	// gather is how much of a content is gathered before the header goes out:
	// a shorter one gets a Content-Length.
	gather = 2 << 10
	// copyUpTo is the longest piece that is copied to go out with others.
	copyUpTo = 4 << 10
)

// response is the http.ResponseWriter of the ordinary handler.
type response struct {
	c       *Conn
	request *http.Request
	in      *ordinaryBody
	header  http.Header

	status  int    // 0: not yet
	fields  []byte // status line and the handler's fields, as of WriteHeader
	pending []byte // of the content, not in out yet
	out     []byte // to be sent
	begun   bool   // the header is in out, or out of it
	length  int64  // announced, -1: not
	written int64  // of the content
	chunked bool
	close   bool // the connection ends after this answer
	err     error

	hasType, hasDate, encoded bool
	deadlines                 bool // the handler set some
}

var responses = sync.Pool{New: func() any { return &response{header: make(http.Header)} }}

func newResponse(c *Conn, r *http.Request, in *ordinaryBody) *response {
	w := responses.Get().(*response)
	*w = response{
		c: c, request: r, in: in, header: w.header, fields: w.fields[:0], pending: w.pending[:0], out: w.out[:0],
		length: -1, close: r.Close || c.state.Load() != stateActive,
	}
	return w
}

// release gives the writer back; it must not be used afterwards.
func (w *response) release() {
	clear(w.header)
	w.c, w.request, w.in = nil, nil, nil
	if cap(w.out) <= 16<<10 {
		responses.Put(w)
	}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		w.c.server.options.Logger.Debug("superfluous call of WriteHeader", "path", w.request.URL.Path)
		return
	}
	if status < 100 || status > 999 {
		panic("invalid status code " + strconv.Itoa(status))
	}
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		w.fields = w.appendFields(w.fields[:0], status)
		w.err = w.c.send(append(w.fields, '\r', '\n'), nil)
		return
	}
	w.status = status
	_, w.hasType = w.header[wire.HeaderContentType]
	w.fields = w.appendFields(w.fields[:0], status)
}

// appendFields appends the status line and what the handler has set.
func (w *response) appendFields(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	if text := http.StatusText(status); text != "" {
		dst = append(dst, text...)
	} else {
		dst = append(append(dst, "status code "...), strconv.Itoa(status)...)
	}
	dst = append(dst, '\r', '\n')
	for _, name := range w.names() {
		for _, value := range w.header[name] {
			if w.own(name, value) {
				dst = AppendField(dst, name, value)
			}
		}
	}
	return dst
}

// names are the keys of the header in order.
func (w *response) names() []string {
	names := make([]string, 0, 16)
	for name := range w.header {
		if validName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func validName(name string) bool {
	for i := range len(name) {
		if !isToken[name[i]] {
			return false
		}
	}
	return name != ""
}

// own notes fields that say something of the connection or the content; false:
// the field is not sent as it is.
func (w *response) own(name, value string) bool {
	switch name {
	case wire.HeaderContentLength:
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil || n < 0 {
			w.c.server.options.Logger.Error("invalid Content-Length of an answer", "value", value, "path", w.request.URL.Path)
			return false
		}
		if w.length < 0 {
			w.length = n
		}
		return false // see begin
	case "Transfer-Encoding", "Trailer":
		return false
	case "Connection":
		if strings.EqualFold(value, "close") {
			w.close = true
		}
		return false
	case wire.HeaderContentType:
		return w.status != http.StatusNotModified
	case "Content-Encoding":
		w.encoded = value != ""
	case "Date":
		w.hasDate = true
	}
	return true
}

// hasContent tells that the answer may have one, with another method.
func (w *response) hasContent() bool {
	return w.status >= http.StatusOK && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// sendsContent tells that what is written goes out.
func (w *response) sendsContent() bool { return w.hasContent() && w.request.Method != http.MethodHead }

// begin puts the whole header into out. first is the begin of the content, or
// all of it (final).
func (w *response) begin(first []byte, final bool) {
	w.begun = true
	dst := append(w.out, w.fields...)
	if final && w.length < 0 && w.hasContent() && (w.sendsContent() || len(w.pending) > 0) {
		w.length = int64(len(w.pending))
	}
	if w.hasContent() && !w.hasType && !w.encoded && len(first) > 0 {
		dst = AppendField(dst, wire.HeaderContentType, http.DetectContentType(first))
	}
	if !w.hasDate {
		dst = AppendField(dst, "Date", *w.c.server.date.Load())
	}
	switch {
	case w.hasContent() && w.length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = append(strconv.AppendInt(dst, w.length, 10), '\r', '\n')
	case w.sendsContent():
		w.chunked = true
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if w.c.server.stopping.Load() || w.in.damaged || w.request.ContentLength > KeepBody && !w.in.whole.Load() {
		w.close = true
	}
	if w.close {
		dst = append(dst, "Connection: close\r\n"...)
	}
	w.out = append(dst, '\r', '\n')
}

// Write implements io.Writer.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !w.hasContent():
		return 0, http.ErrBodyNotAllowed
	case w.err != nil:
		return 0, w.err
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if !w.begun {
		if len(w.pending)+len(p) <= gather && w.written != w.length {
			w.pending = append(w.pending, p...)
			return len(p), nil
		}
		first := w.pending
		if len(first) == 0 {
			first = p
		}
		w.begin(first, false)
	}
	if len(w.pending)+len(p) <= gather && w.written != w.length {
		w.pending = append(w.pending, p...)
		return len(p), nil
	}
	return len(p), w.emit(p)
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// emit sends what is pending and p.
func (w *response) emit(p []byte) error {
	if !w.sendsContent() {
		w.pending = w.pending[:0]
		return nil
	}
	n := len(w.pending) + len(p)
	if w.chunked && n > 0 {
		w.out = append(strconv.AppendInt(w.out, int64(n), 16), '\r', '\n')
	}
	w.out = append(w.out, w.pending...)
	w.pending = w.pending[:0]
	if len(p) > copyUpTo {
		if w.err = w.c.send(w.out, p); w.err != nil {
			return w.err
		}
		w.out = w.out[:0]
	} else {
		w.out = append(w.out, p...)
	}
	if w.chunked && n > 0 {
		w.out = append(w.out, '\r', '\n')
	}
	if len(w.out) > copyUpTo {
		return w.flush()
	}
	return nil
}

// flush sends out.
func (w *response) flush() error {
	if w.err == nil && len(w.out) > 0 {
		w.err = w.c.send(w.out, nil)
		w.out = w.out[:0]
	}
	return w.err
}

// FlushError implements what http.ResponseController calls.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.begun {
		w.begin(w.pending, false)
	}
	if len(w.pending) > 0 {
		if err := w.emit(nil); err != nil {
			return err
		}
	}
	return w.flush()
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() } // the next write says so, too

// ReadFrom implements io.ReaderFrom: a file goes out by sendfile.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	limited, file, gate := FileOf(r)
	if file == nil || w.length < 0 || !w.sendsContent() || !w.hasType || limited.N > w.length-w.written {
		return w.copyFrom(r)
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return w.copyFrom(r) // it reports the error, if that is one
	}
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	sent, err := w.c.sendFile(int(file.Fd()), gate, nil, limited.N)
	if FileError(err) == nil {
		w.err = err // else the rest may come from elsewhere
	}
	w.written += sent
	limited.N -= sent
	return sent, err
}

// copyFrom is ReadFrom with a buffer.
func (w *response) copyFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

// finish ends the answer; false: the connection must end.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.begun {
		w.begin(w.pending, true)
	}
	if w.err == nil && len(w.pending) > 0 {
		w.err = w.emit(nil)
	}
	if w.chunked {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
	if w.flush() != nil {
		return false
	}
	if w.sendsContent() && w.length >= 0 && w.written != w.length {
		return false // the client sees by its end that the answer is not whole
	}
	return !w.close
}

// EnableFullDuplex implements what http.ResponseController calls: answers never
// wait for the body here.
func (w *response) EnableFullDuplex() error { return nil }

// SetReadDeadline implements what http.ResponseController calls. Whoever sets
// one looks after the body himself.
func (w *response) SetReadDeadline(t time.Time) error {
	w.deadlines = true
	w.in.pace.Stop()
	return w.c.tcp.SetReadDeadline(t)
}

// SetWriteDeadline implements what http.ResponseController calls.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.deadlines = true
	return w.c.tcp.SetWriteDeadline(t)
}
