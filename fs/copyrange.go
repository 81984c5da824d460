package fs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// rangeCopier is a File whose content the kernel can copy into another one.
type rangeCopier interface {
	copyRange(from File, offset, length int64) (int64, error)
}

// CopyRange lets the kernel copy a range of one file to the same place of
// another: filesystems that can do so share the blocks, all others copy without
// a detour through this process. It returns how much was copied, which may be
// less than asked for. ok is false if these files cannot be copied so; then
// nothing was, and the caller has to read and write.
func CopyRange(to, from File, offset, length int64) (n int64, ok bool, err error) {
	copier, can := to.(rangeCopier)
	if !can {
		return 0, false, nil
	}
	n, err = copier.copyRange(from, offset, length)
	switch {
	case err == nil:
		return n, true, nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL),
		errors.Is(err, unix.EPERM), errors.Is(err, unix.EBADF):
		return 0, false, nil
	}
	return 0, true, err
}

func (f *unixFile) copyRange(from File, offset, length int64) (int64, error) {
	source, ok := from.(*unixFile)
	if !ok {
		return 0, unix.ENOSYS
	}
	in, out := offset, offset
	for {
		n, err := unix.CopyFileRange(source.fd, &in, f.fd, &out, int(min(length, 1<<30)), 0)
		if err == unix.EINTR {
			continue
		}
		return int64(n), pathError("copy_file_range", f.path, err)
	}
}
