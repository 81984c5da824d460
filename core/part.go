package core

import (
	"context"
	"crypto/md5"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// xattrPart is the attribute in which the file of a part describes itself.
const xattrPart = "user.ais.part"

// Part is one part of an upload.
type Part struct {
	Number int
	Size   int64
	CRC32C uint32
	MD5    string // hex; "" if it was not asked for
	Mtime  int64  // when it arrived, nanoseconds since the epoch, to the millisecond
}

func (p *partRecord) part() Part {
	return Part{Number: p.number, Size: p.size, CRC32C: p.crc, MD5: hex.EncodeToString([]byte(p.md5)), Mtime: int64(p.clock>>16) * 1e6}
}

// readPart reads what a file says of itself as a part; ok is false if it is
// none, or not what it says.
func (s *Store) readPart(path string) (p partRecord, ok bool, err error) {
	buf := s.memory.Get(memsys.MinSlab)
	defer buf.Free()
	n, err := s.system.GetXattr(path, xattrPart, buf.Bytes())
	switch {
	case err == nil:
	case isNotExist(err), errors.Is(err, unix.ENODATA), errors.Is(err, unix.ERANGE):
		return p, false, nil
	default:
		return p, false, err
	}
	if p, err = decodePart(buf.Bytes()[:n]); err != nil {
		return p, false, nil //nolint:nilerr // damaged: it is no part
	}
	info, err := s.system.Stat(path)
	if isNotExist(err) {
		return p, false, nil
	}
	return p, err == nil && info.Size == p.size, err
}

// partFile is a chunk on its way to its place: a work file on a mountpath, and
// what is known of the bytes that were written to it.
type partFile struct {
	s    *Store
	o    *object
	mp   *fsys.Mountpath
	rec  partRecord
	path string // of the work file; "" once it has its name
	file fsys.File
	sync bool

	md5     hash.Hash // nil: not wanted
	started int64     // up to where write-back was begun
	flushed bool
}

// newPartFile makes the work file of a chunk on the mountpath where it
// belongs.
func (s *Store) newPartFile(ctx context.Context, o *object, upload string, number int, sync bool) (*partFile, error) {
	p := &partFile{s: s, o: o, sync: sync, rec: partRecord{number: number, upload: upload, bid: o.Props.BID}}
	for {
		set := s.options.FS.Available()
		at := *o
		if err := s.place(&at, set); err != nil { // 503 without a mountpath
			return nil, err
		}
		mp := chunkOwner(set, o, upload, number)
		err := s.acquire(ctx, mp)
		if errors.Is(err, errLeft) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.mp = mp
		p.path, p.file, err = mp.NewWork(o.Bck, "part")
		mp.Release()
		if err != nil {
			return nil, p.fail(err)
		}
		return p, nil
	}
}

// fail turns an error of a disk operation into what a client sees.
func (p *partFile) fail(err error) error { return p.s.partError(p.o, p.mp, err) }

// Write implements io.Writer; one call is one disk operation.
func (p *partFile) Write(data []byte) (int, error) {
	if err := p.mp.Acquire(context.Background()); err != nil {
		return 0, err
	}
	defer p.mp.Release()
	age := p.mp.Begin()
	n, err := p.file.Write(data)
	p.mp.End(age)
	p.rec.crc = crc32.Update(p.rec.crc, castagnoli, data[:n])
	p.rec.size += int64(n)
	p.mp.Wrote(int64(n))
	if p.md5 != nil {
		_, _ = p.md5.Write(data[:n]) // hashes never fail
	}
	if err != nil {
		return n, p.fail(err)
	}
	if p.rec.size-p.started >= writeBackEvery {
		if err := p.file.StartWriteback(p.started, p.rec.size-p.started); err != nil && fsys.IsNoSpace(err) {
			return n, p.fail(err)
		}
		p.started = p.rec.size
	}
	return n, nil
}

// seal writes the attribute and makes the file durable if it has to be; then
// only its name is missing.
func (p *partFile) seal(ctx context.Context) error {
	if p.md5 != nil {
		p.rec.md5 = string(p.md5.Sum(nil))
	}
	p.rec.clock = p.s.clock.next(p.s.options.Clock(), p.rec.clock)
	if err := p.mp.Acquire(ctx); err != nil {
		return err
	}
	defer p.mp.Release()
	var stack [maxPartRecord]byte
	err := p.file.SetXattr(xattrPart, p.rec.encode(stack[:0]))
	if err == nil && p.sync {
		if p.rec.size >= ownFlush {
			err = p.file.Datasync()
		}
		if err == nil {
			err = p.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Files: []fsys.File{p.file}, Bytes: min(p.rec.size, ownFlush)})
		}
		p.flushed = err == nil
	}
	closeErr := p.file.Close()
	p.file = nil
	if err = errors.Join(err, closeErr); err != nil {
		return p.fail(err)
	}
	return nil
}

