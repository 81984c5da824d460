package target

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport"
)

// breakingConn breaks when it has been written some bytes.
type breakingConn struct {
	net.Conn
	left *atomic.Int64
}

// Write implements io.Writer.
func (c breakingConn) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		return 0, errors.Join(net.ErrClosed, c.Close())
	}
	return c.Conn.Write(p)
}

// sliceRig is a holder with a network to it, and a target that sends.
type sliceRig struct {
	t       *Target
	options []transport.StreamOptions // of the streams that were opened
	opened  []*transport.Stream
	dials   atomic.Int64
}

// newSliceRig has the first connections break after some bytes each.
func newSliceRig(t *testing.T, idle time.Duration, breaks []int64, receive transport.Receiver) *sliceRig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	r := &sliceRig{}
	holder := transport.New(transport.Options{NodeID: "holder", Logger: quiet})
	if _, err := holder.Receive(sliceFlow, receive); err != nil {
		t.Fatal(err)
	}
	sender := transport.New(transport.Options{
		NodeID: "sender", Logger: quiet, Pause: time.Millisecond,
		URL: func(string) (string, error) { return ln.Addr().String(), nil },
		Dial: func(ctx context.Context, url string, incarnation uint64) (net.Conn, error) {
			n := int(r.dials.Add(1)) - 1
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", url)
			if err != nil {
				return nil, err
			}
			if err := binary.Write(conn, binary.BigEndian, incarnation); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			if n >= len(breaks) {
				return conn, nil
			}
			left := new(atomic.Int64)
			left.Store(breaks[n])
			return breakingConn{conn, left}, nil
		},
	})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				var incarnation uint64
				if binary.Read(conn, binary.BigEndian, &incarnation) == nil {
					_ = holder.Accept(conn, conn, "sender", incarnation) // it breaks
				}
			})
		}
	})
	streams := &sliceStreams{
		live: map[sliceStreamKey]*sliceStream{}, stop: func() {}, idle: func() time.Duration { return idle },
		open: func(node string, o transport.StreamOptions) *transport.Stream {
			s := sender.Open(node, sliceFlow, o)
			r.options, r.opened = append(r.options, o), append(r.opened, s)
			return s
		},
	}
	r.t = &Target{slicing: streams}
	t.Cleanup(func() {
		streams.close()
		if err := errors.Join(sender.Close(), holder.Close(), ln.Close()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return r
}

// testBody is a slice that can be opened again and again.
type testBody struct {
	data   []byte
	opens  atomic.Int64
	breaks error // what its reader returns after half of it; nil: it is whole
}

func (b *testBody) Size() int64 { return int64(len(b.data)) }

func (b *testBody) Open() (io.ReadCloser, error) {
	b.opens.Add(1)
	if b.breaks == nil {
		return io.NopCloser(bytes.NewReader(b.data)), nil
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.data[:len(b.data)/2]), failingReader{b.breaks})), nil
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func sliceKeyOf(conf config.ECConf) core.Key {
	return core.Key{Bck: wire.Bck{Name: "b", Provider: wire.ProviderAIS}, Name: "o", Props: &meta.Bprops{BID: 7, EC: conf}}
}

// TestSliceOverBrokenConnections: a slice whose connections break in the midst of
// it comes whole, once, and its sender gets the holder's verdict.
func TestSliceOverBrokenConnections(t *testing.T) {
	t.Parallel()
	for _, compress := range []string{config.CompressNever, config.CompressAlways} {
		for _, size := range []int{100, 200_000, 3 << 20} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i * i >> 7)
			}
			var whole atomic.Int64
			r := newSliceRig(t, time.Minute, []int64{40, 5000, 100_000, 600_000}, func(_ context.Context, m *transport.Incoming) ([]byte, error) {
				var head sliceMessage
				if err := decodeFrame(m, &head); err != nil {
					return nil, err
				}
				got, err := io.ReadAll(m)
				if err != nil {
					return nil, err
				}
				if !bytes.Equal(got, data) || string(head.Name) != "o" || head.BID != 7 {
					return nil, apierr.BadRequest("%d wrong bytes of %s", len(got), head.Name)
				}
				whole.Add(1)
				return json.Marshal(&core.SliceVerdict{Done: true})
			})
			body := &testBody{data: data}
			conf := config.ECConf{Compression: compress, BundleMultiplier: 1, BurstBuffer: 32}
			v, err := ecHolders{r.t}.Stage(t.Context(), "holder", sliceKeyOf(conf), &core.Slice{Name: "o"}, body)
			if err != nil || !v.Done || whole.Load() != 1 {
				t.Errorf("%d bytes, compression %s: %+v, %v, whole %d times", size, compress, v, err, whole.Load())
			}
			if size == 3<<20 && compress == config.CompressNever && body.opens.Load() < 3 {
				t.Errorf("the body was opened %d times over %d connections", body.opens.Load(), r.dials.Load())
			}
		}
	}
}

