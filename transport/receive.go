package transport

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

const (
	// maxEntries is how many messages of a session may be without confirmed verdicts.
	maxEntries = spanOfBurst*maxBurst + 2*floorEvery
	// maxSessions bounds the streams that one node has open to this one.
	maxSessions = 4096
	// smallWorkers is how many handlers of small messages of a flow run at a time.
	smallWorkers = 64
)

// Receiver handles a message. What it returns is the message's verdict: an
// answer of at most 64 KiB, or an error, of which the sender gets status, code
// and text. It may return before the body is read: the rest is not sent then.
// The message is not valid afterwards.
//
// It is called for many messages at a time, in any order. The same message may
// come again after a restart of this process, or after its sender has given it
// up and begun anew: to handle it twice must be the same as to handle it once.
// The context ends when the body cannot be completed, the flow's registration
// ends, or the endpoint closes. It must not wait for other messages.
type Receiver func(ctx context.Context, m *Incoming) (answer []byte, err error)

// flow is a registered receiver.
type flow struct {
	receiver Receiver
	ctx      context.Context
	cancel   context.CancelCauseFunc
	small    chan struct{} // one for each handler of a small message
	running  sync.WaitGroup
}

// ErrFlowStopped is the cause of contexts of receivers whose registration ended.
var ErrFlowStopped = errors.New("the receiver of this flow has ended")

