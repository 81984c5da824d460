package metasync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testNet connects agents in one process.
type testNet struct {
	mu     sync.Mutex
	agents map[string]*Agent // by URL
	wg     sync.WaitGroup
}

func (n *testNet) get(url string) *Agent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.agents[url]
}

func (n *testNet) set(url string, a *Agent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agents[url] = a
}

func (n *testNet) Send(url string, body []byte) {
	n.wg.Go(func() {
		if a := n.get(url); a != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = a.Handle(ctx, KindRaft, body) // best effort
		}
	})
}

func (n *testNet) Call(ctx context.Context, url, kind string, body []byte) ([]byte, error) {
	if a := n.get(url); a != nil {
		return a.Handle(ctx, kind, body)
	}
	return nil, errors.New("connection refused")
}

// lockedStorage is memStorage for several goroutines, which can be made to fail.
type lockedStorage struct {
	mu   sync.Mutex
	mem  *memStorage
	fail atomic.Bool
}

// stall lets nothing be stored until the function that it returns is called.
func (l *lockedStorage) stall() (release func()) {
	l.mu.Lock()
	return sync.OnceFunc(l.mu.Unlock)
}

func (l *lockedStorage) Load(visit func(string, uint64, []byte) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mem.Load(visit)
}

func (l *lockedStorage) Save(fill func(func(string, uint64, []byte) error, func(string, uint64, uint64) error) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail.Load() {
		return errors.New("no space left on device")
	}
	return l.mem.Save(fill)
}

// testNode is an agent that can be restarted.
type testNode struct {
	t       *testing.T
	net     *testNet
	self    *meta.Snode
	seeds   []string
	found   bool
	storage *lockedStorage
	onApply func(old, new *meta.View) error
	times   Timeouts
	agent   *Agent
}

func newTestNodes(t *testing.T, proxies, targets int) []*testNode {
	t.Helper()
	net := &testNet{agents: map[string]*Agent{}}
	var nodes []*testNode
	add := func(id, role string) {
		n := &testNode{t: t, net: net, self: simSnode(id, role, id), found: len(nodes) == 0, times: fast(), storage: &lockedStorage{mem: newMemStorage()}}
		n.seeds = []string{simSnode("proxy000", meta.RoleProxy, "proxy000").IntraControl.URL}
		nodes = append(nodes, n)
	}
	for i := range proxies {
		add(fmt.Sprintf("proxy%03d", i), meta.RoleProxy)
	}
	for i := range targets {
		add(fmt.Sprintf("targt%03d", i), meta.RoleTarget)
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			n.kill()
		}
		net.wg.Wait()
	})
	return nodes
}

// fast are times of a fraction of the real ones, but long enough for a machine
// that has a lot else to do.
func fast() Timeouts {
	return Timeouts{
		Tick: 20 * time.Millisecond, ElectionTicks: 20, Keepalive: 200 * time.Millisecond, Down: 2 * time.Second, Out: 12 * time.Second,
		Caretaker: time.Second, Ack: 5 * time.Second, ReplaceVoter: 5 * time.Second, Barrier: 2 * time.Second, Call: time.Second,
	}
}

