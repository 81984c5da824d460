package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// tally counts at a receiver how often a message was accepted, by process.
type tally struct {
	mu       sync.Mutex
	accepted map[string]int
}

// receiver accepts what has the checksum that its header says.
func (y *tally) receiver(_ context.Context, m *Incoming) ([]byte, error) {
	var name string
	var size int64
	var sum uint32
	if _, err := fmt.Sscanf(string(m.Header), "%s %d %08x", &name, &size, &sum); err != nil {
		return nil, apierr.BadRequest("header %q: %v", m.Header, err)
	}
	data, err := io.ReadAll(m)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != size || checksum(data) != sum {
		return nil, apierr.New(500, "", "%s: damaged", name)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.accepted[name]++
	return []byte(name), nil
}

// of is how often a message was accepted.
func (y *tally) of(name string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.accepted[name]
}

func newTally() *tally { return &tally{accepted: map[string]int{}} }

// flaky is a connection that breaks after some bytes in either direction.
type flaky struct {
	net.Conn
	left *atomic.Int64
}

func (f flaky) spend(n int) error {
	if f.left.Add(-int64(n)) < 0 {
		_ = f.Close()
		return errors.New("the connection broke, as it was told to")
	}
	return nil
}

func (f flaky) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if broke := f.spend(n); broke != nil {
		return 0, broke
	}
	return n, err
}

func (f flaky) Write(p []byte) (int, error) {
	if broke := f.spend(len(p)); broke != nil {
		n, _ := f.Conn.Write(p[:len(p)/2]) // some of it is out
		return n, broke
	}
	return f.Conn.Write(p)
}

// TestNothingIsLostOrDoubled: connections break after any number of bytes,
// receiving processes are replaced, and every message is accepted: once, or
// once by each process.
func TestNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(1, 40).Draw(rt, "messages")
		restarts := rapid.IntRange(0, 2).Draw(rt, "restarts")
		breaks := rapid.SliceOfN(rapid.Int64Range(100, 3<<20), 0, 12).Draw(rt, "bytes until the break")
		o := StreamOptions{
			Connections: rapid.IntRange(1, 3).Draw(rt, "connections"), Compress: rapid.Bool().Draw(rt, "lz4"),
			Burst: rapid.IntRange(1, 64).Draw(rt, "burst"),
		}
		kinds := rapid.SliceOfN(rapid.SampledFrom([]int{0, 10, 3000, maxInline, 100 << 10, 700 << 10}), count, count).Draw(rt, "sizes")
		run(t, rt, o, kinds, breaks, restarts)
	})
}

func run(tb testing.TB, rt *rapid.T, o StreamOptions, sizes []int, breaks []int64, restarts int) {
	p := newPair(tb, Options{})
	defer p.end()
	var dialed atomic.Int64
	p.a.opts.Dial = func(ctx context.Context, url string, incarnation uint64) (net.Conn, error) {
		nc, err := p.dial(ctx, url, incarnation)
		if n := dialed.Add(1); err == nil && int(n) <= len(breaks) {
			left := new(atomic.Int64)
			left.Store(breaks[n-1])
			return flaky{nc, left}, nil
		}
		return nc, err
	}
	all := []*tally{newTally()}
	receive(tb, p.b, "f", all[0].receiver)
	s := p.a.Open("b", "f", o)
	verdicts := make([]atomic.Int32, len(sizes))
	for i, size := range sizes {
		data := body(size, byte(i))
		name := fmt.Sprintf("m%d", i)
		m := &Message{
			Header: fmt.Appendf(nil, "%s %d %08x", name, size, checksum(data)), Size: int64(size), Open: open(data), SelfVerifying: i%2 == 0,
			Done: func(answer []byte, err error) {
				if err != nil || string(answer) != name {
					rt.Errorf("%s: verdict %q, %v", name, answer, err)
				}
				verdicts[i].Add(1)
			},
		}
		if err := s.Send(context.Background(), m); err != nil {
			rt.Fatal(err)
		}
		if restarts > 0 && i%(1+len(sizes)/(restarts+1)) == 0 {
			restarts--
			all = append(all, newTally())
			p.restart(Options{})
			receive(tb, p.receiver(), "f", all[len(all)-1].receiver)
		}
	}
	closeStream(tb, s)
	for i := range sizes {
		name, total := fmt.Sprintf("m%d", i), 0
		for process, y := range all {
			n := y.of(name)
			if total += n; n > 1 {
				rt.Errorf("%s was accepted %d times by process %d", name, n, process)
			}
		}
		if total == 0 || verdicts[i].Load() != 1 {
			rt.Errorf("%s was accepted %d times, and has %d verdicts", name, total, verdicts[i].Load())
		}
	}
}

