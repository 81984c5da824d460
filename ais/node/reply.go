package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// maxPooledReply is the largest buffer that is kept for the next answer.
const maxPooledReply = 1 << 20

var replyPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// WriteJSON answers 200 with v in JSON: one line and a newline, or indented
// for a browser. It fails only if v cannot be encoded.
func WriteJSON(w http.ResponseWriter, r *http.Request, v any) error {
	buf := replyPool.Get().(*bytes.Buffer)
	buf.Reset()
	defer func() {
		if buf.Cap() <= maxPooledReply {
			replyPool.Put(buf)
		}
	}()
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if FromBrowser(r) {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(v); err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the answer")
	}
	return writeBody(w, r, wire.ContentJSONUTF8, buf.Bytes())
}

// WriteRawJSON answers 200 with a value that is JSON already, without a
// newline at its end.
func WriteRawJSON(w http.ResponseWriter, r *http.Request, data []byte) error {
	if FromBrowser(r) {
		var buf bytes.Buffer
		if err := json.Indent(&buf, data, "", "    "); err != nil {
			return apierr.Wrap(err, http.StatusInternalServerError, "", "indent the answer")
		}
		data = buf.Bytes()
	}
	return writeBody(w, r, wire.ContentJSONUTF8, append(data[:len(data):len(data)], '\n'))
}

// WriteText answers 200 with plain text, as it is: clients read ids verbatim.
func WriteText(w http.ResponseWriter, r *http.Request, text string) error {
	return writeBody(w, r, wire.ContentTextUTF8, []byte(text))
}

// WriteBytes answers 200 with a body of the given content type.
func WriteBytes(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	return writeBody(w, r, contentType, body)
}

func writeBody(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	h := w.Header()
	h[wire.HeaderContentType] = []string{contentType}
	h[wire.HeaderContentLength] = []string{strconv.Itoa(len(body))}
	if contentType == wire.ContentJSONUTF8 && FromBrowser(r) {
		h[wire.HeaderHSTS] = []string{"max-age=31536000; includeSubDomains"}
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(body) // the client is gone if this fails
	return nil
}

// FromBrowser tells a request of a client that wants to be read by a person.
func FromBrowser(r *http.Request) bool {
	ua := r.Header[wire.HeaderUserAgent]
	return len(ua) > 0 && strings.HasPrefix(ua[0], wire.UserAgentBrowser)
}
