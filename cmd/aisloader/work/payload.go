package work

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/params"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

const (
	maxBlock = 16 << 20 // random bytes in memory; larger objects repeat them
	bodies   = 64       // that differ
	shift    = 64       // bytes between their beginnings
)

// newBlock makes the bytes that all workers send.
func newBlock(p *params.Params) []byte {
	if p.PctPut == 0 && p.PctUpdate == 0 {
		return nil
	}
	// Updates write what they have read, whose size is not known.
	size := int64(maxBlock)
	if p.PctUpdate == 0 {
		size = max(1, min(int64(p.MaxSize), maxBlock))
	}
	return fillBlock(make([]byte, size+bodies*shift), uint64(p.Seed))
}

func fillBlock(block []byte, seed uint64) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(block) // never fails
	return block
}

// payload makes the bodies of one worker's PUTs.
type payload struct {
	kind   string
	block  []byte // shared, but for random payloads
	random *rand.ChaCha8
	file   *os.File
	length int64 // of file

	checksum string
	hash     hash.Hash
	sum      []byte
	cached   [bodies]struct {
		size int64
		line []byte
	}
}

func newPayload(p *params.Params, block []byte, worker int) (*payload, error) {
	l := &payload{kind: p.Reader, block: block, checksum: p.Checksum}
	var err error
	if l.hash, err = cksum.New(p.Checksum); err != nil {
		return nil, err
	}
	if block == nil {
		return l, nil
	}
	switch p.Reader {
	case params.ReaderRandom:
		l.block = make([]byte, len(block))
		var key [32]byte
		key[0], key[1], key[2] = byte(worker), byte(worker>>8), byte(p.Seed)
		l.random = rand.NewChaCha8(key)
	case params.ReaderFile:
		if err := os.MkdirAll(p.TmpDir, 0o755); err != nil {
			return nil, fmt.Errorf("-tmpdir: %w", err)
		}
		if l.file, err = os.Create(filepath.Join(p.TmpDir, fmt.Sprintf("aisloader-%d-%d", os.Getpid(), worker))); err != nil {
			return nil, fmt.Errorf("-tmpdir: %w", err)
		}
	}
	return l, nil
}

// close removes the file.
func (l *payload) close() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Close(), os.Remove(l.file.Name()))
}

// put gives a request a body of size bytes; choice is any number, and bodies of
// different choices differ. With a checksum, its headers are added.
func (l *payload) put(r *load.Request, size int64, choice uint64) error {
	i := int(choice % bodies)
	switch l.kind {
	case params.ReaderRandom:
		_, _ = l.random.Read(l.block[i*shift:][:min(size, int64(len(l.block)-bodies*shift))]) // never fails
		l.cached[i].line = l.cached[i].line[:0]                                               // another content
	case params.ReaderFile:
		return l.putFile(r, size)
	}
	r.Body = l.body(i, size)
	r.Size = size
	if size == 0 {
		r.Body = nil
	}
	r.Headers = append(r.Headers, l.line(i, size)...)
	return nil
}

// body is the block that makes up a body, as often as it takes.
func (l *payload) body(i int, size int64) []byte {
	return l.block[i*shift:][:min(size, int64(len(l.block)-bodies*shift))]
}

// putFile sends the file, which grows as needed.
func (l *payload) putFile(r *load.Request, size int64) error {
	for l.length < size {
		n, err := l.file.WriteAt(l.block[:len(l.block)-bodies*shift], l.length)
		if err != nil {
			return err
		}
		l.length += int64(n)
	}
	if size > 0 {
		r.Reader, r.Size = l.file, size
	}
	r.Headers = append(r.Headers, l.line(0, size)...)
	return nil
}

// line is the header lines of a body's checksum, "" without checksums.
func (l *payload) line(i int, size int64) []byte {
	if l.hash == nil {
		return nil
	}
	c := &l.cached[i]
	if len(c.line) > 0 && c.size == size {
		return c.line
	}
	l.hash.Reset()
	for left, body := size, l.body(i, size); left > 0; {
		n := min(left, int64(len(body)))
		l.hash.Write(body[:n])
		left -= n
	}
	l.sum = l.hash.Sum(l.sum[:0])
	c.size = size
	c.line = append(c.line[:0], wire.HeaderObjChecksumType+": "...)
	c.line = append(append(c.line, l.checksum...), "\r\n"+wire.HeaderObjChecksumValue+": "...)
	c.line = append(hex.AppendEncode(c.line, l.sum), "\r\n"...)
	return c.line
}

var _ io.ReadSeeker = (*os.File)(nil)
