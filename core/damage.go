package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// badRecord and badSize are the 500 of an object that cannot be served; their
// text begins like that of a wrong content (wire fact).
func badRecord(o *object, cause error) error {
	return apierr.Wrap(cause, apierr.StatusInternalServerError, wire.CodeBadChecksum, "BAD DATA CHECKSUM: %s", o.Cname())
}

func badSize(o *object, recorded, found int64) error {
	return apierr.New(apierr.StatusInternalServerError, wire.CodeBadChecksum,
		"BAD DATA CHECKSUM: %s: size(%d != %d)", o.Cname(), recorded, found)
}

// Verify reads an object as it lies on the disk and compares its checksum, and
// leaves it alone whatever it finds: nil if it is whole, else the error that
// Open of a bucket with validated reads would return.
func (s *Store) Verify(ctx context.Context, key Key) error {
	o, err := s.resolve(key)
	if err != nil {
		return err
	}
	c, err := s.openOnce(ctx, &o, true)
	switch {
	case err != nil:
		return err
	case c.file == nil && c.damage == nil:
		return s.notFound(key)
	case c.held:
		c.damage, err = s.openContent(ctx, &o, &c, true)
	case c.damage == nil:
		at := o.on(c.mp)
		c.damage, err = s.verifyContent(ctx, &at, &c)
	}
	if err = errors.Join(err, c.close(s)); err != nil {
		return err
	}
	return c.damage
}

// verifyContent reads an object and compares its checksum. damage is the
// finding; err is a failure to read.
func (s *Store) verifyContent(ctx context.Context, o *object, c *candidate) (damage, err error) {
	if c.rec.checksum.IsNone() {
		return nil, nil
	}
	h, err := cksum.New(c.rec.checksum.Type)
	if err != nil {
		return badRecord(o, err), nil
	}
	buf := s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	read, done := c.validating(s, o)
	defer done()
	for off := int64(0); off < c.info.Size; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := read(0, buf.Bytes()[:min(int64(len(buf.Bytes())), c.info.Size-off)], off, off)
		_, _ = h.Write(buf.Bytes()[:n]) // hashes never fail
		off += int64(n)
		if err != nil && off < c.info.Size {
			return nil, o.mp.IOError("read "+c.path, err)
		}
	}
	if sum := cksum.Sum(c.rec.checksum.Type, h); sum.Value != c.rec.checksum.Value {
		return apierr.BadChecksum(sum.Type, c.rec.checksum.Value, sum.Value, o.Cname()), nil
	}
	return nil, nil
}

// readChunkPart fills p from offset off of the i-th chunk (0: what is one file), which
// is offset at of the object; fewer bytes come with an error.
type readChunkPart func(i int, p []byte, off, at int64) (int, error)

// validating returns what reads the content of a candidate for a look at all of it;
// done is to be called after that. What goes on elsewhere, after a disk has failed,
// reads where a client will read: from copies, or from slices.
func (c *candidate) validating(s *Store, o *object) (read readChunkPart, done func()) {
	if !c.goesOn {
		return func(i int, p []byte, off, _ int64) (n int, err error) {
			if c.content == nil {
				return readIn(o.mp, c.file, p, off)
			}
			n, _, err = c.content.readChunk(c.mp, c.file, i, p, off)
			return n, err
		}, func() {}
	}
	r := &Reader{Attrs: c.rec.attrs(c.mp), File: c.file, chunked: c.content, store: s, digest: o.digest, key: o.Key}
	return r.readPiece, func() {
		if c.detours = r.detours.Load(); c.detours != nil {
			_ = c.detours.close() // of what was only read
		}
	}
}

// takeAside moves a damaged object to quarantine, unless it was replaced since
// it was found: the file must still be the same.
func (s *Store) takeAside(ctx context.Context, o *object, c *candidate) error {
	if err := s.lockThere(ctx, o); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer s.unlock(o, true)
	info, err := s.system.Stat(c.path)
	if err != nil {
		if isNotExist(err) {
			return nil
		}
		return o.mp.IOError("stat "+c.path, err)
	}
	if c.info.Inode != 0 && (info.Inode != c.info.Inode || info.Mtime != c.info.Mtime) {
		return nil
	}
	if c.info.Inode == 0 { // its record could not be read
		now, err := s.here(o)
		if err != nil {
			return err
		}
		if now.damaged != c.path {
			return nil
		}
	}
	_, err = s.quarantine(o, c.path, c.damage)
	return err
}

