package crashfs

import (
	"errors"
	"io"
	"os"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

// file is an open file; node is nil once it is closed or taken.
type file struct {
	system   *System
	node     *node
	path     string
	offset   int64
	dir      bool
	appends  bool
	writable bool
}

func (f *file) Path() string { return f.path }

// Fd is no descriptor: there is none.
func (f *file) Fd() uintptr { return ^uintptr(0) }

func (f *file) call(op faultfs.Op, do func(n *node) error, lose func()) error {
	return f.system.call(faultfs.Call{Op: op, Path: f.path}, func() error {
		if f.node == nil {
			return unix.EBADF
		}
		return do(f.node)
	}, lose)
}

// transfer runs a read or a write, of a part of p if a fault says so.
func (f *file) transfer(op faultfs.Op, p []byte, do func(n *node, p []byte) (int, error)) (done int, err error) {
	c := faultfs.Call{Op: op, Path: f.path, Bytes: len(p)}
	s := f.system
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	var verdict error
	if hook != nil {
		verdict = hook(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return 0, wrapped(c, ErrDown)
	case f.node == nil:
		return 0, wrapped(c, unix.EBADF)
	case errors.Is(verdict, ErrSkip):
		return len(p), nil
	}
	if verdict != nil {
		var fault *Fault
		if errors.As(verdict, &fault) {
			if short := min(fault.Short, len(p)); short > 0 {
				if done, err = do(f.node, p[:short]); err != nil {
					return done, wrapped(c, err)
				}
			}
			verdict = fault.Err
		}
		return done, wrapped(c, verdict)
	}
	done, err = do(f.node, p)
	if errors.Is(err, io.EOF) {
		return done, io.EOF
	}
	return done, wrapped(c, err)
}

func (f *file) Read(p []byte) (int, error) {
	return f.transfer(faultfs.OpRead, p, func(n *node, p []byte) (int, error) {
		if len(p) == 0 {
			return 0, nil
		}
		done, err := n.read(p, f.offset)
		f.offset += int64(done)
		if done > 0 {
			err = nil
		}
		return done, err
	})
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	return f.transfer(faultfs.OpRead, p, func(n *node, p []byte) (int, error) { return n.read(p, off) })
}

func (n *node) read(p []byte, off int64) (done int, err error) {
	if n.kind == fs.KindDir {
		return 0, unix.EISDIR
	}
	if off < int64(len(n.now.data)) {
		done = copy(p, n.now.data[off:])
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (f *file) Write(p []byte) (int, error) {
	return f.transfer(faultfs.OpWrite, p, func(n *node, p []byte) (int, error) {
		if f.appends {
			f.offset = int64(len(n.now.data))
		}
		done, err := f.write(n, p, f.offset)
		f.offset += int64(done)
		return done, err
	})
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.transfer(faultfs.OpWrite, p, func(n *node, p []byte) (int, error) { return f.write(n, p, off) })
}

// write writes what the disk has room for.
func (f *file) write(n *node, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !f.writable {
		return 0, unix.EBADF
	}
	before := n.blocks()
	fits := p
	var failure error
	if end := off + int64(len(p)); end > before {
		grown := (end + pageSize - 1) / pageSize * pageSize
		if room := max(n.disk.size-n.disk.used, 0) / pageSize * pageSize; grown-before > room {
			failure = unix.ENOSPC
			fits = p[:min(max(before+room-off, 0), int64(len(p)))]
		}
	}
	if len(fits) > 0 {
		n.change(&change{kind: changeWrite, offset: off, data: append([]byte{}, fits...)})
		n.now.mtime = f.system.options.Clock().UnixNano()
		n.disk.used += n.blocks() - before
	}
	return len(fits), failure
}

// Close ends the file. A fault changes only what it returns.
func (f *file) Close() error {
	s := f.system
	s.mu.Lock()
	n := f.node
	s.mu.Unlock()
	if n == nil {
		return nil
	}
	err := s.call(faultfs.Call{Op: faultfs.OpClose, Path: f.path}, func() error { return nil }, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.forget()
	if errors.Is(err, ErrDown) {
		return nil // closed with the process
	}
	return err
}

// forget takes the descriptor away.
func (f *file) forget() {
	n := f.node
	if n == nil {
		return
	}
	f.node = nil
	delete(f.system.open, f)
	if n.locked == f {
		n.locked = nil
	}
	n.open--
	if !f.system.down {
		n.release()
	}
}

func (f *file) Stat() (info fs.FileInfo, err error) {
	err = f.call(faultfs.OpStat, func(n *node) error {
		info = n.info()
		return nil
	}, nil)
	return info, err
}

func (f *file) Truncate(size int64) error {
	return f.call(faultfs.OpTruncate, func(n *node) error {
		switch {
		case !f.writable || n.kind == fs.KindDir:
			return unix.EINVAL
		case size < 0:
			return unix.EINVAL
		}
		before := n.blocks()
		if grow := (size+pageSize-1)/pageSize*pageSize - before; grow > max(n.disk.size-n.disk.used, 0) {
			return unix.ENOSPC
		}
		n.truncate(size)
		return nil
	}, nil)
}

func (n *node) truncate(size int64) {
	before := n.blocks()
	if size < int64(len(n.now.data)) {
		n.reserved = min(n.reserved, size)
	}
	n.change(&change{kind: changeSize, size: size})
	n.disk.used += n.blocks() - before
}

func (f *file) Sync() error {
	op := faultfs.OpSync
	if f.dir {
		op = faultfs.OpSyncDir
	}
	return f.sync(op, true)
}

func (f *file) Datasync() error { return f.sync(faultfs.OpDatasync, f.dir) }

func (f *file) sync(op faultfs.Op, all bool) error {
	return f.call(op, func(n *node) error {
		n.sync(all)
		return nil
	}, func() {
		if f.node != nil {
			f.node.drop()
		}
	})
}

func (f *file) StartWriteback(int64, int64) error {
	return f.call(faultfs.OpWriteback, func(*node) error { return nil }, nil)
}

func (f *file) Preallocate(size int64) error {
	return f.call(faultfs.OpPreallocate, func(n *node) error {
		before := n.blocks()
		reserved := max(n.reserved, size)
		if grow := (reserved+pageSize-1)/pageSize*pageSize - before; grow > 0 {
			if err := n.disk.take(grow); err != nil {
				return err
			}
		}
		n.reserved = reserved
		return nil
	}, nil)
}

func (f *file) GetXattr(name string, dst []byte) (length int, err error) {
	err = f.call(faultfs.OpGetXattr, func(n *node) (err error) {
		length, err = n.xattr(name, dst)
		return err
	}, nil)
	return length, err
}

func (f *file) SetXattr(name string, value []byte) error {
	return f.call(faultfs.OpSetXattr, func(n *node) error { return n.setXattr(name, value) }, nil)
}

func (f *file) SetTimes(atime, mtime int64) error {
	return f.call(faultfs.OpSetTimes, func(n *node) error {
		n.setTimes(atime, mtime)
		return nil
	}, nil)
}

// OSFile returns a file of the kernel with a copy of the content.
func (f *file) OSFile() *os.File {
	s := f.system
	s.mu.Lock()
	var content []byte
	if f.node != nil {
		content = append(content, f.node.now.data...)
	}
	f.forget()
	s.mu.Unlock()
	fd, err := unix.MemfdCreate("crashfs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	copied := os.NewFile(uintptr(fd), f.path)
	if _, err := copied.WriteAt(content, 0); err != nil {
		_ = copied.Close() // the write's error is the one that counts
		return nil
	}
	return copied
}
