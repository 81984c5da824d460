package crashfs

import (
	"slices"
	"strings"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

// Open opens with the flags of open(2); O_DIRECT, O_NOATIME and O_NOFOLLOW
// change nothing here.
func (s *System) Open(path string, flags int, mode uint32) (fs.File, error) {
	op := faultfs.OpOpen
	if flags&unix.O_CREAT != 0 {
		op = faultfs.OpCreate
	}
	var f *file
	err := s.call(faultfs.Call{Op: op, Path: path}, func() (err error) {
		f, err = s.openNode(path, flags, mode)
		return err
	}, nil)
	if err != nil {
		if f != nil {
			_ = f.Close() // a late fault: the file is there, the caller has no handle
		}
		return nil, err
	}
	return f, nil
}

func (s *System) openNode(path string, flags int, mode uint32) (*file, error) {
	writing := flags&unix.O_ACCMODE != unix.O_RDONLY
	n, err := s.find(path)
	switch {
	case err == nil && flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL:
		return nil, unix.EEXIST
	case err == nil && n.kind == fs.KindDir && (writing || flags&unix.O_CREAT != 0):
		return nil, unix.EISDIR
	case err == nil && n.kind != fs.KindDir && flags&unix.O_DIRECTORY != 0:
		return nil, unix.ENOTDIR
	case err == unix.ENOENT && flags&unix.O_CREAT != 0: //nolint:errorlint // bare, of this package
		dir, name, err := s.parent(path)
		if err != nil {
			return nil, err
		}
		n = s.newNode(dir.disk, fs.KindFile)
		n.mode = mode & 0o7777
		dir.change(&change{kind: changeEntry, name: name, target: n})
	case err != nil:
		return nil, err
	}
	if flags&unix.O_TRUNC != 0 && writing {
		n.truncate(0)
	}
	n.open++
	f := &file{system: s, node: n, path: path, dir: n.kind == fs.KindDir, appends: flags&unix.O_APPEND != 0, writable: writing}
	s.open[f] = struct{}{}
	return f, nil
}

// Rename replaces newpath atomically.
func (s *System) Rename(oldpath, newpath string) error {
	return s.call(faultfs.Call{Op: faultfs.OpRename, Path: oldpath, NewPath: newpath}, func() error {
		return s.rename(oldpath, newpath)
	}, nil)
}

func (s *System) rename(oldpath, newpath string) error {
	if err := checkPath(newpath); err != nil {
		return err
	}
	from, oldName, err := s.parent(oldpath)
	if err != nil {
		return err
	}
	to, newName, err := s.parent(newpath)
	switch {
	case err != nil:
		return err
	case to.disk != from.disk:
		return unix.EXDEV
	}
	moved, err := from.child(oldName)
	if err != nil {
		return err
	}
	replaced, err := to.child(newName)
	switch {
	case err != nil && err != unix.ENOENT: //nolint:errorlint // bare, of this package
		return err
	case replaced == moved:
		return nil // two names of one file: nothing happens
	case moved.kind == fs.KindDir && strings.HasPrefix(newpath+"/", oldpath+"/"):
		return unix.EINVAL
	case replaced != nil && replaced.kind == fs.KindDir && strings.HasPrefix(oldpath+"/", newpath+"/"):
		return unix.ENOTEMPTY
	case replaced == nil:
	case replaced.kind == fs.KindDir && moved.kind != fs.KindDir:
		return unix.EISDIR
	case replaced.kind != fs.KindDir && moved.kind == fs.KindDir:
		return unix.ENOTDIR
	case replaced.kind == fs.KindDir && len(replaced.now.entries) > 0:
		return unix.ENOTEMPTY
	}
	appears := &change{kind: changeEntry, name: newName, target: moved}
	vanishes := &change{kind: changeEntry, name: oldName, peer: appears}
	appears.peer = vanishes
	to.change(appears)
	from.change(vanishes)
	if replaced != nil {
		replaced.unlinked()
	}
	return nil
}

// Link makes newpath a further name of the file oldpath.
func (s *System) Link(oldpath, newpath string) error {
	return s.call(faultfs.Call{Op: faultfs.OpLink, Path: oldpath, NewPath: newpath}, func() error {
		if err := checkPath(newpath); err != nil {
			return err
		}
		n, err := s.find(oldpath)
		if err != nil {
			return err
		}
		to, name, err := s.parent(newpath)
		if err != nil {
			return err
		}
		switch _, err := to.child(name); {
		case err == nil:
			return unix.EEXIST
		case err != unix.ENOENT: //nolint:errorlint // bare, of this package
			return err
		case to.disk != n.disk:
			return unix.EXDEV
		case n.kind == fs.KindDir:
			return unix.EPERM
		}
		to.change(&change{kind: changeEntry, name: name, target: n})
		n.links++
		return nil
	}, nil)
}

// unlinked takes a name away.
func (n *node) unlinked() {
	n.links--
	if n.kind == fs.KindDir {
		n.disk.used -= pageSize
	}
	n.release()
}

// Unlink removes a name that is not a directory.
func (s *System) Unlink(path string) error {
	return s.remove(faultfs.Call{Op: faultfs.OpUnlink, Path: path}, func(n *node) error {
		if n.kind == fs.KindDir {
			return unix.EISDIR
		}
		return nil
	})
}

// Rmdir removes an empty directory.
func (s *System) Rmdir(path string) error {
	return s.remove(faultfs.Call{Op: faultfs.OpRmdir, Path: path}, func(n *node) error {
		switch {
		case n.kind != fs.KindDir:
			return unix.ENOTDIR
		case len(n.now.entries) > 0:
			return unix.ENOTEMPTY
		}
		return nil
	})
}

func (s *System) remove(c faultfs.Call, check func(*node) error) error {
	return s.call(c, func() error {
		dir, name, err := s.parent(c.Path)
		if err != nil {
			return err
		}
		n, err := dir.child(name)
		if err != nil {
			return err
		}
		if err := check(n); err != nil {
			return err
		}
		dir.change(&change{kind: changeEntry, name: name})
		n.unlinked()
		return nil
	}, nil)
}

// Mkdir makes a directory; it takes a block.
func (s *System) Mkdir(path string, mode uint32) error {
	return s.call(faultfs.Call{Op: faultfs.OpMkdir, Path: path}, func() error {
		switch _, err := s.find(path); {
		case err == nil:
			return unix.EEXIST
		case err != unix.ENOENT: //nolint:errorlint // bare, of this package
			return err
		}
		dir, name, err := s.parent(path)
		if err != nil {
			return err
		}
		if err := dir.disk.take(pageSize); err != nil {
			return err
		}
		n := s.newNode(dir.disk, fs.KindDir)
		n.mode = mode & 0o7777
		dir.change(&change{kind: changeEntry, name: name, target: n})
		return nil
	}, nil)
}

// Stat tells of a path.
func (s *System) Stat(path string) (info fs.FileInfo, err error) {
	err = s.onNode(faultfs.OpStat, path, func(n *node) error {
		info = n.info()
		return nil
	})
	return info, err
}

func (s *System) onNode(op faultfs.Op, path string, do func(*node) error) error {
	return s.call(faultfs.Call{Op: op, Path: path}, func() error {
		n, err := s.find(path)
		if err != nil {
			return err
		}
		return do(n)
	}, nil)
}

// ReadDir calls fn for every entry, by name.
func (s *System) ReadDir(path string, fn func(name []byte, kind fs.EntryKind) error) error {
	type entry struct {
		name string
		kind fs.EntryKind
	}
	var entries []entry
	err := s.onNode(faultfs.OpReadDir, path, func(n *node) error {
		if n.kind != fs.KindDir {
			return unix.ENOTDIR
		}
		for name, child := range n.now.entries {
			entries = append(entries, entry{name, child.kind})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for _, e := range entries {
		if err := fn([]byte(e.name), e.kind); err != nil {
			return err
		}
	}
	return nil
}

// GetXattr returns the length of an attribute's value.
func (s *System) GetXattr(path, name string, dst []byte) (length int, err error) {
	err = s.onNode(faultfs.OpGetXattr, path, func(n *node) (err error) {
		length, err = n.xattr(name, dst)
		return err
	})
	return length, err
}

func (n *node) xattr(name string, dst []byte) (int, error) {
	value, ok := n.now.xattrs[name]
	switch {
	case !ok:
		return 0, unix.ENODATA
	case len(dst) > 0 && len(value) > len(dst):
		return 0, unix.ERANGE
	}
	copy(dst, value)
	return len(value), nil
}

// maxXattrs is the room for all attributes of a file, as on ext4.
const maxXattrs = 4000

func (n *node) setXattr(name string, value []byte) error {
	total := len(name) + len(value)
	for other, v := range n.now.xattrs {
		if other != name {
			total += len(other) + len(v)
		}
	}
	if total > maxXattrs {
		return unix.ENOSPC
	}
	n.change(&change{kind: changeXattr, name: name, data: append([]byte{}, value...)})
	return nil
}

// SetXattr sets an attribute; all of a file have 4,000 bytes together.
func (s *System) SetXattr(path, name string, value []byte) error {
	return s.onNode(faultfs.OpSetXattr, path, func(n *node) error { return n.setXattr(name, value) })
}

// RemoveXattr removes an attribute.
func (s *System) RemoveXattr(path, name string) error {
	return s.onNode(faultfs.OpRemoveXattr, path, func(n *node) error {
		if _, ok := n.now.xattrs[name]; !ok {
			return unix.ENODATA
		}
		n.change(&change{kind: changeXattr, name: name})
		return nil
	})
}

// SetTimes sets the times; a negative one is left as it is.
func (s *System) SetTimes(path string, atime, mtime int64) error {
	return s.onNode(faultfs.OpSetTimes, path, func(n *node) error {
		n.setTimes(atime, mtime)
		return nil
	})
}

func (n *node) setTimes(atime, mtime int64) {
	if atime < 0 {
		atime = n.now.atime
	}
	if mtime < 0 {
		mtime = n.now.mtime
	}
	n.change(&change{kind: changeTimes, times: [2]int64{atime, mtime}})
}

// Statfs tells of the disk of a path.
func (s *System) Statfs(path string) (info fs.FilesystemInfo, err error) {
	err = s.onNode(faultfs.OpStatfs, path, func(n *node) error {
		free := uint64(max(n.disk.size-n.disk.used, 0))
		info = fs.FilesystemInfo{
			Total: uint64(n.disk.size), Free: free, Available: free, FilesFree: 1 << 20, ID: [2]int32{int32(n.disk.dev)}, Type: 0xc0de,
		}
		return nil
	})
	return info, err
}

// Flock takes the exclusive lock of an open file.
func (s *System) Flock(f fs.File) error {
	return s.call(faultfs.Call{Op: faultfs.OpFlock, Path: f.Path()}, func() error {
		own, ok := f.(*file)
		switch {
		case !ok || own.node == nil:
			return unix.EBADF
		case own.node.locked != nil && own.node.locked != own:
			return unix.EWOULDBLOCK
		}
		own.node.locked = own
		return nil
	}, nil)
}

// Syncfs makes everything on the disk of an open file durable.
func (s *System) Syncfs(f fs.File) error {
	own, ok := f.(*file)
	if !ok || own.node == nil {
		return wrapped(faultfs.Call{Op: faultfs.OpSyncfs, Path: f.Path()}, unix.EBADF)
	}
	d := own.node.disk
	return s.call(faultfs.Call{Op: faultfs.OpSyncfs, Path: f.Path()}, func() error {
		for n := range d.dirty {
			n.sync(true)
		}
		clear(d.dirty)
		return nil
	}, func() {
		for n := range d.dirty {
			n.drop()
		}
	})
}

// SyncfsReportsErrors is true.
func (s *System) SyncfsReportsErrors() bool { return true }
