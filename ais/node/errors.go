package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/transport/rpc"
)

// noContent is the length of an answer without a body; it is only read.
var noContent = []string{"0"}

// keptOnFailure tells a header that a handler sets for the answer of an error,
// too; all others were to go with an answer that will not come.
func keptOnFailure(name string, values []string) bool {
	return name == "Connection" || name == wire.HeaderCallerSig || name == wire.HeaderContentRange && len(values) == 1 && strings.HasPrefix(values[0], "bytes */")
}

// fail writes the answer of a failed request; if an answer has begun, it
// breaks the connection off instead.
func (n *Node) fail(sw *writer, r *http.Request, err error) {
	if sw.sent {
		if r.Context().Err() == nil {
			n.logger.Warn("answer broken off", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	n.failDirect(sw, r, err)
}

// soon is when whoever finds a node starting may come back, in seconds; it is
// only read.
var soon = []string{"1"}

// failDirect writes the answer of a failed request on a writer that nothing
// was written to.
func (n *Node) failDirect(w http.ResponseWriter, r *http.Request, err error) {
	h := w.Header()
	for name, values := range h {
		if !keptOnFailure(name, values) {
			delete(h, name)
		}
	}
	switch {
	case errors.Is(err, errStarting):
		h[wire.HeaderContentLength] = noContent
		h[wire.HeaderRetryAfter] = soon
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case errors.Is(err, errBadGateway):
		h[wire.HeaderContentLength] = noContent
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	status, retryAfter := statusOf(err)
	body := n.encodeError(r, err, status)
	h[wire.HeaderNoSniff] = []string{"nosniff"}
	h[wire.HeaderContentType] = []string{wire.ContentJSON}
	if retryAfter > 0 {
		h[wire.HeaderRetryAfter] = []string{strconv.FormatInt(int64((retryAfter+time.Second-1)/time.Second), 10)}
	}
	if apierr.IsStale(err) {
		h[wire.HeaderStale] = staleValue
	}
	if worthALine(status) && r.Context().Err() == nil {
		n.logger.Warn("request failed", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr, "status", status, "err", err)
	}
	if r.Method == http.MethodHead {
		h[wire.HeaderError] = []string{string(bytes.TrimSuffix(body, []byte{'\n'}))}
		w.WriteHeader(status)
		return
	}
	h[wire.HeaderContentLength] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails
}

// worthALine tells a failure that is this node's and not only the state of
// things: what is not built, and what has to wait, is told to the client alone.
func worthALine(status int) bool {
	return status >= http.StatusInternalServerError && status != http.StatusNotImplemented && status != http.StatusServiceUnavailable
}

// statusOf returns the HTTP status of an error and after how long the client
// may come back, 0 if that is not known.
func statusOf(err error) (int, time.Duration) {
	var typed *apierr.Error
	if errors.As(err, &typed) {
		status := typed.Status
		if status < http.StatusBadRequest || status > 599 {
			status = http.StatusInternalServerError
		}
		return status, typed.RetryAfter
	}
	var (
		tooLarge    *http.MaxBytesError
		unreachable *rpc.UnreachableError
	)
	switch {
	case errors.As(err, &unreachable):
		return http.StatusServiceUnavailable, time.Second
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, 0
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, 0
	}
	return apierr.StatusOf(err), 0
}

// encodeError returns the one line of JSON, with its newline, that clients
// decode: a wire.ErrorBody. Characters are not escaped for HTML. It is written
// by hand because clients ask for missing objects as often as for others.
func (n *Node) encodeError(r *http.Request, err error, status int) []byte {
	message, code, caller := err.Error(), apierr.CodeOf(err), ""
	if forwarded(r) {
		caller = r.Header.Get(wire.HeaderCallerName)
	}
	b := make([]byte, 0, 192+len(message)+len(r.URL.Path))
	b = append(b, '{')
	if code != "" {
		b = append(appendJSONString(append(b, `"tcode":`...), code), ',')
	}
	b = appendJSONString(append(b, `"message":`...), message)
	b = appendJSONString(append(b, `,"method":`...), r.Method)
	b = appendJSONString(append(b, `,"url_path":`...), r.URL.Path)
	b = appendJSONString(append(b, `,"remote_addr":`...), r.RemoteAddr)
	b = appendJSONString(append(b, `,"caller":`...), caller)
	b = appendJSONString(append(b, `,"node":`...), n.name)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
	return append(b, '}', '\n')
}

// appendJSONString appends a string as a JSON value.
func appendJSONString(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c >= 0x7f: // rare: leave it to the library
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(s) // a string cannot fail
			// The library lets DEL pass, which no header may hold.
			text := bytes.ReplaceAll(bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), []byte{0x7f}, []byte(`\u007f`))
			return append(dst[:start], text...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
