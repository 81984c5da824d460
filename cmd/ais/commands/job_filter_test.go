package commands

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/xact"
)

// TestChoosingJobs: --regex, --filter, --top choose what is shown, in tables and in JSON.
func TestChoosingJobs(t *testing.T) {
	t.Parallel()
	j := newJobCluster(t)
	j.expect("create ais://b1 ais://b2", 0)
	first := strings.TrimSpace(j.expect("start warm-up-metadata ais://b1 --nv", 0))
	second := strings.TrimSpace(j.expect("start warm-up-metadata ais://b2 --nv", 0))
	lru := strings.TrimSpace(j.expect("start lru --nv --wait --timeout 30s", 1))
	shows := func(line string, ids ...string) {
		t.Helper()
		out := j.expect(line, 0)
		for _, id := range []string{first, second, lru} {
			want := false
			for _, shown := range ids {
				want = want || shown == id
			}
			if strings.Contains(out, id) != want {
				t.Errorf("ais %s: shows %s: %v, want %v\n%s", line, id, !want, want, out)
			}
		}
	}
	lru, _, _ = strings.Cut(lru, "\n")
	shows("show job", first, second)
	shows("show job --all", first, second, lru)
	shows("show job --all --regex lru.*tion", lru)
	shows("show job --all --regex b2", second) // its message
	shows("show job --all --regex "+first, first)
	shows("show job --all --filter BUCKET=b1$", first)
	shows("show job --all --filter state=Running --filter bucket=b2", second)
	shows("show job --all --filter STATE=errors", lru)
	shows("show job --all --filter KIND=^lru", lru)
	shows("show job --all --filter ID="+second, second)
	shows("show job --all --top 1", lru)
	shows("show job --all --top 2", lru, second)
	shows("show job --top 1 --json", second)
	shows("show job --all --filter KIND=^lru --json", lru)
	if out := j.expect("show job --all --filter NODE=001 -H", 0); strings.Contains(out, "target-002") || !strings.Contains(out, "target-001") {
		t.Errorf("--filter NODE: %s", out)
	}
	j.expect("show job --filter SIZE=1", 1, "--filter", "NODE, ID, KIND, BUCKET, STATE")
	j.expect("show job --filter STATE", 1, "--filter")
	j.expect("show job --filter STATE=(", 1, "--filter")
	j.expect("show job --regex (", 1, "--regex")
	j.expect("show job --top 0", 1, "--top")
	j.expect("show job --count 2", 1, "--refresh")
	if out := j.expect("show job --refresh 1 --count 2", 0); strings.Count(out, "---") != 1 {
		t.Errorf("--count 2: %s", out)
	}
	j.expect("stop --regex nothing --yes", 0, "No running jobs.")
	j.expect("stop --regex b2 --yes", 0, "Stopped warm-up-metadata["+second)
	j.expect("stop warm-up-metadata t[target-001]", 0, "Stopped warm-up-metadata["+first)
}

// TestJobLog: --log keeps what targets tell, one line each time.
func TestJobLog(t *testing.T) {
	t.Parallel()
	j := newJobCluster(t)
	j.expect("create ais://b1", 0)
	id := strings.TrimSpace(j.expect("start warm-up-metadata ais://b1 --nv", 0))
	path := filepath.Join(t.TempDir(), "jobs.log")
	j.expect("show job --log "+path, 0)
	close(j.gate)
	j.expect("show job "+id+" --progress --log "+path, 0, "2 of 2 targets are done", "Finished")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), data)
	}
	for i, line := range lines {
		var entry struct {
			Time  time.Time
			Snaps api.JobSnaps
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || time.Since(entry.Time) > time.Hour || len(entry.Snaps) != 2 {
			t.Fatalf("%s: %v", line, err)
		}
		for _, list := range entry.Snaps {
			if list[0].ID != id || list[0].EndTime.IsZero() != (i == 0) {
				t.Errorf("line %d: %+v", i, list[0])
			}
		}
	}
	j.expect("show job --progress", 1, "expected the name or the id")
	j.expect("show job --log /nowhere/x", 1, "--log")
}

