package objreq

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/node/fastpath"
)

// closing is the value of the header Connection.
var closing = []string{"close"}

// Early prepares an answer that goes out before the body of the request was
// read: at once, not after the announced bytes, which some clients send only
// to another address and others not at all. Call it before the answer begins.
// What is left of the body is dropped after it.
func Early(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	if body, ok := r.Body.(interface{ AnsweredEarly() }); ok {
		body.AnsweredEarly()
	}
	// Without it net/http waits for up to 256 KiB of body before it answers.
	// The error is that of a writer (HTTP/2, tests) that has no need of it.
	_ = http.NewResponseController(w).EnableFullDuplex()
	// A client that waits for permission to send, and gets another answer, may
	// send its body or not: only the end of the connection is clear to both.
	if r.ContentLength > fastpath.KeepBody || r.Header["Expect"] != nil {
		w.Header()["Connection"] = closing
	}
}
