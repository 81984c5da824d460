package fs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// Mountpath is one directory that holds objects, normally the root of one
// disk's filesystem. It is immutable but for its counters.
type Mountpath struct {
	Path   string
	Label  string
	ID     string // random, made at first attach, kept in the id record
	Digest uint64 // placement digest, made at first attach

	manager    *Manager
	system     System
	filesystem *Filesystem
	name       string // String()

	looking   atomic.Bool // somebody looks whether the root is there
	limit     int64       // of operations under way
	workCount atomic.Uint64
	workRun   string // random, one a start: old work files are told by it
	process   int64  // this one's id

	spares spares
	flight flight
	hangs  hangs // of the watch alone
}

// Filesystem is the filesystem that the mountpath lies on; mountpaths of one
// filesystem share it and its flush rounds.
func (mp *Mountpath) Filesystem() *Filesystem { return mp.filesystem }

// System is what every call on the mountpath's files goes through.
func (mp *Mountpath) System() System { return mp.system }

// String is the form that clients see: "mp[/path, [sda]]", "mp[/path]" when
// the disks are not known.
func (mp *Mountpath) String() string { return mp.name }

func mountpathName(path string, disks []string) string {
	if len(disks) == 0 {
		return "mp[" + path + "]"
	}
	return "mp[" + path + ", [" + strings.Join(disks, " ") + "]]"
}

// CreateBucket makes the bucket's directories; those that exist are kept. They
// are durable when it returns. For a bucket that is complete it costs one stat
// a directory and no flush, so that a start with many buckets is quick.
func (mp *Mountpath) CreateBucket(b wire.Bck) error {
	dirs := make([]string, 0, len(contentTypes))
	for _, content := range contentTypes {
		dir := mp.BucketDir(b, content)
		if info, err := mp.system.Stat(dir); err == nil && info.Kind == KindDir && !mp.filesystem.fresh.has(dir) {
			continue
		}
		if err := mp.MakeDirs(dir); err != nil {
			return mp.IOError("create bucket "+b.String(), err)
		}
		dirs = append(dirs, dir)
	}
	return mp.filesystem.Flush(context.Background(), FlushRequest{Dirs: dirs})
}

// BucketExists tells whether the bucket has a directory on the mountpath.
func (mp *Mountpath) BucketExists(b wire.Bck) (bool, error) {
	_, err := mp.system.Stat(mp.BucketDir(b, ""))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// MakeDirs makes a directory and its missing parents below the mountpath. The
// next Flush that names the directory, or one below it, makes the whole chain
// durable. ENOTDIR: a file stands in the way. It never makes the mountpath's
// own root: a root that is gone is an unmounted disk.
func (mp *Mountpath) MakeDirs(dir string) error {
	if dir != mp.Path && !strings.HasPrefix(dir, mp.Path+"/") {
		return pathError("mkdir", dir, unix.EXDEV)
	}
	return mp.makeDirs(dir)
}

// MakeDurableDirs is MakeDirs for a directory into which something is to be renamed that
// is durable where it lies: when it returns nil the name of the directory is on stable
// storage, and those above it, so that a loss of power cannot take away the directory
// with what was renamed into it. Where they are known to be, it costs one stat.
func (mp *Mountpath) MakeDurableDirs(ctx context.Context, dir string) error {
	if info, err := mp.system.Stat(dir); err != nil || info.Kind != KindDir {
		if err := mp.MakeDirs(dir); err != nil {
			return err
		}
	}
	for above := dir; len(above) > len(mp.Path); above = filepath.Dir(above) {
		if mp.filesystem.fresh.has(above) {
			return mp.filesystem.Flush(ctx, FlushRequest{Dirs: []string{dir}})
		}
	}
	return nil
}

func (mp *Mountpath) makeDirs(dir string) error {
	if dir == mp.Path {
		_, err := mp.system.Stat(dir)
		return err
	}
	mp.filesystem.beforeMkdir(dir)
	err := mp.mkdir(dir)
	for tries := 1; errors.Is(err, errVanished); tries++ {
		if tries == maxMkdirTries { // whoever makes a file of that name has it
			err = pathError("mkdir", dir, unix.ENOTDIR)
			break
		}
		err = mp.mkdir(dir)
	}
	// A disk that fails may have made it all the same.
	mayExist := err == nil || !errors.Is(err, fs.ErrNotExist) && !IsNameProblem(err)
	mp.filesystem.afterMkdir(dir, mayExist)
	return err
}

// errVanished: a file that was where a directory is wanted has gone meanwhile.
var errVanished = errors.New("not there any more")

const maxMkdirTries = 4

// mkdir makes a directory, and those above it, or finds it there.
func (mp *Mountpath) mkdir(dir string) error {
	err := mp.system.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = mp.makeDirs(filepath.Dir(dir)); err == nil {
			err = mp.system.Mkdir(dir, dirMode)
		}
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := mp.system.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errVanished
	case err == nil && info.Kind != KindDir:
		return pathError("mkdir", dir, unix.ENOTDIR)
	}
	return err
}

const (
	dirMode  = 0o755
	fileMode = 0o644
)

// maxWorkTag bounds the tag of a work file's name.
const maxWorkTag = 24

// NewWork creates a work file of a bucket, open for reading and writing. Its
// name, "<tag>.<run>.<count>.<process id>", has a bounded length whatever the
// object's name. The tag says what is going on: "put", "cold", ... The caller
// renames or unlinks the file and closes it. ENOENT: the bucket has no
// directories here.
func (mp *Mountpath) NewWork(b wire.Bck, tag string) (path string, f File, err error) {
	if len(tag) > maxWorkTag {
		tag = tag[:maxWorkTag]
	}
	var stack [pathBuffer]byte
	buf := appendBucketPath(append(stack[:0], mp.Path...), b)
	buf = append(buf, "/"+ContentWork+"/"...)
	buf = append(buf, tag...)
	buf = append(buf, '.')
	buf = append(buf, mp.workRun...)
	buf = append(buf, '.')
	buf = strconv.AppendUint(buf, mp.workCount.Add(1), 16)
	buf = append(buf, '.')
	buf = strconv.AppendInt(buf, mp.process, 16)
	path = string(buf)
	age := mp.Begin()
	f, err = mp.system.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, fileMode)
	mp.End(age)
	if err != nil {
		return "", nil, err
	}
	return path, f, nil
}

// Walk calls fn for the objects of a bucket on this mountpath in the bytewise
// order of their names (see WalkOptions).
func (mp *Mountpath) Walk(ctx context.Context, b wire.Bck, opts WalkOptions, fn func(WalkEntry) error) error {
	return walkBucket(ctx, mp, b, opts, fn)
}

// randomHex returns n random bytes in hex.
func randomHex(n int) string {
	buf := make([]byte, n)
	_, _ = rand.Read(buf) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(buf)
}
