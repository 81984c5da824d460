package core

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// presence is what there is where a record is looked for.
type presence uint8

const (
	noFile     presence = iota // no file, or no path to one
	noPlace                    // and none can be made: something else is in the way
	noRecord                   // a directory, or a file that nobody committed
	withRecord                 // a file with a record; it may be damaged
)

// presenceOf tells what the answer to reading a record's attribute means. An
// attribute that no record of ours can have is damage; other errors are those
// of the disk.
func presenceOf(err error) (presence, error) {
	switch {
	case err == nil:
		return withRecord, nil
	case isNotExist(err):
		return noFile, nil
	case errors.Is(err, unix.ENODATA):
		return noRecord, nil
	case errors.Is(err, unix.ERANGE):
		return withRecord, damaged("attribute is too long")
	case fsys.IsNameProblem(err), errors.Is(err, unix.ELOOP):
		return noPlace, nil
	}
	return noFile, err
}

// frameAt reads the attribute of a file into a buffer of recordBuffer bytes.
// Damage is an error with errRecordDamaged in its chain; what is not there is
// none.
func (s *Store) frameAt(mp *fsys.Mountpath, path string, buf []byte) (frame []byte, found presence, err error) {
	n, err := s.system.GetXattr(path, XattrRecord, buf)
	found, err = presenceOf(err)
	if err != nil && !errors.Is(err, errRecordDamaged) {
		return nil, found, mp.IOError("read the record of "+path, err)
	}
	return buf[:max(n, 0)], found, err
}

// recordAt reads the record of a file of which only the path is known: one in
// the escaped place, or a noncurrent version. Both lie under the hash of the
// name, and so do their sidecars. found is false if there is no record. Damage
// is an error with errRecordDamaged in its chain.
func (s *Store) recordAt(mp *fsys.Mountpath, bck wire.Bck, path string) (rec record, found bool, err error) {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	frame, is, err := s.frameAt(mp, path, buf.Bytes())
	if err == nil && is != withRecord {
		return rec, false, nil
	}
	hashed := path
	if strings.HasPrefix(path, mp.BucketDir(bck, fsys.ContentVersion)+"/") {
		hashed = filepath.Dir(path)
	}
	if err == nil {
		err = s.decodeHashed(mp, bck, hashed, frame, &rec)
	}
	if errors.Is(err, errRecordDamaged) {
		// A change of the record that a loss of power has cut off: see nextOf.
		n, nextErr := s.system.GetXattr(path, XattrNext, buf.Bytes())
		if nextErr == nil && s.decodeHashed(mp, bck, hashed, buf.Bytes()[:n], &rec) == nil {
			return rec, true, nil
		}
	}
	return rec, err == nil, err
}

// decodeHashed is decodeRecord for a name of which only the hash is known, in
// the end of a path.
func (s *Store) decodeHashed(mp *fsys.Mountpath, bck wire.Bck, hashed string, frame []byte, rec *record) error {
	ref, whole, err := rec.decodeFrame(frame)
	if whole || err != nil {
		return err
	}
	return s.readSidecar(mp, sidecarBeside(mp, bck, hashed, ref.stamp), ref, rec)
}
