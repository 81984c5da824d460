package api

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Errors of a validating read.
var (
	// ErrNotChecksummed tells that the object has no checksum to compare with.
	ErrNotChecksummed = errors.New("the object is not checksummed")
	// ErrChecksumMismatch tells that what arrived is not what was stored.
	ErrChecksumMismatch = errors.New("BAD DATA CHECKSUM")
)

// GetArgs select what is read and how.
type GetArgs struct {
	// Offset and Length, in bytes, select a range. Length 0 with an Offset
	// reads to the end; both 0 read the whole object.
	Offset, Length int64
	// Validate compares length and checksum of what arrives with the object's.
	// It needs the whole object.
	Validate bool
	// Latest asks the remote backend for a newer version first.
	Latest bool
	// Silent keeps a missing object out of the server's log.
	Silent bool
}

// GetObject writes an object, or a range of it, to w and returns its
// attributes and the number of bytes written. With Validate an error
// means that what was written must not be used.
func (c *Client) GetObject(ctx context.Context, b wire.Bck, name string, w io.Writer, args GetArgs) (ObjectAttrs, int64, error) {
	body, attrs, err := c.GetObjectReader(ctx, b, name, args)
	if err != nil {
		return attrs, 0, err
	}
	n, err := copyBody(w, body)
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return attrs, n, fmt.Errorf("%s: %w", b.Cname(name), err)
	}
	return attrs, n, nil
}

// GetObjectReader returns the content as a stream. The caller closes it. A
// body that ends early, or with Validate one that is not what was stored, is
// an error of Read instead of io.EOF.
func (c *Client) GetObjectReader(ctx context.Context, b wire.Bck, name string, args GetArgs) (io.ReadCloser, ObjectAttrs, error) {
	req, q, err := objectRequest(http.MethodGet, b, name)
	if err != nil {
		return nil, ObjectAttrs{}, err
	}
	if err := args.apply(req.header); err != nil {
		return nil, ObjectAttrs{}, err
	}
	if args.Latest {
		q.Set(wire.QueryLatest, "true")
	}
	if args.Silent {
		q.Set(wire.QuerySilent, "true")
	}
	req.query = q.Encode()

	ctx, cancel := c.transferContext(ctx)
	resp, err := c.do(ctx, req) //nolint:bodyclose // closed by the reader that is returned
	if err != nil {
		cancel()
		return nil, ObjectAttrs{}, err
	}
	attrs := parseAttrs(resp.Header)
	attrs.Size = resp.ContentLength
	body := &objectBody{body: resp.Body, cancel: cancel, expected: resp.ContentLength}
	if args.Validate {
		if body.hash, err = validatingHash(attrs.Checksum); err != nil {
			_ = body.Close() // the error below says more
			return nil, attrs, fmt.Errorf("%s: %w", b.Cname(name), err)
		}
		body.checksum = attrs.Checksum
	}
	return body, attrs, nil
}

// apply checks the range and writes its header.
func (a *GetArgs) apply(h http.Header) error {
	switch {
	case a.Offset < 0 || a.Length < 0:
		return fmt.Errorf("invalid range: offset %d, length %d (expected none below 0)", a.Offset, a.Length)
	case a.Offset == 0 && a.Length == 0:
		return nil
	case a.Validate:
		return errors.New("a range cannot be validated: the checksum is that of the whole object")
	case a.Length == 0:
		h.Set(wire.HeaderRange, "bytes="+strconv.FormatInt(a.Offset, 10)+"-")
	default:
		h.Set(wire.HeaderRange, "bytes="+strconv.FormatInt(a.Offset, 10)+"-"+strconv.FormatInt(a.Offset+a.Length-1, 10))
	}
	return nil
}

// validatingHash returns the hash of an object's checksum type.
func validatingHash(expected cksum.Value) (hash.Hash, error) {
	if expected.IsNone() {
		return nil, ErrNotChecksummed
	}
	return cksum.New(expected.Type)
}

// transferContext limits one object transfer by Options.Timeout.
func (c *Client) transferContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.options.Timeout > 0 {
		return context.WithTimeout(ctx, c.options.Timeout)
	}
	return context.WithCancel(ctx)
}

// objectBody is the content of an object on its way.
type objectBody struct {
	body     io.ReadCloser
	cancel   context.CancelFunc
	expected int64 // bytes, -1 if unknown
	read     int64
	hash     hash.Hash // nil: not validated
	checksum cksum.Value
}

func (b *objectBody) Read(buf []byte) (int, error) {
	n, err := b.body.Read(buf)
	b.read += int64(n)
	if b.hash != nil {
		_, _ = b.hash.Write(buf[:n]) // a hash never fails
	}
	if err == io.EOF {
		if invalid := b.verify(); invalid != nil {
			return n, invalid
		}
	}
	return n, err
}

// verify judges a body that has ended.
func (b *objectBody) verify() error {
	if b.expected >= 0 && b.read != b.expected {
		return fmt.Errorf("%w: %d bytes of %d", io.ErrUnexpectedEOF, b.read, b.expected)
	}
	if b.hash == nil {
		return nil
	}
	computed := cksum.Sum(b.checksum.Type, b.hash)
	if computed.Value != b.checksum.Value {
		return fmt.Errorf("%w: %s(%s != %s)", ErrChecksumMismatch, b.checksum.Type, b.checksum.Value, computed.Value)
	}
	return nil
}

// Close ends the transfer. What was not read is dropped: a short rest is read
// to keep the connection.
func (b *objectBody) Close() error {
	defer b.cancel()
	if b.expected >= 0 && b.read < b.expected && b.expected-b.read <= maxDrainedAtClose {
		// A rest that cannot be read only costs the connection.
		_, _ = io.CopyN(io.Discard, b.body, maxDrainedAtClose)
	}
	return b.body.Close()
}

// copyBuffers are for copying bodies: 128 KiB each.
var copyBuffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// copyBody copies a body through a pooled buffer.
func copyBody(w io.Writer, body io.Reader) (int64, error) {
	buf, _ := copyBuffers.Get().(*[128 << 10]byte)
	defer copyBuffers.Put(buf)
	// Without the wrapper io.CopyBuffer would take the writer's own ReadFrom
	// and a buffer of its choice.
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, buf[:])
}
