package metrics_test

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
)

var (
	bucket = wire.Bck{Name: "nnn", Provider: wire.ProviderAIS}
	remote = wire.Bck{Name: "abc", Provider: wire.ProviderAWS}
	inNs   = wire.Bck{Name: "name", Provider: wire.ProviderAIS, Ns: wire.Ns{UUID: "uuid", Name: "ns"}}
)

func scrape(t *testing.T, r *metrics.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v %v", w.Code, w.Header(), err)
	}
	return string(body)
}

// want checks that lines are in a scrape.
func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

func TestTargetSeries(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "abc.t8081")
	r.Done(metrics.Get, bucket, 4096, 2*time.Millisecond)
	r.Done(metrics.Get, remote, 1, time.Millisecond)
	r.Done(metrics.Put, bucket, 100, time.Microsecond)
	r.Done(metrics.Head, bucket, 0, 5)
	r.Done(metrics.Delete, bucket, 0, 5)
	r.Done(metrics.List, inNs, 0, 7)
	r.Failed(metrics.Put, bucket, 500)
	r.FailedIO(metrics.Put, bucket)
	r.ChecksumMismatch(bucket)
	r.HTTPWriteFailed()
	r.Keepalive(3, errors.New("gone"))
	r.ReplaceFlags(wire.NodeHealthy | wire.NodeOOS)
	r.ReplaceFlags(wire.NodeHealthy)
	r.SetPrimary("p.1")
	r.SetDisks(map[string]wire.DiskStats{"sda": {ReadBps: 1, ReadAvg: 2, WriteBps: 3, WriteAvg: 4, Util: 5}})
	want(t, scrape(t, r),
		`ais_target_get_count{bucket="",node_id="abc_t8081"} 2`,
		`ais_target_get_bytes{bucket="",node_id="abc_t8081"} 4097`,
		`ais_target_get_ns_total{bucket="",node_id="abc_t8081"} 3e+06`,
		`ais_target_put_count{bucket="",node_id="abc_t8081",xkind=""} 1`,
		`ais_target_put_bytes{bucket="",node_id="abc_t8081",xkind=""} 100`,
		`ais_target_put_ns_total{bucket="",node_id="abc_t8081",xkind=""} 1000`,
		`ais_target_head_count{bucket="",node_id="abc_t8081"} 1`,
		`ais_target_head_ns_total{bucket="",node_id="abc_t8081"} 5`,
		`ais_target_del_count{bucket="",node_id="abc_t8081"} 1`,
		`ais_target_lst_count{bucket="ais://@uuid#ns/name",node_id="abc_t8081"} 1`,
		`ais_target_err_put_count{bucket="ais://nnn",node_id="abc_t8081",xkind=""} 1`,
		`ais_target_err_io_put_count{bucket="ais://nnn",node_id="abc_t8081",xkind=""} 1`,
		`ais_target_err_put_cksum_count{bucket="ais://nnn",node_id="abc_t8081",xkind=""} 1`,
		`ais_target_err_http_write_count{node_id="abc_t8081"} 1`,
		`ais_target_err_kalive_count{node_id="abc_t8081"} 1`,
		`ais_target_state_flags{node_id="abc_t8081"} 6`,
		`ais_node_primary_info{node_id="abc_t8081",primary_id="p_1"} 1`,
		`ais_target_disk_read_bps{disk="sda",node_id="abc_t8081"} 1`,
		`ais_target_disk_avg_rsize{disk="sda",node_id="abc_t8081"} 2`,
		`ais_target_disk_write_bps{disk="sda",node_id="abc_t8081"} 3`,
		`ais_target_disk_avg_wsize{disk="sda",node_id="abc_t8081"} 4`,
		`ais_target_disk_util{disk="sda",node_id="abc_t8081"} 5`,
		`ais_target_get_latency_seconds_count{node_id="abc_t8081"} 2`,
		`ais_target_get_latency_seconds_bucket{node_id="abc_t8081",le="0.0016"} 1`,
		`ais_target_get_latency_seconds_bucket{node_id="abc_t8081",le="0.0032"} 2`,
		`ais_target_get_latency_seconds_sum{node_id="abc_t8081"} 0.003`,
		`promhttp_metric_handler_requests_in_flight{node_id="abc_t8081"} 1`,
		`# TYPE ais_target_get_count counter`,
		`# TYPE ais_target_uptime gauge`,
	)
	want(t, scrape(t, r), `promhttp_metric_handler_requests_total{code="200",node_id="abc_t8081"} 1`)
}

