package core

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// What this target keeps of objects that other targets own: slices, replicas,
// and marks that what others may still keep does not count. The protocol is that
// of docs/ec.md, the files are those of docs/on_disk_layout.md, section 12.

const (
	// SliceBlock is how many bytes of a slice belong to one stripe of the object.
	SliceBlock = 64 << 10
	// SliceUnit is how many bytes of a slice have one checksum.
	SliceUnit = 256 << 10
	// sliceSum is the length of a checksum of a unit, in bytes.
	sliceSum = 8

	// MaxSlices bounds the number of a slice: 32 of data and 32 of parity.
	MaxSlices = 64
)

// SliceState tells what a file of slices is.
type SliceState uint8

// States of what is kept of a name.
const (
	SliceKept       SliceState = 1 // a slice or a replica
	SliceSuperseded SliceState = 2 // a mark: older generations do not count
	SliceDeleted    SliceState = 3 // a mark: the name was deleted
)

// Slice is what a target keeps of another one's object, without the bytes.
type Slice struct {
	Name   string // of the object
	State  SliceState
	Staged bool  // not committed yet
	Stamp  Stamp // the generation, see Attrs.LastChange, or the stamp of the mark

	Number int // 0: a replica; 1 to Data: data; above: parity
	Data   int // 0: the object is kept as replicas
	Parity int // slices of parity, or replicas

	Length int64 // of the slice, bytes
	Object Attrs // of the whole object

	Mountpath *fsys.Mountpath // where it lies

	sums []byte // of the units
	tail sliceTail
}

// IsMark tells that there is no content.
func (sl *Slice) IsMark() bool { return sl.State != SliceKept }

// SliceLength is how many bytes each slice of an object has that is cut into a
// number of data slices; 0 stands for replicas.
func SliceLength(size int64, data int) int64 {
	if data == 0 {
		return size
	}
	return (size + int64(data) - 1) / int64(data)
}

// SliceSums is how many bytes the checksums of a slice take.
func SliceSums(length int64) int64 { return (length + SliceUnit - 1) / SliceUnit * sliceSum }

// check refuses what cannot be a slice of an object.
func (sl *Slice) check(o *object) error {
	bad := ""
	switch {
	case sl.State != SliceKept || sl.Stamp.IsZero() || sl.Stamp != sl.Object.LastChange():
		bad = "its generation is not that of the object"
	case sl.Data < 0 || sl.Parity < 1 || sl.Data+sl.Parity > MaxSlices || sl.Number < 0 || sl.Number > sl.Data+sl.Parity || (sl.Number == 0) != (sl.Data == 0):
		bad = "its number is none"
	case sl.Object.Size < 0 || sl.Length != SliceLength(sl.Object.Size, sl.Data):
		bad = "its length is not that of a slice of the object"
	case sl.Name != o.Name:
		bad = "it is one of another object"
	case sl.Object.BID != o.Props.BID:
		return apierr.BucketNotFound(o.Bck)
	}
	if bad != "" {
		return apierr.BadRequest("slice %d of %d+%d of %s: %s", sl.Number, sl.Data, sl.Parity, o.Cname(), bad)
	}
	return nil
}

// heldSlice is a file of slices that was found.
type heldSlice struct {
	Slice
	at   object // on the mountpath where it lies
	path string
}

func slicePath(o *object) string { return o.mp.HashedPath(o.Bck, fsys.ContentSlice, o.Name, "") }

func stagedPath(o *object) string {
	return o.mp.HashedPath(o.Bck, fsys.ContentSlice, o.Name, stagedSuffix)
}

const stagedSuffix = ".next"

// errSliceDamaged is in the chain of errors of files whose record cannot be
// read, or whose bytes are not what they were.
var errSliceDamaged = errors.New("slice is damaged")