// Receive registers the receiver of a flow. stop ends it: the contexts of its
// messages end, and stop returns when no handler runs any more; messages that
// come later are tried again by their senders until there is a receiver
// again. A second receiver of a flow is an error.
func (e *Endpoint) Receive(name string, r Receiver) (stop func(), err error) {
	if name == "" || len(name) > maxFlow {
		return nil, fmt.Errorf("the name of a flow has 1 to %d bytes, not %d", maxFlow, len(name))
	}
	f := &flow{receiver: r, small: make(chan struct{}, smallWorkers)}
	f.ctx, f.cancel = context.WithCancelCause(e.ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	if e.flows[name] != nil {
		return nil, fmt.Errorf("flow %q has a receiver already", name)
	}
	e.flows[name] = f
	return func() {
		e.mu.Lock()
		if e.flows[name] == f {
			delete(e.flows, name)
		}
		e.mu.Unlock()
		f.cancel(ErrFlowStopped)
		f.running.Wait()
	}, nil
}

// enter returns the receiver of a flow with one more handler running; nil:
// there is none now.
func (e *Endpoint) enter(name string) *flow {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.flows[name]
	if f == nil || e.closed {
		return nil
	}
	f.running.Add(1)
	return f
}

// sessionKey names a session.
type sessionKey struct {
	node        string
	incarnation uint64
	stream      uint32
}

// session is the receiving end of a stream.
type session struct {
	e    *Endpoint
	key  sessionKey
	flow string

	mu     sync.Mutex
	ledger inLedger
	work   map[uint64]*Incoming // by number: the latest attempt
	conns  map[uint64]*conn
	unused time.Time // since when it has neither; zero: it has
	ended  error
}

// receiving is a connection's owner on the receiving side. It implements
// handler.
type receiving struct {
	e           *Endpoint
	node        string
	incarnation uint64
	sessions    map[uint32]*session // of the reading goroutine
}

// retire implements handler: the sender decides.
func (r *receiving) retire(*conn) bool { return false }

// broken implements handler.
func (r *receiving) broken(c *conn, cause error) {
	for _, s := range r.sessions {
		s.broken(c, cause)
	}
}

// frame implements handler.
func (r *receiving) frame(c *conn, f *frame) error {
	s := r.sessions[f.stream]
	if s == nil && f.kind != kindOpen {
		if f.kind != kindAnnounce {
			return c.discard(f) // it ended while this was on its way
		}
		return protocolError("a frame of type %d of stream %d, which was not opened on this connection", f.kind, f.stream)
	}
	switch f.kind {
	case kindOpen:
		return r.open(c, f)
	case kindAnnounce:
		return s.announce(c, f)
	case kindData:
		return s.data(c, f)
	case kindAbort:
		b, p, err := c.payload(f)
		if err != nil {
			return err
		}
		s.cancelWork(c, f, fmt.Errorf("the sender has given up: %s", p))
		b.free()
		return nil
	case kindFloor:
		s.confirm(f.seq)
		return c.discard(f)
	case kindEnd:
		delete(r.sessions, f.stream)
		r.e.mu.Lock()
		if r.e.sessions[s.key] == s {
			delete(r.e.sessions, s.key)
		}
		r.e.mu.Unlock()
		s.end(errors.New("the sender has closed the stream"))
		return c.discard(f)
	}
	return protocolError("a frame of type %d from a sender", f.kind)
}

// open finds or makes the session of a stream.
func (r *receiving) open(c *conn, f *frame) error {
	b, p, err := c.payload(f)
	if err != nil {
		return err
	}
	name := string(p)
	b.free()
	if name == "" || len(name) > maxFlow || r.sessions[f.stream] != nil {
		return protocolError("a stream that is opened with a flow's name of %d bytes, or twice", len(name))
	}
	key := sessionKey{r.node, r.incarnation, f.stream}
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sessions[key]
	switch {
	case e.peers[r.node] != r.incarnation:
		return fmt.Errorf("a connection of a process of node %s that was replaced by another", r.node)
	case s == nil && len(r.sessions) >= maxSessions:
		return protocolError("more than %d streams on a connection", maxSessions)
	case s == nil:
		s = &session{e: e, key: key, flow: name, ledger: newInLedger(maxEntries), work: make(map[uint64]*Incoming), conns: make(map[uint64]*conn)}
		e.sessions[key] = s
	case s.flow != name:
		return protocolError("stream %d is of flow %q, not %q", f.stream, s.flow, name)
	}
	r.sessions[f.stream] = s
	s.mu.Lock()
	s.conns[c.id] = c
	s.unused = time.Time{}
	s.mu.Unlock()
	s.confirm(f.seq)
	return nil
}

// announce begins the work on a message, or does what else there is to do.
func (s *session) announce(c *conn, f *frame) error {
	b, p, err := c.payload(f)
	if err != nil {
		return err
	}
	a, err := f.announcement(p)
	if err != nil {
		b.free()
		return err
	}
	inline := f.flags&flagInline != 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		b.free()
		return nil
	}
	do, err := s.ledger.announce(f.seq, c.id, f.try, inline || a.size == 0)
	if err != nil {
		b.free()
		return err
	}
	if do != stepRun {
		s.e.count.duplicates.Add(1)
	}
	if do == stepRepeat {
		s.sendVerdictLocked(c, f.seq, f.try, &s.ledger.entries[f.seq].verdict)
	}
	if do != stepRun && do != stepRestart {
		b.free()
		return nil
	}
	earlier := s.work[f.seq]
	m := newIncoming(s, c, f, &a)
	if inline {
		m.add(part{buffer: b, data: a.inline, raw: a.size, lz4: f.flags&flagLZ4 != 0})
	} else {
		b.free()
	}
	if earlier != nil {
		earlier.fail(errReplaced)
	}
	s.work[f.seq] = m
	s.e.wg.Add(1)
	go s.run(m, earlier, inline)
	return nil
}

// errReplaced is why work ends whose message comes again.
var errReplaced = errors.New("the connection broke, and the message comes again")

// errNoReceiver is the "later" of a flow that nobody has registered here.
func (s *session) errNoReceiver() error {
	return apierr.Unavailable(time.Second, "%s: no job receives %q on this target", s.e.opts.NodeID, s.flow)
}

// run handles one attempt at a message.
func (s *session) run(m *Incoming, earlier *Incoming, small bool) {
	defer s.e.wg.Done()
	defer close(m.ended)
	defer m.release()
	if earlier != nil {
		<-earlier.ended
		s.mu.Lock()
		settled := s.ledger.settled(m.seq, m.attempt)
		if settled && s.work[m.seq] == m {
			delete(s.work, m.seq)
		}
		s.mu.Unlock()
		if settled {
			return
		}
	}
	f := s.e.enter(s.flow)
	if f == nil {
		s.finish(m, verdict{err: s.errNoReceiver(), later: true})
		return
	}
	defer f.running.Done()
	m.begin(f.ctx)
	if !small {
		stop := context.AfterFunc(f.ctx, func() { m.fail(context.Cause(f.ctx)) }) // its reader may be waiting
		defer stop()
	} else {
		select {
		case f.small <- struct{}{}:
			defer func() { <-f.small }()
		case <-f.ctx.Done():
			s.finish(m, verdict{err: s.errNoReceiver(), later: true})
			return
		}
	}
	answer, err := s.call(f, m)
	switch failure := m.failure(); {
	case err == nil && failure != nil:
		// The handler may not have noticed that the body was not complete.
		err = failure
	case err == nil && len(answer) > maxAnswer:
		err = fmt.Errorf("the answer to a message has %d bytes, at most %d are allowed", len(answer), maxAnswer)
	}
	v := verdict{answer: answer, err: err}
	if err != nil {
		v.answer = nil
		v.later = f.ctx.Err() != nil || m.isDamaged()
	}
	s.finish(m, v)
}

