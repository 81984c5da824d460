package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	readBuffer = 64 << 10
	// directFrom is the shortest payload, in bytes, of which only the beginning
	// may come through the buffer of reading.
	directFrom = 16 << 10
	// batchSize is how much is gathered before a slab is full.
	batchSize = 64 << 10
	// maxWaiting bounds what waits to be written on a connection, in bytes;
	// parts of bodies wait for room, everything else is bounded by the protocol.
	maxWaiting = 1 << 20
	// maxWritten is how much one write takes: it has a deadline.
	maxWritten = 2 << 20
)

// errBye is why an idle connection ends.
var errBye = errors.New("the connection was idle")

// errPeerClosed is why a connection ends that the other side has closed.
var errPeerClosed = errors.New("the other side has closed the connection")

// readError never wraps io.EOF, which readers of bodies would take for their end.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errPeerClosed
	}
	return fmt.Errorf("read: %w", err)
}

// handler is what a connection tells its owner. frame is called by the reading
// goroutine, broken once, when nothing is read any more.
type handler interface {
	// frame handles a frame whose payload follows on the connection: it reads
	// exactly that.
	frame(c *conn, f *frame) error
	broken(c *conn, cause error)
	// retire is asked of a connection that has been idle for the time of
	// quiet; true: it says goodbye and ends.
	retire(c *conn) bool
}

// conn is one connection that carries frames, seen from either side.
type conn struct {
	id     uint64 // unique in its endpoint
	e      *Endpoint
	nc     net.Conn
	in     *bufio.Reader
	from   *source // that in reads
	owner  handler
	opened map[uint32]bool // of the sender, guarded by mu: streams that were opened on it

	mu      sync.Mutex
	wake    chan struct{} // capacity 1: something waits, or the connection broke
	room    *sync.Cond
	queue   []segment
	waiting int
	cause   error     // why it broke
	batch   []segment // of the writing goroutine, like the next
	buffers net.Buffers
	leaving bool // it says goodbye

	readUntil time.Time // of the reading goroutine: the deadline that is set
}

// segment is a part of what is to be written: bytes of a slab, of a body that has
// them in memory, or of a file.
type segment struct {
	buffer buffer // that data is in
	lease  Lease  // of data, if it is a body's
	data   []byte
	open   bool // more may be appended to data

	file   *os.File // after data
	offset int64
	length int64
	sent   chan error // of a file, capacity 1
}

// free gives back the memory that the data is in.
func (s *segment) free() {
	s.buffer.free()
	if s.lease != nil {
		s.lease.Release()
		s.lease = nil
	}
}

// source is what a connection is read from. It belongs to the reading goroutine.
type source struct {
	io.Reader
	most int // bytes that one read may ask for; 0: any number
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.most > 0 && len(p) > s.most {
		p = p[:s.most]
	}
	return s.Reader.Read(p)
}

func newConn(e *Endpoint, nc net.Conn, in io.Reader, owner handler) *conn {
	from := &source{Reader: in}
	c := &conn{
		id: e.connIDs.Add(1), e: e, nc: nc, owner: owner, from: from,
		in: bufio.NewReaderSize(from, readBuffer), wake: make(chan struct{}, 1), opened: make(map[uint32]bool),
	}
	c.room = sync.NewCond(&c.mu)
	return c
}

// run reads and writes until the connection breaks; it returns when both have
// ended and the owner knows.
func (c *conn) run() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	err := c.read()
	c.fail(err)
	<-written
	c.owner.broken(c, c.failure())
}

// fail breaks the connection; the first cause counts.
func (c *conn) fail(cause error) {
	c.mu.Lock()
	first := c.cause == nil
	if first && c.leaving {
		c.cause = errBye // what the other side did about it does not matter
	} else if first {
		c.cause = cause
	}
	c.room.Broadcast()
	c.mu.Unlock()
	if first {
		_ = c.nc.Close() // the cause is known
	}
	c.signal()
}