// heldSlices returns all that this target holds of a name. The name lock and a
// slot of the object's mountpath are held. A file that is damaged is moved to
// quarantine if the lock is exclusive, else it is left out.
func (s *Store) heldSlices(o *object, exclusive bool) (held []heldSlice, err error) {
	look := func(at *object) error {
		for _, path := range [...]string{slicePath(at), stagedPath(at)} {
			h := heldSlice{at: *at, path: path}
			found, err := s.readSlice(at.mp, path, &h.Slice)
			switch {
			case errors.Is(err, errSliceDamaged):
				if exclusive {
					if _, err := s.quarantine(at, path, err); err != nil {
						return err
					}
				}
			case err != nil:
				return err
			case found && h.Object.BID == o.Props.BID && h.Name == o.Name:
				h.Staged = path != slicePath(at)
				held = append(held, h)
			}
		}
		return nil
	}
	if err := look(o); err != nil {
		return nil, err
	}
	if !o.set.Unsettled {
		return held, nil
	}
	return held, s.elsewhere(context.Background(), o, look)
}

// newestSlice is the one of the greatest stamp, a committed one before a staged
// one; nil: there is none.
func newestSlice(held []heldSlice) (newest *heldSlice) {
	for i := range held {
		h := &held[i]
		if newest == nil || h.Stamp.Compare(newest.Stamp) > 0 || h.Stamp == newest.Stamp && newest.Staged && !h.Staged {
			newest = h
		}
	}
	return newest
}

// LookSlices returns what this target holds of a name: slices, replicas and
// marks, staged ones included. Nothing is no error. With verify the bytes are read and
// compared with their checksums; what is damaged goes to quarantine and is not returned.
//
// Errors: 400 bad name; 404 no such bucket; 500 I/O; 503 the mountpath is busy.
func (s *Store) LookSlices(ctx context.Context, key Key, verify bool) ([]Slice, error) {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return nil, err
	}
	held, err := s.heldSlices(&o, false)
	s.unlock(&o, false)
	if err != nil {
		return nil, err
	}
	found := make([]Slice, 0, len(held))
	for i := range held {
		if verify && !held[i].IsMark() {
			err := s.verifySlice(ctx, &held[i])
			if errors.Is(err, errSliceDamaged) || apierr.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		found = append(found, held[i].Slice)
	}
	return found, nil
}

// readSlice reads the record of a file; found is false if there is none.
func (s *Store) readSlice(mp *fsys.Mountpath, path string, sl *Slice) (found bool, err error) {
	age := mp.Begin()
	defer mp.End(age)
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	n, err := s.system.GetXattr(path, XattrSlice, buf.Bytes())
	switch {
	case err == nil:
	case isNotExist(err), errors.Is(err, unix.ENOTDIR):
		return false, nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ERANGE):
		return false, errors.Join(errSliceDamaged, err)
	default:
		return false, mp.IOError("read the record of "+path, err)
	}
	if err := sl.decode(buf.Bytes()[:n]); err != nil {
		return false, errors.Join(errSliceDamaged, err)
	}
	sl.Mountpath = mp
	if sl.tail.length == 0 {
		return true, nil
	}
	details, err := s.readTail(mp, path, sl.tail)
	if err != nil {
		return false, err
	}
	if err := sl.decodeDetails(details); err != nil {
		return false, errors.Join(errSliceDamaged, err)
	}
	return true, nil
}

// readTail reads the details of a slice that lie after it.
func (s *Store) readTail(mp *fsys.Mountpath, path string, tail sliceTail) (details []byte, err error) {
	f, err := s.openFile(path)
	if err != nil {
		if isNotExist(err) {
			return nil, errors.Join(errSliceDamaged, err)
		}
		return nil, mp.IOError("open "+path, err)
	}
	details = make([]byte, tail.length)
	n, err := f.ReadAt(details, tail.offset)
	_ = f.Close() // was only read
	if n < len(details) {
		return nil, errors.Join(errSliceDamaged, err)
	}
	if !tail.holds(details) {
		return nil, errors.Join(errSliceDamaged, damaged("tail has a wrong checksum"))
	}
	return details, nil
}