// why is what lies beside a quarantined object, for the operator.
type why struct {
	Bucket  string `json:"bucket"`
	Name    string `json:"name"`
	Path    string `json:"path"`
	Time    string `json:"time"`
	Finding string `json:"finding"`
}

// Damages grows with everything that goes to quarantine, before it does.
func (s *Store) Damages() int64 { return s.damages.Load() }

// quarantine moves a damaged object, with its sidecar if it has one, to
// "<mountpath>/.ais.quarantine/<ns>.<SHA-256 of the name>/". It is called under
// the exclusive lock. Nothing there is ever served or removed by the system.
func (s *Store) quarantine(o *object, path string, finding error) (dir string, err error) {
	now := s.options.Clock()
	sum := sha256.Sum256([]byte(o.Name))
	dir = s.quarantineDir(o.mp, hex.EncodeToString(sum[:]), now)
	if err := s.makeQuarantineDir(context.Background(), o.mp, dir); err != nil {
		return "", o.mp.IOError("quarantine "+o.Cname(), err)
	}
	sidecar := s.sidecarOf(o, path)
	// It is moved aside also if the journal cannot be flushed: the index is not
	// believed after a crash then.
	noted := s.announce(o, o.Props.SyncWrites())
	if file := noted.journal(); file != nil && o.Props.SyncWrites() {
		if err := o.mp.Filesystem().Flush(context.Background(), fs.FlushRequest{Journal: file}); err != nil {
			s.log.Warn("commit journal not flushed", "mountpath", o.mp.Path, "err", err)
		}
		noted.trust()
	}
	// A current generation may have hidden null versions.
	noted.versions = o.dirs.mayHoldVersions(o.Bck)
	defer noted.settle() // the other place may hold one as well
	s.damages.Add(1)
	if err := s.system.Rename(path, filepath.Join(dir, "data")); err != nil {
		_ = s.system.Rmdir(dir) // else it counts as an entry
		return "", o.mp.IOError("quarantine "+o.Cname(), err)
	}
	if sidecar != "" {
		if err := s.system.Rename(sidecar, filepath.Join(dir, "sidecar")); err != nil && !isNotExist(err) {
			s.log.Warn("sidecar of a quarantined object stays", "object", o.Cname(), "path", sidecar, "err", err)
		}
	}
	if errors.Is(finding, errRecordDamaged) { // nobody knows which it referred to
		for _, b := range s.straySidecarsHere(o) {
			if err := s.system.Rename(b.Path, filepath.Join(dir, filepath.Base(b.Path))); err != nil && !isNotExist(err) {
				s.log.Warn("a sidecar of a quarantined object stays", "object", o.Cname(), "path", b.Path, "err", err)
			}
		}
		s.quarantineChunks(o, filepath.Base(dir))
	}
	s.explain(dir, why{
		Bucket: o.Bck.String(), Name: naming.Native(o.Name), Path: path, Time: now.UTC().Format(time.RFC3339Nano), Finding: finding.Error(),
	})
	if o.Props.SyncWrites() {
		flush := fs.FlushRequest{Dirs: []string{dir, filepath.Dir(path)}}
		if err := o.mp.Filesystem().Flush(context.Background(), flush); err != nil {
			s.log.Warn("quarantine is not durable yet", "dir", dir, "err", err)
		} else {
			noted.look()
		}
	} else {
		o.mp.Filesystem().Doubt(filepath.Dir(path)) // see Store.remove
	}
	s.changed(o)
	s.log.Error("damaged object moved to quarantine", "object", o.Cname(), "dir", dir, "finding", finding)
	if report := s.options.OnDamage; report != nil {
		report(Damage{Mountpath: o.mp, Key: o.Key, Quarantine: dir, Err: finding})
	}
	return dir, nil
}

// sidecarOf returns the sidecar's path if the file's attribute refers to one.
func (s *Store) sidecarOf(o *object, path string) string {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	n, err := s.system.GetXattr(path, XattrRecord, buf.Bytes())
	if err != nil {
		return ""
	}
	form, content, err := openFrame(buf.Bytes()[:n])
	if err != nil || form != formSidecar {
		return ""
	}
	ref, err := decodeReference(content)
	if err != nil {
		return ""
	}
	return sidecarPath(o.mp, o, ref.stamp)
}

func (s *Store) writeFile(path string, data []byte) error {
	f, err := s.system.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
