package fs

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	reserveName = "reserve"
	// reserveMax bounds the reserve of a mountpath; on a small filesystem it is
	// one of reserveShare parts of it.
	reserveMax   = 4 << 20
	reserveShare = 256
	// reserveStep is how much of it is given back at a time: what somebody else
	// may take at the same moment is no more than that.
	reserveStep = 16 << 10
)

// reserve is a file whose blocks are for deletes on a full disk. Its size is what
// is left of it.
type reserve struct {
	size int64
	want int64 // 0: not known yet, or the filesystem cannot preallocate
}

// ReleaseReserve gives a little of the reserve back to the filesystem, for a
// delete that has found no space. It tells whether there was anything to give:
// the delete is worth another try.
func (mp *Mountpath) ReleaseReserve() bool {
	s := &mp.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.reserve
	if r.size == 0 {
		return false
	}
	s.short.Store(true)
	r.size = max(r.size-reserveStep, 0)
	f, err := mp.openReserve()
	if err == nil {
		err = errors.Join(f.Truncate(r.size), f.Close())
	}
	if err != nil {
		mp.manager.log.Warn("the reserve for deletes cannot be used", "mountpath", mp.Path, "err", err)
		r.size = 0
		return false
	}
	return true
}

func (mp *Mountpath) openReserve() (File, error) {
	return mp.system.Open(filepath.Join(mp.Path, SpareDir, reserveName), unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, fileMode)
}

// fillReserve makes the reserve as large as it is to be, once there is plenty of
// space for that. It is called under the lock of the spare files.
func (mp *Mountpath) fillReserve() error {
	r := &mp.spares.reserve
	info, err := mp.system.Statfs(mp.Path)
	if err != nil {
		return err
	}
	if r.want == 0 {
		found, err := mp.system.Stat(filepath.Join(mp.Path, SpareDir, reserveName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.want = min(reserveMax, int64(info.Total/reserveShare)) / reserveStep * reserveStep
		r.size = min(found.Size, r.want)
		if r.size > 0 { // it need not be durable: a loss of power may have taken the blocks
			if err := mp.growReserve(r.size); err != nil {
				return err
			}
		}
	}
	if r.size == r.want {
		return nil
	}
	if int64(info.Available) < 2*r.want {
		return pathError("fallocate", filepath.Join(mp.Path, SpareDir, reserveName), unix.ENOSPC)
	}
	return mp.growReserve(r.want)
}

// growReserve has the filesystem give the reserve its blocks, up to a size.
func (mp *Mountpath) growReserve(size int64) (err error) {
	r := &mp.spares.reserve
	f, err := mp.openReserve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err = f.Truncate(size); err == nil {
		err = f.Preallocate(size)
	}
	if err == nil {
		r.size = size
		return nil
	}
	r.size = 0
	if errors.Is(err, unix.ENOTSUP) {
		r.want, err = 0, nil
	}
	return errors.Join(err, f.Truncate(0))
}