func (n *testNode) start() {
	n.t.Helper()
	a, err := New(Options{
		Self: n.self, Network: n.net, Storage: n.storage, Seeds: n.seeds, MayFound: n.found, InitialConfig: config.DefaultCluster(), Timeouts: n.times, Logger: testLogger(n.self.ID),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	a.OnApply(func(before, after *meta.View) error {
		if after.Transition.Now() != nil {
			a.Quiesced(after.Transition.Version) // nobody writes here
		}
		if n.onApply != nil {
			return n.onApply(before, after)
		}
		return nil
	})
	n.agent = a
	a.Start(context.Background())
	n.net.set(n.self.IntraControl.URL, a)
}

func (n *testNode) kill() {
	n.net.set(n.self.IntraControl.URL, nil)
	if n.agent != nil {
		n.agent.Kill()
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func startNodes(t *testing.T, nodes []*testNode) {
	t.Helper()
	for _, n := range nodes {
		n.start()
	}
	eventually(t, "all nodes join", func() bool { return allJoined(nodes, len(nodes)) })
}

func allJoined(nodes []*testNode, count int) bool {
	for _, n := range nodes {
		v := n.agent.View()
		if !n.agent.Joined() || v.Smap == nil || len(v.Smap.Nodes()) != count {
			return false
		}
	}
	return primaryOf(nodes) != nil
}

func primaryOf(nodes []*testNode) *testNode {
	for _, n := range nodes {
		if n.agent.ctx.Err() == nil && n.agent.IsPrimary() {
			return n
		}
	}
	return nil
}

// primaryAgent waits for a primary.
func primaryAgent(nodes []*testNode) *Agent {
	for {
		if p := primaryOf(nodes); p != nil {
			return p.agent
		}
		<-time.After(5 * time.Millisecond)
	}
}

func createBucket(ctx context.Context, a *Agent, name string) (*meta.View, error) {
	return a.Commit(ctx, "create-bck", func(v *meta.View) ([]meta.Change, error) { return bucketChange(v, name) })
}

// createSoon creates a bucket at the primary, whoever that is: on a machine
// that has a lot else to do it may change at any moment.
func createSoon(t *testing.T, nodes []*testNode, name string) {
	t.Helper()
	ctx := timeout(t)
	eventually(t, "create "+name, func() bool {
		p := primaryOf(nodes)
		if p == nil {
			return false
		}
		_, err := createBucket(meta.WithCommandID(ctx, "create "+name), p.agent, name)
		if err != nil && !isNotPrimary(err) && apierr.StatusOf(err) != apierr.StatusServiceUnavailable {
			t.Fatalf("create %s: %v", name, err)
		}
		return err == nil
	})
}

func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAgentCommit(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 3)
	startNodes(t, nodes)
	ctx := timeout(t)
	primary := primaryOf(nodes)
	view, err := createBucket(ctx, primary.agent, "first")
	if err != nil {
		t.Fatal(err)
	}
	if !hasBucket(view, "first") {
		t.Error("the returned view does not have the bucket")
	}
	for _, n := range nodes {
		if !hasBucket(n.agent.View(), "first") {
			t.Errorf("%s does not have the bucket when Commit returns", n.self)
		}
		if stale, err := n.agent.Barrier(ctx); stale || err != nil {
			t.Errorf("%s: barrier: stale %v, error %v", n.self, stale, err)
		}
		if err := n.agent.Pull(ctx); err != nil {
			t.Errorf("%s: pull: %v", n.self, err)
		}
		if n != primary {
			if _, err := createBucket(ctx, n.agent, "elsewhere"); !isNotPrimary(err) {
				t.Errorf("%s: error %v, want errNotPrimary", n.self, err)
			}
		}
	}
	if _, err := createBucket(ctx, primary.agent, "first"); err == nil {
		t.Error("the same bucket was created twice")
	}
	unchanged, err := primary.agent.Commit(ctx, "nothing", func(*meta.View) ([]meta.Change, error) { return nil, nil })
	if err != nil || unchanged.Index < view.Index {
		t.Errorf("no changes: index %d, error %v, want at least %d", unchanged.Index, err, view.Index)
	}
}

func TestAgentConcurrentCommits(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 1)
	startNodes(t, nodes)
	ctx := timeout(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			for {
				_, err := createBucket(meta.WithCommandID(ctx, fmt.Sprint("request ", i)), primaryAgent(nodes), fmt.Sprintf("bucket-%d", i))
				if err == nil {
					return
				}
				if !isNotPrimary(err) && apierr.StatusOf(err) != apierr.StatusServiceUnavailable || ctx.Err() != nil {
					t.Errorf("bucket %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		for i := range 40 {
			if !hasBucket(n.agent.View(), fmt.Sprintf("bucket-%d", i)) {
				t.Errorf("%s misses bucket %d", n.self, i)
			}
		}
	}
}

func TestAgentStopHandsOver(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 1)
	startNodes(t, nodes)
	ctx := timeout(t)
	createSoon(t, nodes, "kept")
	eventually(t, "three voters", func() bool {
		voters := 0
		for _, n := range nodes {
			if n.agent.Status().Voter {
				voters++
			}
		}
		return voters == 3
	})
	old := primaryOf(nodes)
	want := old.agent.View().Smap.Successor(old.self.ID).ID
	if err := old.agent.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	old.kill()
	eventually(t, "another primary", func() bool { return primaryOf(nodes) != nil })
	if got := primaryOf(nodes).self.ID; got != want {
		t.Errorf("primary is %s, want %s", got, want)
	}
	old.start()
	eventually(t, "it is back", func() bool { return allJoined(nodes, 4) })
	if !hasBucket(old.agent.View(), "kept") {
		t.Error("the bucket is lost")
	}
}

func TestAgentAppliesBeforeItShows(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 1)
	target := nodes[1]
	var calls, failures atomic.Int32
	var last atomic.Uint64
	var shown atomic.Pointer[Agent]
	target.onApply = func(old, new *meta.View) error {
		if old.Index != last.Load() {
			t.Errorf("old view %d, want %d", old.Index, last.Load())
		}
		if a := shown.Load(); a != nil && a.View().Index >= new.Index {
			t.Errorf("view %d is shown before it is in effect", new.Index)
		}
		if hasBucket(new, "difficult") && failures.Add(1) <= 1 {
			return errors.New("a mountpath is busy")
		}
		calls.Add(1)
		last.Store(new.Index)
		return nil
	}
	startNodes(t, nodes)
	shown.Store(target.agent)
	createSoon(t, nodes, "difficult")
	eventually(t, "the change is in effect", func() bool { return hasBucket(target.agent.View(), "difficult") })
	if failures.Load() < 2 || calls.Load() < 2 {
		t.Errorf("%d calls, %d failures", calls.Load(), failures.Load())
	}
}

func TestAgentWholeClusterRestarts(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 2)
	startNodes(t, nodes)
	createSoon(t, nodes, "kept")
	for _, n := range nodes {
		n.kill()
	}
	for i := range nodes {
		nodes[len(nodes)-1-i].start()
	}
	eventually(t, "all are back", func() bool { return allJoined(nodes, 5) })
	for _, n := range nodes {
		if !hasBucket(n.agent.View(), "kept") {
			t.Errorf("%s lost the bucket", n.self)
		}
	}
}

func TestAgentStorageFails(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 0)
	startNodes(t, nodes)
	n := nodes[0]
	n.storage.fail.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := createBucket(ctx, n.agent, "nowhere"); err == nil {
		t.Error("a change that is not stored was acknowledged")
	}
	if n.agent.Fenced() == "" {
		t.Error("the node does not say why")
	}
	n.storage.fail.Store(false)
	eventually(t, "it works again", func() bool { return n.agent.Fenced() == "" && n.agent.IsPrimary() })
	if _, err := createBucket(timeout(t), n.agent, "somewhere"); err != nil {
		t.Error(err)
	}
}

