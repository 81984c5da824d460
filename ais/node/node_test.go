package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(bothWays{m}) }

// bothWays runs the tests twice: with the loop of the public listener, and
// with net/http alone. Benchmarks, fuzzing and short runs go one way only.
type bothWays struct{ *testing.M }

// Run implements goleak.TestingM.
func (b bothWays) Run() int {
	code := b.M.Run()
	for _, name := range []string{"test.bench", "test.fuzz", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return code
		}
	}
	if code != 0 || testing.Short() || os.Getenv(config.EnvHTTPLoop) != "" {
		return code
	}
	if err := os.Setenv(config.EnvHTTPLoop, "off"); err != nil {
		panic(err)
	}
	return b.M.Run()
}

// fakeControl is a control plane whose answers the test sets.
type fakeControl struct {
	view    atomic.Pointer[meta.View]
	joined  atomic.Bool
	primary atomic.Bool
	stale   atomic.Bool
	voting  atomic.Bool

	leaseless  atomic.Bool
	fenced     atomic.Pointer[string]
	handle     func(ctx context.Context, kind string, body []byte) ([]byte, error)
	leaderless atomic.Bool
	lagging    atomic.Pointer[[]string]
}

func (f *fakeControl) View() *meta.View {
	if v := f.view.Load(); v != nil {
		return v
	}
	return &meta.View{}
}
func (f *fakeControl) Joined() bool    { return f.joined.Load() }
func (f *fakeControl) Settled() bool   { return true }
func (f *fakeControl) Stale() bool     { return f.stale.Load() }
func (f *fakeControl) Electing() bool  { return f.voting.Load() }
func (f *fakeControl) IsPrimary() bool { return f.primary.Load() }
func (f *fakeControl) Fenced() string {
	if why := f.fenced.Load(); why != nil {
		return *why
	}
	return ""
}
func (f *fakeControl) IsDown(string) bool { return false }

func (f *fakeControl) Lagging() []string {
	if ids := f.lagging.Load(); ids != nil {
		return *ids
	}
	return nil
}

func (f *fakeControl) Leaderless() bool { return f.leaderless.Load() }

func (f *fakeControl) SetPrimary(context.Context, string) error { return nil }

func (f *fakeControl) LeaseValid() bool { return !f.leaseless.Load() }

func (f *fakeControl) Quiesced(int64) {}
func (f *fakeControl) Commit(_ context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error) {
	view := f.View()
	if !f.primary.Load() {
		return nil, apierr.New(400, wire.CodeNotPrimary, "not primary")
	}
	changes, err := build(view)
	if err != nil || len(changes) == 0 {
		return view, err
	}
	next, err := view.Apply(&meta.Command{ID: "command", Action: action, Changes: changes}, view.Term, view.Index+1)
	if err == nil {
		f.view.Store(next)
	}
	return next, err
}
func (f *fakeControl) Barrier(context.Context) (bool, error) { return false, nil }
func (f *fakeControl) Pull(context.Context) error            { return nil }
func (f *fakeControl) Handle(ctx context.Context, kind string, body []byte) ([]byte, error) {
	return f.handle(ctx, kind, body)
}

// testNode is a node that answers on loopback, with its fake control plane.
type testNode struct {
	*Node
	cp  *fakeControl
	log *syncBuffer
}

// syncBuffer is a log that a test can read.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newTestNode starts a node whose control plane belongs to no cluster yet;
// change may alter its options.
func newTestNode(t testing.TB, role, id string, change func(*Options)) *testNode {
	t.Helper()
	log := &syncBuffer{}
	opts := Options{
		Role: role, ID: id, Cluster: config.DefaultCluster(),
		Local:   &config.Local{HostNet: config.HostNet{Port: "0", PortIntraControl: "0"}},
		Logger:  slog.New(slog.NewTextHandler(log, nil)),
		Metrics: metrics.New(role, id),
		Version: BuildInfo{Build: "1a2b3c4", Time: "2026-11-22 15:00:00+0000"},
		Limits:  Limits{StartWait: 30 * time.Millisecond, SmapWait: 50 * time.Millisecond, ControlTimeout: 5 * time.Second},
	}
	opts.Env.HTTPLoopOff = os.Getenv(config.EnvHTTPLoop) == "off"
	if change != nil {
		change(&opts)
	}
	n, err := New(opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	tn := &testNode{Node: n, cp: &fakeControl{}, log: log}
	n.SetControl(tn.cp)
	if role == meta.RoleTarget { // without jobs
		n.Intra(wire.PathXactions, []string{http.MethodGet}, func(http.ResponseWriter, *http.Request) error {
			return apierr.New(http.StatusNotFound, "", "no jobs")
		})
	}
	done := make(chan error, 1)
	go func() { done <- n.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return tn
}

// testSmap is a map of the given nodes; the first proxy is the primary.
func testSmap(t testing.TB, version int64, nodes ...*testNode) *meta.Smap {
	t.Helper()
	smap := &meta.Smap{Pmap: map[string]*meta.Snode{}, Tmap: map[string]*meta.Snode{}, UUID: "aClusterUuid1", Created: "2026-11-22 15:00:00", Version: version}
	for _, n := range nodes {
		if n.Role() == meta.RoleTarget {
			smap.Tmap[n.ID()] = n.Snode()
			continue
		}
		smap.Pmap[n.ID()] = n.Snode()
		if smap.Primary == nil {
			smap.Primary = n.Snode()
		}
	}
	return smap.Freeze()
}

// join makes one started cluster of nodes; the first proxy is the primary.
func join(t testing.TB, nodes ...*testNode) *meta.Smap {
	t.Helper()
	smap := testSmap(t, 7, nodes...)
	publish(smap, nodes...)
	for _, n := range nodes {
		n.MarkStarted()
		n.cp.joined.Store(true)
	}
	return smap
}

// publish gives the nodes a map and the roles that it says.
func publish(smap *meta.Smap, nodes ...*testNode) {
	conf := config.DefaultCluster()
	conf.Version = 3
	view := &meta.View{UUID: smap.UUID, Smap: smap, BMD: meta.NewBMD(smap.UUID, 12), Config: &meta.Config{Cluster: conf}}
	for _, n := range nodes {
		n.cp.view.Store(view)
		n.cp.primary.Store(smap.IsPrimary(n.ID()))
	}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// client does requests on connections of their own and follows nothing.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       20 * time.Second,
}

// do sends one request; headers are "Name: value".
func do(t testing.TB, method, url, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, url, err)
	}
	return answer{res.StatusCode, res.Header, string(data)}
}

// errorBody decodes the one-line JSON error of an answer and checks its form.
func (a answer) errorBody(t testing.TB) wire.ErrorBody {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q of an error, want application/json; body %q", got, a.body)
	}
	if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q of an error", got)
	}
	if strings.Count(a.body, "\n") != 1 || !strings.HasSuffix(a.body, "}\n") {
		t.Errorf("error is not one line: %q", a.body)
	}
	var e wire.ErrorBody
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("error body %q: %v", a.body, err)
	}
	if e.Status != a.status {
		t.Errorf("status %d in the body, %d in HTTP", e.Status, a.status)
	}
	return e
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
