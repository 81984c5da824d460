package logging

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config are the values that can change while the log is open.
type Config struct {
	Level     Level
	MaxSize   int64         // bytes; a file is rotated before it grows beyond
	MaxTotal  int64         // bytes of all files of one severity
	FlushTime time.Duration // longest time a line stays in memory; 0 means none
	ToStderr  bool          // everything to stderr, no files
}

// Options are the parameters of New.
type Options struct {
	Dir       string        // created if missing; not used with ToStderr
	Role      string        // "proxy" or "target"
	Level     Level         // 0 means DefaultVerbosity
	MaxSize   int64         // 0 means 64 MiB
	MaxTotal  int64         // 0 means 512 MiB
	FlushTime time.Duration // 0 writes every line at once
	ToStderr  bool
	Stderr    io.Writer        // nil means os.Stderr
	Clock     func() time.Time // nil means time.Now
	Host      string           // "" means os.Hostname
}

// Defaults of Options.
const (
	DefaultMaxSize   = 64 << 20
	DefaultMaxTotal  = 512 << 20
	DefaultFlushTime = time.Minute
)

const (
	// checkEvery is how often the background looks for lines to flush.
	checkEvery = time.Second
	// retainEvery is how often old files are looked for, besides rotations.
	retainEvery = time.Hour
)

// Log is a node's log. Its methods may be called from any goroutine; after
// Close, records go to stderr when they are errors and nowhere else.
type Log struct {
	names  names
	stderr io.Writer
	clock  func() time.Time
	level  atomic.Uint64

	mu     sync.Mutex
	config Config
	title  string
	files  [numSeverities]*file // nil while everything goes to stderr
	retain time.Time            // when old files were last looked for
	closed bool

	stop chan struct{}
	done chan struct{}
}

// New opens the log's files and starts the goroutine that flushes them; Close
// ends it.
func New(opts Options) (*Log, error) {
	l := &Log{
		names:  newNames(opts.Dir, opts.Role, opts.Host),
		stderr: opts.Stderr,
		clock:  opts.Clock,
		config: Config{Level: opts.Level, MaxSize: opts.MaxSize, MaxTotal: opts.MaxTotal, FlushTime: opts.FlushTime, ToStderr: opts.ToStderr},
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	if l.stderr == nil {
		l.stderr = os.Stderr
	}
	if l.clock == nil {
		l.clock = time.Now
	}
	if l.config.Level == 0 {
		l.config.Level = DefaultVerbosity
	}
	if l.config.MaxSize <= 0 {
		l.config.MaxSize = DefaultMaxSize
	}
	if l.config.MaxTotal <= 0 {
		l.config.MaxTotal = DefaultMaxTotal
	}
	l.level.Store(uint64(l.config.Level))
	if !l.config.ToStderr {
		if err := l.openFiles(started); err != nil {
			return nil, err
		}
		l.deleteOld(l.clock())
	}
	go l.background()
	return l, nil
}

// Handler returns the handler for records of no module.
func (l *Log) Handler() slog.Handler { return &handler{log: l} }

// Logger returns a logger whose records belong to a module: Debug records
// appear when the module is in the level's mask.
func (l *Log) Logger(module string) *slog.Logger {
	return slog.New(&handler{log: l, module: moduleBit(module)})
}

// SetConfig applies changed values. Switching ToStderr off opens new files,
// switching it on closes them.
func (l *Log) SetConfig(c Config) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if c.MaxSize <= 0 {
		c.MaxSize = DefaultMaxSize
	}
	if c.MaxTotal <= 0 {
		c.MaxTotal = DefaultMaxTotal
	}
	if c.Level == 0 {
		c.Level = DefaultVerbosity
	}
	before := l.config.ToStderr
	l.config = c
	l.level.Store(uint64(c.Level))
	switch {
	case c.ToStderr && !before:
		return l.closeFiles()
	case before && !c.ToStderr:
		if err := l.openFiles(started); err != nil {
			l.config.ToStderr = true
			return err
		}
	}
	return nil
}

// SetTitle sets the second line of the files that a rotation begins: which
// node, which version.
func (l *Log) SetTitle(title string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.title = escape(title)
}

// Rotate closes the current files and begins new ones.
func (l *Log) Rotate() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errClosed
	case l.config.ToStderr:
		return nil
	}
	err := l.openFiles(rotated)
	l.deleteOld(l.clock())
	return err
}

// Flush writes out what is in memory.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

// Close flushes and closes the files and ends the background goroutine.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	err := l.closeFiles()
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	return err
}

func (l *Log) background() {
	defer close(l.done)
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			l.tick(l.clock())
		}
	}
}

// tick does what is due: flush lines that are old enough, delete old files.
func (l *Log) tick(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for _, f := range l.files {
		if f != nil && f.waiting() && now.Sub(f.oldest) >= l.config.FlushTime {
			l.report(f.flush())
		}
	}
	if now.Sub(l.retain) >= retainEvery {
		l.deleteOld(now)
	}
}

// write puts a finished line into the files of its severity. A file that
// cannot be written costs its lines, never the node: they go to stderr.
func (l *Log) write(line []byte, letter byte, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if letter == letterError || l.config.ToStderr {
		_, _ = l.stderr.Write(line) // nowhere else to tell
	}
	if l.closed {
		return
	}
	for s, f := range l.files {
		if f == nil || severity(s) == severityError && letter == letterInfo {
			continue
		}
		if f.size > f.header && f.size+int64(len(line)) > l.config.MaxSize {
			next, err := l.openFile(severity(s), rotated, now)
			if err != nil {
				l.report(err)
			} else {
				l.report(f.close())
				l.files[s], f = next, next
				l.deleteOld(now)
			}
		}
		f.append(line, now)
		if letter == letterError || l.config.FlushTime <= 0 || f.full() {
			l.report(f.flush())
		}
	}
}

func (l *Log) flush() error {
	var first error
	for _, f := range l.files {
		if f != nil {
			if err := f.flush(); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// report tells of a failure of the log itself on stderr.
func (l *Log) report(err error) {
	if err != nil {
		_, _ = io.WriteString(l.stderr, "log: "+strings.TrimSpace(err.Error())+"\n") // nowhere else to tell
	}
}