func TestAgentWithoutCluster(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 1)
	target := nodes[1]
	target.start()
	ctx := timeout(t)
	if v := target.agent.View(); v == nil || v.Smap != nil {
		t.Errorf("view %+v", v)
	}
	if _, err := target.agent.Barrier(ctx); err == nil {
		t.Error("a barrier without a cluster succeeds")
	}
	if _, err := createBucket(ctx, target.agent, "none"); err == nil {
		t.Error("a commit without a cluster succeeds")
	}
	if _, err := target.agent.Handle(ctx, "nonsense", nil); err == nil {
		t.Error("an unknown call succeeds")
	}
	if _, err := target.agent.Handle(ctx, KindRaft, []byte("nonsense")); err == nil {
		t.Error("a malformed message succeeds")
	}
	if err := target.agent.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestAgentThatNeverStarts(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 0)
	a, err := New(Options{Self: nodes[0].self, Network: nodes[0].net, Storage: nodes[0].storage})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.Handle(ctx, KindWhois, []byte("{}")); err == nil {
		t.Error("it answers")
	}
	if err := a.Stop(timeout(t)); err != nil {
		t.Error(err)
	}
	if a.View() == nil || a.Joined() || a.IsPrimary() {
		t.Error("bad state")
	}
}

func TestAgentOptions(t *testing.T) {
	t.Parallel()
	proxy, target := simSnode("proxy000", meta.RoleProxy, "a"), simSnode("targt000", meta.RoleTarget, "b")
	net, storage := &testNet{}, &lockedStorage{mem: newMemStorage()}
	for name, o := range map[string]Options{
		"no node":               {Network: net, Storage: storage},
		"no network":            {Self: proxy, Storage: storage},
		"a target may found":    {Self: target, Network: net, Storage: storage, MayFound: true, InitialConfig: config.DefaultCluster()},
		"founds without config": {Self: proxy, Network: net, Storage: storage, MayFound: true},
		"no role":               {Self: &meta.Snode{ID: "x"}, Network: net, Storage: storage},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStoredStateOfAnotherNode(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 0)
	startNodes(t, nodes)
	nodes[0].kill()
	_, err := New(Options{Self: simSnode("another0", meta.RoleProxy, "x"), Network: nodes[0].net, Storage: nodes[0].storage})
	if !mentions(err, "belongs to node") {
		t.Errorf("error %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 0 {
			frame, rest, err := nextFrame(data)
			if err != nil {
				return
			}
			if frame.message == nil || len(rest) >= len(data) {
				t.Fatal("no progress")
			}
			data = rest
		}
	})
}

