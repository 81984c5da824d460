package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report collects the lines: shown as they come, written as Markdown.
type report struct {
	bench   *bench
	text    strings.Builder
	columns int // of the table that is being written
}

func newReport(ctx context.Context, b *bench) *report {
	r := &report{bench: b}
	r.print("# Benchmarks\n\n")
	r.print("Written by `make bench` (`deploy/bench`), on %s. How it is measured, and what makes the\nfigures what they are: [performance.md](performance.md).\n\n", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	r.print("| machine | |\n| --- | --- |\n")
	for _, fact := range machine(ctx, b) {
		r.print("| %s | %s |\n", fact[0], fact[1])
	}
	return r
}

func (r *report) print(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Print(text)
	r.text.WriteString(text)
}

func (r *report) begin(s *section) {
	r.columns = len(s.head)
	r.print("\n## %s\n\n", s.title)
	for _, note := range s.notes(r.bench) {
		r.print("- %s\n", note)
	}
	r.print("\n| %s |\n|%s\n", strings.Join(s.head, " | "), strings.Repeat(" --- |", len(s.head)))
}

// line adds a row; missing cells stay empty.
func (r *report) line(cells []string) {
	for len(cells) < r.columns {
		cells = append(cells, "")
	}
	r.print("| %s |\n", strings.Join(cells, " | "))
}

func (r *report) end(took time.Duration) {
	r.print("\nAll of it took %v; the load of the machine was %s then, with the benchmark's own work.\n", took.Round(time.Second), loadAverage())
}

func (r *report) write(path string) error {
	return os.WriteFile(path, []byte(r.text.String()), 0o644)
}

// machine describes what the figures were measured on.
func machine(ctx context.Context, b *bench) [][2]string {
	var info unix.Utsname
	kernel := "unknown"
	if unix.Uname(&info) == nil {
		kernel = unix.ByteSliceToString(info.Release[:])
	}
	facts := [][2]string{
		{"CPU", orUnknown(field("/proc/cpuinfo", "model name"))},
		{"cores", fmt.Sprint(runtime.NumCPU())},
		{"memory", orUnknown(field("/proc/meminfo", "MemTotal"))},
		{"kernel", "Linux " + kernel},
		{"data in memory", orDisk(memoryFolder())},
		{"data on disk", filesystem(b.disk)},
		{"Go", runtime.Version()},
		{"nginx", nginxVersion(ctx)},
		{"these sources", programVersion(ctx, b.bin)},
		{"load of the machine at the start", loadAverage()},
	}
	if b.quick {
		facts = append(facts, [2]string{"quick", "a tenth of the objects: rows about listings and memory are no results"})
	}
	return facts
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// field is the first value of a key in a file of lines "key : value".
func field(path, key string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// loadAverage is that of the last minute: others may have been at work.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(data), " ")
	return first
}

// filesystem is the type and the device of the filesystem that a folder lies
// on: the mount with the longest path above it.
func filesystem(folder string) string {
	data, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "unknown"
	}
	best, found := "", "unknown"
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || len(fields[1]) < len(best) {
			continue
		}
		if at := strings.TrimSuffix(fields[1], "/"); folder == at || strings.HasPrefix(folder, at+"/") {
			best, found = fields[1], fmt.Sprintf("%s (%s, %s)", fields[2], fields[0], fields[3])
		}
	}
	return found
}

func nginxVersion(ctx context.Context) string {
	program, err := findNginx(ctx)
	if err != nil {
		return "none"
	}
	out, err := exec.CommandContext(ctx, program, "-v").CombinedOutput()
	if err != nil {
		return "unknown"
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "nginx version: ")
}

// programVersion is what the programs that are measured were built from.
func programVersion(ctx context.Context, bin string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "aisnode"), "-version").CombinedOutput()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