func TestDetailedSeries(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "t1")
	r.SetDetailed(true)
	r.Done(metrics.Get, remote, 10, 1)
	want(t, scrape(t, r), `ais_target_get_count{bucket="s3://abc",node_id="t1"} 1`, `ais_target_get_bytes{bucket="s3://abc",node_id="t1"} 10`)
	r.SetDetailed(false)
	r.Done(metrics.Get, remote, 10, 1)
	want(t, scrape(t, r), `ais_target_get_count{bucket="",node_id="t1"} 1`)
	if n := r.Tracker()["get.n"]; n != 2 {
		t.Fatalf("the tracker counts %d over all buckets", n)
	}
}

func TestProxySeries(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleProxy, "p1")
	r.Done(metrics.Get, bucket, 0, 9)
	r.Done(metrics.Put, bucket, 0, 9)
	r.Done(metrics.Head, bucket, 0, 9)
	r.Done(metrics.List, bucket, 0, 9)
	r.Failed(metrics.Get, bucket, 404)
	r.FailedIO(metrics.Get, bucket)
	r.ChecksumMismatch(bucket)
	text := scrape(t, r)
	want(t, text,
		`ais_proxy_get_count{bucket="ais://nnn",node_id="p1"} 1`,
		`ais_proxy_get_ns_total{bucket="ais://nnn",node_id="p1"} 9`,
		`ais_proxy_put_count{bucket="ais://nnn",node_id="p1",xkind=""} 1`,
		`ais_proxy_head_count{bucket="",node_id="p1"} 0`,
		`ais_proxy_lst_count{bucket="ais://nnn",node_id="p1"} 1`,
		`ais_proxy_err_get_count{bucket="ais://nnn",node_id="p1"} 1`,
	)
	for _, absent := range []string{"get_bytes", "put_ns_total", "err_io", "cksum", "disk_", "primary_info", "head_latency"} {
		if strings.Contains(text, absent) {
			t.Errorf("a proxy shows %s", absent)
		}
	}
}

// TestNames checks every dotted name against its Prometheus name by the rules
// that clients rely on.
func TestNames(t *testing.T) {
	t.Parallel()
	legal := regexp.MustCompile(`^[a-z0-9.]+$`)
	kinds := map[string]string{".n": "counter", ".size": "size", ".ns.total": "total", ".bps": "bw", ".ns": "latency", ".seconds": "histogram", ".time": "special", ".flags": "gauge", ".age": "gauge"}
	for _, role := range []string{metrics.RoleProxy, metrics.RoleTarget} {
		r := metrics.New(role, "x")
		text := scrape(t, r)
		for name, kind := range r.Kinds() {
			matched := false
			for suffix, k := range kinds {
				matched = matched || strings.HasSuffix(name, suffix) && k == kind
			}
			if !matched || !legal.MatchString(name) {
				t.Errorf("%s has kind %s", name, kind)
			}
			prom := "ais_" + role + "_"
			switch kind {
			case "counter":
				prom += strings.ReplaceAll(strings.TrimSuffix(name, ".n"), ".", "_") + "_count"
			case "size":
				prom += strings.ReplaceAll(strings.TrimSuffix(name, ".size"), ".", "_") + "_bytes"
			case "total", "histogram", "gauge":
				prom += strings.ReplaceAll(name, ".", "_")
			case "special":
				prom += "uptime"
			default:
				prom += strings.ReplaceAll(name, ".", "_")
				if strings.Contains(text, prom+"{") {
					t.Errorf("%s of kind %s is exported", name, kind)
				}
				continue
			}
			if !strings.Contains(text, "# TYPE "+prom+" ") {
				t.Errorf("%s: no %s in the scrape", name, prom)
			}
		}
	}
}

