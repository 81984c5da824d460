package crashfs

import (
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
	"golang.org/x/sys/unix"
)

// ErrDown is the error of every call after Crash or Kill: the machine, or the
// process, is not there any more.
var ErrDown = errors.New("the machine is down")

// Disk is a filesystem of its own.
type Disk struct {
	Path string // absolute; its root directory exists from the start
	Size int64  // bytes, 0: 1 GiB
}

// Options of a System.
type Options struct {
	Disks []Disk
	// Ordered: the data of a file that grew is lost from its end only, as on
	// ext4 with data=ordered and on XFS. Without it pages may be missing
	// anywhere.
	Ordered bool
	// Clock gives the times of files; nil is time.Now.
	Clock func() time.Time
}

// System is a fs.System in memory. It implements fs.System; all methods may be
// called concurrently.
type System struct {
	options Options

	mu      sync.Mutex
	disks   []*disk
	hook    func(faultfs.Call) error
	down    bool
	seq     uint64 // changes
	lastIno uint64
	open    map[*file]struct{}
}

type disk struct {
	system *System
	path   string
	dev    uint64
	size   int64
	used   int64
	root   *node
	dirty  map[*node]struct{}
}

// New makes a system of empty disks. Their root directories are durable.
func New(o Options) *System {
	s := empty(o)
	for i := range o.Disks {
		d := s.addDisk(i)
		d.root = s.newNode(d, fs.KindDir)
		d.used = pageSize
	}
	return s
}

func empty(o Options) *System {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &System{options: o, open: make(map[*file]struct{})}
}

func (s *System) addDisk(i int) *disk {
	d := &disk{
		system: s, path: strings.TrimSuffix(s.options.Disks[i].Path, "/"), dev: uint64(0xc0de00 + i),
		size: s.options.Disks[i].Size, dirty: make(map[*node]struct{}),
	}
	if d.size == 0 {
		d.size = 1 << 30
	}
	s.disks = append(s.disks, d)
	return d
}

func (s *System) newNode(d *disk, kind fs.EntryKind) *node {
	s.lastIno++
	n := &node{ino: s.lastIno, disk: d, kind: kind, mode: 0o644, links: 1}
	if kind == fs.KindDir {
		n.mode = 0o755
		n.now.entries, n.durable.entries = make(map[string]*node), make(map[string]*node)
	}
	at := s.options.Clock().UnixNano()
	n.now.atime, n.now.mtime = at, at
	n.durable.atime, n.durable.mtime = at, at
	return n
}

// Fault is an error that a hook returns to make a call fail.
type Fault struct {
	Err error
	// Short is how many bytes of a write or read are let through.
	Short int
	// Late lets the call happen, and then fails it.
	Late bool
}

func (f *Fault) Error() string { return f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// ErrSkip is what a hook returns to let a call do nothing and succeed: a sync that is
// left out. It is for calls that return nothing else than an error.
var ErrSkip = errors.New("skip the call")

// Before sets a function that is called before every call, without a lock: it
// may block, call Crash or Kill, and fail the call by returning an error (a
// *Fault tells more). A failing sync loses data as the package comment says.
func (s *System) Before(hook func(faultfs.Call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// OpenFiles are the paths of files that were opened and not closed.
func (s *System) OpenFiles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths := make([]string, 0, len(s.open))
	for f := range s.open {
		paths = append(paths, f.path)
	}
	return paths
}

// SetSize changes the size of a disk, to fill it up or to give it room.
func (s *System) SetSize(diskPath string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.disks {
		if d.path == diskPath {
			d.size = size
		}
	}
}

// Used is the space in use on a disk, in bytes.
func (s *System) Used(diskPath string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.disks {
		if d.path == diskPath {
			return d.used
		}
	}
	return 0
}

// call runs one call: the hook, and then do under the lock. sync, if there is
// one, is what is lost if the call fails before it did anything.
func (s *System) call(c faultfs.Call, do func() error, lose func()) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	var verdict error
	if hook != nil {
		verdict = hook(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return wrapped(c, ErrDown)
	}
	var fault *Fault
	switch {
	case verdict == nil:
		return wrapped(c, do())
	case errors.Is(verdict, ErrSkip):
		return nil
	case errors.As(verdict, &fault) && fault.Late:
		_ = do() // the outcome is hidden by the fault
	case lose != nil:
		lose()
	}
	if fault != nil {
		verdict = fault.Err
	}
	return wrapped(c, verdict)
}

func wrapped(c faultfs.Call, err error) error {
	switch {
	case err == nil:
		return nil
	case c.NewPath != "":
		return &os.LinkError{Op: string(c.Op), Old: c.Path, New: c.NewPath, Err: err}
	}
	return &os.PathError{Op: string(c.Op), Path: c.Path, Err: err}
}

// find walks to a path.
func (s *System) find(path string) (*node, error) {
	d, rest, err := s.diskOf(path)
	if err != nil {
		return nil, err
	}
	n := d.root
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if n, err = n.child(name); err != nil {
			return nil, err
		}
		if rest != "" && n.kind != fs.KindDir {
			return nil, unix.ENOTDIR
		}
	}
	return n, nil
}

func (s *System) diskOf(path string) (best *disk, rest string, err error) {
	if err := checkPath(path); err != nil {
		return nil, "", err
	}
	for _, d := range s.disks {
		if (path == d.path || strings.HasPrefix(path, d.path+"/")) && (best == nil || len(d.path) > len(best.path)) {
			best = d
		}
	}
	if best == nil {
		return nil, "", unix.ENOENT
	}
	return best, strings.Trim(path[len(best.path):], "/"), nil
}

// checkPath refuses what no call takes, before anything is looked up.
func checkPath(path string) error {
	switch {
	case strings.IndexByte(path, 0) >= 0:
		return unix.EINVAL
	case len(path) >= 4096:
		return unix.ENAMETOOLONG
	}
	return nil
}

func (n *node) child(name string) (*node, error) {
	switch {
	case n.kind != fs.KindDir:
		return nil, unix.ENOTDIR
	case len(name) > 255:
		return nil, unix.ENAMETOOLONG
	}
	if child := n.now.entries[name]; child != nil {
		return child, nil
	}
	return nil, unix.ENOENT
}

// parent finds the directory of a path, and the last component.
func (s *System) parent(path string) (dir *node, name string, err error) {
	d, rest, err := s.diskOf(path)
	if err != nil {
		return nil, "", err
	}
	if rest == "" {
		return nil, "", unix.EBUSY // the root of a disk
	}
	above := ""
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		above, rest = rest[:i], rest[i+1:]
	}
	dir = d.root
	if above != "" {
		if dir, err = s.find(d.path + "/" + above); err != nil {
			return nil, "", err
		}
	}
	if dir.kind != fs.KindDir {
		return nil, "", unix.ENOTDIR
	}
	return dir, rest, nil
}

// take reserves blocks of a disk.
func (d *disk) take(bytes int64) error {
	if bytes > 0 && d.used+bytes > d.size {
		return unix.ENOSPC
	}
	d.used += bytes
	return nil
}