// TestSliceThatIsGivenUp: an object that cannot be read ends the work of the holder;
// a holder that does not read is given up when the sender is; what a holder refuses is told.
func TestSliceThatIsGivenUp(t *testing.T) {
	t.Parallel()
	conf := config.ECConf{BundleMultiplier: 1, BurstBuffer: 32}
	ended := make(chan error, 1)
	r := newSliceRig(t, time.Minute, nil, func(_ context.Context, m *transport.Incoming) ([]byte, error) {
		_, err := io.Copy(io.Discard, m)
		ended <- err
		return nil, err
	})
	lost := errors.New("the disk is lost")
	_, err := ecHolders{r.t}.Stage(t.Context(), "holder", sliceKeyOf(conf), &core.Slice{Name: "o"}, &testBody{data: make([]byte, 1<<20), breaks: lost})
	if !errors.Is(err, lost) {
		t.Errorf("an object that cannot be read: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the holder has taken half a slice for a whole one")
	}

	entered := make(chan struct{})
	r = newSliceRig(t, time.Minute, nil, func(ctx context.Context, _ *transport.Incoming) ([]byte, error) {
		close(entered)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-entered
		cancel(errChangedInTest)
	}()
	if _, err := (ecHolders{r.t}).Stage(ctx, "holder", sliceKeyOf(conf), &core.Slice{Name: "o"}, &testBody{data: make([]byte, 8<<20)}); !errors.Is(err, errChangedInTest) {
		t.Errorf("a sender that gives up: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the holder works on")
	}

	r = newSliceRig(t, time.Minute, nil, func(context.Context, *transport.Incoming) ([]byte, error) {
		return nil, apierr.New(507, "", "out of space")
	})
	if _, err := (ecHolders{r.t}).Stage(t.Context(), "holder", sliceKeyOf(conf), &core.Slice{Name: "o"}, &testBody{data: make([]byte, 1<<20)}); apierr.StatusOf(err) != 507 {
		t.Errorf("a holder that refuses: %v", err)
	}
}

var errChangedInTest = errors.New("overwritten")

// TestSliceStreamSettings: each bucket's settings are those of the streams that its slices
// go over, and what has carried nothing for a while is closed.
func TestSliceStreamSettings(t *testing.T) {
	t.Parallel()
	receive := func(context.Context, *transport.Incoming) ([]byte, error) {
		return json.Marshal(&core.SliceVerdict{Done: true})
	}
	r := newSliceRig(t, -1, nil, receive)
	send := func(conf config.ECConf) {
		t.Helper()
		if v, err := (ecHolders{r.t}).Stage(t.Context(), "holder", sliceKeyOf(conf), &core.Slice{Name: "o"}, &testBody{data: []byte("slice")}); err != nil || !v.Done {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	one := config.ECConf{Compression: config.CompressNever, BundleMultiplier: 2, BurstBuffer: 512}
	two := config.ECConf{Compression: config.CompressAlways, BundleMultiplier: 3, BurstBuffer: 64}
	for _, conf := range []config.ECConf{one, two, one, two} {
		send(conf)
	}
	want := []transport.StreamOptions{
		{Connections: 2, Burst: 512, RetryTime: sliceRetry},
		{Compress: true, Connections: 3, Burst: 64, RetryTime: sliceRetry},
	}
	if fmt.Sprint(r.options) != fmt.Sprint(want) {
		t.Errorf("streams %+v, want %+v", r.options, want)
	}

	r = newSliceRig(t, time.Millisecond, nil, receive)
	send(one)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		r.t.slicing.mu.Lock()
		left := len(r.t.slicing.live)
		r.t.slicing.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an unused stream is still open after a minute")
		}
	}
	send(one)
	if len(r.opened) != 2 {
		t.Errorf("%d streams were opened, want 2", len(r.opened))
	}
}