// TestFilesSurviveBreaks: a body that goes out by sendfile is sent again from
// its beginning.
func TestFilesSurviveBreaks(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	y := newTally()
	started := make(chan struct{}, 100)
	receive(t, p.b, "f", func(ctx context.Context, m *Incoming) ([]byte, error) {
		started <- struct{}{}
		return y.receiver(ctx, m)
	})
	data := body(8<<20, 3)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := p.a.Open("b", "f", StreamOptions{Connections: 2})
	const count = 6
	results := make(chan result, count)
	for i := range count {
		m := &Message{
			Header: fmt.Appendf(nil, "m%d %d %08x", i, len(data), checksum(data)), Size: int64(len(data)), SelfVerifying: true,
			Open: func() (io.ReadCloser, error) { return os.Open(path) },
			Done: func(answer []byte, err error) { results <- result{string(answer), err} },
		}
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		await(t, "a message begins", started)
		p.cut()
	}
	for range count {
		if r := await(t, "verdict", results); r.err != nil {
			t.Error(r.err)
		}
	}
	closeStream(t, s)
	for i := range count {
		if n := y.of(fmt.Sprintf("m%d", i)); n != 1 {
			t.Errorf("message %d was accepted %d times", i, n)
		}
	}
	if c := p.a.Counts(); c.Broken == 0 || c.Resent == 0 {
		t.Errorf("nothing broke: %+v", c)
	}
}

// TestSlowReceiverHoldsUpNobody: a receiver that does not go on keeps its own
// stream waiting; others on the same connection run.
func TestSlowReceiverHoldsUpNobody(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	gate := make(chan struct{})
	receive(t, p.b, "slow", func(_ context.Context, m *Incoming) ([]byte, error) {
		<-gate
		_, err := io.Copy(io.Discard, m)
		return nil, err
	})
	reading := make(chan struct{}, 100)
	receive(t, p.b, "slow reader", func(_ context.Context, m *Incoming) ([]byte, error) {
		_, err := io.CopyN(io.Discard, m, 1)
		reading <- struct{}{}
		<-gate
		if err == nil {
			_, err = io.Copy(io.Discard, m)
		}
		return nil, err
	})
	receive(t, p.b, "fast", echo)
	large, small := body(8<<20, 1), body(4096, 2)
	slow, reader, fast := p.a.Open("b", "slow", StreamOptions{}), p.a.Open("b", "slow reader", StreamOptions{}), p.a.Open("b", "fast", StreamOptions{})
	for range 100 {
		if err := slow.Send(t.Context(), &Message{Size: int64(len(small)), Open: open(small)}); err != nil {
			t.Fatal(err)
		}
	}
	for range feeders {
		if err := reader.Send(t.Context(), &Message{Size: int64(len(large)), Open: open(large)}); err != nil {
			t.Fatal(err)
		}
	}
	for range feeders {
		await(t, "all slow readers have begun", reading)
	}
	for i := range 50 {
		data := small
		if i%2 == 0 {
			data = large
		}
		if r := sendOne(t, fast, &Message{Size: int64(len(data)), Open: open(data)}); r.err != nil || r.answer != echoOf("", data) {
			t.Fatalf("verdict %+v", r)
		}
	}
	if c := p.a.Counts(); c.Connections != 1 || c.Broken != 0 {
		t.Errorf("counts %+v", c)
	}
	if most := int64(feeders * window); p.b.granted.Load() > most || p.b.memory.InUse() > most+maxUnsolicited+4<<20 {
		t.Errorf("%d bytes are granted, %d in use", p.b.granted.Load(), p.b.memory.InUse())
	}
	close(gate)
	for _, s := range []*Stream{slow, reader, fast} {
		closeStream(t, s)
	}
}