func testLogger(id string) *slog.Logger {
	if os.Getenv("SIM_TRACE") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id)
}

// TestAgentSlowStorage: while the storage takes its time, the node ticks,
// answers and leads; what it promises waits.
func TestAgentSlowStorage(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 2)
	startNodes(t, nodes)
	ctx := timeout(t)
	primary := primaryOf(nodes)
	eventually(t, "five voters", func() bool {
		voters := 0
		for _, n := range nodes {
			if n.agent.Status().Voter {
				voters++
			}
		}
		return voters == 5
	})
	var slow *testNode
	for _, n := range nodes {
		if n != primary {
			slow = n
		}
	}
	release := slow.storage.stall()
	if _, err := createBucket(ctx, primary.agent, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.agent.Handle(ctx, KindWhois, []byte("{}")); err != nil {
		t.Errorf("a call waits for the disk: %v", err)
	}
	eventually(t, "it says that it stalls", func() bool { return slow.agent.Status().Stalled })
	if primary.agent.IsDown(slow.self.ID) {
		t.Error("its keepalives wait for the disk")
	}
	release()
	eventually(t, "it follows", func() bool { return hasBucket(slow.agent.View(), "meanwhile") && !slow.agent.Status().Stalled })

	// The primary itself: it hands over.
	release = primary.storage.stall()
	if _, err := createBucket(ctx, primary.agent, "stall"); err == nil && primaryOf(nodes) == primary {
		t.Error("a change was stored by a disk that stalls")
	}
	eventually(t, "another primary", func() bool { p := primaryOf(nodes); return p != nil && p != primary })
	if _, err := createBucket(ctx, primaryOf(nodes).agent, "elsewhere"); err != nil {
		t.Error(err)
	}
	release()
	eventually(t, "it follows", func() bool { return hasBucket(primary.agent.View(), "elsewhere") })
}

func TestAgentSetPrimary(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 3, 1)
	startNodes(t, nodes)
	ctx := timeout(t)
	for _, n := range nodes[:3] {
		if err := primaryOf(nodes).agent.SetPrimary(ctx, n.self.ID); err != nil {
			t.Fatalf("%s: %v", n.self, err)
		}
		eventually(t, "it is primary", func() bool { return primaryOf(nodes) == n })
	}
	if err := nodes[3].agent.SetPrimary(ctx, nodes[0].self.ID); !isNotPrimary(err) {
		t.Errorf("at a target: %v", err)
	}
}

// TestAgentRequestIDs: a request that is made twice takes place once, and its
// commands are told apart.
func TestAgentRequestIDs(t *testing.T) {
	t.Parallel()
	nodes := newTestNodes(t, 1, 1)
	startNodes(t, nodes)
	ctx := timeout(t)
	primary := nodes[0].agent
	for attempt := range 2 {
		request := meta.WithCommandID(ctx, "request")
		for _, name := range []string{"one", "two"} {
			if view, err := createBucket(request, primary, name); err != nil || !hasBucket(view, name) {
				t.Errorf("attempt %d, bucket %s: %v", attempt, name, err)
			}
		}
	}
	if _, err := createBucket(meta.WithCommandID(ctx, "another"), primary, "one"); err == nil {
		t.Error("another request creates the same bucket")
	}
}
