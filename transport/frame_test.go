package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

func TestFrameHeads(t *testing.T) {
	t.Parallel()
	want := frame{kind: kindData, flags: flagLZ4 | flagRawSum, length: 77, stream: 3, arg: 99, seq: 1<<40 + 5, sum: 0xdeadbeef}
	var p [headSize]byte
	want.put(p[:])
	if got, err := parseFrame(p[:]); err != nil || got != want {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
	for name, damage := range map[string]func(*frame, []byte){
		"type 0":          func(f *frame, _ []byte) { f.kind = 0 },
		"an unknown type": func(f *frame, _ []byte) { f.kind = kindEndOfList },
		"unknown flags":   func(f *frame, _ []byte) { f.flags = 128 },
		"too long":        func(f *frame, _ []byte) { f.length = maxPayload + 1 },
		"no checksum":     func(f *frame, _ []byte) { f.kind, f.flags = kindVerdict, flagUnsummed },
	} {
		f := want
		damage(&f, p[:])
		f.put(p[:])
		var broken *ProtocolError
		if _, err := parseFrame(p[:]); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	want.put(p[:])
	for i := range p {
		for bit := range 8 {
			p[i] ^= 1 << bit
			if _, err := parseFrame(p[:]); err == nil {
				t.Errorf("bit %d of byte %d may change", bit, i)
			}
			p[i] ^= 1 << bit
		}
	}
}

func TestVerdictsOnTheWire(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxAnswer)
	for _, v := range []verdict{
		{}, {answer: []byte("answer")}, {answer: []byte(long)},
		{err: apierr.New(409, "ErrX", "an older stamp")}, {err: apierr.New(503, "", "not yet"), later: true},
		{err: errors.New("plain")}, {err: errors.New(long)},
	} {
		f := frame{kind: kindVerdict, flags: v.flags()}
		got, err := parseVerdict(&f, v.payload())
		if err != nil || !bytes.Equal(got.answer, v.answer) || got.later != v.later || (got.err == nil) != (v.err == nil) {
			t.Fatalf("%+v, %v; want %+v", got, err, v)
		}
		if v.err != nil && (apierr.StatusOf(got.err) != apierr.StatusOf(v.err) || apierr.CodeOf(got.err) != apierr.CodeOf(v.err) || !strings.HasPrefix(v.err.Error(), got.err.Error())) {
			t.Errorf("%v, want %v", got.err, v.err)
		}
	}
}

// FuzzFrames: whatever comes over a connection, either side handles it or
// breaks the connection: no panic, no memory beyond the bounds, nothing left.
func FuzzFrames(f *testing.F) {
	add := func(frames ...[]byte) { f.Add(bytes.Join(frames, nil)) }
	build := func(h frame, payload []byte) []byte {
		h.length = uint32(len(payload))
		h.sum = checksum(payload)
		p := make([]byte, headSize+len(payload))
		h.put(p)
		copy(p[headSize:], payload)
		return p
	}
	open := build(frame{kind: kindOpen, stream: 1, seq: 1}, []byte("f"))
	small := build(frame{kind: kindAnnounce, flags: flagInline, stream: 1, seq: 1, arg: 2}, append(binary.BigEndian.AppendUint64(nil, 3), "hdabc"...))
	large := build(frame{kind: kindAnnounce, stream: 1, seq: 2, arg: 2}, append(binary.BigEndian.AppendUint64(nil, 1<<20), "hd"...))
	data := build(frame{kind: kindData, stream: 1, seq: 2, arg: 5}, []byte("01234"))
	packed := build(frame{kind: kindData, flags: flagLZ4 | flagRawSum, stream: 1, seq: 2, arg: 500}, []byte("\x00\x00\x00\x00\x1fa\x01\x00\xff"))
	add(open, small, large, data, packed, build(frame{kind: kindAbort, stream: 1, seq: 2}, []byte("why")),
		build(frame{kind: kindFloor, stream: 1, seq: 2}, nil), build(frame{kind: kindEnd, stream: 1}, nil), build(frame{kind: kindBye}, nil))
	add(open, small, small)
	add(open, build(frame{kind: kindAnnounce, flags: flagInline | flagLZ4, stream: 1, seq: 1, arg: 0}, append(binary.BigEndian.AppendUint64(nil, 600), "\x1fa\x01\x00\xff"...)))
	add(build(frame{kind: kindVerdict, stream: 1, seq: 1, flags: flagFailed}, []byte("\x01\xf4\x01Ctext")), build(frame{kind: kindCredit, stream: 1, seq: 1, arg: 1 << 20}, nil))
	f.Fuzz(func(t *testing.T, input []byte) {
		reseal(input)
		e := New(Options{NodeID: "b", Heartbeat: time.Hour, DeadAfter: time.Minute})
		stop, err := e.Receive("f", func(_ context.Context, m *Incoming) ([]byte, error) {
			_, err := io.Copy(io.Discard, m)
			return nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, there)
		}()
		go func() {
			_, _ = there.Write(input)
			_ = there.Close()
		}()
		_ = e.Accept(here, here, "a", 1)
		<-drained
		stop()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if use, granted := e.memory.InUse(), e.granted.Load(); use != 0 || granted != 0 {
			t.Errorf("%d bytes are in use, %d granted", use, granted)
		}
	})
}

// reseal makes the checksums of frames right, so that what is behind them is
// reached.
func reseal(p []byte) {
	for len(p) >= headSize {
		n := int(min(uint64(binary.BigEndian.Uint32(p[4:])), uint64(len(p)-headSize)))
		binary.BigEndian.PutUint32(p[4:], uint32(n))
		binary.BigEndian.PutUint32(p[24:], checksum(p[headSize:headSize+n]))
		binary.BigEndian.PutUint32(p[28:], checksum(p[:28]))
		p = p[headSize+n:]
	}
}