func (c *conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// pressure is how much waits to be written.
func (c *conn) pressure() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

// sendOn queues a frame of a stream, after the frame that opens the stream on
// this connection.
func (c *conn) sendOn(s *Stream, floor uint64, f frame, payload ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone.Load() {
		return ErrClosed
	}
	if !c.opened[s.id] {
		if err := c.sendLocked(frame{kind: kindOpen, stream: s.id, seq: floor}, []byte(s.flow)); err != nil {
			return err
		}
		c.opened[s.id] = true
	}
	return c.sendLocked(f, payload...)
}

// sendEnd ends a stream on this connection, if it was opened.
func (c *conn) sendEnd(stream uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened[stream] {
		delete(c.opened, stream)
		_ = c.sendLocked(frame{kind: kindEnd, stream: stream}) // fails if it broke: then all ends
	}
}

// send queues a frame with a short payload, which is copied. It does not wait.
func (c *conn) send(f frame, payload ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(f, payload...)
}

func (c *conn) sendLocked(f frame, payload ...[]byte) error {
	if c.cause != nil {
		return c.cause
	}
	length, sum := 0, uint32(0)
	for _, p := range payload {
		length += len(p)
		sum = crcUpdate(sum, p)
	}
	f.length, f.sum = uint32(length), sum
	need := headSize + length
	last := len(c.queue) - 1
	if last < 0 || !c.queue[last].open || cap(c.queue[last].data)-len(c.queue[last].data) < need {
		s := segment{open: true}
		s.buffer, s.data = c.e.buffer(max(need, batchSize))
		s.data = s.data[:0]
		c.queue = append(c.queue, s)
		last = len(c.queue) - 1
	}
	s := &c.queue[last]
	s.data = s.data[:len(s.data)+headSize]
	f.put(s.data[len(s.data)-headSize:])
	for _, p := range payload {
		s.data = append(s.data, p...)
	}
	c.waiting += need
	c.signal()
	return nil
}

// awaitRoom waits until little waits to be written, or the connection breaks.
func (c *conn) awaitRoom() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting >= maxWaiting && c.cause == nil {
		c.room.Wait()
	}
	return c.cause
}

// sendBuffer queues a frame that is in a buffer already, head included, and
// takes over the buffer. It waits for room.
func (c *conn) sendBuffer(b buffer, whole []byte) error {
	if err := c.awaitRoom(); err != nil {
		b.free()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		b.free()
		return c.cause
	}
	c.queue = append(c.queue, segment{buffer: b, data: whole})
	c.waiting += len(whole)
	c.signal()
	return nil
}

// sendBlocks queues a data frame whose payload is pieces of a body that stay where
// they are until they are written. Their leases end then, or before an error is
// returned. It waits for room.
func (c *conn) sendBlocks(f frame, blocks []block) error {
	err := c.awaitRoom()
	if err == nil {
		head, p := c.e.buffer(headSize)
		f.put(p)
		c.mu.Lock()
		if err = c.cause; err == nil {
			c.queue = append(c.queue, segment{buffer: head, data: p[:headSize]})
			for i := range blocks {
				c.queue = append(c.queue, segment{data: blocks[i].data, lease: blocks[i].lease})
			}
			c.waiting += headSize + int(f.length)
			c.mu.Unlock()
			c.signal()
			return nil
		}
		c.mu.Unlock()
		head.free()
	}
	release(blocks)
	return err
}

// sendFile queues a data frame whose payload is a part of a file, and waits
// until it is written: the file stays the caller's.
func (c *conn) sendFile(f frame, file *os.File, offset int64) error {
	if err := c.awaitRoom(); err != nil {
		return err
	}
	data := make([]byte, headSize)
	f.put(data)
	sent := make(chan error, 1)
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return c.cause
	}
	c.queue = append(c.queue, segment{data: data, file: file, offset: offset, length: int64(f.length), sent: sent})
	c.waiting += headSize + int(f.length)
	c.mu.Unlock()
	c.signal()
	return <-sent
}

// write writes what is queued, and signs of life, until the connection breaks.
func (c *conn) write() {
	tick := time.NewTicker(c.e.tick())
	defer tick.Stop()
	defer c.dropQueue()
	lastWritten := time.Now()
	for {
		select {
		case <-c.wake:
		case now := <-tick.C:
			if now.Sub(lastWritten) >= c.e.opts.Heartbeat {
				_ = c.send(frame{kind: kindPing}) // fails if it broke: seen below
			}
			if c.owner.retire(c) {
				c.leave()
				if batch := c.take(); batch != nil {
					_ = c.writeBatch(batch) // the other side would find out by itself
				}
				c.fail(errBye)
				return
			}
		}
		for {
			batch := c.take()
			if batch == nil {
				break
			}
			err := c.writeBatch(batch)
			lastWritten = time.Now()
			if err != nil {
				c.fail(fmt.Errorf("write: %w", err))
				return
			}
		}
		if c.failure() != nil {
			return
		}
	}
}

// leave queues the goodbye.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	_ = c.sendLocked(frame{kind: kindBye}) // fails if it broke
}

