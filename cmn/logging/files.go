package logging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// severity is one of the two kinds of files.
type severity int

const (
	severityInfo severity = iota
	severityError
	numSeverities
)

func (s severity) String() string { return [...]string{"INFO", "ERROR"}[s] }

// Words of a file's first line.
const (
	started = "Started up"
	rotated = "Rotated"
)

const (
	fileMode = 0o640
	dirMode  = 0o750
	// bufferSize is how many bytes a file keeps in memory before it writes.
	bufferSize = 64 << 10
	// maxSameSecond limits the files that one second can begin.
	maxSameSecond = 10000
)

var errClosed = errors.New("the log is closed")

// names makes the names of files and links.
type names struct {
	dir    string
	role   string
	host   string // up to the first dot
	full   string // whole host name
	prefix string // "aisproxy."
}

func newNames(dir, role, host string) names {
	if host == "" {
		host, _ = os.Hostname() // an empty name is replaced below
	}
	if host == "" {
		host = "unknownhost"
	}
	short, _, _ := strings.Cut(strings.ReplaceAll(host, "/", "_"), ".")
	return names{dir: dir, role: role, host: short, full: host, prefix: "ais" + role + "."}
}

// link is the name of the link to the newest file.
func (n *names) link(s severity) string { return n.prefix + s.String() }

// file is the name of a file: "aisproxy.host.INFO.1122-150405.4711", and for
// the n-th one of the same second "....4711.n".
func (n *names) file(s severity, at time.Time, number int) string {
	name := n.prefix + n.host + "." + s.String() + "." + at.Format("0102-150405") + "." + strconv.Itoa(os.Getpid())
	if number > 0 {
		name += "." + strconv.Itoa(number)
	}
	return name
}

// owns tells the names of this node's role, host and a severity.
func (n *names) owns(name string, s severity) bool {
	return strings.HasPrefix(name, n.prefix+n.host+"."+s.String()+".")
}

// file is one open log file with what was not yet written to it.
type file struct {
	os      *os.File
	name    string
	size    int64 // bytes, with those in memory
	header  int64 // bytes of the first lines
	pending []byte
	oldest  time.Time // when the first pending line came
}

func (f *file) waiting() bool { return len(f.pending) > 0 }

func (f *file) full() bool { return len(f.pending) >= bufferSize-maxLine }

func (f *file) append(line []byte, now time.Time) {
	if len(f.pending) == 0 {
		f.oldest = now
	}
	f.pending = append(f.pending, line...)
	f.size += int64(len(line))
}

// flush writes the pending lines. Lines that cannot be written are dropped:
// a full disk must not fill the memory too.
func (f *file) flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	n, err := f.os.Write(f.pending)
	if err != nil {
		f.size -= int64(len(f.pending) - n)
		err = fmt.Errorf("%d bytes of log lines are lost: %w", len(f.pending)-n, err)
	}
	f.pending = f.pending[:0]
	return err
}

func (f *file) close() error {
	err := f.flush()
	if closeErr := f.os.Close(); err == nil {
		err = closeErr
	}
	return err
}

// openFiles begins new files, and closes those before them.
func (l *Log) openFiles(word string) error {
	now := l.clock()
	if err := os.MkdirAll(l.names.dir, dirMode); err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	var opened [numSeverities]*file
	for s := range numSeverities {
		f, err := l.openFile(s, word, now)
		if err != nil {
			for _, f := range opened[:s] {
				err = errors.Join(err, f.os.Close())
			}
			return err
		}
		opened[s] = f
	}
	err := l.closeFiles()
	l.files = opened
	return err
}

func (l *Log) closeFiles() error {
	var first error
	for s, f := range l.files {
		if f != nil {
			if err := f.close(); err != nil && first == nil {
				first = err
			}
			l.files[s] = nil
		}
	}
	return first
}

// openFile begins a file under a name that no file has, with its first lines,
// and points the link to it.
func (l *Log) openFile(s severity, word string, now time.Time) (*file, error) {
	f := &file{pending: make([]byte, 0, bufferSize)}
	var err error
	for number := range maxSameSecond {
		f.name = l.names.file(s, now, number)
		f.os, err = os.OpenFile(filepath.Join(l.names.dir, f.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, fileMode)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	f.append(l.firstLines(word, now), now)
	f.header = f.size
	if err := f.flush(); err != nil {
		return nil, errors.Join(fmt.Errorf("log file: %w", err), f.os.Close())
	}
	// The link is a convenience: without it the log still works.
	l.report(l.pointLink(s, f.name))
	return f, nil
}

func (l *Log) firstLines(word string, now time.Time) []byte {
	line := fmt.Sprintf("%s at %s, host %s, %s for %s/%s\n", word, now.Format("2006/01/02 15:04:05"), escape(l.names.full),
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if word == rotated && l.title != "" {
		line += l.title + "\n"
	}
	return []byte(line)
}

// pointLink replaces the link in one step, so that a reader finds it always.
func (l *Log) pointLink(s severity, name string) error {
	link := filepath.Join(l.names.dir, l.names.link(s))
	temporary := link + "." + strconv.Itoa(os.Getpid()) + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(name, temporary); err != nil {
		return err
	}
	return os.Rename(temporary, link)
}

// stored is a file in the log directory.
type stored struct {
	name  string
	size  int64
	mtime time.Time
}

// list returns this node's regular files of a severity, oldest first. Age is
// the time of the last write: names carry no year.
func (n *names) list(s severity) ([]stored, error) {
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, err
	}
	var files []stored
	for _, e := range entries {
		if !e.Type().IsRegular() || !n.owns(e.Name(), s) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, stored{e.Name(), info.Size(), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b stored) int {
		if c := a.mtime.Compare(b.mtime); c != 0 {
			return c
		}
		// Same second, same process: the longer name has the larger number.
		if c := len(a.name) - len(b.name); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	return files, nil
}

// deleteOld deletes the oldest files of each severity until their sum is
// within MaxTotal. The current file stays.
func (l *Log) deleteOld(now time.Time) {
	l.retain = now
	for s, current := range l.files {
		if current == nil {
			continue
		}
		files, err := l.names.list(severity(s))
		if err != nil {
			l.report(err)
			continue
		}
		sum := int64(0)
		for _, f := range files {
			sum += f.size
		}
		for _, f := range files {
			if sum <= l.config.MaxTotal {
				break
			}
			if f.name == current.name {
				continue
			}
			if err := os.Remove(filepath.Join(l.names.dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				l.report(err)
				continue
			}
			sum -= f.size
		}
	}
}
