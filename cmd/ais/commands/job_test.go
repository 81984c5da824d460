package commands

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/xact"
)

// gatedJob counts something, and ends when it is let go.
type gatedJob struct{ gate chan struct{} }

func (j gatedJob) Run(ctx context.Context, x *xact.Xaction) error {
	x.AddObjects(1200, 5<<20)
	select {
	case <-j.gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failingJob has an error of one object.
type failingJob struct{}

func (failingJob) Run(_ context.Context, x *xact.Xaction) error {
	x.AddError(errors.New("ais://b1/x: disk full"))
	return nil
}

// jobCluster is a cluster in this process, with jobs, and the tool for it.
type jobCluster struct {
	t    *testing.T
	c    *aistest.Cluster
	dir  string
	gate chan struct{}
}

func newJobCluster(t *testing.T) *jobCluster {
	t.Helper()
	j := &jobCluster{t: t, dir: t.TempDir(), gate: make(chan struct{})}
	j.c = aistest.New(t, aistest.Options{Targets: 2, Jobs: []xact.Registration{
		{Kind: "load-lom-cache", New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return gatedJob{j.gate}, nil }},
		{Kind: "lru", New: func(*xact.Env, *xact.Spec) (xact.Job, error) { return failingJob{}, nil }},
	}})
	return j
}

func (j *jobCluster) run(line string) result {
	var out, errOut bytes.Buffer
	env := Environment{In: strings.NewReader(""), Out: &out, Err: &errOut, Getenv: func(name string) string {
		return map[string]string{settings.EnvEndpoint: j.c.Proxies[0].URL(), settings.EnvConfigDir: j.dir}[name]
	}}
	code := Run(j.t.Context(), env, append([]string{"ais"}, strings.Fields(line)...))
	return result{squeeze(out.String()), errOut.String(), code}
}

func (j *jobCluster) expect(line string, code int, texts ...string) string {
	j.t.Helper()
	r := j.run(line)
	if r.code != code {
		j.t.Fatalf("ais %s: exit code %d\n%s%s", line, r.code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			j.t.Errorf("ais %s lacks %q:\n%s%s", line, text, r.out, r.err)
		}
	}
	return r.out
}

func TestJobs(t *testing.T) {
	j := newJobCluster(t)
	j.expect("create ais://b1 ais://b2", 0)
	j.expect("show job", 0, "No running jobs.")
	j.expect("show job copy-bucket", 0, "No running copy-bucket jobs")
	j.expect("show job --all", 0, "No jobs.")
	j.expect("show job copy-bucket ais://none", 1, "does not exist")

	id := strings.TrimSpace(j.expect("start warm-up-metadata ais://b1 --non-verbose", 0))
	j.expect("start warm-up-metadata ais://b2", 0, "Started warm-up-metadata[", "ais show job")
	table := j.expect("show job", 0, "NODE ID KIND BUCKET OBJECTS BYTES START END STATE", "target-001 "+id+" load-lom-cache ais://b1 1,200 5.00MiB", "- Running", "Total: 2,400 10.00MiB")
	if strings.Count(table, "Running") < 2 {
		t.Errorf("%s", table)
	}
	j.expect("show job "+id+" --json", 0, `"end-time": "0001-01-01T00:00:00Z"`, `"loc-objs": "1200"`)
	j.expect("show job warm-up-metadata["+id+"] t[target-002] -H", 0, "target-002")
	j.expect("stop ais://b2 warm-up", 0, "Stopped warm-up-metadata[")
	j.expect("show job load-lom-cache --all", 0, "Aborted", "t[target-001]: user abort")
	j.expect("wait "+id+" --timeout 300ms --refresh 100ms", 1, "Waiting for", "deadline exceeded")
	close(j.gate)
	j.expect("wait "+id+" --timeout 30s --refresh 100ms --progress", 0, "Done.", "2,400 objects, 10.00MiB", "2 of 2 targets are done")
	j.expect("stop "+id, 0, "has ended already")
	j.expect("stop --all --yes", 0, "No running jobs.")
	j.expect("stop unknownXX1", 1, "not found")
	j.expect("show job "+id, 0, "Finished")
}

func TestJobsThatFail(t *testing.T) {
	j := newJobCluster(t)
	close(j.gate)
	j.expect("start lru --wait --timeout 30s", 1, "Started lru-eviction[", "finished with errors", "ais://b1/x: disk full")
	j.expect("show job lru --all -v", 0, "Finished with errors", "ais://b1/x: disk full")
	j.expect("start rechunk ais://none", 1, "does not exist")
	j.expect("start resilver p[proxy-001]", 1, "not a target")
	j.expect("start rebalance --prefix x", 1, "needs a bucket")
	j.expect("start nonsense", 1, "unknown command")
	j.expect("wait", 1, "missing job")
	j.expect("stop", 1, "missing job")
	j.expect("wait lru --timeout 0s", 1, "--timeout")
	j.expect("job rm download dnl-AbC123xyz", 1, "not found")
	j.expect("job rm lru x", 1, "expected download or dsort")
	began := time.Now()
	j.expect("wait copy-bucket ais://none --timeout 5s", 1, "does not exist")
	if time.Since(began) > 5*time.Second {
		t.Error("a wait for a job of a missing bucket waits")
	}
}
