package fs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"path/filepath"
	"strconv"
	"time"
	"unsafe"

	"github.com/aistore-go/aistore/cmn/apierr"
	"golang.org/x/sys/unix"
)

const (
	// checkInterval is the shortest time between two checks of a mountpath.
	checkInterval = 4 * time.Minute
	// checkDir holds the files that a check writes.
	checkDir      = ".ais.check"
	checkFileSize = 1 << 20 // bytes
	checkDepth    = 16      // directories below a bucket in which files are looked for
	rootRetry     = time.Second
)

// CheckOptions bound a health check.
type CheckOptions struct {
	TestFiles  int // files read, and files written, in the first pass; twice as many in the second
	ErrorLimit int // so many errors in the second pass are a fault
}

// CheckResult is what a health check found.
type CheckResult struct {
	Mountpath string
	Fault     string // "" = the disk can be relied on
	Errors    int    // failed operations of the last pass
	First     error  // the first of them
	Took      time.Duration
}

// Check begins a health check of a mountpath in use and returns at once; one
// that began less than four minutes ago is not repeated. done is told of the
// result, from another goroutine; started is false if nothing was begun.
//
// A fault shows in Mountpaths until a check finds the disk healthy, or it is
// taken out of use. 404: the node does not have the mountpath. 400: it is not
// in use.
func (m *Manager) Check(path string, o CheckOptions, done func(CheckResult)) (started bool, err error) {
	clean := filepath.Clean(path)
	mp := m.Available().ByPath(clean)
	if mp == nil {
		return false, errInvalid("mountpath %q is not available", path)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.closed.Load() {
		return false, errClosed
	}
	now := m.options.Clock()
	m.mu.Lock()
	c := m.checkOf(clean)
	if c.running || !c.began.IsZero() && now.Sub(c.began) < checkInterval {
		m.mu.Unlock()
		return false, nil
	}
	c.begin(now)
	m.mu.Unlock()
	m.ending.Go(func() {
		if result, ok := m.runCheck(mp, o); ok && done != nil {
			done(result)
		}
	})
	return true, nil
}

// ReportFault notes what somebody else has found wrong with a mountpath in use: it
// shows as the finding of a health check does, until one finds the disk healthy.
func (m *Manager) ReportFault(mp *Mountpath, finding string) {
	if !m.Available().Has(mp) {
		return
	}
	m.setFault(mp.Path, finding)
	m.raise(Event{Kind: EventFault, Mountpath: mp.Path, Message: finding})
}

// runCheck checks a mountpath, notes what is found, and reports it; false: it
// has left meanwhile, or the node ends, and what was found is of no use.
func (m *Manager) runCheck(mp *Mountpath, o CheckOptions) (CheckResult, bool) {
	m.raise(Event{Kind: EventCheck, Mountpath: mp.Path})
	result := mp.checkBounded(m.ctx, o)
	m.mu.Lock()
	m.checkOf(mp.Path).end()
	m.mu.Unlock()
	if m.ctx.Err() != nil || !m.Available().Has(mp) {
		return result, false
	}
	m.setFault(mp.Path, result.Fault)
	if result.Fault != "" {
		m.raise(Event{Kind: EventFault, Mountpath: mp.Path, Err: result.First, Message: result.Fault})
	}
	return result, true
}

// checkHang is how many times HangTime a check may take (2 min of 5 s).
const checkHang = 24

// checkBounded is check of a disk that may not answer: then it goes on in vain, and
// the finding is that.
func (mp *Mountpath) checkBounded(ctx context.Context, o CheckOptions) CheckResult {
	began, hangTime := time.Now(), mp.manager.options.HangTime
	done := make(chan CheckResult, 1)
	go func() { done <- mp.check(ctx, o) }()
	tick := time.NewTicker(hangTime)
	defer tick.Stop()
	for hung, looks, stopping := 0, 0, false; ; looks++ {
		select {
		case r := <-done:
			return r
		case <-tick.C:
		}
		if hung++; !mp.Hung() {
			hung = 0
		}
		if hung >= hangsLong || looks >= checkHang || stopping {
			return CheckResult{
				Mountpath: mp.Path, Fault: "faulted: " + mp.errHung().Error(), Errors: 1, First: errHangs, Took: time.Since(began),
			}
		}
		stopping = ctx.Err() != nil
	}
}

// check looks at the root, then reads and writes in at most two passes.
func (mp *Mountpath) check(ctx context.Context, o CheckOptions) (r CheckResult) {
	began := time.Now()
	r.Mountpath = mp.Path
	defer func() { r.Took = time.Since(began) }()
	err := mp.checkRoot()
	if err != nil {
		select {
		case <-time.After(rootRetry):
		case <-ctx.Done():
		}
		err = mp.checkRoot()
	}
	if err != nil {
		r.Fault, r.Errors, r.First = fmt.Sprintf("faulted: %v", err), 1, err
		return r
	}
	files := max(1, o.TestFiles)
	for pass := range 2 {
		failed := mp.checkPass(ctx, files<<pass)
		r.Errors, r.First = len(failed), nil
		if len(failed) == 0 {
			return r
		}
		r.First = failed[0]
	}
	if r.Errors >= max(1, o.ErrorLimit) {
		r.Fault = fmt.Sprintf("degraded: %d operations failed, the first with: %v", r.Errors, r.First)
	}
	return r
}

// Look tells whether the mountpath's directory is what it was at the start.
func (mp *Mountpath) Look() error { return mp.checkRoot() }

// checkRoot makes sure that the directory is there, is the same, and can be
// read.
func (mp *Mountpath) checkRoot() error {
	info, err := mp.system.Stat(mp.Path)
	switch {
	case err != nil:
		return err
	case info.Kind != KindDir:
		return pathError("stat", mp.Path, unix.ENOTDIR)
	case info.Dev != mp.filesystem.dev:
		return fmt.Errorf("%s is on another filesystem than at the start", mp.Path)
	}
	if _, err := readSome(mp.system, mp.Path, 1); err != nil {
		return err
	}
	_, err = mp.system.Stat(filepath.Join(mp.Path, idRecordName))
	return err
}

// checkPass reads and writes so many files and returns what failed. Every
// operation takes a slot, as those of requests do.
func (mp *Mountpath) checkPass(ctx context.Context, files int) (failed []error) {
	buf := alignedBuffer(checkFileSize)
	try := func(operation func() error) {
		if ctx.Err() != nil {
			return
		}
		err := mp.Acquire(ctx)
		if err == nil {
			err = operation()
			mp.Release()
		}
		var busy *apierr.Error
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist), ctx.Err() != nil:
		case errors.As(err, &busy) && !mp.Hung(): // nothing was tried
		case IsNoSpace(err), isShortage(err): // a full disk is not a sick one
		default:
			failed = append(failed, err)
		}
	}
	if mp.Hung() {
		return []error{mp.errHung(), errHangs}
	}
	for _, path := range mp.sample(files) {
		try(func() error { return mp.readBack(path, buf, nil) })
	}
	defer mp.removeCheckFiles()
	for i := range files {
		try(func() error { return mp.writeAndVerify(i, buf) })
	}
	return failed
}

