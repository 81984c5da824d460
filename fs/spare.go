package fs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// A DELETE that has to leave a record in the object's place (a tombstone, a
// delete marker) needs a file for it, which a full disk cannot give; and until
// the DELETE is done the disk stays full. So a few empty files with room for a
// record lie ready on each mountpath. One that takes the place of an object
// needs no block: neither for itself nor for the name, which is there.

const (
	// SpareDir holds the spare files of a mountpath.
	SpareDir   = ".ais.spare"
	spareFiles = 4
	// spareXattr takes so much room that the filesystem gives the file a block
	// for attributes, in which the record fits beside it.
	spareXattr = "user.ais.spare"
	spareRoom  = 512 // bytes
)

// spares are the spare files that nobody has taken.
type spares struct {
	mu     sync.Mutex
	looked bool     // those of the process before are known
	ready  []string // paths
	made   uint64
}

// TakeSpare returns an empty file of the mountpath that was made while there
// was space, open for reading and writing. It is the caller's, as one of
// NewWork is. ENOSPC: there is none.
func (mp *Mountpath) TakeSpare() (path string, f File, err error) {
	s := &mp.spares
	s.mu.Lock()
	defer s.mu.Unlock()
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

// FillSpares makes the spare files that are missing, as far as there is space.
// They need not be durable: the next start makes them again.
func (mp *Mountpath) FillSpares() {
	s := &mp.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) >= spareFiles {
		return
	}
	dir := filepath.Join(mp.Path, SpareDir)
	err := mp.system.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil && !s.looked {
		err = mp.findSpares(dir)
		s.looked = err == nil
	}
	for err == nil && len(s.ready) < spareFiles {
		s.made++
		path := dir + "/" + mp.workRun + "." + strconv.FormatUint(s.made, 16)
		if err = mp.makeSpare(path); err == nil {
			s.ready = append(s.ready, path)
		}
	}
	if err != nil {
		mp.manager.log.Debug("spare files cannot be made", "mountpath", mp.Path, "count", len(s.ready), "err", err)
	}
}

// findSpares takes over what the process before has left, as far as it is whole
// and not too much.
func (mp *Mountpath) findSpares(dir string) error {
	var found []string
	err := mp.system.ReadDir(dir, func(name []byte, _ EntryKind) error {
		found = append(found, dir+"/"+string(name))
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range found {
		var room [spareRoom]byte
		n, err := mp.system.GetXattr(path, spareXattr, room[:])
		if err == nil && n == spareRoom && len(mp.spares.ready) < spareFiles {
			mp.spares.ready = append(mp.spares.ready, path)
		} else if err := mp.system.Unlink(path); err != nil {
			return err
		}
	}
	return nil
}

func (mp *Mountpath) makeSpare(path string) error {
	f, err := mp.system.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	err = f.SetXattr(spareXattr, make([]byte, spareRoom))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = mp.system.Unlink(path) // else it is one without room
	}
	return err
}
