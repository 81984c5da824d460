package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/pierrec/lz4/v4"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/memsys"
)

const (
	// chunk is the part of a body that fills a slab together with its head.
	chunk = memsys.MaxSlab - headSize
	// fileChunk is the part of a file in one frame.
	fileChunk = 1 << 20
	// leastPart is the smallest part of a body, but for its last, in bytes. A
	// receiver always lets that much more than nothing be sent.
	leastPart = 64 << 10
	// compressFrom is the shortest body that compression is tried on, in bytes.
	compressFrom = 256
)

// feedLocked sees to it that what waits is sent.
func (s *Stream) feedLocked() {
	if s.feeding < feeders && s.failed == nil {
		s.feeding++
		s.e.wg.Add(1)
		go s.feed()
	}
}

// feed sends what waits, one message after the other, until nothing does.
func (s *Stream) feed() {
	defer s.e.wg.Done()
	for {
		s.mu.Lock()
		o := s.nextLocked()
		if o == nil {
			s.feeding--
			s.changed.Broadcast()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if c, err := s.link.acquire(s, o); err != nil {
			s.fail(o, err)
		} else if int64(len(o.m.Header))+o.m.Size+sizeField <= maxInline {
			s.sendSmall(c, o)
		} else {
			s.sendLarge(c, o)
		}
	}
}

func (s *Stream) nextLocked() (o *outgoing) {
	for _, list := range []*[]*outgoing{&s.again, &s.fresh} {
		for len(*list) > 0 {
			o, (*list)[0] = (*list)[0], nil
			*list = (*list)[1:]
			if len(*list) == 0 {
				*list = nil
			}
			if s.out[o.seq] == o {
				return o
			}
		}
	}
	return nil
}

// fail gives a message a verdict of this side.
func (s *Stream) fail(o *outgoing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out[o.seq] == o {
		s.finishLocked(o.seq, nil, err)
	}
}

// begin has a connection carry a message; nil: there is nothing to do any more.
func (s *Stream) begin(c *conn, o *outgoing, inline int64) (a *attempt, floor uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for inline > 0 && s.unsolicited > 0 && s.unsolicited+inline > maxUnsolicited && s.out[o.seq] == o {
		s.changed.Wait()
	}
	if s.out[o.seq] != o || !s.ledger.carry(o.seq, c.id) {
		return nil, 0
	}
	o.tries++
	a = &attempt{conn: c, number: o.tries}
	o.attempt, o.inline = a, inline
	s.unsolicited += inline
	return a, s.ledger.floor
}

// returned puts back a message whose connection is of no use.
func (s *Stream) returned(c *conn, o *outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger.release(o.seq, c.id) {
		s.detachLocked(o)
		s.queueAgainLocked(o)
	}
}

// sendSmall sends a message as one frame.
func (s *Stream) sendSmall(c *conn, o *outgoing) {
	var body []byte
	var mem buffer
	if o.m.Size > 0 {
		var err error
		if mem, body, err = s.readSmall(o.m); err != nil {
			s.fail(o, err)
			return
		}
	}
	defer mem.free()
	f := frame{kind: kindAnnounce, flags: flagInline, stream: s.id, arg: uint32(len(o.m.Header)), seq: o.seq}
	if s.opts.Compress && len(body) >= compressFrom {
		packed, p := s.e.buffer(len(body))
		defer packed.free()
		if n := compress(body, p[:len(body)-1]); n > 0 {
			s.e.count.rawOut.Add(int64(len(body)))
			s.e.count.packedOut.Add(int64(n))
			f.flags |= flagLZ4
			body = p[:n]
		}
	}
	if c.awaitRoom() != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queueAgainLocked(o)
		return
	}
	a, floor := s.begin(c, o, int64(len(body)+len(o.m.Header)))
	if a == nil {
		return
	}
	var size [sizeField]byte
	binary.BigEndian.PutUint64(size[:], uint64(o.m.Size))
	f.try = a.number
	if c.sendOn(s, floor, f, size[:], o.m.Header, body) != nil {
		s.returned(c, o)
	}
}

// readSmall reads a whole body.
func (s *Stream) readSmall(m *Message) (mem buffer, body []byte, err error) {
	r, err := m.Open()
	if err != nil {
		return mem, nil, err
	}
	mem, p := s.e.buffer(int(m.Size))
	body = p[:m.Size]
	_, err = io.ReadFull(r, body)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		mem.free()
		return buffer{}, nil, shortBody(err, m)
	}
	return mem, body, nil
}

func shortBody(err error, m *Message) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the body is shorter than %d bytes: %w", m.Size, io.ErrUnexpectedEOF)
	}
	return err
}

// sendLarge announces a message and sends its body as far as the receiver asks
// for it. It returns when the body is sent, or need not be.
func (s *Stream) sendLarge(c *conn, o *outgoing) {
	a, floor := s.begin(c, o, 0)
	if a == nil {
		return
	}
	var size [sizeField]byte
	binary.BigEndian.PutUint64(size[:], uint64(o.m.Size))
	f := frame{kind: kindAnnounce, stream: s.id, arg: uint32(len(o.m.Header)), seq: o.seq, try: a.number}
	if c.sendOn(s, floor, f, size[:], o.m.Header) != nil {
		s.returned(c, o)
		return
	}
	if s.awaitCredit(a, 1) == 0 {
		return // it has its verdict, or is sent again
	}
	r, err := o.m.Open()
	if err == nil {
		err = s.sendBody(c, o, a, r)
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
	}
	switch {
	case err == nil:
	case c.failure() != nil:
		s.returned(c, o)
	default:
		// A message that is given up here must not be accepted there.
		_ = c.send(frame{kind: kindAbort, stream: s.id, seq: o.seq, try: a.number}, []byte(cut(err.Error(), maxReason))) // fails if it broke, which is as good
		s.fail(o, err)
	}
}

