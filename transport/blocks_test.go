package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// loans counts the blocks that are on loan.
type loans struct {
	given, back atomic.Int64
	twice       atomic.Bool
}

// open returns a body of a head and data, in blocks of at most some bytes. What has
// been given back is overwritten. fail, if it is not nil, comes after failAt bytes.
func (l *loans) open(head, data []byte, most int, failAt int, fail error) *loanedBody {
	return &loanedBody{loans: l, head: head, data: data, most: most, failAt: failAt, fail: fail}
}

type loanedBody struct {
	loans  *loans
	head   []byte
	data   []byte
	most   int
	at     int // of head and data, what was read
	failAt int
	fail   error
}

// Read implements io.Reader, for streams that cannot use blocks.
func (b *loanedBody) Read(p []byte) (int, error) {
	var n int
	switch {
	case b.at < len(b.head):
		n = copy(p, b.head[b.at:])
	case b.at < len(b.head)+len(b.data):
		n = copy(p, b.data[b.at-len(b.head):])
	default:
		return 0, io.EOF
	}
	b.at += n
	return n, nil
}

// Close implements io.Closer.
func (b *loanedBody) Close() error { return nil }

// SourceHead implements BlockSource.
func (b *loanedBody) SourceHead() []byte { return b.head }

// NextBlock implements BlockSource.
func (b *loanedBody) NextBlock(most int) ([]byte, Lease, error) {
	switch {
	case b.fail != nil && b.at >= b.failAt:
		return nil, nil, b.fail
	case b.at == len(b.data):
		return nil, nil, io.EOF
	}
	n := min(most, b.most, len(b.data)-b.at)
	data := append([]byte(nil), b.data[b.at:b.at+n]...)
	b.at += n
	if b.at == len(b.data) { // as checksums have none
		return data, nil, nil
	}
	b.loans.given.Add(1)
	return data, &loan{loans: b.loans, data: data}, nil
}

type loan struct {
	loans *loans
	data  []byte
	over  atomic.Bool
}

// Release implements Lease.
func (l *loan) Release() {
	if l.over.Swap(true) {
		l.loans.twice.Store(true)
		return
	}
	clear(l.data)
	l.loans.back.Add(1)
}

// check waits until all blocks are back.
func (l *loans) check(t *testing.T) {
	t.Helper()
	eventually(t, "blocks that are given back", func() bool { return l.back.Load() == l.given.Load() })
	if l.twice.Load() {
		t.Error("a block was given back twice")
	}
}

// TestBlocks: a body in memory arrives whole, and its memory stays on loan until
// it is written.
func TestBlocks(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]struct {
		stream StreamOptions
		self   bool
		lends  bool
	}{
		"as they are":    {self: true, lends: true},
		"with checksums": {lends: true},
		"compressed":     {stream: StreamOptions{Compress: true}, self: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, Options{})
			receive(t, p.b, "f", echo)
			s := p.a.Open("b", "f", o.stream)
			var l loans
			for i, most := range []int{10000, 64 << 10, blockFrame} {
				for _, headSize := range []int{0, 300} {
					head, data := body(headSize, 7), body(600<<10+i, byte(i))
					r := sendOne(t, s, &Message{
						Header: []byte("m"), Size: int64(len(head) + len(data)), SelfVerifying: o.self,
						Open: func() (io.ReadCloser, error) { return l.open(head, data, most, 0, nil), nil },
					})
					if want := echoOf("m", append(head[:len(head):len(head)], data...)); r.err != nil || r.answer != want {
						t.Errorf("a head of %d bytes, blocks of %d: %q, %v; want %q", headSize, most, r.answer, r.err, want)
					}
				}
			}
			closeStream(t, s)
			l.check(t)
			if (l.given.Load() > 0) != o.lends {
				t.Errorf("%d blocks were lent", l.given.Load())
			}
		})
	}
}

// TestBlocksThatFail: a body that fails, and one that is shorter than it says, end their
// messages with an error, the connection goes on, and no block stays on loan.
func TestBlocksThatFail(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	receive(t, p.b, "f", count)
	s := p.a.Open("b", "f", StreamOptions{})
	broken := errors.New("the memory is gone")
	data := body(1<<20, 3)
	var l loans
	for _, c := range []struct {
		size int64
		fail error
		want error
	}{{1 << 20, broken, broken}, {2 << 20, nil, io.ErrUnexpectedEOF}, {1 << 20, nil, nil}} {
		r := sendOne(t, s, &Message{Size: c.size, SelfVerifying: true, Open: func() (io.ReadCloser, error) {
			return l.open(nil, data, 64<<10, 300<<10, c.fail), nil
		}})
		if !errors.Is(r.err, c.want) || c.want == nil && r.answer != fmt.Sprint(1<<20) {
			t.Errorf("%d bytes, %v: %q, %v", c.size, c.fail, r.answer, r.err)
		}
	}
	closeStream(t, s)
	l.check(t)
	if c := p.a.Counts(); c.Broken != 0 {
		t.Errorf("the connection broke: %+v", c)
	}
}

// TestBlocksSurviveBreaks: while connections break, bodies in memory arrive whole,
// and every block comes back once.
func TestBlocksSurviveBreaks(t *testing.T) {
	t.Parallel()
	p := newPair(t, Options{})
	receive(t, p.b, "f", echo)
	s := p.a.Open("b", "f", StreamOptions{Connections: 2})
	const messages = 6
	var l loans
	type verdict struct {
		i    int
		want string
		result
	}
	done := make(chan verdict, messages)
	for i := range messages {
		head, data := body(200, 1), body(1<<20+i*1001, byte(i))
		want := echoOf("m", append(head[:len(head):len(head)], data...))
		m := &Message{
			Header: []byte("m"), Size: int64(len(head) + len(data)), SelfVerifying: true,
			Open: func() (io.ReadCloser, error) { return l.open(head, data, 64<<10, 0, nil), nil },
			Done: func(answer []byte, err error) { done <- verdict{i, want, result{string(answer), err}} },
		}
		if err := s.Send(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		before := p.a.Counts().WireOut
		some := int64(rnd.IntN(1 << 20))
		eventually(t, "bytes on the way, or all answered", func() bool {
			return p.a.Counts().WireOut-before >= some || s.Pending() == 0
		})
		p.cut()
	}
	for range messages {
		if v := await(t, "verdict", done); v.err != nil || v.answer != v.want {
			t.Errorf("message %d: %q, %v; want %q", v.i, v.answer, v.err, v.want)
		}
	}
	closeStream(t, s)
	l.check(t)
}