// TestMemoryOfReceiversIsBounded: bodies share what the node has for them.
func TestMemoryOfReceiversIsBounded(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{ReceiveMost: 4 << 20})
	gate := make(chan struct{})
	begun := make(chan struct{}, 100)
	receive(t, p.b, "f", func(_ context.Context, m *Incoming) ([]byte, error) {
		_, err := io.CopyN(io.Discard, m, 1)
		begun <- struct{}{}
		<-gate
		if err == nil {
			_, err = io.Copy(io.Discard, m)
		}
		return nil, err
	})
	data := body(6<<20, 1)
	s := p.a.Open("b", "f", StreamOptions{})
	for range feeders {
		if err := s.Send(t.Context(), &Message{Size: int64(len(data)), Open: open(data)}); err != nil {
			t.Fatal(err)
		}
	}
	for range feeders {
		await(t, "all have begun", begun)
	}
	// the bound, what was granted just before it was reached, and the least for the rest
	if most := int64(4<<20 + 3*window + feeders*leastWindow); p.b.granted.Load() > most {
		t.Errorf("%d bytes are granted, want at most %d", p.b.granted.Load(), most)
	}
	close(gate)
	closeStream(t, s)
	if p.b.granted.Load() != 0 {
		t.Errorf("%d bytes are granted after the end", p.b.granted.Load())
	}
}

// TestPeerDiesInABody: the receiver's work is cancelled, and the message
// arrives whole over another connection.
func TestPeerDiesInABody(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	half := make(chan struct{})
	var once sync.Once
	failures := make(chan error, 10)
	receive(t, p.b, "f", func(ctx context.Context, m *Incoming) ([]byte, error) {
		if _, err := io.CopyN(io.Discard, m, m.Size/2); err != nil {
			return nil, err
		}
		first := false
		once.Do(func() { first = true })
		if first {
			close(half)
			<-ctx.Done()
		}
		_, err := io.Copy(io.Discard, m)
		if err != nil {
			failures <- errors.Join(err, context.Cause(ctx))
		}
		return []byte("whole"), err
	})
	s := p.a.Open("b", "f", StreamOptions{})
	data := body(16<<20, 1)
	go func() {
		<-half
		p.cut()
	}()
	if r := sendOne(t, s, &Message{Size: int64(len(data)), Open: open(data)}); r.err != nil || r.answer != "whole" {
		t.Errorf("verdict %+v", r)
	}
	if err := await(t, "the first try fails", failures); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the receiver was told %v", err)
	}
	closeStream(t, s)
}

// TestSilentPeer: a connection on which nothing comes any more is given up.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{Heartbeat: 20 * time.Millisecond, DeadAfter: 200 * time.Millisecond})
	receive(t, p.b, "f", echo)
	var dialed atomic.Int64
	hole, other := net.Pipe() // takes what is written, answers nothing
	defer func() { _ = other.Close() }()
	go func() { _, _ = io.Copy(io.Discard, other) }()
	p.a.opts.Dial = func(ctx context.Context, url string, incarnation uint64) (net.Conn, error) {
		if dialed.Add(1) == 1 {
			return hole, nil
		}
		return p.dial(ctx, url, incarnation)
	}
	s := p.a.Open("b", "f", StreamOptions{})
	if r := sendOne(t, s, &Message{Header: []byte("h")}); r.err != nil || r.answer != echoOf("h", nil) {
		t.Errorf("verdict %+v", r)
	}
	closeStream(t, s)
	if c := p.a.Counts(); c.Broken != 1 || c.Resent != 1 {
		t.Errorf("counts %+v", c)
	}
}

