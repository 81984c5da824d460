package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Payload is the body of an upload. A request may be sent more than once: a
// redirect and a retry both need the body again, from its first byte.
type Payload interface {
	// Size is the length in bytes, -1 if it is not known.
	Size() int64
	// Open returns the body from its start. The previous body, if any, is no
	// longer read by the time Open returns. A body that can be read only once
	// returns ErrNotReplayable when too much of it is gone.
	Open(ctx context.Context) (io.ReadCloser, error)
}

// ErrNotReplayable tells that a body would have to be sent again but can be
// read only once.
var ErrNotReplayable = errors.New("the body cannot be sent again: it can be read only once")

// Bytes is a payload held in memory.
func Bytes(data []byte) Payload { return bytesPayload(data) }

type bytesPayload []byte

func (p bytesPayload) Size() int64 { return int64(len(p)) }

func (p bytesPayload) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(p)), nil
}

// File is the content of a regular file. Its size is taken now; a file that is
// shorter when it is sent makes the request fail.
func File(path string) (Payload, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	return &filePayload{path: path, size: info.Size()}, nil
}

type filePayload struct {
	path string
	size int64
}

func (p *filePayload) Size() int64 { return p.size }

// Open returns the file itself, so that the transport can use sendfile.
func (p *filePayload) Open(context.Context) (io.ReadCloser, error) { return os.Open(p.path) }

// Section is length bytes of r from offset.
func Section(r io.ReaderAt, offset, length int64) Payload {
	return &sectionPayload{r: r, offset: offset, length: length}
}

type sectionPayload struct {
	r              io.ReaderAt
	offset, length int64
}

func (p *sectionPayload) Size() int64 { return p.length }

func (p *sectionPayload) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(p.r, p.offset, p.length)), nil
}

// Opener is a payload whose bodies come from a function, each from the start.
func Opener(size int64, open func() (io.ReadCloser, error)) Payload {
	return &openerPayload{size: size, open: open}
}

type openerPayload struct {
	size int64
	open func() (io.ReadCloser, error)
}

func (p *openerPayload) Size() int64 { return p.size }

func (p *openerPayload) Open(context.Context) (io.ReadCloser, error) { return p.open() }

// rewindLimit is how much of a stream is kept for sending it again, in bytes.
const rewindLimit = 1 << 20

// Stream is a payload that can be read only once, such as a pipe; size is -1
// if it is not known. Its first megabyte is kept, so that a redirect or an
// early failure does not lose it. The reader is not closed; a read of it may
// still be under way when a call was ended by its context.
func Stream(r io.Reader, size int64) Payload {
	return &streamPayload{source: r, size: size}
}

type streamPayload struct {
	source io.Reader
	size   int64
	last   *streamBody // the only one that reads; the fields below are its own

	kept    []byte // everything taken so far, unless lost
	lost    bool   // more than rewindLimit was taken
	buffer  []byte // of the read under way, then of its result
	rest    []byte // of buffer: read from the source and not taken yet
	err     error  // of the source, after rest
	reading bool
	arrived chan int // result of the read under way
}

// streamBuffer is the size of one read of a stream, in bytes.
const streamBuffer = 64 << 10

func (p *streamPayload) Size() int64 { return p.size }

// Open waits until the transport has let go of the previous body.
func (p *streamPayload) Open(ctx context.Context) (io.ReadCloser, error) {
	if p.last != nil {
		select {
		case <-p.last.idle:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if p.lost {
		return nil, fmt.Errorf("%w (more than %d bytes were sent)", ErrNotReplayable, rewindLimit)
	}
	p.last = &streamBody{ctx: ctx, payload: p, closed: make(chan struct{}), idle: make(chan struct{})}
	return p.last, nil
}

// next returns what the source has, at most len(buf) bytes. The source is read
// beside, so that a source that does not come holds up nobody: when the wait
// ends without it, the next body takes the result.
func (p *streamPayload) next(ctx context.Context, buf []byte, closed <-chan struct{}) (int, error) {
	if len(p.rest) == 0 && p.err == nil {
		if !p.reading {
			if p.buffer == nil {
				p.buffer, p.arrived = make([]byte, streamBuffer), make(chan int, 1)
			}
			p.reading = true
			go func() {
				n, err := p.source.Read(p.buffer)
				p.err = err // seen by whoever receives n
				p.arrived <- n
			}()
		}
		select {
		case n := <-p.arrived:
			p.reading, p.rest = false, p.buffer[:n]
		case <-closed:
			return 0, os.ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	n := copy(buf, p.rest)
	p.rest = p.rest[n:]
	if len(p.rest) == 0 {
		return n, p.err
	}
	return n, nil
}

// streamBody is one sending of a stream: first what was kept, then the source.
// The transport may close it in the middle of a read, and waits for that read
// when the request's context has ended: so the context ends reads, too.
type streamBody struct {
	ctx     context.Context
	payload *streamPayload
	offset  int // in kept

	lock   sync.Mutex
	inRead bool
	done   bool
	closed chan struct{} // by Close
	idle   chan struct{} // closed, and no read is under way
}

func (b *streamBody) Read(buf []byte) (int, error) {
	b.lock.Lock()
	if b.done {
		b.lock.Unlock()
		return 0, os.ErrClosed
	}
	b.inRead = true
	b.lock.Unlock()

	n, err := b.read(buf)

	b.lock.Lock()
	defer b.lock.Unlock()
	b.inRead = false
	if b.done {
		close(b.idle)
	}
	return n, err
}

func (b *streamBody) read(buf []byte) (int, error) {
	p := b.payload
	if b.offset < len(p.kept) {
		n := copy(buf, p.kept[b.offset:])
		b.offset += n
		return n, nil
	}
	n, err := p.next(b.ctx, buf, b.closed)
	if !p.lost {
		if len(p.kept)+n > rewindLimit {
			p.lost, p.kept, b.offset = true, nil, 0
		} else {
			p.kept = append(p.kept, buf[:n]...)
			b.offset = len(p.kept)
		}
	}
	return n, err
}

// Close marks the body as no longer read, and ends a read that waits.
func (b *streamBody) Close() error {
	b.lock.Lock()
	defer b.lock.Unlock()
	if !b.done {
		b.done = true
		close(b.closed)
		if !b.inRead {
			close(b.idle)
		}
	}
	return nil
}
