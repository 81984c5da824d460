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
	attempt uint64 // which work this is: grows when it begins anew
	conn    uint64 // on which the message came last; 0: that one broke
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

// announce says what to do about a message that begins on a connection; whole:
// its body has come with it. The attempt names the work in what follows.
func (l *inLedger) announce(seq, conn uint64, whole bool) (do step, attempt uint64, err error) {
	if seq < l.floor {
		return stepIgnore, 0, nil
	}
	e := l.entries[seq]
	if e == nil {
		if len(l.entries) >= l.most {
			return 0, 0, protocolError("more than %d messages of a stream without confirmed verdicts", l.most)
		}
		l.entries[seq] = &inEntry{attempt: 1, conn: conn, whole: whole}
		return stepRun, 1, nil
	}
	switch {
	case e.done:
		e.conn = conn
		return stepRepeat, e.attempt, nil
	case e.conn == conn:
		return 0, 0, protocolError("message %d came twice on one connection", seq)
	case e.whole:
		e.conn = conn
		return stepAttach, e.attempt, nil
	}
	e.attempt++
	e.conn, e.whole = conn, whole
	return stepRestart, e.attempt, nil
}

// takes tells whether a part of a body that came on a connection belongs to
// work that is under way.
func (l *inLedger) takes(seq, conn uint64) (attempt uint64, ok bool) {
	e := l.entries[seq]
	if e == nil || e.done || e.whole || e.conn != conn {
		return 0, false
	}
	return e.attempt, true
}

// complete notes that all of a body has come.
func (l *inLedger) complete(seq, attempt uint64) {
	if e := l.entries[seq]; e != nil && e.attempt == attempt {
		e.whole = true
	}
}

// finish notes the verdict of an attempt and returns the connection to send it
// on, 0 if there is none. Work that was cancelled in favour of a newer attempt
// leaves no verdict, unless it accepted the message all the same.
func (l *inLedger) finish(seq, attempt uint64, v verdict) (conn uint64) {
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
func (l *inLedger) settled(seq, attempt uint64) bool {
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
