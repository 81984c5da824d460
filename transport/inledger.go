package transport

import "fmt"

// inLedger is what a receiver knows of the messages of one session. It does no
// I/O and takes no lock; whoever holds it does.
type inLedger struct {
	floor   uint64 // everything below is confirmed
	entries map[uint64]*inEntry
	most    int // entries
}

// inEntry is a message at work, or one with a verdict that is not confirmed.
type inEntry struct {
	attempt uint16 // the sender's attempt that the work is about
	last    uint16 // the latest attempt that has come
	conn    uint64 // on which that came; 0: that connection broke
	whole   bool   // all of the body has come
	done    bool
	verdict verdict
}

// step is what is to be done about an announcement.
type step uint8

const (
	stepIgnore  step = iota // a late copy
	stepRun                 // begin the work
	stepRestart             // cancel the work that is under way, begin anew when it has ended
	stepAttach              // nothing: the verdict will go to this connection
	stepRepeat              // send the verdict again
)

// String implements fmt.Stringer, for transcripts.
func (s step) String() string {
	return [...]string{"ignore", "run", "restart", "attach", "repeat"}[s]
}

func newInLedger(most int) inLedger {
	return inLedger{floor: 1, entries: make(map[uint64]*inEntry), most: most}
}

// newer tells whether an attempt was made after another one. Numbers wrap.
func newer(attempt, than uint16) bool { return int16(attempt-than) > 0 }

// announce says what to do about an attempt at a message that begins on a
// connection; whole: the body has come with it. What was sent on a connection
// before it broke may come after what was sent again on another one.
func (l *inLedger) announce(seq, conn uint64, attempt uint16, whole bool) (do step, err error) {
	if seq < l.floor {
		return stepIgnore, nil
	}
	e := l.entries[seq]
	if e == nil {
		if len(l.entries) >= l.most {
			return 0, protocolError("more than %d messages of a stream without confirmed verdicts", l.most)
		}
		l.entries[seq] = &inEntry{attempt: attempt, last: attempt, conn: conn, whole: whole}
		return stepRun, nil
	}
	if !newer(attempt, e.last) {
		return stepIgnore, nil
	}
	e.last, e.conn = attempt, conn
	switch {
	case e.done:
		return stepRepeat, nil
	case e.whole:
		return stepAttach, nil
	}
	e.attempt, e.whole = attempt, whole
	return stepRestart, nil
}

// takes tells whether a part of a body that came on a connection belongs to
// work that is under way.
func (l *inLedger) takes(seq, conn uint64, attempt uint16) bool {
	e := l.entries[seq]
	return e != nil && !e.done && !e.whole && e.conn == conn && e.attempt == attempt
}

// complete notes that all of a body has come.
func (l *inLedger) complete(seq uint64, attempt uint16) {
	if e := l.entries[seq]; e != nil && e.attempt == attempt {
		e.whole = true
	}
}

// finish notes the verdict of an attempt and returns the connection to send it
// on, 0 if there is none. Work that was cancelled in favour of a newer attempt
// leaves no verdict, unless it accepted the message all the same.
func (l *inLedger) finish(seq uint64, attempt uint16, v verdict) (conn uint64) {
	e := l.entries[seq]
	switch {
	case e == nil || e.done:
		return 0
	case e.attempt != attempt && v.err != nil:
		return 0
	case v.later, v.err != nil && !e.whole && e.conn == 0:
		// Not final; or its connection broke before the body was there, and
		// the message comes again.
		delete(l.entries, seq)
		if v.later {
			return e.conn
		}
		return 0
	}
	e.done, e.verdict = true, v
	return e.conn
}

// settled tells an attempt that waited for the end of an earlier one whether
// that has answered the message after all, or the message is gone.
func (l *inLedger) settled(seq uint64, attempt uint16) bool {
	e := l.entries[seq]
	return e == nil || e.done || e.attempt != attempt
}

// broken returns the messages whose bodies will not be completed, because
// their connection has broken: their work is to be cancelled.
func (l *inLedger) broken(conn uint64) (cancel []uint64) {
	for seq, e := range l.entries {
		if e.conn != conn {
			continue
		}
		e.conn = 0
		if !e.done && !e.whole {
			cancel = append(cancel, seq)
		}
	}
	return cancel
}

// confirm forgets everything below a floor. Work that is still under way
// there was given up by the sender: it is returned, to be cancelled.
func (l *inLedger) confirm(floor uint64) (cancel []uint64) {
	for seq, e := range l.entries {
		if seq >= floor {
			continue
		}
		if !e.done {
			cancel = append(cancel, seq)
		}
		delete(l.entries, seq)
	}
	l.floor = max(l.floor, floor) // a smaller one is an old word on another connection
	return cancel
}

// describe is an entry as a line of a transcript.
func (l *inLedger) describe(seq uint64) string {
	e := l.entries[seq]
	switch {
	case e == nil && seq < l.floor:
		return "confirmed"
	case e == nil:
		return "unknown"
	case e.done:
		return fmt.Sprintf("done conn=%d", e.conn)
	}
	return fmt.Sprintf("working attempt=%d conn=%d whole=%t", e.attempt, e.conn, e.whole)
}