// take returns what is to be written next, at most some maxWritten bytes.
func (c *conn) take() []segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, count := 0, 0
	for count < len(c.queue) && size < maxWritten && count < 64 {
		size += len(c.queue[count].data) + int(c.queue[count].length)
		count++
	}
	if count == 0 || c.cause != nil {
		return nil
	}
	clear(c.batch)
	batch := append(c.batch[:0], c.queue[:count]...)
	c.batch = batch
	rest := copy(c.queue, c.queue[count:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	return batch
}

// writeBatch writes segments, frees them, and makes room.
func (c *conn) writeBatch(batch []segment) (err error) {
	if err = c.nc.SetWriteDeadline(time.Now().Add(c.e.opts.DeadAfter)); err == nil {
		err = c.writeSegments(batch)
	}
	size := 0
	for i := range batch {
		s := &batch[i]
		size += len(s.data) + int(s.length)
		s.free()
		if s.sent != nil {
			s.sent <- err
		}
	}
	c.e.count.wireOut.Add(int64(size))
	c.mu.Lock()
	c.waiting -= size
	c.room.Broadcast()
	c.mu.Unlock()
	return err
}

func (c *conn) writeSegments(batch []segment) error {
	buffers := c.buffers[:0]
	defer func() {
		clear(buffers[:cap(buffers)])
		c.buffers = buffers
	}()
	for i := range batch {
		s := &batch[i]
		buffers = append(buffers, s.data)
		if s.file == nil && i < len(batch)-1 {
			continue
		}
		pending := buffers
		if _, err := pending.WriteTo(c.nc); err != nil {
			return err
		}
		buffers = buffers[:0]
		if s.file == nil {
			continue
		}
		if err := sendFile(c.nc, s.file, s.offset, s.length); err != nil {
			return err
		}
	}
	return nil
}

// dropQueue lets go of what will not be written.
func (c *conn) dropQueue() {
	c.mu.Lock()
	queue, cause := c.queue, c.cause
	c.queue = nil
	c.mu.Unlock()
	for i := range queue {
		queue[i].free()
		if queue[i].sent != nil {
			queue[i].sent <- cause
		}
	}
}

// read handles frames until the connection breaks.
func (c *conn) read() error {
	var head [headSize]byte
	for {
		if err := c.extend(); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return readError(err)
		}
		c.from.most = 0
		f, err := parseFrame(head[:])
		if err != nil {
			return err
		}
		c.e.count.wireIn.Add(headSize + int64(f.length))
		switch f.kind {
		case kindPing, kindBye:
			if f.length != 0 {
				return protocolError("a frame of type %d with a payload", f.kind)
			}
			if f.kind == kindBye {
				return errBye
			}
		default:
			if err := c.owner.frame(c, &f); err != nil {
				return err
			}
		}
	}
}

// extend moves the deadline of reading, not with every frame.
func (c *conn) extend() error {
	now := time.Now()
	if c.readUntil.Sub(now) > c.e.opts.DeadAfter*7/8 {
		return nil
	}
	c.readUntil = now.Add(c.e.opts.DeadAfter)
	return c.nc.SetReadDeadline(c.readUntil)
}

// payload reads a frame's payload into a buffer and checks it. The caller
// frees the buffer.
func (c *conn) payload(f *frame) (b buffer, p []byte, err error) {
	if f.length == 0 {
		return b, nil, f.checkPayload(nil)
	}
	b, p = c.e.buffer(int(f.length))
	p = p[:f.length]
	if err = c.fill(p); err == nil {
		err = f.checkPayload(p)
	}
	if err != nil {
		b.free()
		return buffer{}, nil, err
	}
	return b, p, nil
}

// fill reads bytes of a payload. Those of a long one go where they belong, and not
// through the buffer of reading; as another such frame is likely to follow, the next
// head is read without what comes after it.
func (c *conn) fill(p []byte) error {
	c.from.most = 0
	if len(p) >= directFrom {
		n := min(c.in.Buffered(), len(p))
		if _, err := io.ReadFull(c.in, p[:n]); err != nil {
			return readError(err)
		}
		p = p[n:]
		if _, err := io.ReadFull(c.from, p); err != nil {
			return readError(err)
		}
		c.from.most = headSize
		return nil
	}
	if _, err := io.ReadFull(c.in, p); err != nil {
		return readError(err)
	}
	return nil
}

// discard reads past a frame's payload.
func (c *conn) discard(f *frame) error {
	if _, err := c.in.Discard(int(f.length)); err != nil {
		return readError(err)
	}
	return nil
}