// TestLongWork: a message may take longer than any time limit of its connection.
func TestLongWork(t *testing.T) {
	t.Parallel()
	const deadAfter = 2 * time.Second // a process without a core for 200 ms is no rarity
	p := newPair(t, Options{Heartbeat: 20 * time.Millisecond, DeadAfter: deadAfter})
	receive(t, p.b, "f", func(ctx context.Context, _ *Incoming) ([]byte, error) {
		long := time.NewTimer(deadAfter + deadAfter/2) // the work
		defer long.Stop()
		select {
		case <-long.C:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	s := p.a.Open("b", "f", StreamOptions{})
	if r := sendOne(t, s, &Message{}); r.err != nil {
		t.Error(r.err)
	}
	closeStream(t, s)
	if c := p.a.Counts(); c.Broken != 0 || c.Resent != 0 {
		t.Errorf("the connection broke: %+v", c)
	}
}

// TestReceiverComesLater: messages wait for their receiver, but not for ever.
func TestReceiverComesLater(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	s := p.a.Open("b", "f", StreamOptions{})
	data := body(1<<20, 1)
	done := make(chan result, 1)
	if err := s.Send(t.Context(), &Message{Size: int64(len(data)), Open: open(data), Done: func(a []byte, err error) { done <- result{string(a), err} }}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the receiver has said later", func() bool { return p.a.Counts().Later > 0 })
	stop := receive(t, p.b, "f", echo)
	if r := await(t, "verdict", done); r.err != nil || r.answer != echoOf("", data) {
		t.Errorf("verdict %+v", r)
	}
	if _, err := p.b.Receive("f", echo); err == nil {
		t.Error("a flow has two receivers")
	}
	stop()
	closeStream(t, s)
	impatient := p.a.Open("b", "f", StreamOptions{RetryTime: 150 * time.Millisecond})
	if r := sendOne(t, impatient, &Message{}); apierr.StatusOf(r.err) != 503 || !strings.Contains(r.err.Error(), `no job receives "f"`) {
		t.Errorf("verdict %+v", r)
	}
	closeStream(t, impatient)
}

// TestReceiverIsReplaced: the end of a registration cancels its work, and the
// next one gets the message.
func TestReceiverIsReplaced(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	begun := make(chan struct{}, 1)
	stop := receive(t, p.b, "f", func(ctx context.Context, _ *Incoming) ([]byte, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	s := p.a.Open("b", "f", StreamOptions{})
	done := make(chan result, 1)
	if err := s.Send(t.Context(), &Message{Header: []byte("h"), Done: func(a []byte, err error) { done <- result{string(a), err} }}); err != nil {
		t.Fatal(err)
	}
	await(t, "the first receiver begins", begun)
	stop()
	receive(t, p.b, "f", echo)
	if r := await(t, "verdict", done); r.err != nil || r.answer != echoOf("h", nil) {
		t.Errorf("verdict %+v", r)
	}
	closeStream(t, s)
}

// TestUnreachablePeer: messages to it fail after a time, with the reason; when
// it is back, others arrive.
func TestUnreachablePeer(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	receive(t, p.b, "f", echo)
	p.setDown(true)
	s := p.a.Open("b", "f", StreamOptions{RetryTime: 150 * time.Millisecond})
	for range 3 {
		if r := sendOne(t, s, &Message{}); !IsUnreachable(r.err) || !errors.Is(r.err, errDown) {
			t.Fatalf("verdict %+v", r)
		}
	}
	p.setDown(false)
	eventually(t, "a message arrives", func() bool { return sendOne(t, s, &Message{}).err == nil })
	closeStream(t, s)
}

// TestIdleConnectionsEnd: and are made again when there is something to send.
func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	set := DefaultSettings()
	set.IdleTeardown = 50 * time.Millisecond
	p := newPair(t, Options{Settings: func() Settings { return set }})
	receive(t, p.b, "f", echo)
	s := p.a.Open("b", "f", StreamOptions{})
	for range 3 {
		if r := sendOne(t, s, &Message{Header: []byte("h")}); r.err != nil {
			t.Fatal(r.err)
		}
		eventually(t, "both sides end the connection", func() bool { return p.a.Counts().Connections == 0 && p.b.Counts().Connections == 0 })
	}
	closeStream(t, s)
	if c := p.a.Counts(); c.Broken != 0 || c.Resent != 0 || c.DialFailed != 0 {
		t.Errorf("counts %+v", c)
	}
}

func TestSendIsBounded(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	gate := make(chan struct{})
	receive(t, p.b, "f", func(context.Context, *Incoming) ([]byte, error) {
		<-gate
		return nil, nil
	})
	s := p.a.Open("b", "f", StreamOptions{Burst: 2})
	for range 2 {
		if err := s.Send(t.Context(), &Message{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Send(ctx, &Message{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the third of two: %v", err)
	}
	if err := s.Send(t.Context(), &Message{Header: make([]byte, 4097)}); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), "transport.max_header allows 4096") {
		t.Errorf("a long header: %v", err)
	}
	if err := s.Send(t.Context(), &Message{Size: 5}); apierr.StatusOf(err) != 400 {
		t.Errorf("no body: %v", err)
	}
	close(gate)
	closeStream(t, s)
	if err := s.Send(t.Context(), &Message{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCloseThatIsCutShort: what has no verdict gets one, once, and the
// receiver is told to stop.
func TestCloseThatIsCutShort(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	begun, ended := make(chan struct{}, 10), make(chan error, 10)
	receive(t, p.b, "f", func(ctx context.Context, _ *Incoming) ([]byte, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	})
	s := p.a.Open("b", "f", StreamOptions{})
	verdicts := make(chan error, 10)
	data := body(1<<20, 1)
	for range 2 {
		for _, m := range []*Message{{}, {Size: int64(len(data)), Open: open(data)}} {
			m.Done = func(_ []byte, err error) { verdicts <- err }
			if err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 4 {
		await(t, "the work begins", begun)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if len(verdicts) != 4 {
		t.Fatalf("%d verdicts when Close has returned", len(verdicts))
	}
	for range 4 {
		if err := <-verdicts; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("verdict %v", err)
		}
		await(t, "the receiver is told", ended)
	}
	eventually(t, "the session is forgotten", func() bool {
		p.b.mu.Lock()
		defer p.b.mu.Unlock()
		return len(p.b.sessions) == 0
	})
}

// TestEndpointsClose: whatever is under way, on either side.
func TestEndpointsClose(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"sender", "receiver"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, Options{})
			begun := make(chan struct{}, 10)
			receive(t, p.b, "f", func(ctx context.Context, m *Incoming) ([]byte, error) {
				begun <- struct{}{}
				if m.Size > 0 {
					return nil, nil
				}
				<-ctx.Done()
				return nil, context.Cause(ctx)
			})
			s := p.a.Open("b", "f", StreamOptions{RetryTime: 100 * time.Millisecond})
			verdicts := make(chan error, 1)
			if err := s.Send(t.Context(), &Message{Done: func(_ []byte, err error) { verdicts <- err }}); err != nil {
				t.Fatal(err)
			}
			await(t, "the work begins", begun)
			if side == "receiver" {
				p.setDown(true)
				if err := p.b.Close(); err != nil {
					t.Error(err)
				}
				if err := await(t, "verdict", verdicts); !IsUnreachable(err) {
					t.Errorf("verdict %v", err)
				}
				return
			}
			if err := p.a.Close(); err != nil {
				t.Error(err)
			}
			if err := await(t, "verdict", verdicts); !errors.Is(err, ErrClosed) {
				t.Errorf("verdict %v", err)
			}
			if err := s.Send(t.Context(), &Message{}); !errors.Is(err, ErrClosed) {
				t.Errorf("Send after Close: %v", err)
			}
			if err := p.a.Open("b", "f", StreamOptions{}).Send(t.Context(), &Message{}); !errors.Is(err, ErrClosed) {
				t.Errorf("Send on a stream of a closed endpoint: %v", err)
			}
		})
	}
}

// TestSenderIsRestarted: its messages of before do not go on, and their
// numbers mean nothing for those of now.
func TestSenderIsRestarted(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	ended := make(chan error, 1)
	receive(t, p.b, "f", func(ctx context.Context, m *Incoming) ([]byte, error) {
		if string(m.Header) == "before" {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, context.Cause(ctx)
		}
		return []byte("now"), nil
	})
	s := p.a.Open("b", "f", StreamOptions{})
	if err := s.Send(t.Context(), &Message{Header: []byte("before")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the work begins", func() bool {
		p.b.mu.Lock()
		defer p.b.mu.Unlock()
		return len(p.b.sessions) == 1
	})
	next := New(Options{NodeID: "a", URL: p.a.opts.URL, Dial: p.dial})
	n := next.Open("b", "f", StreamOptions{})
	if n.id != s.id {
		t.Fatalf("stream %d, want %d as before", n.id, s.id)
	}
	if r := sendOne(t, n, &Message{Header: []byte("now")}); r.err != nil || r.answer != "now" {
		t.Errorf("verdict %+v", r)
	}
	if err := await(t, "the work of before ends", ended); err == nil || !strings.Contains(err.Error(), "restarted") {
		t.Errorf("it ends with %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// TestDamageOnTheWay: a flipped bit breaks the connection, and nothing else.
func TestDamageOnTheWay(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	y := newTally()
	receive(t, p.b, "f", y.receiver)
	var dialed atomic.Int64
	p.a.opts.Dial = func(ctx context.Context, url string, incarnation uint64) (net.Conn, error) {
		nc, err := p.dial(ctx, url, incarnation)
		if n := dialed.Add(1); err == nil && n <= 8 {
			return &damaging{Conn: nc, at: int(n) * 40_001}, nil
		}
		return nc, err
	}
	data := body(1<<20, 9)
	s := p.a.Open("b", "f", StreamOptions{})
	header := fmt.Appendf(nil, "m %d %08x", len(data), checksum(data))
	if r := sendOne(t, s, &Message{Header: header, Size: int64(len(data)), Open: open(data)}); r.err != nil {
		t.Error(r.err)
	}
	closeStream(t, s)
	if y.of("m") != 1 || dialed.Load() != 9 {
		t.Errorf("accepted %d times, over %d connections", y.of("m"), dialed.Load())
	}
}

// damaging flips a bit of what is written at a place.
type damaging struct {
	net.Conn
	at, written int
}

func (d *damaging) Write(p []byte) (int, error) {
	if at := d.at - d.written; at >= 0 && at < len(p) {
		p = bytes.Clone(p)
		p[at] ^= 4
	}
	n, err := d.Conn.Write(p)
	d.written += n
	return n, err
}

// TestFileIsShorter: a file that does not have what the message says is an
// error of the sender's, whether that is known before or shows on the way.
func TestFileIsShorter(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, body(4<<20, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	truncate := make(chan func(), 10)
	receive(t, p.b, "f", func(_ context.Context, m *Incoming) ([]byte, error) {
		_, err := io.CopyN(io.Discard, m, 1)
		if err == nil && string(m.Header) == "truncate" {
			(<-truncate)()
			_, err = io.Copy(io.Discard, m)
		}
		return nil, err
	})
	s := p.a.Open("b", "f", StreamOptions{})
	defer closeStream(t, s)
	openFile := func() (io.ReadCloser, error) { return os.Open(path) }
	if r := sendOne(t, s, &Message{Size: 5 << 20, Open: openFile, SelfVerifying: true}); r.err == nil || !strings.Contains(r.err.Error(), "the message says 5242880") {
		t.Errorf("verdict %+v", r)
	}
	for range cap(truncate) {
		truncate <- func() { _ = os.Truncate(path, 2<<20) }
	}
	if r := sendOne(t, s, &Message{Header: []byte("truncate"), Size: 4 << 20, Open: openFile, SelfVerifying: true}); !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("verdict %+v", r)
	}
}

// TestUnusedSessionsEnd: a sender that is never heard of again leaves nothing.
func TestUnusedSessionsEnd(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{SessionIdle: 40 * time.Millisecond})
	receive(t, p.b, "f", echo)
	s := p.a.Open("b", "f", StreamOptions{})
	if r := sendOne(t, s, &Message{}); r.err != nil {
		t.Fatal(r.err)
	}
	p.setDown(true)
	eventually(t, "the session ends", func() bool {
		p.b.mu.Lock()
		defer p.b.mu.Unlock()
		return len(p.b.sessions) == 0
	})
	p.setDown(false)
	if r := sendOne(t, s, &Message{}); r.err != nil {
		t.Error(r.err)
	}
	closeStream(t, s)
}

// TestCancel: one message ends, on both sides, and no other.
func TestCancel(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	begun, ended := make(chan struct{}), make(chan error, 1)
	receive(t, p.b, "f", func(ctx context.Context, m *Incoming) ([]byte, error) {
		if string(m.Header) != "slow" {
			return echo(ctx, m)
		}
		_, err := io.CopyN(io.Discard, m, 1)
		close(begun)
		if err == nil {
			<-ctx.Done()
			_, err = io.Copy(io.Discard, m)
		}
		ended <- err
		return nil, err
	})
	s := p.a.Open("b", "f", StreamOptions{})
	data := body(8<<20, 1)
	verdicts := make(chan error, 2)
	m := &Message{Header: []byte("slow"), Size: int64(len(data)), Open: open(data), Done: func(_ []byte, err error) { verdicts <- err }}
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	await(t, "the receiver begins", begun)
	why := errors.New("the job was stopped")
	s.Cancel(m, why)
	s.Cancel(m, errors.New("again"))
	if err := await(t, "verdict", verdicts); !errors.Is(err, why) {
		t.Errorf("verdict %v", err)
	}
	if err := await(t, "the receiver ends", ended); err == nil || !strings.Contains(err.Error(), "the job was stopped") {
		t.Errorf("the receiver was told %v", err)
	}
	if r := sendOne(t, s, &Message{Header: []byte("h")}); r.err != nil || r.answer != echoOf("h", nil) {
		t.Errorf("verdict %+v", r)
	}
	closeStream(t, s)
	if len(verdicts) != 0 || p.a.Counts().Broken != 0 {
		t.Errorf("%d verdicts more, counts %+v", len(verdicts), p.a.Counts())
	}
}
