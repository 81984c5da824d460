package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two nodes with a network between them that can be broken.
type pair struct {
	tb       testing.TB
	listener net.Listener
	a        *Endpoint // sends

	mu    sync.Mutex
	b     *Endpoint // receives
	conns []net.Conn
	down  bool
	wg    sync.WaitGroup
	once  sync.Once
}

// newPair starts both; o applies to both.
func newPair(tb testing.TB, o Options) *pair {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &pair{tb: tb, listener: ln}
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.Pause == 0 {
		o.Pause = time.Millisecond
	}
	ao := o
	ao.NodeID = "a"
	ao.URL = func(string) (string, error) { return ln.Addr().String(), nil }
	ao.Dial = p.dial
	p.a = New(ao)
	o.NodeID = "b"
	p.b = New(o)
	p.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() {
				var inc [8]byte
				if _, err := io.ReadFull(nc, inc[:]); err != nil {
					_ = nc.Close()
					return
				}
				var n uint64
				for _, x := range inc {
					n = n<<8 | uint64(x)
				}
				_ = p.receiver().Accept(nc, nc, "a", n)
			})
		}
	})
	tb.Cleanup(p.end)
	return p
}

// end closes everything; a second time it does nothing.
func (p *pair) end() {
	p.once.Do(func() {
		p.tb.Helper()
		if err := p.a.Close(); err != nil {
			p.tb.Error(err)
		}
		if err := p.receiver().Close(); err != nil {
			p.tb.Error(err)
		}
		if err := p.listener.Close(); err != nil {
			p.tb.Error(err)
		}
		p.wg.Wait()
	})
}

func (p *pair) receiver() *Endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b
}

var errDown = errors.New("the network is down")

func (p *pair) dial(ctx context.Context, url string, incarnation uint64) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errDown
	}
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", url)
	if err != nil {
		return nil, err
	}
	var inc [8]byte
	for i := range inc {
		inc[i] = byte(incarnation >> (56 - 8*i))
	}
	if _, err := nc.Write(inc[:]); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	p.conns = append(p.conns, nc)
	return nc, nil
}

// cut breaks all connections.
func (p *pair) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, nc := range p.conns {
		_ = nc.Close()
	}
	p.conns = nil
}

// setDown makes the receiver unreachable, or not.
func (p *pair) setDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.cut()
	}
}

// restart replaces the receiving process by another.
func (p *pair) restart(o Options) {
	p.tb.Helper()
	o.NodeID = "b"
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	next := New(o)
	p.mu.Lock()
	old := p.b
	p.b = next
	p.mu.Unlock()
	if err := old.Close(); err != nil {
		p.tb.Error(err)
	}
}

// result is a verdict.
type result struct {
	answer string
	err    error
}

// receive registers a receiver for the time of the test.
func receive(tb testing.TB, e *Endpoint, flow string, r Receiver) (stop func()) {
	tb.Helper()
	stop, err := e.Receive(flow, r)
	if err != nil {
		tb.Fatal(err)
	}
	return stop
}

// await returns the next value of a channel.
func await[T any](tb testing.TB, what string, ch <-chan T) T {
	tb.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	select {
	case v := <-ch:
		return v
	case <-late.C:
		tb.Fatalf("%s: not within 30 s", what)
		panic("not reached")
	}
}

// eventually waits until a condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			tb.Fatalf("%s: not within 30 s", what)
		}
	}
}

// closeStream closes a stream within a time.
func closeStream(tb testing.TB, s *Stream) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		tb.Fatalf("Close: %v", err)
	}
}

// body is a body of n bytes that differ from place to place and by seed.
func body(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i>>8) ^ byte(i*7) ^ seed
	}
	return p
}