func TestTracker(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "t1")
	fresh := r.Tracker()
	for _, name := range []string{"get.ns", "put.ns", "lst.ns", "kalive.ns", "get.redir.ns", "put.redir.ns", "get.bps", "put.bps", "state.flags", "get.latency.seconds"} {
		if v, ok := fresh[name]; !ok || v != 0 {
			t.Errorf("%s: have %d, %v; it is always there", name, v, ok)
		}
	}
	for _, name := range []string{"get.n", "get.size", "get.ns.total", "err.get.n"} {
		if _, ok := fresh[name]; ok {
			t.Errorf("%s is absent while it is 0", name)
		}
	}
	if fresh["up.ns.time"] <= 0 {
		t.Error("no uptime")
	}
	r.Done(metrics.Get, bucket, 100, 40)
	r.Done(metrics.Get, remote, 50, 2)
	r.Done(metrics.List, bucket, 0, 9)
	r.Redirected(metrics.Get, 11)
	r.Redirected(metrics.Put, -5)
	r.Redirected(metrics.Delete, 5)
	r.SetDisks(map[string]wire.DiskStats{"nvme0n1": {ReadBps: 7}})
	have := r.Tracker()
	for name, v := range map[string]int64{"get.n": 2, "get.size": 150, "get.bps": 150, "get.ns": 42, "get.ns.total": 42, "lst.n": 1, "lst.ns": 9,
		"get.redir.ns": 11, "put.redir.ns": 0, "disk.nvme0n1.read.bps": 7, "disk.nvme0n1.util": 0} {
		if have[name] != v {
			t.Errorf("%s: have %d, want %d", name, have[name], v)
		}
	}
	kinds := r.Kinds()
	for name := range have {
		if kinds[name] == "" {
			t.Errorf("%s has no kind", name)
		}
	}
	if kinds["disk.nvme0n1.read.bps"] != "compbw" || r.Disks()["nvme0n1"].ReadBps != 7 {
		t.Error("disks are wrong")
	}
}

func TestNotFoundIsNoError(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "t1")
	r.Failed(metrics.Get, bucket, 404)
	if n := r.Tracker()["err.get.n"]; n != 0 {
		t.Errorf("a missing object counts %d", n)
	}
	r.Failed(metrics.Head, bucket, 404)
	r.Failed(metrics.Get, bucket, 500)
	r.SetCountNotFound(true)
	r.Failed(metrics.Get, bucket, 404)
	if have := r.Tracker(); have["err.get.n"] != 2 || have["err.head.n"] != 1 {
		t.Errorf("have %d and %d", have["err.get.n"], have["err.head.n"])
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "t1")
	fill := func() {
		r.Done(metrics.Get, bucket, 100, 40)
		r.Failed(metrics.Put, bucket, 400)
		r.ReplaceFlags(wire.NodeHealthy)
		r.SetDisks(map[string]wire.DiskStats{"sda": {Util: 9}})
	}
	fill()
	r.Reset(true)
	if have := r.Tracker(); have["err.put.n"] != 0 || have["get.n"] != 1 || have["state.flags"] != 6 || have["disk.sda.util"] != 9 {
		t.Errorf("errors only: %v", have)
	}
	r.Reset(false)
	have := r.Tracker()
	if have["get.n"] != 0 || have["get.size"] != 0 || have["get.bps"] != 0 || have["get.ns"] != 0 || have["state.flags"] != 0 || have["disk.sda.util"] != 0 || have["up.ns.time"] == 0 {
		t.Errorf("all: %v", have)
	}
	if r.Flags() != wire.NodeHealthy {
		t.Error("the mask itself must stay")
	}
	want(t, scrape(t, r),
		`ais_target_get_count{bucket="",node_id="t1"} 1`, `ais_target_err_put_count{bucket="ais://nnn",node_id="t1",xkind=""} 1`,
		`ais_target_state_flags{node_id="t1"} 6`, `ais_target_disk_util{disk="sda",node_id="t1"} 9`)
	fill()
	if have := r.Tracker(); have["get.n"] != 1 || have["err.put.n"] != 1 || have["state.flags"] != 6 || have["disk.sda.util"] != 9 {
		t.Errorf("after the next update: %v", have)
	}
}

func TestReplaceFlags(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "t1")
	r.ReplaceFlags(wire.NodeOOS)
	r.ReplaceFlags(wire.NodeHealthy)
	r.Reset(false)
	r.ReplaceFlags(wire.NodeHealthy)
	if have := r.Tracker()["state.flags"]; have != 6 || r.Flags() != 6 {
		t.Errorf("have %d", have)
	}
}