// sample finds some files of objects, by a few random ways down.
func (mp *Mountpath) sample(count int) []string {
	dirs, err := bucketDirs(mp.system, mp.Path)
	if err != nil {
		return nil // the root was read a moment ago; the writing will tell
	}
	mathrand.Shuffle(len(dirs), func(i, j int) { dirs[i], dirs[j] = dirs[j], dirs[i] })
	var found []string
	for _, dir := range dirs {
		for range count {
			if path := mp.wander(dir+"/"+ContentObject, checkDepth); path != "" {
				found = append(found, path)
			}
			if len(found) >= count {
				return found
			}
		}
	}
	return found
}

// wander goes down to a file, "" if it meets a dead end.
func (mp *Mountpath) wander(dir string, depth int) string {
	const look = 200 // entries of a directory
	entries, err := readSome(mp.system, dir, look)
	if err != nil || len(entries) == 0 || depth == 0 {
		return ""
	}
	entry := entries[mathrand.IntN(len(entries))]
	if entry.kind == KindDir {
		return mp.wander(dir+"/"+entry.name, depth-1)
	}
	return dir + "/" + entry.name
}

// writeAndVerify writes a file of random content, flushes it, and reads it
// back from the disk.
func (mp *Mountpath) writeAndVerify(i int, buf []byte) error {
	dir := filepath.Join(mp.Path, checkDir)
	if err := mp.system.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	content := make([]byte, checkFileSize)
	_, _ = rand.Read(content) // never fails
	path := dir + "/" + strconv.Itoa(i)
	f, err := mp.system.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := mp.readBack(path, buf, content); err != nil {
		return err
	}
	return mp.system.Unlink(path)
}

// readBack reads the beginning of a file past the page cache, where the
// filesystem can do that, and compares it with what it must be, if that is
// known.
func (mp *Mountpath) readBack(path string, buf, want []byte) error {
	flags := unix.O_RDONLY | unix.O_NOFOLLOW
	f, err := mp.system.Open(path, flags|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		f, err = mp.system.Open(path, flags, 0)
	}
	if err != nil {
		return err
	}
	n, err := f.ReadAt(buf, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && want != nil && !bytes.Equal(buf[:n], want) {
		err = fmt.Errorf("%s: what was written is not what is read", path)
	}
	return err
}

// removeCheckFiles removes what a check has written; what stays is removed by
// the next one, or at the next start.
func (mp *Mountpath) removeCheckFiles() {
	if err := removeTree(context.Background(), mp.system, filepath.Join(mp.Path, checkDir)); err != nil {
		mp.manager.log.Debug("files of a health check stay", "mountpath", mp.Path, "err", err)
	}
}

// alignedBuffer is memory for reading past the page cache, which wants it to
// begin at a block.
func alignedBuffer(size int) []byte {
	const block = 4096
	raw := make([]byte, size+block)
	start := int(-uintptr(unsafe.Pointer(&raw[0])) % block) //nolint:gosec // the address decides the alignment, nothing else
	return raw[start : start+size : start+size]
}
