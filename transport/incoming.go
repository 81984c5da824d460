package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/pierrec/lz4/v4"

	"github.com/aistore-go/aistore/memsys"
)

const (
	// window is how much of a body is granted and unread, in bytes.
	window = 2 << 20
	// leastWindow is the same when memory is short.
	leastWindow = 256 << 10
)

// Incoming is a message that has come, or is coming.
type Incoming struct {
	From   string // node id of the sender
	Header []byte
	Size   int64 // of the body, bytes

	s       *session
	c       *conn
	seq     uint64
	attempt uint16
	ctx     context.Context
	cancel  context.CancelCauseFunc // nil until begin
	ended   chan struct{}           // closed when the handler has returned
	inline  bool

	mu      sync.Mutex
	more    *sync.Cond
	parts   []part
	first   [1]part // of which parts begins
	came    int64   // bytes of the body, before compression
	read    int64   // bytes that were handed out
	granted int64   // bytes that the sender may send in all
	left    []byte
	current part  // that left is of
	err     error // why nothing more comes
	noticed bool  // the handler was given err
	damaged bool  // err is of what came, and not final
}

// part is a piece of a body.
type part struct {
	buffer buffer
	data   []byte
	raw    int64 // bytes before compression
	lz4    bool
	rawSum bool
}

func newIncoming(s *session, c *conn, f *frame, a *announcement) *Incoming {
	m := &Incoming{
		From: s.key.node, Header: append([]byte(nil), a.header...), Size: a.size,
		s: s, c: c, seq: f.seq, attempt: f.try, ended: make(chan struct{}), inline: f.flags&flagInline != 0,
	}
	m.more = sync.NewCond(&m.mu)
	m.parts = m.first[:0]
	return m
}

// begin makes the context of the handler.
func (m *Incoming) begin(parent context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ctx, m.cancel = context.WithCancelCause(parent)
	if m.err != nil {
		m.cancel(m.err)
	}
}

// add appends a part.
func (m *Incoming) add(p part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		p.buffer.free()
		return
	}
	m.parts = append(m.parts, p)
	m.came += p.raw
	m.more.Signal()
}

// receive reads a part from the connection; whole: the body is complete. An
// error breaks the connection.
func (m *Incoming) receive(c *conn, f *frame) (whole bool, err error) {
	raw := int64(f.arg)
	m.mu.Lock()
	came, granted := m.came, m.granted
	m.mu.Unlock()
	switch {
	case raw == 0 || came+raw > granted || came+raw > m.Size:
		return false, protocolError("a part of %d bytes after %d, %d of %d are granted", raw, came, granted, m.Size)
	case f.flags&flagLZ4 == 0 && f.length != f.arg:
		return false, protocolError("a part of %d bytes has %d", f.arg, f.length)
	case f.flags&flagLZ4 != 0 && f.length >= f.arg || f.flags&(flagUnsummed|flagLZ4) == flagUnsummed|flagLZ4:
		return false, protocolError("a compressed part of %d bytes has %d", f.arg, f.length)
	}
	if f.flags&flagUnsummed == 0 || f.length <= memsys.MaxSlab {
		b, p, err := c.payload(f)
		if err != nil {
			return false, err
		}
		m.add(part{buffer: b, data: p, raw: raw, lz4: f.flags&flagLZ4 != 0, rawSum: f.flags&flagRawSum != 0})
		return came+raw == m.Size, nil
	}
	for left := int(f.length); left > 0; {
		b, p := c.e.buffer(min(left, memsys.MaxSlab))
		p = p[:min(left, len(p))]
		if err := c.fill(p); err != nil {
			b.free()
			return false, err
		}
		left -= len(p)
		m.add(part{buffer: b, data: p, raw: int64(len(p))})
	}
	return came+raw == m.Size, nil
}

// fail ends the message; the first cause counts. What has come is dropped.
func (m *Incoming) fail(cause error) {
	if errors.Is(cause, io.EOF) {
		cause = errors.New(cause.Error()) // its reader would take it for the end of the body
	}
	m.mu.Lock()
	if m.err == nil {
		m.err = cause
		m.more.Broadcast()
	}
	cancel := m.cancel
	m.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// failure is the error that Read has returned, nil if there was none.
func (m *Incoming) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.noticed {
		return nil
	}
	return m.err
}

// isDamaged tells that what came of the message was not what was sent.
func (m *Incoming) isDamaged() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.damaged
}

