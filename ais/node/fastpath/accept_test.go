package fastpath

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// failingListener has no descriptor for any connection.
type failingListener struct {
	asked  atomic.Int32
	closed chan struct{}
	once   sync.Once
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.asked.Add(1)
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: unix.EMFILE}
	}
}

func (l *failingListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *failingListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestPauseAfterAFailedAcceptEndsWithTheServer: the loop asks less and less
// often, and whoever stops it does not wait for the end of a pause.
func TestPauseAfterAFailedAcceptEndsWithTheServer(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*Server) error{
		"shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
		"close":    func(s *Server) error { s.Close(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ln := &failingListener{closed: make(chan struct{})}
				s := New(ln, Options{Logger: slog.New(slog.DiscardHandler)})
				ended := make(chan error, 1)
				go func() { ended <- s.Serve() }()
				<-time.After(time.Minute) // of the test's own clock
				synctest.Wait()
				if n := ln.asked.Load(); n < 50 || n > 70 {
					t.Errorf("it asked %d times in a minute", n)
				}
				began := time.Now()
				if err := stop(s); err != nil {
					t.Error(err)
				}
				if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
				if waited := time.Since(began); waited != 0 {
					t.Errorf("it took %v to stop", waited)
				}
			})
		})
	}
}
