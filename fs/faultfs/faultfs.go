// Package faultfs is a fs.System that wraps another one, records every call,
// and makes chosen calls fail: the n-th write gets ENOSPC, every fsync below a
// path gets EIO, a write stops short. It is for tests of fs and of what stands
// on it; it holds nothing that a running node needs.
package faultfs

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/aistore-go/aistore/fs"
	"golang.org/x/sys/unix"
)

// Op names a call. The calls on an open file have the path that it was opened
// with.
type Op string

// Calls. OpCreate is an open with O_CREAT, OpOpen one without; OpSyncDir is an
// fsync of what was opened with O_DIRECTORY; OpSend is one call that reads through
// the descriptor, of as much as the socket takes.
const (
	OpOpen        Op = "open"
	OpCreate      Op = "create"
	OpRename      Op = "rename"
	OpLink        Op = "link"
	OpUnlink      Op = "unlink"
	OpRmdir       Op = "rmdir"
	OpMkdir       Op = "mkdir"
	OpStat        Op = "stat"
	OpReadDir     Op = "readdir"
	OpGetXattr    Op = "getxattr"
	OpSetXattr    Op = "setxattr"
	OpRemoveXattr Op = "removexattr"
	OpSetTimes    Op = "settimes"
	OpStatfs      Op = "statfs"
	OpFlock       Op = "flock"
	OpSyncfs      Op = "syncfs"
	OpRead        Op = "read"
	OpSend        Op = "sendfile"
	OpWrite       Op = "write"
	OpSync        Op = "fsync"
	OpSyncDir     Op = "fsyncdir"
	OpDatasync    Op = "fdatasync"
	OpWriteback   Op = "writeback"
	OpTruncate    Op = "truncate"
	OpPreallocate Op = "preallocate"
	OpClose       Op = "close"
)

// Call is one recorded call.
type Call struct {
	Op      Op
	Path    string
	NewPath string // of a rename
	Bytes   int    // of a read or write: what was asked for
	Err     error  // as returned, injected or real
}

// String is "op path [-> path] [error]".
func (c Call) String() string {
	s := string(c.Op) + " " + c.Path
	if c.NewPath != "" {
		s += " -> " + c.NewPath
	}
	if c.Err != nil {
		s += " (" + c.Err.Error() + ")"
	}
	return s
}

// Fault makes calls fail. The zero values of Op and Path match any.
type Fault struct {
	Op   Op
	Path string // substring of the path (for a rename: of either path)
	Nth  int    // the first matching call that fails, from 1; 0 is 1
	// Times is how many matching calls fail from then on; 0 is 1, negative
	// is all.
	Times int
	// Err is what the call returns, wrapped as the real system does it. Nil
	// with a write: the write stops short with io.ErrShortWrite.
	Err error
	// Short is how many bytes of a write or read are let through before it
	// fails.
	Short int
	// Late lets the call happen and then fails it: an fsync that did its
	// work, a rename that took place.
	Late bool
}

// call is a recorded call, which may be under way.
type call struct {
	Call
	returned bool
}

type armedFault struct {
	Fault
	seen int
}

// System wraps another fs.System.
type System struct {
	inner fs.System

	mu     sync.Mutex
	faults []*armedFault
	calls  []*call // in the order in which they began
	before func(Call)
	silent bool
	syncfs *bool
}

// New wraps a system; nil is the real one.
func New(inner fs.System) *System {
	if inner == nil {
		inner = fs.Unix()
	}
	return &System{inner: inner}
}

// Inject arms a fault. Several may be armed; the first that matches counts.
func (s *System) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &armedFault{Fault: f})
}

// Restart forgets all calls, also those under way, and arms a fault, the only
// one, as one step: the n-th call recorded from here on is the n-th that it sees.
func (s *System) Restart(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
	s.faults = []*armedFault{{Fault: f}}
}

// Heal disarms all faults.
func (s *System) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Before sets a function that is called before every call, with no lock held:
// it may block, to hold a disk up. Nil removes it.
func (s *System) Before(fn func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = fn
}

// SetSyncfsReportsErrors overrides the answer of the wrapped system.
func (s *System) SetSyncfsReportsErrors(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncfs = &yes
}

// Calls returns what was called since the start or the last Reset, in the
// order in which the calls began; one that has not returned yet has no error.
func (s *System) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = c.Call
	}
	return calls
}

// Reset forgets the calls that have returned; those under way stay, also the
// one that a function of Before is called for.
func (s *System) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = slices.DeleteFunc(s.calls, func(c *call) bool { return c.returned })
}

