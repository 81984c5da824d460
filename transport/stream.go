package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

const (
	maxBurst       = 10000
	maxConnections = 16
	// feeders is how many bodies of a stream are in transfer at a time.
	feeders = 16
	// maxBreaks is how many connections may break under a message before it is
	// given up, unless RetryTime has not passed.
	maxBreaks = 16
	// spanOfBurst is how many bursts a message may be ahead of the floor.
	spanOfBurst = 16
	// floorEvery is how far the floor rises before the receiver is told.
	floorEvery = 32
	// maxUnsolicited bounds the bytes of a stream's small messages that have
	// no verdict yet.
	maxUnsolicited = 4 << 20
)

// StreamOptions are what differs between streams. The zero value of a field
// means its default.
type StreamOptions struct {
	Compress    bool          // LZ4
	Connections int           // to the peer, shared with its other streams: 1 to 16, default 1
	Burst       int           // unanswered messages; Send waits beyond. Default Settings.Burst, at most 10000
	RetryTime   time.Duration // how long a peer that cannot be reached, or says "later", is tried, default 1 min
}

// Message is what a stream carries. Neither it nor its header may be changed
// before Done is called.
type Message struct {
	Header []byte // what it is about; at most Settings.MaxHeader bytes
	Size   int64  // of the body, bytes
	// Open returns the body: Size bytes or an error. It is called again, from
	// any goroutine, when the message has to be sent again, perhaps before an earlier body is
	// closed. After Done was called with an error it may still be called once more, and a
	// body be read to its end: what that is read from must bear it. Nil if Size is 0. A body
	// that is an *os.File (sent from where it stands), a FileSource or a HeadedFile may be
	// sent by sendfile, see SelfVerifying; a BlockSource is sent from where its bytes lie.
	Open func() (io.ReadCloser, error)
	// SelfVerifying: the receiver holds the body against a checksum of its own,
	// so that its parts need none on the way.
	SelfVerifying bool
	// Done is called exactly once, after Send has returned nil: with the
	// receiver's answer, or an error (the receiver's is an *apierr.Error). It
	// may be called before Send returns. Those of a stream are called one after
	// the other: it must be short, and not wait for other messages of the
	// stream. May be nil.
	Done func(answer []byte, err error)
}

// FileSource is a body that is a part of a file.
type FileSource interface {
	// SourceFile returns the file and the offset at which the body begins; nil
	// if there is none after all. The file is used until the body is closed.
	SourceFile() (file *os.File, offset int64)
}

// HeadedFile is a body that begins with bytes of its own and goes on in a file,
// to its end.
type HeadedFile interface {
	FileSource
	// SourceHead returns what comes before the file.
	SourceHead() []byte
}

// BlockSource is a body that has its bytes in memory, after some that come before them.
type BlockSource interface {
	// SourceHead returns what comes first; the bytes are never changed.
	SourceHead() []byte
	// NextBlock waits for the next bytes of the body, and returns one of them at
	// least and most at most. They stay as they are until the lease is released, which is
	// done once, by any goroutine: when the bytes are written or will not be, perhaps after the body was
	// closed. A connection that takes no bytes is given up after Options.DeadAfter. Without a lease they
	// are never changed. Up to 256 KiB are asked for before the first of their leases is released.
	NextBlock(most int) (data []byte, lease Lease, err error)
}

// Lease is bytes that are on loan.
type Lease interface {
	// Release gives them back. It does not wait.
	Release()
}

// Stream carries messages to one flow of one node. It is safe for concurrent
// use.
type Stream struct {
	e    *Endpoint
	link *link
	id   uint32
	node string
	flow string
	opts StreamOptions
	set  Settings
	ctx  context.Context // ends when the stream fails or is closed

	cancel context.CancelCauseFunc
	gone   atomic.Bool   // nothing more may be sent on it
	slots  chan struct{} // one for each unanswered message

	mu          sync.Mutex
	changed     *sync.Cond // of all below
	ledger      outLedger
	confirmed   uint64               // the floor that the receiver was told last
	out         map[uint64]*outgoing // by number: without a verdict
	again       []*outgoing          // to be sent again, before fresh
	fresh       []*outgoing          // to be sent the first time
	feeding     int                  // goroutines of feed
	unsolicited int64                // see maxUnsolicited
	ended       []completion         // Done to be called
	completing  bool                 // somebody calls them
	closing     bool
	failed      error // why no message is taken any more
}