// call calls the receiver; a panic is an error.
func (s *session) call(f *flow, m *Incoming) (answer []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.e.opts.Logger.Error("panic in a receiver", "flow", s.flow, "panic", cause, "stack", string(debug.Stack()))
			err = apierr.New(500, "", "%s: internal error, see this node's log", s.e.opts.NodeID)
		}
	}()
	return f.receiver(m.ctx, m)
}

// finish notes a verdict and sends it.
func (s *session) finish(m *Incoming, v verdict) {
	m.fail(errHandled)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work[m.seq] == m {
		delete(s.work, m.seq)
		if len(s.work) == 0 && len(s.conns) == 0 {
			s.unused = time.Now()
		}
	}
	id := s.ledger.finish(m.seq, m.attempt, v)
	if v.err == nil {
		s.e.count.inMessages.Add(1)
		s.e.count.inBytes.Add(m.Size)
	}
	if c := s.conns[id]; c != nil {
		s.sendVerdictLocked(c, m.seq, m.attempt, &v)
	}
}

// errHandled ends the body of a message that was handled.
var errHandled = errors.New("the message was handled")

func (s *session) sendVerdictLocked(c *conn, seq uint64, attempt uint16, v *verdict) {
	// Fails if it broke: then the message comes again.
	_ = c.send(frame{kind: kindVerdict, flags: v.flags(), stream: s.key.stream, seq: seq, try: attempt}, v.payload())
}

// data adds a part to the body of a message.
func (s *session) data(c *conn, f *frame) error {
	s.mu.Lock()
	m := s.work[f.seq]
	takes := s.ledger.takes(f.seq, c.id, f.try)
	s.mu.Unlock()
	if !takes || m == nil || m.attempt != f.try {
		return c.discard(f) // the verdict was given before all of the body came
	}
	whole, err := m.receive(c, f)
	if err != nil {
		return err // the work is cancelled when the ledger knows that the connection broke
	}
	if whole {
		s.mu.Lock()
		s.ledger.complete(f.seq, f.try)
		s.mu.Unlock()
	}
	return nil
}

// cancelWork ends the work on a message that came on a connection.
func (s *session) cancelWork(c *conn, f *frame, cause error) {
	s.mu.Lock()
	m := s.work[f.seq]
	takes := s.ledger.takes(f.seq, c.id, f.try)
	s.mu.Unlock()
	if takes && m != nil && m.attempt == f.try {
		m.fail(cause)
	}
}

// confirm forgets the verdicts below a floor.
func (s *session) confirm(floor uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seq := range s.ledger.confirm(floor) {
		if m := s.work[seq]; m != nil {
			m.fail(errGivenUp)
		}
	}
}

// errGivenUp is why work ends whose message has a verdict of the sender's own.
var errGivenUp = errors.New("the sender has given the message up")

// broken cancels what cannot be completed any more.
func (s *session) broken(c *conn, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
	for _, seq := range s.ledger.broken(c.id) {
		if m := s.work[seq]; m != nil {
			m.fail(fmt.Errorf("the connection broke: %w", cause))
		}
	}
	if len(s.work) == 0 && len(s.conns) == 0 {
		s.unused = time.Now()
	}
}

// end cancels everything: nobody waits for verdicts any more.
func (s *session) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = cause
	for _, m := range s.work {
		m.fail(cause)
	}
}

func (s *session) unusedSince(now time.Time, most time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.unused.IsZero() && now.Sub(s.unused) >= most
}
