package fs

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A DELETE that has to leave a record in the object's place (a tombstone, a
// delete marker) needs a file for it, which a full disk cannot give; and until
// the DELETE is done the disk stays full. So a few empty files with room for a
// record lie ready on each mountpath. One that takes the place of an object
// needs no block: neither for itself nor for the name, which is there. What
// needs more (a sidecar, a directory), and spare files when there are none any
// more, get the blocks of a reserve, a file that gives them back little by little.

const (
	// SpareDir holds the spare files of a mountpath, and its reserve.
	SpareDir   = ".ais.spare"
	spareFiles = 4
	// spareXattr takes so much room that the filesystem gives the file a block
	// for attributes, in which the record fits beside it.
	spareXattr = "user.ais.spare"
	spareRoom  = 512 // bytes
)

// spares are the spare files that nobody has taken, and the reserve.
type spares struct {
	mu      sync.Mutex
	looked  atomic.Bool // those of the process before are known
	ready   []string    // paths
	made    uint64
	reserve reserve
	short   atomic.Bool // something is missing
}

// TakeSpare returns an empty file of the mountpath that was made while there
// was space, open for reading and writing. It is the caller's, as one of
// NewWork is. ENOSPC: there is none.
func (mp *Mountpath) TakeSpare() (path string, f File, err error) {
	s := &mp.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short.Store(true)
	for len(s.ready) > 0 {
		path = s.ready[len(s.ready)-1]
		s.ready = s.ready[:len(s.ready)-1]
		f, err = mp.system.Open(path, unix.O_RDWR|unix.O_NOFOLLOW, 0)
		if err == nil {
			return path, f, nil
		}
	}
	return "", nil, pathError("open", filepath.Join(mp.Path, SpareDir), unix.ENOSPC)
}

// FillSpares makes what is missing of the spare files and of the reserve, as far
// as there is space: at the start, and when something was removed. It costs
// nothing if nothing is missing, or if somebody else is at it. Neither need be
// durable: the next start makes them again.
func (mp *Mountpath) FillSpares() {
	s := &mp.spares
	if s.looked.Load() && !s.short.Load() || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	mp.fillSpares()
}

// fillSpares is FillSpares under the lock.
func (mp *Mountpath) fillSpares() {
	s := &mp.spares
	dir := filepath.Join(mp.Path, SpareDir)
	var err error
	if !s.looked.Load() {
		if err = mp.system.Mkdir(dir, dirMode); errors.Is(err, fs.ErrExist) {
			err = nil
		}
		if err == nil {
			err = mp.findSpares(dir)
		}
		s.looked.Store(err == nil)
	}
	for err == nil && len(s.ready) < spareFiles {
		s.made++
		path := dir + "/" + mp.workRun + "." + strconv.FormatUint(s.made, 16)
		if err = mp.makeSpare(path); err == nil {
			s.ready = append(s.ready, path)
		}
	}
	if err == nil {
		err = mp.fillReserve()
	}
	s.short.Store(err != nil)
	if err != nil {
		mp.manager.log.Debug("room for deletes on a full disk is missing", "mountpath", mp.Path, "spare_files", len(s.ready),
			"reserve", s.reserve.size, "err", err)
	}
}

// findSpares takes over what the process before has left, as far as it is whole
// and not too much.
func (mp *Mountpath) findSpares(dir string) error {
	var found []string
	err := mp.system.ReadDir(dir, func(name []byte, _ EntryKind) error {
		if string(name) != reserveName {
			found = append(found, dir+"/"+string(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range found {
		var room [spareRoom]byte
		n, err := mp.system.GetXattr(path, spareXattr, room[:])
		whole := err == nil && n == spareRoom && room != [spareRoom]byte{} // else earlier releases made it, see makeSpare
		if whole && len(mp.spares.ready) < spareFiles {
			mp.spares.ready = append(mp.spares.ready, path)
		} else if err := mp.system.Unlink(path); err != nil {
			return err
		}
	}
	return nil
}

// makeSpare makes a spare file. Its attribute is like no other: ext4 keeps equal
// blocks of attributes once, and a change of one of them needs a block more.
func (mp *Mountpath) makeSpare(path string) error {
	var room [spareRoom]byte
	_, _ = rand.Read(room[:]) // it never fails
	f, err := mp.system.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	err = f.SetXattr(spareXattr, room[:])
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = mp.system.Unlink(path) // else it is one without room
	}
	return err
}