// TestWorkOfJobs: an object that crosses targets counts once.
func TestWorkOfJobs(t *testing.T) {
	t.Parallel()
	ended := time.Now()
	for _, tc := range []struct {
		name  string
		snaps api.JobSnaps
		want  jobWork
	}{
		{"a copy that crosses targets", api.JobSnaps{
			"t1": {{Kind: "copy-bck", Stats: wire.SnapStats{LocalObjects: 10, LocalBytes: 100, OutObjects: 6, OutBytes: 60}}},
			"t2": {{Kind: "copy-bck", EndTime: ended, Stats: wire.SnapStats{InObjects: 6, InBytes: 60}}},
		}, jobWork{objects: 10, bytes: 100, targets: 2, done: 1}},
		{"a rebalance", api.JobSnaps{
			"t1": {{Kind: "rebalance", Stats: wire.SnapStats{LocalObjects: 6, LocalBytes: 60, OutObjects: 7, OutBytes: 70}}},
			"t2": {{Kind: "rebalance", Stats: wire.SnapStats{InObjects: 6, InBytes: 60}}},
		}, jobWork{objects: 7, bytes: 70, targets: 2}},
		{"a rebalance that only removes", api.JobSnaps{
			"t1": {{Kind: "rebalance", ControlMessage: "ais://b:cleanup", Stats: wire.SnapStats{LocalObjects: 3, LocalBytes: 30}}},
		}, jobWork{objects: 3, bytes: 30, targets: 1}},
		{"a blob", api.JobSnaps{
			"t1": {{Kind: "blob-download", Stats: wire.SnapStats{LocalBytes: 30, InBytes: 90}}},
		}, jobWork{bytes: 30, total: 90, targets: 1}},
		{"idle", api.JobSnaps{"t1": {{Kind: "archive", IsIdle: true}}, "t2": {}}, jobWork{targets: 1, done: 1}},
	} {
		if got := workOf(tc.snaps); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// TestRateOfJobs: the rate is that of the last seconds, and never below nothing.
func TestRateOfJobs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := &jobProgress{now: func() time.Time { return now }, began: now}
	step := func(d time.Duration, w jobWork, want string) {
		t.Helper()
		now = now.Add(d)
		if line := p.line(w); line != want {
			t.Errorf("%q, want %q", line, want)
		}
	}
	step(0, jobWork{objects: 10, bytes: 10 << 20, targets: 2}, "10 objects, 10.00MiB  [----------] 0 of 2 targets are done  0s")
	step(4*time.Second, jobWork{objects: 50, bytes: 50 << 20, targets: 2}, "50 objects, 50.00MiB  10.00MiB/s, 10 objects/s  [----------] 0 of 2 targets are done  4s")
	step(20*time.Second, jobWork{objects: 90, bytes: 90 << 20, targets: 2, done: 1}, "90 objects, 90.00MiB  2.00MiB/s, 2 objects/s  [=====-----] 1 of 2 targets are done  24s")
	step(time.Second, jobWork{objects: 40, bytes: 40 << 20, targets: 2}, "40 objects, 40.00MiB  [----------] 0 of 2 targets are done  25s")
	step(time.Second, jobWork{bytes: 1 << 20, total: 4 << 20}, "0 objects, 1.00MiB of 4.00MiB  26s")
}

// movingJob counts as a rebalance does.
type movingJob struct{ cleanup bool }

func (j movingJob) Run(_ context.Context, x *xact.Xaction) error {
	if j.cleanup {
		x.AddObjects(5, 5<<10)
		return nil
	}
	x.AddOut(3, 3<<20)
	x.AddIn(2, 2<<20)
	return nil
}

// TestShowRebalance: the newest one, or all; those that only remove have columns of
// their own.
func TestShowRebalance(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 2, Jobs: []xact.Registration{{Kind: "rebalance", New: func(_ *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return movingJob{strings.Contains(spec.Control, ":cleanup")}, nil
	}}}})
	j := &jobCluster{t: t, c: c, dir: t.TempDir()}
	j.expect("show rebalance", 0, "No rebalance.")
	first := strings.TrimSpace(j.expect("start rebalance --nv", 0))
	j.expect("wait "+first+" --timeout 30s --refresh 100ms", 0)
	j.expect("show rebalance", 0, "REB ID NODE TX OBJECTS TX BYTES RX OBJECTS RX BYTES START END STATE", first+" target-001 3 3.00MiB 2 2.00MiB", "Finished", "Total: 6 6.00MiB 4 4.00MiB")
	second := strings.TrimSpace(j.expect("start rebalance --cleanup --nv", 0))
	j.expect("wait "+second+" --timeout 30s --refresh 100ms", 0)
	out := j.expect("show rebalance", 0, "REB ID NODE REMOVED OBJECTS REMOVED BYTES START END STATE", second+" target-001 5 5.00KiB", "Total: 10 10.00KiB")
	if strings.Contains(out, first+" ") {
		t.Errorf("not only the newest: %s", out)
	}
	j.expect("show rebalance --all", 0, "TX OBJECTS", first+" target-002", "REMOVED OBJECTS", second+" target-002")
	if out := j.expect("show rebalance "+first+" t[target-002] -H", 0, first+" target-002"); strings.Contains(out, "target-001") || strings.Contains(out, "NODE") {
		t.Errorf("%s", out)
	}
	j.expect("show rebalance x", 1, "expected the id of a rebalance, as g7, or of a target")
	j.expect("show job "+first, 0, "NODE ID KIND TX OBJECTS TX BYTES RX OBJECTS RX BYTES START END STATE")
}
