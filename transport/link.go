package transport

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// lasting is how long a connection has to last for the pauses to begin anew.
	lasting = 2 * time.Second
	// busyFrom is how much waits on all connections of a peer when another
	// one is opened, in bytes.
	busyFrom = 256 << 10
)

// link is the connections that this endpoint has dialed to one peer. It
// implements handler.
type link struct {
	e    *Endpoint
	node string

	mu        sync.Mutex
	changed   *sync.Cond
	streams   map[uint32]*Stream
	conns     []*conn
	born      map[*conn]time.Time
	dialing   int
	pause     time.Duration // before the next attempt; 0: none
	downSince time.Time     // zero: there is a connection, or none was wanted yet
	cause     error         // why there is none
	lastBusy  time.Time
}

func newLink(e *Endpoint, node string) *link {
	l := &link{e: e, node: node, streams: make(map[uint32]*Stream), born: make(map[*conn]time.Time)}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *link) parts() (streams []*Stream, conns []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streamsLocked(), slices.Clone(l.conns)
}

func (l *link) streamsLocked() []*Stream {
	streams := make([]*Stream, 0, len(l.streams))
	for _, s := range l.streams {
		streams = append(streams, s)
	}
	return streams
}

func (l *link) add(s *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[s.id] = s
}

// remove ends a stream on all connections.
func (l *link) remove(s *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s.id)
	s.gone.Store(true)
	for _, c := range l.conns {
		c.sendEnd(s.id)
	}
	l.changed.Broadcast()
}

// acquire returns the connection that has the least to do; without any it
// waits for one. The error is a verdict.
func (l *link) acquire(s *Stream, o *outgoing) (*conn, error) {
	var stop func() bool
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		l.lastBusy = time.Now()
		var best *conn
		least := 0
		for _, c := range l.conns {
			if p := c.pressure(); best == nil || p < least {
				best, least = c, p
			}
		}
		want := 1
		for _, s := range l.streams {
			want = max(want, s.opts.Connections)
		}
		if have := len(l.conns) + l.dialing; have == 0 || have < want && least >= busyFrom {
			l.dialLocked()
		}
		if best != nil {
			return best, nil
		}
		if s.ctx.Err() != nil {
			return nil, context.Cause(s.ctx)
		}
		if stop == nil {
			stop = context.AfterFunc(s.ctx, l.wakeAll)
		}
		until := o.taken
		if l.downSince.After(until) {
			until = l.downSince
		}
		left := time.Until(until.Add(s.opts.RetryTime))
		if left <= 0 {
			cause := l.cause
			if cause == nil {
				cause = context.DeadlineExceeded
			}
			return nil, s.errUnreachable(cause)
		}
		late := time.AfterFunc(left, l.wakeAll)
		l.changed.Wait()
		late.Stop()
	}
}

func (l *link) wakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

// nextPause is how long to wait before the attempt after the next.
func (l *link) nextPause() time.Duration {
	first := l.e.opts.Pause
	return min(max(2*l.pause, first), 40*first)
}

// dialLocked begins to make a connection.
func (l *link) dialLocked() {
	if l.e.ctx.Err() != nil {
		return
	}
	l.dialing++
	l.e.wg.Go(l.dial)
}

// dial makes a connection and serves it until it breaks.
func (l *link) dial() {
	c := l.connect()
	if c == nil {
		return
	}
	l.e.count.connections.Add(1)
	c.run()
	l.e.count.connections.Add(-1)
}

// connect tries until there is a connection, or nobody needs one.
func (l *link) connect() *conn {
	for {
		l.mu.Lock()
		pause := l.pause
		l.mu.Unlock()
		if pause > 0 {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-l.e.ctx.Done():
				timer.Stop()
			}
		}
		c, err := l.try()
		l.mu.Lock()
		if err == nil && l.e.ctx.Err() != nil {
			err = ErrClosed
			c.fail(err)
		}
		if err == nil {
			l.dialing--
			l.downSince, l.cause = time.Time{}, nil
			l.conns = append(l.conns, c)
			l.born[c] = time.Now()
			l.changed.Broadcast()
			l.mu.Unlock()
			return c
		}
		if l.downSince.IsZero() && len(l.conns) == 0 {
			l.downSince = time.Now()
		}
		l.cause = err
		l.pause = l.nextPause()
		needed := l.e.ctx.Err() == nil && len(l.streams) > 0 && len(l.conns) == 0
		if !needed {
			l.dialing--
		}
		l.changed.Broadcast()
		l.mu.Unlock()
		l.e.count.dialFailed.Add(1)
		l.e.opts.Logger.Debug("no connection for streams", "to", l.node, "err", err)
		if !needed {
			return nil
		}
	}
}

// try makes one attempt.
func (l *link) try() (*conn, error) {
	url, err := l.e.opts.URL(l.node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.e.ctx, l.e.opts.DialTimeout)
	defer cancel()
	nc, err := l.e.opts.Dial(ctx, url, l.e.incarnation)
	if err != nil {
		return nil, err
	}
	return newConn(l.e, nc, nc, l), nil
}

// frame implements handler.
func (l *link) frame(c *conn, f *frame) error {
	if f.kind != kindVerdict && f.kind != kindCredit {
		return protocolError("a frame of type %d from a receiver", f.kind)
	}
	l.mu.Lock()
	s := l.streams[f.stream]
	l.mu.Unlock()
	if s == nil {
		return c.discard(f) // of a stream that was closed
	}
	if f.kind == kindCredit {
		if f.length != 0 {
			return protocolError("a credit with a payload")
		}
		s.credit(c, f)
		return nil
	}
	b, p, err := c.payload(f)
	if err != nil {
		return err
	}
	v, err := parseVerdict(f, p)
	b.free()
	if err != nil {
		return err
	}
	s.verdict(c, f.seq, v)
	return nil
}

// broken implements handler.
func (l *link) broken(c *conn, cause error) {
	l.mu.Lock()
	l.conns = slices.DeleteFunc(l.conns, func(o *conn) bool { return o == c })
	if errors.Is(cause, errBye) || time.Since(l.born[c]) >= lasting {
		l.pause = 0
	} else {
		l.pause = l.nextPause()
	}
	delete(l.born, c)
	if len(l.conns) == 0 && !errors.Is(cause, errBye) {
		l.downSince, l.cause = time.Now(), cause
	}
	streams := l.streamsLocked()
	l.changed.Broadcast()
	l.mu.Unlock()
	if !errors.Is(cause, errBye) && !errors.Is(cause, ErrClosed) {
		l.e.count.broken.Add(1)
		l.e.opts.Logger.Info("a connection of streams broke", "to", l.node, "err", cause)
	}
	for _, s := range streams {
		s.broken(c)
	}
}

// retire implements handler: a connection ends when no stream has used any
// for a while.
func (l *link) retire(c *conn) bool {
	l.mu.Lock()
	streams := l.streamsLocked()
	l.mu.Unlock()
	busy := false
	for _, s := range streams {
		busy = busy || s.Pending() > 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if busy {
		l.lastBusy = time.Now()
		return false
	}
	if time.Since(l.lastBusy) < l.e.opts.Settings().IdleTeardown {
		return false
	}
	l.conns = slices.DeleteFunc(l.conns, func(o *conn) bool { return o == c })
	return true
}
