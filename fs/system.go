package fs

import (
	"io"
	"os"
)

// System is the file-system interface through which fs and core make every
// call. Unix is the real one; faultfs.System wraps another and injects errors.
// Errors are of type unix.Errno, bare or wrapped in *os.PathError, so that
// errors.Is works with both errnos and io/fs sentinels. A path that contains
// NUL is EINVAL. All methods may be called concurrently.
type System interface {
	// Open opens with open(2) flags; O_CLOEXEC is added. The mode counts
	// only with O_CREAT.
	Open(path string, flags int, mode uint32) (File, error)
	// Rename replaces newpath atomically.
	Rename(oldpath, newpath string) error
	// Link makes newpath a further name of the file oldpath. EEXIST: there
	// is something under that name.
	Link(oldpath, newpath string) error
	// Unlink removes a name that is not a directory.
	Unlink(path string) error
	// Rmdir removes an empty directory.
	Rmdir(path string) error
	Mkdir(path string, mode uint32) error
	// Stat does not follow a symbolic link in the last component.
	Stat(path string) (FileInfo, error)
	// ReadDir calls fn for every entry but "." and "..", in the order of the
	// filesystem. The name is valid during the call only. An error of fn
	// ends the reading and is returned as it is.
	ReadDir(path string, fn func(name []byte, kind EntryKind) error) error
	// GetXattr returns the length of the value. ERANGE: dst is too short.
	// ENODATA: no such attribute.
	GetXattr(path, name string, dst []byte) (int, error)
	SetXattr(path, name string, value []byte) error
	RemoveXattr(path, name string) error
	// SetTimes sets access and modification time, in nanoseconds since the
	// epoch; a negative one is left as it is.
	SetTimes(path string, atime, mtime int64) error
	// Statfs returns the filesystem's figures.
	Statfs(path string) (FilesystemInfo, error)
	// Flock takes an exclusive lock on an open file without waiting;
	// EWOULDBLOCK: another open file holds it.
	Flock(f File) error
	// Syncfs writes the whole filesystem of an open file to stable storage.
	Syncfs(f File) error
	// SyncfsReportsErrors tells whether Syncfs returns the write-back errors
	// of files since f was opened (Linux 5.8 and later).
	SyncfsReportsErrors() bool
}

// File is an open file. It is not registered with the runtime's poller: a
// call blocks its thread, as regular files do in any case. Close ends it;
// Close of a File whose descriptor was taken by OSFile does nothing.
type File interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Path is the path that it was opened with.
	Path() string
	Fd() uintptr
	Stat() (FileInfo, error)
	Truncate(size int64) error
	// Sync makes data and all metadata (extended attributes included)
	// durable.
	Sync() error
	// Datasync makes data and the size durable. Extended attributes are
	// not covered on every filesystem (ext4 leaves them out).
	Datasync() error
	// StartWriteback asks the kernel to begin writing a range and does not
	// wait; length 0 is to the end.
	StartWriteback(offset, length int64) error
	// Preallocate reserves blocks for [0, size) without changing the size.
	// ENOTSUP where the filesystem cannot.
	Preallocate(size int64) error
	GetXattr(name string, dst []byte) (int, error)
	SetXattr(name string, value []byte) error
	SetTimes(atime, mtime int64) error
	// OSFile returns an *os.File that has taken over the descriptor, for
	// sendfile. The caller closes it; only Path may be used on the File
	// afterwards.
	OSFile() *os.File
}

// Reopener is a System that can use a closed File again, so that opening does
// not allocate, and that opens what was opened before without waiting.
type Reopener interface {
	// Reopen is Open for reading. It may return f, which is closed and which
	// nobody else uses, as the new File. dev is the device on which the file
	// was when it was opened before: how it is opened depends on it, what is
	// opened does not.
	Reopen(f File, path string, flags int, dev uint64) (File, error)
}

// Reopen opens a file for reading like System.Open, and uses f again if it can:
// a closed File of the same System, or nil. dev is that of Reopener.
func Reopen(s System, f File, path string, flags int, dev uint64) (File, error) {
	if f != nil {
		if r, ok := s.(Reopener); ok {
			return r.Reopen(f, path, flags, dev)
		}
	}
	return s.Open(path, flags, 0)
}

// EntryKind is the type of a directory entry.
type EntryKind uint8

// Kinds of directory entries. KindUnknown: the filesystem does not tell, ask
// Stat.
const (
	KindUnknown EntryKind = iota
	KindFile
	KindDir
	KindOther
)

// FileInfo is what stat(2) tells. Times are nanoseconds since the epoch.
type FileInfo struct {
	Size  int64
	Dev   uint64
	Inode uint64
	Links uint64
	Atime int64
	Mtime int64
	Ctime int64  // last change of content, attributes or name
	Mode  uint32 // permissions only
	Kind  EntryKind
}

// FilesystemInfo is what statfs(2) tells, in bytes where it is sizes.
type FilesystemInfo struct {
	Total     uint64
	Free      uint64 // to the superuser
	Available uint64 // to everybody else
	FilesFree uint64
	ID        [2]int32
	Type      int64 // magic number
	ReadOnly  bool
}
