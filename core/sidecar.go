package core

import (
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// sidecarPath is where the body of a large record lies. Every generation has
// its own, so the old one is whole until the new one is committed.
func sidecarPath(mp *fsys.Mountpath, o *object, stamp Stamp) string {
	return mp.HashedPath(o.Bck, fsys.ContentSidecar, o.Name, "."+stamp.fileSuffix())
}

// sidecarBeside is sidecarPath of an object of which only the file in the
// escaped place is known: both lie under the same hash.
func sidecarBeside(mp *fsys.Mountpath, bck wire.Bck, escaped string, stamp Stamp) string {
	hash := filepath.Base(escaped)
	group := filepath.Base(filepath.Dir(escaped))
	return mp.BucketDir(bck, fsys.ContentSidecar) + "/" + group + "/" + hash + "." + stamp.fileSuffix()
}

// readSidecar reads the body of a large record. A sidecar that is missing or
// does not match its reference is damage.
func (s *Store) readSidecar(mp *fsys.Mountpath, path string, ref sidecarRef, rec *record) error {
	if ref.length > maxRecordBody+sidecarHead+frameSum {
		return damaged("sidecar of %d bytes", ref.length)
	}
	file, err := s.readSmall(mp, path, int(ref.length))
	switch {
	case isNotExist(err):
		return damaged("sidecar is missing")
	case err != nil:
		return err
	case len(file) < int(ref.length):
		return damaged("sidecar of %d bytes is shorter than %d", len(file), ref.length)
	}
	body, err := openSidecar(file, ref)
	if err != nil {
		return err
	}
	if err := rec.decodeBody(body); err != nil {
		return err
	}
	if rec.written() != ref.stamp {
		return damaged("sidecar of another generation")
	}
	rec.sidecar = true
	return nil
}

// writeSidecar makes a work file with the body of a large record. It returns
// the file, open, and what the attribute has to say of it.
func (s *Store) writeSidecar(o *object, rec *record) (path string, f fsys.File, ref sidecarRef, err error) {
	frame, err := rec.appendSidecar(nil)
	if err != nil {
		return "", nil, ref, apierr.New(apierr.StatusBadRequest, "", "%s: %v", o.Cname(), err)
	}
	path, f, err = o.mp.NewWork(o.Bck, "record")
	if err != nil {
		return "", nil, ref, err
	}
	if _, err = f.Write(frame); err != nil {
		_ = f.Close() // the write's error is the one to report
		_ = s.system.Unlink(path)
		return "", nil, ref, err
	}
	return path, f, sidecarRef{stamp: rec.written(), length: uint32(len(frame)), sum: xxhash.Sum64(frame)}, nil
}