func TestGoRuntime(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleProxy, "p1")
	if strings.Contains(scrape(t, r), "go_") {
		t.Error("the runtime is shown by default")
	}
	r.SetGoRuntime(true)
	text := scrape(t, r)
	for _, name := range []string{"go_goroutines", "go_threads", "go_memory_classes_heap_objects_bytes", "go_memory_classes_total_bytes", "go_gc_heap_goal_bytes",
		"go_gc_heap_allocs_bytes_total", "go_cpu_classes_gc_total_cpu_seconds_total"} {
		if !strings.Contains(text, "\n"+name+`{node_id="p1",node_type="proxy"} `) {
			t.Errorf("no %s", name)
		}
	}
	if !strings.Contains(text, "ais_proxy_uptime") {
		t.Error("the node's own series are gone")
	}
	r.SetGoRuntime(false)
	if strings.Contains(scrape(t, r), "go_goroutines") {
		t.Error("it cannot be switched off")
	}
}

func TestStatsLine(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleTarget, "t1")
	if line, changed := r.StatsLine(); line != "{}" || !changed {
		t.Fatalf("have %s %v", line, changed)
	}
	if _, changed := r.StatsLine(); changed {
		t.Fatal("nothing changed")
	}
	r.Done(metrics.Get, bucket, 100, 40)
	line, changed := r.StatsLine()
	if want := "{get.bps:100,get.n:1,get.ns:40,get.ns.total:40,get.size:100}"; line != want || !changed {
		t.Fatalf("have %s %v", line, changed)
	}
}

// TestBucketFlood checks that invented and impossible bucket names neither
// break a scrape nor grow without end, and that nothing goes uncounted.
func TestBucketFlood(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleProxy, "p1")
	r.Failed(metrics.Get, wire.Bck{}, 400)
	r.Failed(metrics.Get, wire.Bck{Name: "\xff"}, 400)
	r.Failed(metrics.Get, wire.Bck{Name: strings.Repeat("x", 1000)}, 400)
	r.Failed(metrics.Get, wire.Bck{Name: "same"}, 400)
	r.Failed(metrics.Get, wire.Bck{Name: "same", Provider: wire.ProviderAIS}, 400)
	const n = 40_000
	for i := range n {
		r.Failed(metrics.Get, wire.Bck{Name: fmt.Sprint("bucket-", i), Provider: wire.ProviderAIS}, 400)
	}
	if have := r.Tracker()["err.get.n"]; have != n+5 {
		t.Errorf("have %d errors", have)
	}
	text := scrape(t, r)
	want(t, text, `ais_proxy_err_get_count{bucket="ais://same",node_id="p1"} 2`)
	if n := strings.Count(text, "ais_proxy_err_get_count{"); n > 35_000 {
		t.Errorf("%d series", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	r := metrics.New(metrics.RoleProxy, "p1")
	var group sync.WaitGroup
	const workers, each = 8, 500
	for w := range workers {
		group.Go(func() {
			for i := range each {
				r.Done(metrics.Get, wire.Bck{Name: fmt.Sprint("b", (w+i)%7), Provider: wire.ProviderAIS}, 0, 1)
			}
		})
	}
	group.Go(func() {
		for range 20 {
			r.Tracker()
			r.StatsLine()
			r.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
		}
	})
	group.Wait()
	if n := r.Tracker()["get.n"]; n != workers*each {
		t.Fatalf("have %d", n)
	}
}

func TestNoAllocation(t *testing.T) {
	for _, role := range []string{metrics.RoleProxy, metrics.RoleTarget} {
		r := metrics.New(role, "x")
		r.SetDetailed(true)
		r.Done(metrics.Get, bucket, 1, 1)
		if n := testing.AllocsPerRun(100, func() { r.Done(metrics.Get, bucket, 1, time.Second) }); n != 0 {
			t.Errorf("%s: %v allocations an operation", role, n)
		}
	}
}

func BenchmarkDone(b *testing.B) {
	for _, role := range []string{metrics.RoleTarget, metrics.RoleProxy} {
		b.Run(role, func(b *testing.B) {
			r := metrics.New(role, "x")
			b.ReportAllocs()
			for b.Loop() {
				r.Done(metrics.Get, bucket, 4096, 123*time.Microsecond)
			}
		})
	}
}

func BenchmarkTracker(b *testing.B) {
	r := metrics.New(metrics.RoleTarget, "x")
	r.Done(metrics.Get, bucket, 4096, 123*time.Microsecond)
	b.ReportAllocs()
	for b.Loop() {
		r.Tracker()
	}
}
