package fastpath

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what a Server needs.
type Options struct {
	// Handler answers what no Fast handler does.
	Handler http.Handler
	// Fail answers with an error; it is called for Conn.Fail, and for a body
	// that has stalled before a handler saw the request.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
	// Panicked, if set, is told of a panic of a Fast handler or of Handler;
	// the connection is broken off.
	Panicked func(cause any)

	HeaderTimeout time.Duration // from the first byte of a request to the end of its header; 0: no limit
	IdleTimeout   time.Duration // between requests; 0: no limit
	SendTimeout   func() time.Duration
	Progress      Progress

	// ConnState is told when the loop begins with a connection (StateActive)
	// and when it has closed one (StateClosed); of those that were handed over
	// net/http tells.
	ConnState func(net.Conn, http.ConnState)
	Logger    *slog.Logger
}

func (o *Options) connState(conn net.Conn, state http.ConnState) {
	if o.ConnState != nil {
		o.ConnState(conn, state)
	}
}

// Server serves the connections of one listener. Its methods may be called
// from any goroutine.
type Server struct {
	options  Options
	listener net.Listener
	outgoing *Outgoing
	fast     atomic.Pointer[Fast]

	ctx    context.Context
	cancel context.CancelFunc

	born     time.Time
	now      atomic.Int64           // nanoseconds since born, as of the last sweep
	date     atomic.Pointer[string] // value of Date
	stopping atomic.Bool
	stopped  chan struct{} // closed when stopping begins
	stopOnce sync.Once
	swept    chan struct{} // closed when the sweeper has ended
	ended    chan struct{} // closed to end it
	endOnce  sync.Once

	mu    sync.Mutex
	conns map[*Conn]struct{}
	gone  chan struct{} // of Shutdown: closed when no connection is left
}

// New returns a server for a listener, which it closes. Serve begins.
func New(listener net.Listener, o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{
		options: o, listener: listener, outgoing: newOutgoing(listener.Addr()),
		stopped: make(chan struct{}), swept: make(chan struct{}), ended: make(chan struct{}), conns: make(map[*Conn]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.born = time.Now()
	s.tick(s.born)
	return s
}

// Outgoing is the listener of the connections that leave the loop. It must be
// served, or closed.
func (s *Server) Outgoing() *Outgoing { return s.outgoing }

// SetFast puts the role's handler in place.
func (s *Server) SetFast(f Fast) { s.fast.Store(&f) }

func (s *Server) fastHandler() Fast {
	if f := s.fast.Load(); f != nil {
		return *f
	}
	return nil
}

// Serve accepts connections until Shutdown or Close, and returns
// http.ErrServerClosed then, or the error of the listener.
func (s *Server) Serve() error {
	go s.sweep()
	defer s.stopSweeper()
	defer s.cancel()
	var pause time.Duration
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.stopping.Load() {
				s.wait()
				return http.ErrServerClosed
			}
			var temporary net.Error
			if !errors.As(err, &temporary) || !temporary.Temporary() { //nolint:staticcheck // net/http goes by it, too: no descriptor is left
				s.Close()
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.options.Logger.Warn("a connection cannot be accepted", "err", err, "retry_in", pause)
			s.rest(pause)
			continue
		}
		pause = 0
		s.take(conn)
	}
}

// rest waits, but not longer than the server serves.
func (s *Server) rest(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopped:
	}
}

// stop has the server accept and begin nothing more.
func (s *Server) stop() error {
	s.stopping.Store(true)
	s.stopOnce.Do(func() { close(s.stopped) })
	return s.listener.Close()
}

// take begins to serve a connection.
func (s *Server) take(conn net.Conn) {
	own, ok := conn.(Connection)
	if !ok {
		if !s.outgoing.give(conn) {
			_ = conn.Close() // nothing was asked
			s.options.connState(conn, http.StateClosed)
		}
		return
	}
	c := &Conn{server: s, conn: own, tcp: own.TCP(), remote: own.RemoteAddr().String(), loopback: isLoopback(own.RemoteAddr())}
	c.step, c.write.send, c.write.sendFile = c.run, c.sendStep, c.sendFileStep
	var err error
	if c.raw, err = c.tcp.SyscallConn(); err != nil {
		_ = conn.Close() // it is closed already
		s.options.connState(conn, http.StateClosed)
		return
	}
	c.deadline.Store(s.after(s.options.HeaderTimeout))
	s.options.connState(conn, http.StateActive)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go func() {
		defer c.recovered()
		c.serve()
	}()
}

// recovered closes a connection whose handler has panicked.
func (c *Conn) recovered() {
	if cause := recover(); cause != nil {
		if s := c.server; s.options.Panicked != nil && cause != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
			s.options.Panicked(cause)
		}
		c.in = nil // it may be in any state
		c.end()
	}
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.gone != nil {
		close(s.gone)
		s.gone = nil
	}
}

// each calls f for the connections that there are now.
func (s *Server) each(f func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// wait returns when no connection is left.
func (s *Server) wait() {
	<-s.empty()
}

// empty returns a channel that is closed when no connection is left.
func (s *Server) empty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if s.gone == nil {
		s.gone = make(chan struct{})
	}
	return s.gone
}

// Shutdown accepts no more connections, closes those that are idle and waits
// until requests in flight have ended, or the context has.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stop()
	s.each(func(c *Conn) {
		if c.used.Load() {
			c.stop()
		}
	})
	grace := time.NewTimer(unusedGrace)
	defer grace.Stop()
	for {
		select {
		case <-s.empty():
			return err
		case <-grace.C:
			s.each(func(c *Conn) { c.stop() })
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unusedGrace is how long a stopping server waits for the first request of a
// connection: one that is on its way is served.
const unusedGrace = 100 * time.Millisecond

// Close breaks all connections off.
func (s *Server) Close() {
	_ = s.stop() // it may be closed already
	s.each(func(c *Conn) { c.breakOff() })
	s.cancel()
}
