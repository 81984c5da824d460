package fastpath

import (
	"net"
	"sync"
)

// Outgoing is the listener through which connections leave the loop: an
// http.Server serves it. It lets go of what was not accepted when it closes.
type Outgoing struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newOutgoing(address net.Addr) *Outgoing {
	return &Outgoing{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (o *Outgoing) Accept() (net.Conn, error) {
	select {
	case conn := <-o.conns:
		return conn, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (o *Outgoing) Close() error {
	o.once.Do(func() { close(o.closed) })
	return nil
}

// Addr implements net.Listener.
func (o *Outgoing) Addr() net.Addr { return o.address }

// give hands a connection over; false: nobody takes it any more.
func (o *Outgoing) give(conn net.Conn) bool {
	select {
	case o.conns <- conn:
		return true
	case <-o.closed:
		return false
	}
}