// publish gives the file its name; the flush that makes it durable is
// flushName.
func (p *partFile) publish(ctx context.Context) error {
	if err := p.mp.Acquire(ctx); err != nil {
		return err
	}
	defer p.mp.Release()
	if err := p.o.enter(); err != nil {
		return err
	}
	defer p.o.bucket.gate.RUnlock()
	path := p.name()
	if err := p.s.renameInto(p.mp, p.path, path); err != nil {
		return p.fail(err)
	}
	p.path = ""
	return nil
}

func (p *partFile) name() string { return chunkPath(p.mp, p.o, p.rec.upload, p.rec.number) }

func (p *partFile) flushName(ctx context.Context) error {
	if !p.sync {
		p.mp.Filesystem().AddDirty(p.rec.size)
		return nil
	}
	if err := p.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: []string{filepath.Dir(p.name())}}); err != nil {
		return p.fail(err)
	}
	return nil
}

// discard removes what has not got its name.
func (p *partFile) discard() {
	if p.file != nil {
		_ = p.file.Close() // of a file that is given up
		p.file = nil
	}
	if p.path == "" {
		return
	}
	if err := p.s.unlinkIfThere(p.path); err != nil {
		p.s.log.Warn("work file stays until the next start", "path", p.path, "err", err)
	}
	p.path = ""
}

func (p *partFile) chunk() chunk {
	return chunk{number: p.rec.number, size: p.rec.size, crc: p.rec.crc, mp: p.mp.ID}
}

// writeManifest puts a manifest file in its place.
func (s *Store) writeManifest(ctx context.Context, o *object, path string, data []byte, durable bool) error {
	if err := o.mp.Acquire(ctx); err != nil {
		return err
	}
	defer o.mp.Release()
	return s.partError(o, o.mp, s.putManifest(ctx, o, path, data, durable))
}

// putManifest is writeManifest for who has a slot of the mountpath.
func (s *Store) putManifest(ctx context.Context, o *object, path string, data []byte, durable bool) error {
	work, f, err := o.mp.NewWork(o.Bck, "manifest")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = o.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Files: []fsys.File{f}, Bytes: int64(len(data))})
	}
	if err = errors.Join(err, f.Close()); err == nil {
		if err = o.enter(); err == nil {
			err = s.renameInto(o.mp, work, path)
			o.bucket.gate.RUnlock()
		}
	}
	if err != nil {
		_ = s.system.Unlink(work) // what stays is removed at the next start
		return err
	}
	if !durable {
		return nil
	}
	return o.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Dirs: []string{filepath.Dir(path)}})
}

// partError turns an error of a disk operation into what a client sees; nil is
// nil.
func (s *Store) partError(o *object, mp *fsys.Mountpath, err error) error {
	if err == nil {
		return nil
	}
	w := write{s: s, object: *o}
	w.mp = mp
	return w.fail(err)
}

// wholeSum is the checksum of an object whose parts come one after the other.
// It can be taken over by the next part, put aside with it on the disk, and
// given up if parts come in another order.
type wholeSum struct {
	kind   string // of the bucket
	next   int    // the number of the part that goes on; 0: given up
	state  []byte // of the hash before that part
	taken  bool   // a part that goes on is arriving
	nobody bool   // the bucket wants no checksum
}

// hashOf makes the hash with a state; nil if there is none to compute.
func (w *wholeSum) hashOf(state []byte) (hash.Hash, error) {
	h, err := cksum.New(w.kind)
	if err != nil || h == nil || len(state) == 0 {
		return h, err
	}
	u, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, errors.New("hash " + w.kind + " cannot be continued")
	}
	return h, u.UnmarshalBinary(state)
}

// stateOf is the reverse of hashOf.
func stateOf(h hash.Hash) ([]byte, error) {
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, errors.New("hash cannot be continued")
	}
	return m.MarshalBinary()
}

// newMD5 is the hash for clients that compare it.
func newMD5() hash.Hash { return md5.New() }
