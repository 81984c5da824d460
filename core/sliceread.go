package core

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// SliceReader is an open slice or replica: what it was at the moment of opening,
// whatever replaces it since. Close ends it.
type SliceReader struct {
	Slice
	s    *Store
	held heldSlice
	file fsys.File
	buf  memsys.Buffer
	unit int64 // number of the unit in buf; -1: none
	have int   // bytes of it
}

// OpenSlice opens what this target holds of a generation, committed or staged.
// Errors: 404 it holds no slice or replica of it; others are those of LookSlices.
func (s *Store) OpenSlice(ctx context.Context, key Key, stamp Stamp, n int) (*SliceReader, error) {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return nil, err
	}
	defer s.unlock(&o, false)
	held, err := s.heldSlices(&o, false)
	if err != nil {
		return nil, err
	}
	for i := range held {
		if h := &held[i]; h.Stamp == stamp && h.Number == n && !h.IsMark() {
			return s.openSlice(h)
		}
	}
	return nil, apierr.New(apierr.StatusNotFound, wire.CodeNotFound, "%s: slice %d of %s is not here", s.nodeName, n, o.Cname())
}

func (s *Store) openSlice(h *heldSlice) (*SliceReader, error) {
	f, err := s.openFile(h.path)
	if err != nil {
		if isNotExist(err) {
			return nil, apierr.New(apierr.StatusNotFound, wire.CodeNotFound, "%s: slice %d of %s is gone", s.nodeName, h.Number, h.at.Cname())
		}
		return nil, h.at.mp.IOError("open "+h.path, err)
	}
	return &SliceReader{Slice: h.Slice, s: s, held: *h, file: f, unit: -1, buf: s.memory.Get(min(max(h.Length, 1), SliceUnit))}, nil
}

// ReadAt implements io.ReaderAt over the bytes of the slice. Whole units are
// read and compared with their checksums; one that differs is an error, and the
// file goes to quarantine. It is for one goroutine at a time.
func (r *SliceReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off < 0 || off >= r.Length {
			return n, io.EOF
		}
		if err := r.load(off / SliceUnit); err != nil {
			return n, err
		}
		c := copy(p[n:], r.buf.Bytes()[off%SliceUnit:r.have])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}

func (r *SliceReader) load(unit int64) error {
	if unit == r.unit {
		return nil
	}
	r.unit = -1
	start := unit * SliceUnit
	want := int(min(SliceUnit, r.Length-start))
	data := r.buf.Bytes()[:want]
	n, err := readIn(r.held.at.mp, r.file, data, start)
	if n < want && err != nil && !errors.Is(err, io.EOF) {
		return r.held.at.mp.IOError("read "+r.held.path, err)
	}
	at := int(unit) * sliceSum
	if n < want || at+sliceSum > len(r.sums) || binary.LittleEndian.Uint64(r.sums[at:]) != xxhash.Sum64(data) {
		return r.s.badSlice(&r.held, unit)
	}
	r.unit, r.have = unit, want
	return nil
}

// Close gives the file up.
func (r *SliceReader) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	r.buf.Free()
	return f.Close()
}

// verifySlice reads a slice to its end.
func (s *Store) verifySlice(ctx context.Context, h *heldSlice) error {
	r, err := s.openSlice(h)
	if err != nil {
		return err
	}
	for unit := int64(0); unit*SliceUnit < h.Length && err == nil; unit++ {
		if err = ctx.Err(); err != nil {
			break
		}
		if err = h.at.mp.Acquire(ctx); err == nil {
			err = r.load(unit)
			h.at.mp.Release()
		}
	}
	return errors.Join(err, r.Close())
}

// badSlice moves a slice whose bytes have changed to quarantine, unless it was
// replaced since.
func (s *Store) badSlice(h *heldSlice, unit int64) error {
	finding := apierr.Wrap(errSliceDamaged, apierr.StatusInternalServerError, wire.CodeBadChecksum,
		"BAD DATA CHECKSUM: slice %d of %s, bytes from %d", h.Number, h.at.Cname(), unit*SliceUnit)
	// Its reader may hold a slot, which nobody waits for who holds the name.
	if err := s.locks.lock(context.Background(), h.at.digest, true); err != nil {
		return finding
	}
	defer s.locks.unlock(h.at.digest, true)
	var now Slice
	if found, err := s.readSlice(h.at.mp, h.path, &now); err != nil || !found || now.Stamp != h.Stamp || now.Number != h.Number {
		return finding
	}
	if _, err := s.quarantine(&h.at, h.path, finding); err != nil {
		s.log.Error("a damaged slice cannot be moved to quarantine", "object", h.at.Cname(), "path", h.path, "err", err)
	}
	return finding
}

// WalkSlices calls visit for all slices, replicas and marks of a bucket, staged
// ones included, in no particular order. Files whose record cannot be read go to
// quarantine. An error of visit ends the walk and is returned.
func (s *Store) WalkSlices(ctx context.Context, entry meta.BucketEntry, visit func(*Slice) error) error {
	for _, mp := range s.options.FS.Available().All() {
		root := mp.BucketDir(entry.Bck, fsys.ContentSlice)
		err := s.eachHashed(mp, root, func(path string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.acquire(ctx, mp); err != nil {
				return err
			}
			var sl Slice
			found, err := s.readSlice(mp, path, &sl)
			mp.Release()
			switch {
			case errors.Is(err, errSliceDamaged):
				return s.setSliceAside(ctx, entry, mp, path, err)
			case err != nil:
				return err
			case !found || sl.Object.BID != entry.Props.BID:
				return nil
			}
			sl.Staged = len(path) > len(stagedSuffix) && path[len(path)-len(stagedSuffix):] == stagedSuffix
			return visit(&sl)
		})
		if err != nil && !errors.Is(err, errLeft) {
			return err
		}
	}
	return nil
}

// setSliceAside moves a file of slices to quarantine whose record, which alone
// has the name, cannot be read. Commits to the bucket wait meanwhile.
func (s *Store) setSliceAside(ctx context.Context, entry meta.BucketEntry, mp *fsys.Mountpath, path string, finding error) error {
	b := s.bucket(entry.Bck, entry.Props)
	if b == nil {
		return nil
	}
	if err := s.acquire(ctx, mp); err != nil {
		return err
	}
	defer mp.Release()
	b.gate.Lock()
	defer b.gate.Unlock()
	var now Slice
	if _, err := s.readSlice(mp, path, &now); !errors.Is(err, errSliceDamaged) || b.gone {
		return nil //nolint:nilerr // another look will tell
	}
	at := s.options.Clock()
	dir := s.quarantineDir(mp, strings.TrimSuffix(filepath.Base(path), stagedSuffix), at)
	if err := s.makeQuarantineDir(ctx, mp, dir); err != nil {
		return mp.IOError("quarantine "+path, err)
	}
	if err := s.system.Rename(path, filepath.Join(dir, "data")); err != nil {
		_ = s.system.Rmdir(dir) // else it counts as an entry
		return mp.IOError("quarantine "+path, err)
	}
	s.explain(dir, why{Bucket: entry.Bck.String(), Path: path, Time: at.UTC().Format(time.RFC3339Nano), Finding: finding.Error()})
	s.log.Error("slice of an unknown object moved to quarantine", "bucket", entry.Bck, "path", path, "dir", dir, "finding", finding)
	return nil
}