// outgoing is a message without a verdict.
type outgoing struct {
	m       *Message
	seq     uint64
	taken   time.Time   // by Send
	later   time.Time   // when the receiver first said "later" since the last break
	breaks  int         // connections that broke under it
	plain   atomic.Bool // no sendfile: it failed once
	inline  int64       // what it adds to unsolicited
	tries   uint16      // attempts so far; wraps
	attempt *attempt    // nil: nobody sends it now
}

// attempt is one way of a message over one connection. It is guarded by the
// stream's lock.
type attempt struct {
	conn   *conn
	number uint16 // from 1, of its message
	credit int64
	over   bool // its connection broke, or the verdict came
}

// completion is a Done to be called.
type completion struct {
	m      *Message
	answer []byte
	err    error
}

// Send takes a message; it waits while Burst messages have no verdict. The
// error means that it was not taken, and Done will not be called: it is the
// context's, why the stream has ended, or a 400 for a header that is too long.
func (s *Stream) Send(ctx context.Context, m *Message) error {
	switch {
	case len(m.Header) > min(s.set.MaxHeader, maxHeaderLimit):
		return apierr.BadRequest("the header of a message has %d bytes, transport.max_header allows %d", len(m.Header), s.set.MaxHeader)
	case m.Size < 0 || m.Size > 0 && m.Open == nil:
		return apierr.BadRequest("a message with a body of %d bytes, body given: %t", m.Size, m.Open != nil)
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ledger.room() && s.failed == nil && !s.closing {
		stop := context.AfterFunc(ctx, s.wakeAll)
		s.changed.Wait()
		stop()
		if ctx.Err() != nil {
			<-s.slots
			return context.Cause(ctx)
		}
	}
	if s.failed != nil || s.closing {
		<-s.slots
		if s.failed != nil {
			return s.failed
		}
		return ErrClosed
	}
	o := &outgoing{m: m, seq: s.ledger.add(), taken: time.Now()}
	s.out[o.seq] = o
	s.fresh = append(s.fresh, o)
	s.feedLocked()
	return nil
}

func (s *Stream) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// Close waits until every message has its verdict and Done was called for it,
// then ends the stream. When the context ends first, the rest get its cause as
// their verdict, and so does the caller.
func (s *Stream) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.changed.Broadcast()
	stop := context.AfterFunc(ctx, s.wakeAll)
	defer stop()
	for len(s.out) > 0 && ctx.Err() == nil && s.failed == nil {
		s.changed.Wait()
	}
	cut := len(s.out) > 0
	s.mu.Unlock()
	cause := ErrClosed
	if cut && ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	s.abort(cause)
	s.mu.Lock()
	for len(s.ended) > 0 || s.completing || s.feeding > 0 {
		s.changed.Wait()
	}
	s.mu.Unlock()
	if cut {
		return cause
	}
	return nil
}

// Abort ends the stream at once; what has no verdict gets the cause. It does
// not wait for Done to be called; Close does.
func (s *Stream) Abort(cause error) { s.abort(cause) }

// Cancel gives a message the cause as its verdict, unless it has one. Whether
// the receiver accepts it is not known then; it is told to stop if the body has not
// been sent.
func (s *Stream) Cancel(m *Message, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq, o := range s.out {
		if o.m != m {
			continue
		}
		if a := o.attempt; a != nil {
			f := frame{kind: kindAbort, stream: s.id, seq: seq, try: a.number}
			_ = a.conn.send(f, []byte(cut(cause.Error(), maxReason))) // fails if it broke, which is as good
		}
		s.finishLocked(seq, nil, cause)
		return
	}
}

// maxReason bounds the text of an abort frame, in bytes.
const maxReason = 4096

// Pending is the number of messages without a verdict.
func (s *Stream) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out)
}

func (s *Stream) abort(cause error) {
	s.mu.Lock()
	if s.failed != nil {
		s.mu.Unlock()
		return
	}
	s.failed = cause
	for seq := range s.out {
		s.finishLocked(seq, nil, cause)
	}
	s.fresh, s.again = nil, nil
	s.changed.Broadcast()
	s.mu.Unlock()
	s.cancel(cause)
	s.link.remove(s)
	s.e.count.streams.Add(-1)
}