// Record switches the recording of calls (on at first); long tests switch it
// off.
func (s *System) Record(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = !on
}

// Count is the number of recorded calls of a kind whose path contains a
// substring.
func (s *System) Count(op Op, path string) int {
	n := 0
	for _, c := range s.Calls() {
		if (op == "" || c.Op == op) && (strings.Contains(c.Path, path) || strings.Contains(c.NewPath, path)) {
			n++
		}
	}
	return n
}

// begin records a call and tells whether it fails. Recording and counting are
// one step, so that the n-th call recorded is the n-th that faults have seen
// even while calls of other goroutines are under way.
func (s *System) begin(c *call) *Fault {
	s.mu.Lock()
	if !s.silent {
		s.calls = append(s.calls, c)
	}
	before := s.before
	var found *Fault
	for _, f := range s.faults {
		if f.Op != "" && f.Op != c.Op || !strings.Contains(c.Path, f.Path) && !strings.Contains(c.NewPath, f.Path) {
			continue
		}
		f.seen++
		first := max(f.Nth, 1)
		if f.seen < first || f.Times >= 0 && f.seen >= first+max(f.Times, 1) {
			continue
		}
		fault := f.Fault
		found = &fault
		break
	}
	s.mu.Unlock()
	if before != nil {
		before(c.Call)
	}
	return found
}

// end notes what a call returned.
func (s *System) end(c *call, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Err, c.returned = err, true
	return err
}

func (f *Fault) error(c *call) error {
	err := f.Err
	if err == nil {
		err = io.ErrShortWrite
	}
	return &os.PathError{Op: string(c.Op), Path: c.Path, Err: err}
}

// do runs a call that moves no bytes.
func (s *System) do(described Call, invoke func() error) error {
	c := &call{Call: described}
	fault := s.begin(c)
	if fault == nil {
		return s.end(c, invoke())
	}
	if fault.Late {
		_ = invoke() // the outcome is hidden by the fault
	}
	return s.end(c, fault.error(c))
}

func (s *System) Open(path string, flags int, mode uint32) (fs.File, error) {
	op := OpOpen
	if flags&unix.O_CREAT != 0 {
		op = OpCreate
	}
	var f fs.File
	err := s.do(Call{Op: op, Path: path}, func() (err error) {
		f, err = s.inner.Open(path, flags, mode)
		return err
	})
	if err != nil {
		if f != nil {
			_ = f.Close() // a late fault: the file is there, the caller has no handle
		}
		return nil, err
	}
	return &file{File: f, system: s, dir: flags&unix.O_DIRECTORY != 0}, nil
}

func (s *System) Rename(oldpath, newpath string) error {
	return s.do(Call{Op: OpRename, Path: oldpath, NewPath: newpath}, func() error { return s.inner.Rename(oldpath, newpath) })
}

func (s *System) Link(oldpath, newpath string) error {
	return s.do(Call{Op: OpLink, Path: oldpath, NewPath: newpath}, func() error { return s.inner.Link(oldpath, newpath) })
}

func (s *System) Unlink(path string) error {
	return s.do(Call{Op: OpUnlink, Path: path}, func() error { return s.inner.Unlink(path) })
}

func (s *System) Rmdir(path string) error {
	return s.do(Call{Op: OpRmdir, Path: path}, func() error { return s.inner.Rmdir(path) })
}

func (s *System) Mkdir(path string, mode uint32) error {
	return s.do(Call{Op: OpMkdir, Path: path}, func() error { return s.inner.Mkdir(path, mode) })
}

func (s *System) Stat(path string) (info fs.FileInfo, err error) {
	err = s.do(Call{Op: OpStat, Path: path}, func() error { info, err = s.inner.Stat(path); return err })
	return info, err
}

func (s *System) ReadDir(path string, fn func(name []byte, kind fs.EntryKind) error) error {
	return s.do(Call{Op: OpReadDir, Path: path}, func() error { return s.inner.ReadDir(path, fn) })
}

func (s *System) GetXattr(path, name string, dst []byte) (n int, err error) {
	err = s.do(Call{Op: OpGetXattr, Path: path}, func() error { n, err = s.inner.GetXattr(path, name, dst); return err })
	return n, err
}

func (s *System) SetXattr(path, name string, value []byte) error {
	return s.do(Call{Op: OpSetXattr, Path: path}, func() error { return s.inner.SetXattr(path, name, value) })
}

func (s *System) RemoveXattr(path, name string) error {
	return s.do(Call{Op: OpRemoveXattr, Path: path}, func() error { return s.inner.RemoveXattr(path, name) })
}

