package node

import (
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// unusedGrace is how long a stopping node waits for the first request of a
// connection: one that is on its way is served.
const unusedGrace = 100 * time.Millisecond

// limitListener accepts a bounded number of connections at a time; beyond it
// new ones wait in the kernel's queue. The HTTP server's ConnState reports
// the end of each.
type limitListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	sendTimeout func() time.Duration // of the connections; see stalls

	mu     sync.Mutex
	unused map[*servedConn]struct{} // no request has come on them yet
	gone   chan struct{}            // of closeUnused: closed when none is left
}

func newLimitListener(ln net.Listener, limit int) *limitListener {
	return &limitListener{
		Listener: ln, slots: make(chan struct{}, limit), closed: make(chan struct{}), unused: make(map[*servedConn]struct{}),
	}
}

// Accept waits for a free slot, then for a connection.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		served := &servedConn{TCPConn: tcp, stalls: stalls{sendTimeout: l.sendTimeout}}
		l.mu.Lock()
		defer l.mu.Unlock()
		select {
		case <-l.closed: // closeUnused may have come by
			<-l.slots
			return nil, errors.Join(net.ErrClosed, conn.Close())
		default:
		}
		l.unused[served] = struct{}{}
		return served, nil
	}
	return conn, nil
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// connState is the HTTP server's callback. Each accepted connection is
// reported closed, or hijacked, exactly once.
func (l *limitListener) connState(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if served, ok := conn.(*servedConn); ok && state != http.StateNew && !served.used {
		served.used = true
		l.mu.Lock()
		delete(l.unused, served)
		if len(l.unused) == 0 && l.gone != nil {
			close(l.gone)
			l.gone = nil
		}
		l.mu.Unlock()
	}
	if state == http.StateClosed || state == http.StateHijacked {
		<-l.slots
	}
}

// closeUnused closes the connections that clients opened to have them at
// hand, once the listener is closed. The HTTP server would wait several seconds for their first request
// before it takes them for idle, and a stopping node with it.
func (l *limitListener) closeUnused() {
	l.mu.Lock()
	if len(l.unused) == 0 || l.gone != nil {
		l.mu.Unlock()
		return
	}
	gone := make(chan struct{})
	l.gone = gone
	l.mu.Unlock()
	grace := time.NewTimer(unusedGrace)
	defer grace.Stop()
	select {
	case <-gone:
		return
	case <-grace.C:
	}
	l.mu.Lock()
	unused := slices.Collect(maps.Keys(l.unused))
	l.mu.Unlock()
	for _, conn := range unused {
		_ = conn.Close() // nothing was asked, nothing is owed
	}
}