func cut(text string, most int) string { return text[:min(len(text), most)] }

// awaitCredit waits until the receiver wants some of the body, and takes at
// most that much of its credit, nothing tiny; 0: the attempt is over.
func (s *Stream) awaitCredit(a *attempt, most int64) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a.credit < min(most, leastPart) && !a.over {
		s.changed.Wait()
	}
	if a.over {
		return 0
	}
	return min(a.credit, most)
}

// spend takes credit.
func (s *Stream) spend(a *attempt, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.credit -= n
}

// sendBody sends a body. An error is the body's, or the connection has broken.
func (s *Stream) sendBody(c *conn, o *outgoing, a *attempt, r io.Reader) error {
	if o.m.SelfVerifying && !s.opts.Compress && !o.plain.Load() {
		if file, offset := fileOf(r); file != nil {
			if _, ok := c.nc.(*net.TCPConn); ok {
				return s.sendFile(c, o, a, r, file, offset)
			}
		}
	}
	if blocks, ok := r.(BlockSource); ok && !s.opts.Compress {
		return s.sendBlocks(c, o, a, blocks)
	}
	return s.sendParts(c, o, a, r, o.m.Size)
}

// sendParts reads and sends so many bytes of a body.
func (s *Stream) sendParts(c *conn, o *outgoing, a *attempt, r io.Reader, left int64) error {
	part := int64(chunk)
	if s.opts.Compress {
		part = int64(s.set.LZ4Block)
	}
	for left > 0 {
		n := s.awaitCredit(a, min(left, part))
		if n == 0 {
			return nil
		}
		s.spend(a, n)
		if err := s.sendPart(c, o, a, r, int(n)); err != nil {
			return shortBody(err, o.m)
		}
		left -= n
	}
	return nil
}

// sendPart reads and sends n bytes of a body.
func (s *Stream) sendPart(c *conn, o *outgoing, a *attempt, r io.Reader, n int) error {
	mem, p := s.e.buffer(headSize + n)
	if _, err := io.ReadFull(r, p[headSize:headSize+n]); err != nil {
		mem.free()
		return err
	}
	f := frame{kind: kindData, stream: s.id, seq: o.seq, try: a.number, arg: uint32(n), length: uint32(n)}
	if s.opts.Compress {
		if packed, q := s.pack(&f, p[headSize:headSize+n]); q != nil {
			mem.free()
			mem, p = packed, q
		}
	}
	payload := p[headSize : headSize+int(f.length)]
	if f.flags&flagLZ4 == 0 && o.m.SelfVerifying {
		f.flags |= flagUnsummed
	} else {
		f.sum = checksum(payload)
	}
	f.put(p)
	return c.sendBuffer(mem, p[:headSize+int(f.length)])
}

// pack compresses a part of a body into a buffer with room for the head; nil
// if it does not become smaller. It sets the frame's length and flags.
func (s *Stream) pack(f *frame, raw []byte) (mem buffer, p []byte) {
	sum := 0
	if s.set.LZ4RawSum {
		sum = 4
	}
	mem, p = s.e.buffer(headSize + len(raw))
	at := headSize + sum
	n := 0
	if len(raw) > sum+1 {
		n = compress(raw, p[at:headSize+len(raw)-1])
	}
	s.e.count.rawOut.Add(int64(len(raw)))
	if n <= 0 {
		s.e.count.packedOut.Add(int64(len(raw)))
		mem.free()
		return buffer{}, nil
	}
	s.e.count.packedOut.Add(int64(n))
	if f.flags |= flagLZ4; sum > 0 {
		f.flags |= flagRawSum
		binary.BigEndian.PutUint32(p[headSize:], checksum(raw))
	}
	f.length = uint32(sum + n)
	return mem, p
}

// compress returns the length of the block, 0 if it does not fit.
func compress(raw, to []byte) int {
	n, err := lz4.CompressBlock(raw, to, nil)
	if err != nil {
		return 0
	}
	return n
}

// sendFile sends a body by sendfile, all but what it has before the file.
func (s *Stream) sendFile(c *conn, o *outgoing, a *attempt, body io.Reader, file *os.File, offset int64) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var head []byte
	if headed, ok := body.(HeadedFile); ok {
		head = headed.SourceHead()
	}
	left := o.m.Size - int64(len(head))
	switch {
	case left < 0:
		return s.sendParts(c, o, a, body, o.m.Size)
	case info.Size() < offset+left:
		return apierr.New(500, "", "%s: the body has %d bytes from offset %d, the message says %d", file.Name(), info.Size()-offset, offset, left)
	}
	if err := s.sendParts(c, o, a, bytes.NewReader(head), int64(len(head))); err != nil {
		return err
	}
	for left > 0 {
		n := s.awaitCredit(a, min(left, fileChunk))
		if n == 0 {
			return nil
		}
		s.spend(a, n)
		f := frame{kind: kindData, flags: flagUnsummed, stream: s.id, seq: o.seq, try: a.number, arg: uint32(n), length: uint32(n)}
		if err := c.sendFile(f, file, offset); err != nil {
			o.plain.Store(true) // whose fault it is shows when the file is read
			return err
		}
		offset += n
		left -= n
	}
	return nil
}

// fileOf returns the file that a body is.
func fileOf(r io.Reader) (file *os.File, offset int64) {
	switch body := r.(type) {
	case FileSource:
		return body.SourceFile()
	case *os.File:
		if offset, err := body.Seek(0, io.SeekCurrent); err == nil {
			return body, offset
		}
	}
	return nil, 0
}