func (s *System) SetTimes(path string, atime, mtime int64) error {
	return s.do(Call{Op: OpSetTimes, Path: path}, func() error { return s.inner.SetTimes(path, atime, mtime) })
}

func (s *System) Statfs(path string) (info fs.FilesystemInfo, err error) {
	err = s.do(Call{Op: OpStatfs, Path: path}, func() error { info, err = s.inner.Statfs(path); return err })
	return info, err
}

func (s *System) Flock(f fs.File) error {
	return s.do(Call{Op: OpFlock, Path: f.Path()}, func() error { return s.inner.Flock(unwrap(f)) })
}

func (s *System) Syncfs(f fs.File) error {
	return s.do(Call{Op: OpSyncfs, Path: f.Path()}, func() error { return s.inner.Syncfs(unwrap(f)) })
}

func (s *System) SyncfsReportsErrors() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.syncfs != nil {
		return *s.syncfs
	}
	return s.inner.SyncfsReportsErrors()
}

func unwrap(f fs.File) fs.File {
	if wrapped, ok := f.(*file); ok {
		return wrapped.File
	}
	return f
}

// file records and fails the calls on an open file; Fd, Path and OSFile pass
// through.
type file struct {
	fs.File
	system *System
	dir    bool
}

func (f *file) call(op Op) Call { return Call{Op: op, Path: f.Path()} }

// transfer runs a read or write, cut short if a fault says so.
func (f *file) transfer(op Op, p []byte, invoke func([]byte) (int, error)) (n int, err error) {
	c := &call{Call: f.call(op)}
	c.Bytes = len(p)
	fault := f.system.begin(c)
	if fault == nil {
		n, err = invoke(p)
		return n, f.system.end(c, err)
	}
	if short := min(fault.Short, len(p)); short > 0 {
		if n, err = invoke(p[:short]); err != nil {
			return n, f.system.end(c, err)
		}
	}
	return n, f.system.end(c, fault.error(c))
}

func (f *file) Read(p []byte) (int, error) { return f.transfer(OpRead, p, f.File.Read) }

func (f *file) Write(p []byte) (int, error) { return f.transfer(OpWrite, p, f.File.Write) }

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	return f.transfer(OpRead, p, func(p []byte) (int, error) { return f.File.ReadAt(p, off) })
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.transfer(OpWrite, p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

// GateOf implements fs.Gated.
func (f *file) GateOf(mountpath fs.Gate) fs.Gate { return &gate{f, mountpath} }

// gate records and fails the calls that send a file.
type gate struct {
	file *file
	next fs.Gate
}

// Enter implements fs.Gate.
func (g *gate) Enter() (age uint32, err error) {
	err = g.file.system.do(g.file.call(OpSend), func() error { age, err = g.next.Enter(); return err })
	return age, err
}

// Leave implements fs.Gate.
func (g *gate) Leave(age uint32) { g.next.Leave(age) }

// Close always closes; a fault only changes what it returns.
func (f *file) Close() error {
	c := &call{Call: f.call(OpClose)}
	fault := f.system.begin(c)
	err := f.File.Close()
	if fault != nil {
		err = fault.error(c)
	}
	return f.system.end(c, err)
}

func (f *file) Stat() (info fs.FileInfo, err error) {
	err = f.system.do(f.call(OpStat), func() error { info, err = f.File.Stat(); return err })
	return info, err
}

func (f *file) Truncate(size int64) error {
	return f.system.do(f.call(OpTruncate), func() error { return f.File.Truncate(size) })
}

func (f *file) Sync() error {
	op := OpSync
	if f.dir {
		op = OpSyncDir
	}
	return f.system.do(f.call(op), f.File.Sync)
}

func (f *file) Datasync() error { return f.system.do(f.call(OpDatasync), f.File.Datasync) }

func (f *file) StartWriteback(offset, length int64) error {
	return f.system.do(f.call(OpWriteback), func() error { return f.File.StartWriteback(offset, length) })
}

func (f *file) Preallocate(size int64) error {
	return f.system.do(f.call(OpPreallocate), func() error { return f.File.Preallocate(size) })
}

func (f *file) GetXattr(name string, dst []byte) (n int, err error) {
	err = f.system.do(f.call(OpGetXattr), func() error { n, err = f.File.GetXattr(name, dst); return err })
	return n, err
}

func (f *file) SetXattr(name string, value []byte) error {
	return f.system.do(f.call(OpSetXattr), func() error { return f.File.SetXattr(name, value) })
}

func (f *file) SetTimes(atime, mtime int64) error {
	return f.system.do(f.call(OpSetTimes), func() error { return f.File.SetTimes(atime, mtime) })
}