// finishLocked gives a message its verdict, unless it has one.
func (s *Stream) finishLocked(seq uint64, answer []byte, err error) (moved bool) {
	first, moved := s.ledger.answer(seq, len(answer))
	if !first {
		return false
	}
	o := s.out[seq]
	delete(s.out, seq)
	if o.attempt != nil {
		o.attempt.over = true
	}
	s.unsolicited -= o.inline
	o.inline = 0
	if err != nil {
		s.e.count.failed.Add(1)
	} else {
		s.e.count.outMessages.Add(1)
		s.e.count.outBytes.Add(o.m.Size)
	}
	s.ended = append(s.ended, completion{o.m, answer, err})
	if !s.completing {
		s.completing = true
		s.e.wg.Add(1)
		go s.complete()
	}
	s.changed.Broadcast()
	return moved
}

// complete calls Done of what has ended; one goroutine at a time.
func (s *Stream) complete() {
	defer s.e.wg.Done()
	s.mu.Lock()
	for len(s.ended) > 0 {
		batch := s.ended
		s.ended = nil
		s.mu.Unlock()
		for _, c := range batch {
			if c.m.Done != nil {
				c.m.Done(c.answer, c.err)
			}
			<-s.slots
		}
		s.mu.Lock()
	}
	s.completing = false
	s.changed.Broadcast()
	s.mu.Unlock()
}

// verdict handles what the receiver says of a message.
func (s *Stream) verdict(c *conn, seq uint64, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.out[seq]
	if o == nil {
		return
	}
	if v.later && o.later.IsZero() {
		o.later = time.Now()
	}
	if v.later && time.Since(o.later) < s.opts.RetryTime {
		if !s.ledger.release(seq, c.id) {
			return
		}
		s.e.count.later.Add(1)
		s.detachLocked(o)
		s.e.wg.Go(func() { s.sendLater(o) })
		return
	}
	if s.finishLocked(seq, v.answer, v.err) && s.ledger.floor-s.confirmed >= floorEvery {
		s.confirmed = s.ledger.floor
		_ = c.send(frame{kind: kindFloor, stream: s.id, seq: s.ledger.floor}) // the next open frame says so, too
	}
}

// sendLater puts a message back after a pause.
func (s *Stream) sendLater(o *outgoing) {
	pause := time.NewTimer(laterPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-s.ctx.Done():
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queueAgainLocked(o)
}

// laterPause is between two tries of a message that the receiver does not take yet.
const laterPause = 100 * time.Millisecond

// detachLocked takes a message from its attempt.
func (s *Stream) detachLocked(o *outgoing) {
	if o.attempt != nil {
		o.attempt.over = true
		o.attempt = nil
	}
	s.unsolicited -= o.inline
	o.inline = 0
	s.changed.Broadcast()
}

func (s *Stream) queueAgainLocked(o *outgoing) {
	if s.out[o.seq] != o {
		return // it has its verdict
	}
	s.again = append(s.again, o)
	s.feedLocked()
}

// broken sends again what a broken connection carried.
func (s *Stream) broken(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seq := range s.ledger.broken(c.id) {
		o := s.out[seq]
		s.e.count.resent.Add(1)
		o.breaks++
		o.later = time.Time{}
		s.detachLocked(o)
		if o.breaks >= maxBreaks && time.Since(o.taken) >= s.opts.RetryTime {
			s.finishLocked(seq, nil, s.errUnreachable(c.failure()))
			continue
		}
		s.queueAgainLocked(o)
	}
}

// credit lets more of a body be sent.
func (s *Stream) credit(c *conn, f *frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.out[f.seq]; o != nil && o.attempt != nil && o.attempt.conn == c && o.attempt.number == f.try {
		o.attempt.credit += int64(f.arg)
		s.changed.Broadcast()
	}
}

// errUnreachable is the verdict of messages to a node that cannot be reached.
func (s *Stream) errUnreachable(cause error) error {
	return &UnreachableError{Node: s.node, Cause: cause}
}

// UnreachableError is the verdict of a message that never got one from its
// receiver: whether it was accepted is not known.
type UnreachableError struct {
	Node  string
	Cause error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("target %s cannot be reached: %v", e.Node, e.Cause)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// IsUnreachable tells that a verdict is not the receiver's.
func IsUnreachable(err error) bool {
	var e *UnreachableError
	return errors.As(err, &e)
}