// release gives the memory and the grant back, when the handler has returned.
func (m *Incoming) release() {
	m.fail(errHandled)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropLocked()
	if !m.inline {
		m.s.e.granted.Add(m.read - m.granted)
		m.granted = m.read
	}
}

func (m *Incoming) dropLocked() {
	m.current.buffer.free()
	m.current, m.left = part{}, nil
	for i := range m.parts {
		m.parts[i].buffer.free()
	}
	m.parts = nil
}

// Read implements io.Reader: the body, Size bytes and then io.EOF. Another
// error means that the body cannot be had; what was read must not be used.
func (m *Incoming) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := m.fill(); err != nil {
		return 0, err
	}
	n := copy(p, m.left)
	m.consume(n)
	return n, nil
}

// WriteTo implements io.WriterTo: the body goes out in the pieces in which it came.
func (m *Incoming) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if err := m.fill(); err == io.EOF { //nolint:errorlint // as io.Copy does: only this is the end
			return written, nil
		} else if err != nil {
			return written, err
		}
		n, err := w.Write(m.left)
		written += int64(n)
		m.consume(n)
		if err != nil {
			return written, err
		}
	}
}

// fill waits until left is not empty. Only the handler calls it.
func (m *Incoming) fill() error {
	if len(m.left) > 0 {
		return nil
	}
	m.current.buffer.free()
	m.current = part{}
	if m.read == m.Size {
		return io.EOF
	}
	m.grant()
	m.mu.Lock()
	for len(m.parts) == 0 && m.err == nil {
		m.more.Wait()
	}
	if m.err != nil {
		m.noticed = true
		m.mu.Unlock()
		return m.err
	}
	next := m.parts[0]
	m.parts[0] = part{}
	m.parts = m.parts[1:]
	if len(m.parts) == 0 {
		m.parts = nil
	}
	m.mu.Unlock()
	if next.lz4 {
		var err error
		if next, err = m.unpack(next); err != nil {
			m.c.fail(err) // it cannot be relied on any more, and the message comes again
			m.mu.Lock()
			m.noticed, m.damaged = true, true
			m.mu.Unlock()
			m.fail(err)
			return err
		}
	}
	m.current, m.left = next, next.data
	return nil
}

// unpack decompresses a part.
func (m *Incoming) unpack(p part) (part, error) {
	defer p.buffer.free()
	data, sum := p.data, uint32(0)
	if p.rawSum {
		if len(data) < 4 {
			return part{}, protocolError("a compressed part of %d bytes", len(data))
		}
		sum = binary.BigEndian.Uint32(data)
		data = data[4:]
	}
	if p.raw > maxPayload {
		return part{}, protocolError("a part of %d bytes, at most %d are allowed", p.raw, maxPayload)
	}
	b, to := m.s.e.buffer(int(p.raw))
	n, err := lz4.UncompressBlock(data, to[:p.raw])
	if err != nil || int64(n) != p.raw {
		b.free()
		return part{}, protocolError("a compressed part of %d bytes has %d: %v", p.raw, n, err)
	}
	if p.rawSum && checksum(to[:n]) != sum {
		b.free()
		return part{}, protocolError("the checksum of an uncompressed part is %08x, it says %08x", checksum(to[:n]), sum)
	}
	return part{buffer: b, data: to[:n], raw: p.raw}, nil
}

// consume takes n bytes from left.
func (m *Incoming) consume(n int) {
	m.left = m.left[n:]
	m.mu.Lock()
	m.read += int64(n)
	m.mu.Unlock()
	if !m.inline {
		m.s.e.granted.Add(-int64(n))
	}
}

// grant lets the sender send more, when a good part of the window is free.
func (m *Incoming) grant() {
	if m.inline {
		return
	}
	e := m.s.e
	size := int64(max(window, 2*e.lz4Block()))
	if e.granted.Load() > e.opts.ReceiveMost {
		size = leastWindow
	}
	m.mu.Lock()
	target := min(m.read+size, m.Size)
	n := target - m.granted
	if n <= 0 || n < size/4 && target < m.Size {
		n = 0
	} else {
		m.granted = target
	}
	m.mu.Unlock()
	if n > 0 {
		e.granted.Add(n)
		_ = m.c.send(frame{kind: kindCredit, stream: m.s.key.stream, seq: m.seq, try: m.attempt, arg: uint32(n)}) // fails if it broke: then the body ends, too
	}
}
