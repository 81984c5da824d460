package logging

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aistore-go/aistore/cmn/apierr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock is a clock that tests move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 22, 15, 4, 5, 123456000, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// safeBuffer is a stderr that may be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type fixture struct {
	*Log
	dir    string
	clock  *fakeClock
	stderr *safeBuffer
}

func open(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{dir: filepath.Join(t.TempDir(), "log"), clock: newClock(), stderr: &safeBuffer{}}
	opts := Options{Dir: f.dir, Role: "proxy", FlushTime: time.Hour, Stderr: f.stderr, Clock: f.clock.Now, Host: "node7.example.com"}
	if change != nil {
		change(&opts)
	}
	var err error
	if f.Log, err = New(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// read returns a file of the log directory without its first line.
func (f *fixture) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	return rest
}

func (f *fixture) flushed(t *testing.T, name string) string {
	t.Helper()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	return f.read(t, name)
}

func files(t *testing.T, dir, part string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.Contains(e.Name(), part) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestFilesAndLinks(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	for _, s := range []string{"INFO", "ERROR"} {
		target, err := os.Readlink(filepath.Join(f.dir, "aisproxy."+s))
		if want := fmt.Sprintf("aisproxy.node7.%s.1122-150405.%d", s, os.Getpid()); err != nil || target != want {
			t.Errorf("link: have %q %v, want %q", target, err, want)
		}
		b, err := os.ReadFile(filepath.Join(f.dir, "aisproxy."+s))
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^Started up at 2026/11/22 15:04:05, host node7\.example\.com, go\S+ for \w+/\w+\n$`).Match(b) {
			t.Errorf("first line: %q", b)
		}
	}
}

func TestLineAndDestinations(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	log := slog.New(f.Handler())
	log.Info("hello", "bck", "ais://b", "n", 5)
	log.Warn("careful")
	log.Error("broken", "err", errors.New("disk gone"))
	log.Debug("quiet")
	line := func(letter, text string) string {
		return letter + ` 15:04:05\.123456 log_test\.go:\d+ ` + text + `\n`
	}
	info, errorFile := f.flushed(t, "aisproxy.INFO"), f.read(t, "aisproxy.ERROR")
	w, e := line("W", "careful"), line("E", `broken err="disk gone"`)
	for _, tt := range []struct{ title, have, want string }{
		{"INFO", info, line("I", "hello bck=ais://b n=5") + w + e},
		{"ERROR", errorFile, w + e},
		{"stderr", f.stderr.String(), e},
	} {
		if !regexp.MustCompile("^" + tt.want + "$").MatchString(tt.have) {
			t.Errorf("%s: have %q, want %s", tt.title, tt.have, tt.want)
		}
	}
}

type nilStringer struct{ s string }

func (n *nilStringer) String() string { return n.s }

func TestAttributes(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	log := slog.New(f.Handler()).With("a", 1).WithGroup("g").With("b", true)
	log.Info("m", "c", 1.5, slog.Group("h", "d", time.Second), "empty", "", "quoted", `x "y"`, "eq", "a=b", slog.Attr{},
		"nil", nil, "stringer", (*nilStringer)(nil), "bytes", []byte("raw"), "u", uint64(7), "t", time.Unix(0, 0).UTC(), "list", []int{1, 2})
	log.WithGroup("").With().Info("again")
	have := f.flushed(t, "aisproxy.INFO")
	want := ` m a=1 g.b=true g.c=1.5 g.h.d=1s g.empty="" g.quoted="x \"y\"" g.eq="a=b" g.nil=<nil> g.stringer="!PANIC: `
	tail := ` g.bytes=raw g.u=7 g.t=1970-01-01T00:00:00Z g.list="[1 2]"` + "\n"
	if !strings.Contains(have, want) || !strings.Contains(have, tail) || !strings.HasSuffix(have, " again a=1 g.b=true\n") {
		t.Fatalf("have %s", have)
	}
}

func TestOneRecordIsOneLine(t *testing.T) {
	t.Parallel()
	tests := []struct{ title, message, want string }{
		{"newline", "a\nE 15:04:05.000000 forged:1 x", `a\nE 15:04:05.000000 forged:1 x`},
		{"tab and return", "a\tb\rc", `a\tb\rc`},
		{"escape sequence", "\x1b[2Jx", `\x1b[2Jx`},
		{"delete and NUL", "\x7f\x00", `\x7f\x00`},
		{"C1 control", "a\u009bb", `a\u009bb`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"invalid UTF-8", "a\xffb", `a\xffb`},
		{"text beyond ASCII", "\u00e9\u4e16\U0001f600", "\u00e9\u4e16\U0001f600"},
	}
	for _, tt := range tests {
		t.Run(tt.title, func(t *testing.T) {
			t.Parallel()
			f := open(t, nil)
			slog.New(f.Handler()).Info(tt.message, "k\n", tt.message)
			have := f.flushed(t, "aisproxy.INFO")
			if strings.Count(have, "\n") != 1 || !strings.Contains(have, " "+tt.want+" k\\n=") {
				t.Fatalf("have %q", have)
			}
		})
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	log := slog.New(f.Handler())
	for shift := range 4 {
		log.Info(strings.Repeat("x", shift) + strings.Repeat("\U0001f600", 1<<20))
	}
	log.Info("m", "v", strings.Repeat("y", 1<<20))
	lines := strings.SplitAfter(f.flushed(t, "aisproxy.INFO"), "\n")
	if len(lines) != 6 || lines[5] != "" {
		t.Fatalf("have %d lines", len(lines))
	}
	for _, line := range lines[:5] {
		if len(line) > 2048 || len(line) < 2040 || !strings.HasSuffix(line, "...\n") || !utf8.ValidString(line) {
			t.Errorf("have %d bytes, end %q", len(line), line[len(line)-10:])
		}
	}
}

func TestRotationAtSize(t *testing.T) {
	t.Parallel()
	const maxSize = 1024
	f := open(t, func(o *Options) { o.MaxSize, o.FlushTime = maxSize, 0 })
	f.SetTitle("p[abc], version 1\n.0")
	log := slog.New(f.Handler())
	const n = 100
	for i := range n {
		log.Warn(fmt.Sprintf("number %03d", i))
	}
	for _, s := range []string{"INFO", "ERROR"} {
		names := files(t, f.dir, s)
		if len(names) < 5 {
			t.Fatalf("%d files of %s", len(names), s)
		}
		ordered, err := f.names.list(severityOf(s))
		if err != nil {
			t.Fatal(err)
		}
		next := 0
		for i, file := range ordered {
			b, err := os.ReadFile(filepath.Join(f.dir, file.name))
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > maxSize {
				t.Errorf("%s has %d bytes", file.name, len(b))
			}
			lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
			skip := 1
			if i > 0 {
				skip = 2
				if !strings.HasPrefix(lines[0], "Rotated at 2026/11/22 15:04:05, host ") || lines[1] != `p[abc], version 1\n.0` {
					t.Errorf("%s begins with %q, %q", file.name, lines[0], lines[1])
				}
			}
			for _, line := range lines[skip:] {
				if !strings.HasSuffix(line, fmt.Sprintf(" number %03d", next)) {
					t.Fatalf("%s: have %q, want number %d", file.name, line, next)
				}
				next++
			}
		}
		if next != n {
			t.Errorf("%d lines in all", next)
		}
		if target, err := os.Readlink(filepath.Join(f.dir, "aisproxy."+s)); err != nil || target != ordered[len(ordered)-1].name {
			t.Errorf("the link points to %q %v, the newest is %q", target, err, ordered[len(ordered)-1].name)
		}
	}
}

func severityOf(s string) severity {
	if s == "INFO" {
		return severityInfo
	}
	return severityError
}

func TestRotateOnDemand(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	slog.New(f.Handler()).Info("before")
	f.clock.advance(time.Minute)
	if err := f.Rotate(); err != nil {
		t.Fatal(err)
	}
	if have := f.read(t, "aisproxy.INFO"); have != "" {
		t.Errorf("the new file has %q", have)
	}
	if have := f.read(t, fmt.Sprintf("aisproxy.node7.INFO.1122-150405.%d", os.Getpid())); !strings.HasSuffix(have, "before\n") {
		t.Errorf("the old file has %q", have)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *Options) { o.MaxSize, o.MaxTotal, o.FlushTime = 1000, 5000, 0 })
	other := filepath.Join(f.dir, "aisproxy.otherhost.INFO.0101-000000.1")
	if err := os.WriteFile(other, make([]byte, 100000), 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(f.Handler())
	for i := range 500 {
		log.Info(fmt.Sprintf("line %d", i))
	}
	sum := int64(0)
	kept, err := f.names.list(severityInfo)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range kept {
		sum += file.size
	}
	if sum > 6000 || len(kept) < 3 {
		t.Errorf("%d files with %d bytes are left", len(kept), sum)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("another host's file is gone")
	}
	if have := f.read(t, "aisproxy.INFO"); !strings.Contains(have, "line 499\n") {
		t.Error("the current file must stay")
	}

	// Old files go within an hour also when nothing is logged.
	old := filepath.Join(f.dir, "aisproxy.node7.INFO.0101-000000.1")
	if err := os.WriteFile(old, make([]byte, 4000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	f.tick(f.clock.Now().Add(59 * time.Minute))
	if _, err := os.Stat(old); err != nil {
		t.Error("deleted too early")
	}
	f.tick(f.clock.Now().Add(61 * time.Minute))
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the oldest file is still there: %v", err)
	}
}

func TestFlushTime(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *Options) { o.FlushTime = time.Minute })
	log := slog.New(f.Handler())
	log.Info("one")
	f.tick(f.clock.Now().Add(59 * time.Second))
	if have := f.read(t, "aisproxy.INFO"); have != "" {
		t.Errorf("flushed early: %q", have)
	}
	f.tick(f.clock.Now().Add(time.Minute))
	if have := f.read(t, "aisproxy.INFO"); !strings.HasSuffix(have, "one\n") {
		t.Errorf("not flushed: %q", have)
	}
	log.Info("two")
	log.Error("three")
	if have := f.read(t, "aisproxy.INFO"); !strings.HasSuffix(have, "three\n") {
		t.Errorf("an error waits: %q", have)
	}
	for range 3000 {
		log.Info(strings.Repeat("x", 100))
	}
	if have := f.read(t, "aisproxy.INFO"); len(have) < 200_000 {
		t.Errorf("a full buffer waits: %d bytes", len(have))
	}
}

func TestToStderr(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *Options) { o.ToStderr = true })
	log := slog.New(f.Handler())
	log.Info("first")
	if _, err := os.Stat(f.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there are files: %v", err)
	}
	if err := f.Rotate(); err != nil {
		t.Error(err)
	}
	if _, err := f.ReadLog("", 0, false); apierr.StatusOf(err) != 404 {
		t.Errorf("reading: %v", err)
	}
	if err := f.SetConfig(Config{FlushTime: 0}); err != nil {
		t.Fatal(err)
	}
	log.Info("second")
	if have := f.read(t, "aisproxy.INFO"); !strings.HasSuffix(have, "second\n") {
		t.Errorf("have %q", have)
	}
	if err := f.SetConfig(Config{ToStderr: true}); err != nil {
		t.Fatal(err)
	}
	log.Warn("third")
	if have := f.stderr.String(); !strings.Contains(have, "first\n") || strings.Contains(have, "second") || !strings.HasSuffix(have, "third\n") {
		t.Errorf("stderr has %q", have)
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *Options) { o.Level = NewLevel(3, ModuleEC, ModuleXS) })
	ctx := context.Background()
	enabled := func(module string) bool { return f.Logger(module).Enabled(ctx, slog.LevelDebug) }
	if !enabled(ModuleEC) || !enabled(ModuleXS) || enabled(ModuleFS) || enabled("") || enabled("unknown") {
		t.Error("the mask does not select the modules")
	}
	if err := f.SetConfig(Config{Level: 4}); err != nil {
		t.Fatal(err)
	}
	if !enabled(ModuleFS) || !enabled("") {
		t.Error("verbosity 4 shows all")
	}
	if err := f.SetConfig(Config{Level: 1}); err != nil {
		t.Fatal(err)
	}
	if enabled(ModuleEC) || !f.Logger("").Enabled(ctx, slog.LevelInfo) {
		t.Error("verbosity 1 shows information and no debug records")
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	l, err := ParseLevel("4611")
	if err != nil || l.Verbosity() != 3 || fmt.Sprint(l.Modules()) != "[ec xs]" || l.String() != "4611" || NewLevel(3, ModuleEC, ModuleXS) != l {
		t.Errorf("have %d %v %v", l.Verbosity(), l.Modules(), err)
	}
	if l, err := ParseLevel(""); err != nil || l != 3 {
		t.Errorf("empty: %v %v", l, err)
	}
	all := NewLevel(5, Modules()...)
	if back, err := ParseLevel(all.String()); err != nil || back != all || len(back.Modules()) != 18 || moduleBit(ModuleKalive) != 131072 {
		t.Errorf("all: %v %v", back, err)
	}
	for _, s := range []string{"0", "6", "7", "8", "-1", "x", "3.0", fmt.Sprint(3 + 8<<18), "99999999999999999999"} {
		if l, err := ParseLevel(s); err == nil {
			t.Errorf("%q is accepted as %d", s, l)
		}
	}
}

func content(t *testing.T, d *Dump) string {
	t.Helper()
	var b bytes.Buffer
	n, err := d.WriteTo(&b)
	if err != nil || n != int64(b.Len()) || d.Size() >= 0 && d.Size() != n {
		t.Fatalf("%d bytes, said %d: %v", n, d.Size(), err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadLog(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	log := slog.New(f.Handler())
	log.Info("information")
	log.Warn("warning")
	whole := func(word string) string {
		d, err := f.ReadLog(word, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if d.ContentType() != "text/plain; charset=utf-8" {
			t.Error(d.ContentType())
		}
		return content(t, d)
	}
	info := whole("")
	for _, word := range []string{"info", "INFO", "i", "Infinity"} {
		if whole(word) != info {
			t.Errorf("%q is not INFO", word)
		}
	}
	if !strings.Contains(info, " information\n") || !strings.HasPrefix(info, "Started up at") {
		t.Errorf("have %q", info)
	}
	for _, word := range []string{"warning", "error", "E", "w"} {
		if have := whole(word); strings.Contains(have, "information") || !strings.HasSuffix(have, " warning\n") {
			t.Errorf("%q: have %q", word, have)
		}
	}
	for _, offset := range []int64{1, int64(len(info)) - 1, int64(len(info))} {
		d, err := f.ReadLog("info", offset, false)
		if err != nil {
			t.Fatal(err)
		}
		if have := content(t, d); have != info[offset:] {
			t.Errorf("from %d: have %q", offset, have)
		}
	}
	for _, tt := range []struct {
		title, word string
		offset      int64
		text        string
	}{
		{"severity", "debug", 0, `unknown log severity "debug"`},
		{"behind the end", "info", int64(len(info)) + 1, "log likely rotated"},
		{"negative", "info", -1, "must not be negative"},
	} {
		if _, err := f.ReadLog(tt.word, tt.offset, false); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: have %v", tt.title, err)
		}
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	slog.New(f.Handler()).Info("before")
	f.clock.advance(time.Second)
	if err := f.Rotate(); err != nil {
		t.Fatal(err)
	}
	slog.New(f.Handler()).Info("after")
	d, err := f.ReadLog("", 0, true)
	if err != nil || d.ContentType() != "application/gzip" || d.Size() != -1 {
		t.Fatal(d, err)
	}
	zr, err := gzip.NewReader(strings.NewReader(content(t, d)))
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(zr)
	var have []string
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		have = append(have, h.Name[:len("aisproxy.node7.INFO")]+string(b[len(b)-7:]))
	}
	if fmt.Sprintf("%q", have) != `["aisproxy.node7.INFObefore\n" "aisproxy.node7.INFO after\n"]` {
		t.Fatalf("have %q", have)
	}
	for _, name := range files(t, f.dir, "ERROR") {
		if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, all := range []bool{false, true} {
		if _, err := f.ReadLog("error", 0, all); apierr.StatusOf(err) != 404 {
			t.Errorf("all=%v: have %v", all, err)
		}
	}
}

// TestUnwritableFile checks that a failing disk costs lines and nothing else.
func TestUnwritableFile(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	if err := f.files[severityInfo].os.Close(); err != nil {
		t.Error(err)
	}
	f.files[severityInfo].os = full
	f.mu.Unlock()
	log := slog.New(f.Handler())
	log.Error("lost")
	if have := f.stderr.String(); !strings.Contains(have, "log lines are lost") || !strings.Contains(have, "no space left") {
		t.Errorf("stderr has %q", have)
	}
	if have := f.read(t, "aisproxy.ERROR"); !strings.HasSuffix(have, "lost\n") {
		t.Errorf("the other file has %q", have)
	}
	f.clock.advance(time.Second)
	if err := f.Rotate(); err != nil {
		t.Fatal(err)
	}
	log.Info("better")
	if have := f.flushed(t, "aisproxy.INFO"); !strings.HasSuffix(have, "better\n") {
		t.Errorf("after a rotation: %q", have)
	}
}

func TestAfterClose(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	log := slog.New(f.Handler())
	log.Info("last")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error("a second Close does nothing:", err)
	}
	log.Info("too late")
	log.Error("too late as well")
	if have := f.read(t, "aisproxy.INFO"); !strings.HasSuffix(have, "last\n") {
		t.Errorf("have %q", have)
	}
	if have := f.stderr.String(); strings.Contains(have, "too late\n") || !strings.Contains(have, "too late as well\n") {
		t.Errorf("stderr has %q", have)
	}
	if f.Rotate() == nil || f.SetConfig(Config{}) == nil {
		t.Error("a closed log can neither rotate nor change")
	}
	if err := f.Flush(); err != nil {
		t.Error(err)
	}
}

func TestNoDirectory(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: filepath.Join(blocked, "log"), Role: "proxy"}); err == nil || !strings.Contains(err.Error(), "log directory") {
		t.Errorf("have %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	f := open(t, func(o *Options) { o.MaxSize, o.Clock = 20_000, nil })
	var group sync.WaitGroup
	const workers, each = 8, 300
	for w := range workers {
		group.Go(func() {
			log := f.Logger(ModuleFS).With("worker", w)
			for i := range each {
				log.Info("line", "i", i)
			}
		})
	}
	group.Go(func() {
		for range 5 {
			if err := errors.Join(f.Rotate(), f.Flush()); err != nil {
				t.Error(err)
			}
			d, err := f.ReadLog("info", 0, true)
			if err != nil {
				t.Error(err)
				return
			}
			content(t, d)
		}
	})
	group.Wait()
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range files(t, f.dir, "INFO") {
		lines += strings.Count(f.read(t, name), " line worker=")
	}
	if lines != workers*each {
		t.Errorf("%d lines of %d", lines, workers*each)
	}
}

// FuzzEscape checks that no text can end a line or steer a terminal.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\x1b[0m", "\xff", "\u2028", "\u009b", "plain"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		have := escape(s)
		if !utf8.ValidString(have) || strings.ContainsFunc(have, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }) {
			t.Fatalf("%q became %q", s, have)
		}
	})
}

func BenchmarkInfo(b *testing.B) {
	l, err := New(Options{Dir: b.TempDir(), Role: "target", FlushTime: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	log := l.Logger(ModuleFS)
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelInfo, "stored", slog.String("object", "ais://b/o"), slog.Int64("size", 4096))
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
