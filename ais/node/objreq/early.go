package objreq

import (
	"net/http"
	"time"
)

// Bounds of what is read from a client after its request was answered early.
const (
	lingerSilence = time.Second     // without a byte
	lingerTotal   = 5 * time.Second // in all
	keepBody      = 256 << 10       // a longer body ends the connection, so that its sender may stop
)

// closing is the value of the header Connection.
var closing = []string{"close"}

// Early prepares an answer that goes out before the body of the request was
// read: at once, not after the announced bytes, which some clients send only
// to another address and others not at all. Call it before the answer begins.
func Early(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	// Without it net/http waits for up to 256 KiB of body before it answers.
	// The error is that of a writer (HTTP/2, tests) that has no need of it.
	_ = http.NewResponseController(w).EnableFullDuplex()
	// A client that waits for permission to send, and gets another answer, may
	// send its body or not: only the end of the connection is clear to both.
	if r.ContentLength > keepBody || r.Header["Expect"] != nil {
		w.Header()["Connection"] = closing
	}
}

// Linger sends what was answered and then reads and drops what the client
// still pushes, for a bounded time: if the connection were closed at once, a
// client that writes its whole body before it reads would see a reset instead
// of the answer. A client that waits for permission to send (Expect:
// 100-continue) has sent nothing and is not waited for.
func Linger(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.Body == nil || r.Header["Expect"] != nil {
		return
	}
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for end := time.Now().Add(lingerTotal); ; {
		now := time.Now()
		if now.After(end) || control.SetReadDeadline(now.Add(lingerSilence)) != nil {
			break
		}
		if _, err := r.Body.Read(buf); err != nil {
			break
		}
	}
	_ = control.SetReadDeadline(time.Time{}) // the connection may be kept if the body has ended
}
