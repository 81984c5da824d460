package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

func TestRowsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	seen, of := map[string]bool{}, map[*section]int{}
	last := (*section)(nil)
	for _, r := range allRows() {
		if seen[r.id] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(r.id) || r.title == "" || r.measure == nil {
			t.Errorf("row %+v", r)
		}
		seen[r.id] = true
		// The servers of a section are stopped when the next begins.
		if r.section != last {
			if of[r.section] > 0 {
				t.Errorf("%s: its section is not in one piece", r.id)
			}
			last = r.section
		}
		of[r.section]++
	}
	b := &bench{options: &options{workers: 8, rounds: 5, slice: time.Second}, disk: t.TempDir()}
	for s := range of {
		if s.title == "" || len(s.head) < 3 || len(s.notes(b)) == 0 {
			t.Errorf("section %q", s.title)
		}
	}
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	set := workingSet{"x", 1000, 1, 8}
	p := set.payload(true)
	seen := map[string]bool{}
	for i := range set.bodies {
		body := string(p.body(&set, i))
		if len(body) != 1000 || seen[body] || !strings.HasPrefix(p.sums[i], "Ais-Checksum-Type: xxhash2\r\nAis-Checksum-Value: ") {
			t.Errorf("body %d: %d bytes, %q", i, len(body), p.sums[i])
		}
		seen[body] = true
	}
}

func TestNamesOfListingsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 200_000 {
		name := string(appendName(nil, i))
		if seen[name] || len(name) != 9 {
			t.Fatalf("%d: %q", i, name)
		}
		seen[name] = true
	}
}

func TestCPUTimeAndMemoryOfThisProcess(t *testing.T) {
	t.Parallel()
	pids := []int{os.Getpid()}
	userBefore, systemBefore, err := cpuTime(pids)
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; { // works, and does not wait
	}
	user, system, err := cpuTime(pids)
	if err != nil || user+system <= userBefore+systemBefore {
		t.Errorf("%v + %v before, %v + %v after, %v", userBefore, systemBefore, user, system, err)
	}
	if n, err := anonymous(pids[0]); err != nil || n < 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, _, err := cpuTime([]int{1 << 30}); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	m := median([]sample{{user: 5}, {user: 1, system: 1}, {system: 3}})
	if m.cpu() != 3 || m.cells() != "3.0 (0.0 + 3.0)" || medianOf([]float64{3, 1, 2}) != 2 {
		t.Errorf("%+v, %s", m, m.cells())
	}
}

func TestReadReport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report")
	const text = "    calls syscall\n--------- ----------------\n     2000 read\n    50000 futex\n     1000 sendfile\n       10 openat\n--------- ----------------\n    53010 total\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	shown, n, err := readReport(path, 1000)
	if err != nil || shown != "read 2.0, sendfile 1.0" || n != 3.01 {
		t.Errorf("%q, %v, %v", shown, n, err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readReport(path, 1000); err == nil {
		t.Error("an empty report is no error")
	}
}

// TestSerial: the plain program writes files, whole, under their last names.
func TestSerial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := newSerial(dir)
	if err != nil {
		t.Fatal(err)
	}
	rate, err := s.run(context.Background(), 20*time.Millisecond)
	if err != nil || rate <= 0 || s.syncs.Quantile(0.5) <= 0 {
		t.Fatalf("%v files a second, %v", rate, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() != int64(small.size) || strings.HasSuffix(e.Name(), ".new") {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	if got := filesystem("/proc/self"); !strings.HasPrefix(got, "proc (") {
		t.Errorf("/proc lies on %s", got)
	}
	if field("/proc/meminfo", "MemTotal") == "" || loadAverage() == "unknown" {
		t.Error("the machine is not described")
	}
}

func TestPlansOfWorkingSets(t *testing.T) {
	t.Parallel()
	w := &load.Worker{Client: load.NewClient(&load.Options{})}
	w.Random = rand.New(rand.NewPCG(1, 2))
	task := small.writes("127.0.0.1:1", "/v1/objects/b", "X: y\r\n", true, true)
	task(context.Background(), w) // nobody is there: the request is what counts
	r := &w.Request
	if r.Method != "PUT" || !strings.HasPrefix(string(r.Path), "/v1/objects/b/sw") || len(r.Body) != small.size || !r.Gateway ||
		!strings.HasPrefix(string(r.Headers), "X: y\r\nAis-Checksum-Type: ") {
		t.Errorf("%s %s %q", r.Method, r.Path, r.Headers)
	}
}

// TestFailingRow: a row that fails is named in the report, and the others are
// measured.
func TestFailingRow(t *testing.T) {
	t.Parallel()
	s := &section{title: "some", notes: func(*bench) []string { return []string{"a note"} }, head: []string{"row", "figure", "bound"}}
	measured := func(err error, cells ...string) func(context.Context, *bench) ([]string, error) {
		return func(context.Context, *bench) ([]string, error) { return cells, err }
	}
	out := filepath.Join(t.TempDir(), "report.md")
	b := &bench{options: &options{out: out}}
	err := b.measureRows(context.Background(), []row{
		{"bad", s, "the bad row", measured(errors.New("it broke"))},
		{"good", s, "the good row", measured(nil, "good", "1", "2")},
	})
	if err == nil || !strings.Contains(err.Error(), "bad: it broke") {
		t.Errorf("error %v", err)
	}
	report, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n| the bad row | failed: bad: it broke |  |\n| good | 1 | 2 |\n", "\n- a note\n", "All of it took 0s"} {
		if !strings.Contains(string(report), want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := progress{to: &out, began: time.Now(), rows: 7}
	p.begin(2, &row{id: "get-4k", title: "GET 4 KiB"})
	p.round(1, 5)
	p.step("storing %d objects", 3)
	p.end(nil)
	p.end(errors.New("it broke"))
	const want = "[2/7 0s] GET 4 KiB (get-4k)\n[2/7 0s] get-4k: round 1 of 5\n[2/7 0s] get-4k: storing 3 objects\n[2/7 0s] get-4k took 0s\n[2/7 0s] it broke\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	(&progress{}).round(1, 5) // nobody listens
}

// TestJoined: two halves of a turn count by their operations and their time.
func TestJoined(t *testing.T) {
	t.Parallel()
	one, two := &load.Result{Elapsed: time.Second}, &load.Result{Elapsed: 3 * time.Second}
	one.Operations, two.Operations = 100, 300
	if got := joined(sample{8, 4, 100}, one, sample{4, 8, 100}, two); got != (sample{5, 7, 100}) {
		t.Errorf("%+v", got)
	}
	if got := joined(sample{8, 4, 100}, one, sample{}, nil); got != (sample{8, 4, 100}) {
		t.Errorf("%+v", got)
	}
}

func TestPagesOfTheIndexAlone(t *testing.T) {
	t.Parallel()
	b := &bench{options: &options{slice: 10 * time.Millisecond}, memory: t.TempDir()}
	cells, err := b.measureIndex(context.Background(), 5000)
	if err != nil || len(cells) != len(indexAlone.head) || cells[0] != "5000" {
		t.Errorf("%q, %v", cells, err)
	}
}
