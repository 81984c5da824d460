package membership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeNodes are nodes that remember what they were told.
type fakeNodes struct {
	mu    sync.Mutex
	told  []string // "action node"
	asked int      // how often for what they hold
	held  map[string]int64
	space map[string]Space
	fails map[string]error // by node
}

func newFakeNodes() *fakeNodes {
	return &fakeNodes{held: map[string]int64{}, space: map[string]Space{}, fails: map[string]error{}}
}

func (f *fakeNodes) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// Tell implements Nodes.
func (f *fakeNodes) Tell(_ context.Context, node *meta.Snode, op *meta.Operation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails[node.ID]; err != nil {
		return err
	}
	f.told = append(f.told, op.Action+" "+node.ID)
	return nil
}

// Held implements Nodes.
func (f *fakeNodes) Held(_ context.Context, node *meta.Snode) (Held, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fails[node.ID]; err != nil {
		return Held{}, err
	}
	f.asked++
	held := Held{Objects: f.held[node.ID], Bytes: 1000 * f.held[node.ID]}
	if held.Objects > 0 {
		held.Example = "ais://bucket-1/o"
	}
	return held, nil
}

// Space implements Nodes.
func (f *fakeNodes) Space(_ context.Context, node *meta.Snode) (Space, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if space, ok := f.space[node.ID]; ok {
		return space, nil
	}
	return Space{node.ID: {Used: 1 << 20, Avail: 1 << 40}}, nil
}

// Serves implements Nodes.
func (f *fakeNodes) Serves(_ context.Context, node *meta.Snode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fails[node.ID]
}

// fakeMover is a rebalance that ends when the test says so.
type fakeMover struct {
	mu      sync.Mutex
	started []int64
	ended   int64 // greatest number that has ended
	fails   error
}

// Start implements Mover.
func (m *fakeMover) Start(_ context.Context, rebalance int64, _ *meta.Operation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.started, rebalance) {
		m.started = append(m.started, rebalance)
	}
	return nil
}

// State implements Mover.
func (m *fakeMover) State(_ context.Context, rebalance int64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended >= rebalance, m.fails
}

func (m *fakeMover) end(rebalance int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = rebalance
}

// rig is an engine with what it works on.
type rig struct {
	*Engine
	store *store
	nodes *fakeNodes
	mover *fakeMover
}

func newRig(t *testing.T, s *store, n *fakeNodes, m *fakeMover) *rig {
	t.Helper()
	r := &rig{store: s, nodes: n, mover: m}
	r.Engine = New(Options{
		Self: s.View().Smap.Primary, Control: s, Nodes: n, Begin: begin,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if m != nil {
		r.SetMover(m)
	}
	return r
}

// running starts an engine that works by itself until the end of the test.
func running(t *testing.T, s *store, mover bool) *rig {
	t.Helper()
	s.atOnce = true
	var m *fakeMover
	if mover {
		m = &fakeMover{}
	}
	r := newRig(t, s, newFakeNodes(), m)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

func request(t *testing.T, action string, value wire.MembershipMsg) *Request {
	t.Helper()
	r, err := NewRequest(action, &value)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestANewPrimaryGoesOnAtEveryStep: wherever the primary dies, before or after
// what it was about to do, the next one brings the operation to the same end.
func TestANewPrimaryGoesOnAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		action string
		value  wire.MembershipMsg
		mover  bool
		end    string // flags of target-01 and proxy-03, "-" if it is gone
	}{
		{wire.ActStartMaintenance, wire.MembershipMsg{}, true, "20 4"},
		{wire.ActStartMaintenance, wire.MembershipMsg{SkipRebalance: true}, false, "20 4"},
		{wire.ActShutdownNode, wire.MembershipMsg{}, true, "20 4"},
		{wire.ActShutdownNode, wire.MembershipMsg{SkipRebalance: true}, false, "20 4"},
		{wire.ActDecommissionNode, wire.MembershipMsg{}, true, "- -"},
		{wire.ActDecommissionNode, wire.MembershipMsg{SkipRebalance: true}, false, "- -"},
		{wire.ActRemoveUnsafe, wire.MembershipMsg{SkipRebalance: true}, false, "- -"},
		{wire.ActStopMaintenance, wire.MembershipMsg{}, true, "0 0"},
		{wire.ActStopMaintenance, wire.MembershipMsg{SkipRebalance: true}, false, "0 0"},
	} {
		t.Run(fmt.Sprintf("%s mover=%v", tt.action, tt.mover), func(t *testing.T) {
			t.Parallel()
			tt.value.NodeIDs = []string{"target-01", "proxy-03"}
			for _, afterEffect := range []bool{false, true} {
				for diesAt := range 100 {
					steps := failOverAt(t, tt.action, &tt.value, tt.mover, tt.end, diesAt, afterEffect)
					if diesAt > steps {
						break
					}
				}
			}
		})
	}
}

// failOverAt runs an operation whose first primary dies after diesAt turns
// (and, with afterEffect, after the commit that it does not learn of). It
// returns how many turns the operation took.
func failOverAt(t *testing.T, action string, value *wire.MembershipMsg, mover bool, end string, diesAt int, afterEffect bool) int {
	t.Helper()
	s, n := newStore(t, 4, 3, 1), newFakeNodes()
	if action == wire.ActStopMaintenance {
		s.change(t, meta.KindSmap, &meta.SmapPatch{Put: []*meta.Snode{
			flagged(s, "target-01", meta.FlagMaintenance|meta.FlagPostMaintenance), flagged(s, "proxy-03", meta.FlagMaintenance),
		}})
	}
	var m *fakeMover
	if mover {
		m = &fakeMover{}
	}
	op, err := Admit(s.View(), request(t, action, *value), &Conditions{Now: start, Self: "p[proxy-01]", CanMove: mover}, "operation-1")
	if err != nil {
		t.Fatal(err)
	}
	s.change(t, meta.KindOperations, &meta.OperationsPatch{Current: op})
	engine := newRig(t, s, n, m)
	ctx := context.Background()
	turns := 0
	for ; s.View().Operations.Now() != nil; turns++ {
		if turns > 200 {
			t.Fatalf("dies at %d: still %+v", diesAt, s.View().Operations.Now())
		}
		if turns == diesAt {
			if afterEffect { // it does not learn what it has done
				_ = engine.once(ctx)
			}
			engine = newRig(t, s, n, m)
			continue
		}
		_ = engine.once(ctx)
		if s.View().Transition.Now() != nil {
			if err := s.activate(); err != nil {
				t.Fatal(err)
			}
		}
		if m != nil {
			m.end(s.View().RMD.Ver())
		}
	}
	smap := s.View().Smap
	flags := func(id string) string {
		if node := smap.Node(id); node != nil {
			return fmt.Sprint(node.Flags)
		}
		return "-"
	}
	past := s.View().Operations.Past
	if got := flags("target-01") + " " + flags("proxy-03"); got != end || past[len(past)-1].Step != StepDone {
		t.Errorf("dies at %d, after effect %v: flags %s, want %s: %+v", diesAt, afterEffect, got, end, past[len(past)-1])
	}
	if action != wire.ActStopMaintenance {
		for _, id := range value.NodeIDs {
			if !slices.Contains(n.told, action+" "+id) {
				t.Errorf("dies at %d: %s was not told: %v", diesAt, id, n.told)
			}
		}
	}
	if m != nil && !slices.Equal(m.started, []int64{1}) {
		t.Errorf("dies at %d: rebalances %v, want one", diesAt, m.started)
	}
	return turns
}

func flagged(s *store, id string, flags uint64) *meta.Snode {
	node := s.View().Smap.Node(id).Clone()
	node.Flags = flags
	return node
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestABatchIsOneRebalance: the answer is its id, and while it runs everything
// else is refused.
func TestABatchIsOneRebalance(t *testing.T) {
	t.Parallel()
	s := newStore(t, 3, 4, 1)
	r := running(t, s, true)
	ctx := context.Background()
	id, err := r.Do(ctx, request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeIDs: []string{"target-01", "target-02"}}))
	if err != nil || id != "g1" {
		t.Fatalf("rebalance %q, want g1: %v", id, err)
	}
	version := s.View().Smap.Version
	for _, busy := range []struct {
		name   string
		action string
		value  wire.MembershipMsg
	}{
		{"the same again", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01"}},
		{"maintenance of another", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-03"}},
		{"maintenance of a proxy", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "proxy-02"}},
		{"maintenance without rebalance", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-03", SkipRebalance: true}},
		{"end of maintenance", wire.ActStopMaintenance, wire.MembershipMsg{NodeID: "target-01"}},
		{"shutdown", wire.ActShutdownNode, wire.MembershipMsg{NodeID: "target-03"}},
		{"shutdown of the same", wire.ActShutdownNode, wire.MembershipMsg{NodeID: "target-01"}},
		{"decommission", wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-03"}},
		{"unsafe removal", wire.ActRemoveUnsafe, wire.MembershipMsg{NodeID: "target-03", SkipRebalance: true}},
	} {
		_, err := r.Do(ctx, request(t, busy.action, busy.value))
		if apierr.StatusOf(err) != http.StatusConflict || apierr.CodeOf(err) != wire.CodeBusy || !strings.Contains(err.Error(), "rebalance[g1]") {
			t.Errorf("%s: %v, want 409 ErrBusy that names rebalance[g1]", busy.name, err)
		}
	}
	if err := r.GiveUp(ctx, &wire.MembershipMsg{}); apierr.StatusOf(err) != http.StatusConflict {
		t.Errorf("decommission of the cluster: %v, want 409", err)
	}
	if got := s.View().Smap.Version; got != version {
		t.Errorf("map v%d, want v%d: nothing was admitted", got, version)
	}
	r.mover.end(1)
	r.Notify()
	eventually(t, "the batch ends", func() bool { return s.View().Operations.Now() == nil })
	for _, id := range []string{"target-01", "target-02"} {
		if flags := s.View().Smap.Node(id).Flags; flags != meta.FlagMaintenance|meta.FlagPostMaintenance {
			t.Errorf("flags of %s are %d", id, flags)
		}
	}
	if _, err := r.Do(ctx, request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01"})); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestARunningRebalanceIsBusy: also one that no operation has asked for.
func TestARunningRebalanceIsBusy(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 3, 1)
	r := running(t, s, true)
	s.change(t, meta.KindRMD, &meta.RMDPatch{})
	_, err := r.Do(context.Background(), request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "proxy-02"}))
	if apierr.CodeOf(err) != wire.CodeBusy || !strings.Contains(err.Error(), "rebalance[g1]") {
		t.Errorf("%v, want ErrBusy that names rebalance[g1]", err)
	}
}

// TestARepeatedRequestGetsItsFirstResult: a proxy repeats a request whose
// primary died with it.
func TestARepeatedRequestGetsItsFirstResult(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 3, 1)
	r := running(t, s, true)
	ctx := meta.WithCommandID(context.Background(), "request-1")
	for range 3 {
		id, err := r.Do(ctx, request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01"}))
		if err != nil || id != "g1" {
			t.Fatalf("rebalance %q, want g1: %v", id, err)
		}
	}
	r.mover.end(1)
	eventually(t, "the end", func() bool { return s.View().Operations.Now() == nil })
	if id, err := r.Do(ctx, request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01"})); err != nil || id != "g1" {
		t.Errorf("after the end: rebalance %q, want g1: %v", id, err)
	}
}

// TestDecommissionVerifies: no target leaves while it holds objects, unless
// the operator says that it does not matter.
func TestDecommissionVerifies(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	s := newStore(t, 2, 3, 1)
	r := running(t, s, true)
	r.nodes.held["target-01"] = 3
	if id, err := r.Do(ctx, request(t, wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-01"})); err != nil || id != "g1" {
		t.Fatalf("rebalance %q: %v", id, err)
	}
	r.mover.end(1)
	eventually(t, "the target is asked twice", func() bool {
		r.nodes.mu.Lock()
		defer r.nodes.mu.Unlock()
		return r.nodes.asked >= 3 // once by preflight, for the space that it needs
	})
	if s.View().Smap.Node("target-01") == nil {
		t.Error("the target left with 3 objects")
	}
	r.nodes.set(func() { r.nodes.held["target-01"] = 0 })
	eventually(t, "the target leaves", func() bool { return s.View().Smap.Node("target-01") == nil })

	// Out of service already: nothing would move what it holds.
	s = newStore(t, 2, 3, 1)
	s.change(t, meta.KindSmap, &meta.SmapPatch{Put: []*meta.Snode{flagged(s, "target-01", meta.FlagMaintenance|meta.FlagPostMaintenance)}})
	r = running(t, s, false)
	r.nodes.held["target-01"] = 3
	_, err := r.Do(ctx, request(t, wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-01"}))
	if apierr.StatusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "still holds 3 objects") {
		t.Errorf("%v, want 400 with the count", err)
	}
	_, err = r.Do(ctx, request(t, wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-01", RemoveUserData: true}))
	if apierr.StatusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "still holds 3 objects") {
		t.Errorf("with the data to be removed from the node: %v, want 400 with the count", err)
	}
	r.nodes.set(func() { r.nodes.fails["target-01"] = errors.New("connection refused") })
	if _, err = r.Do(ctx, request(t, wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-01"})); apierr.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("a target that does not answer: %v, want 400", err)
	}
	if flags := s.View().Smap.Node("target-01").Flags; flags != meta.FlagMaintenance|meta.FlagPostMaintenance {
		t.Errorf("flags are %d, a refused operation must change nothing", flags)
	}
	r.store.setDown("target-01", true)
	if _, err = r.Do(ctx, request(t, wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-01", Force: true})); err != nil {
		t.Errorf("by force: %v", err)
	}
	op := s.View().Operations.Past[0]
	if s.View().Smap.Node("target-01") != nil || s.View().Operations.Decommissioned("target-01", []byte("key of target-01")) != op {
		t.Errorf("after force: %+v", op)
	}
}

// TestCapacity: what leaves must fit on the others.
func TestCapacity(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 3, 1)
	r := running(t, s, true)
	r.nodes.held["target-01"] = 3
	for _, id := range []string{"target-02", "target-03"} { // one disk of 10,000 bytes, used by both, out of space at 95%
		r.nodes.space[id] = Space{"disk": {Used: 7000, Avail: 3000}}
	}
	_, err := r.Do(context.Background(), request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01"}))
	if apierr.StatusOf(err) != http.StatusInsufficientStorage || !strings.Contains(err.Error(), "3000 bytes have to move, the remaining targets have room for 2500") {
		t.Errorf("%v, want 507", err)
	}
	if id, err := r.Do(context.Background(), request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01", Force: true})); err != nil || id != "g1" {
		t.Errorf("by force: %q %v", id, err)
	}
}

// TestSlices: buckets need targets for their slices.
func TestSlices(t *testing.T) {
	t.Parallel()
	s := newStore(t, 1, 4, 1)
	bucket := s.View().BMD.Buckets(nil)[0]
	props := bucket.Props.Clone()
	props.EC.Enabled, props.EC.DataSlices, props.EC.ParitySlices = true, 2, 1
	s.change(t, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: bucket.Bck, Props: props}}})
	r := running(t, s, true)
	_, err := r.Do(context.Background(), request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01"}))
	if apierr.StatusOf(err) != http.StatusBadRequest || apierr.CodeOf(err) != wire.CodeNotEnoughTargets || !strings.Contains(err.Error(), "needs 4 targets") {
		t.Errorf("%v, want 400 %s", err, wire.CodeNotEnoughTargets)
	}
}

// TestStopMaintenanceWaitsForTheNode: as long as the caller says, and the
// error says what is wrong.
func TestStopMaintenanceWaitsForTheNode(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 2, 0)
	s.change(t, meta.KindSmap, &meta.SmapPatch{Put: []*meta.Snode{flagged(s, "target-01", meta.FlagMaintenance|meta.FlagPostMaintenance)}})
	r := running(t, s, false)
	ctx := context.Background()
	r.nodes.fails["target-01"] = errors.New("connection refused")
	_, err := r.Do(ctx, request(t, wire.ActStopMaintenance, wire.MembershipMsg{NodeID: "target-01", Timeout: "50ms"}))
	if apierr.StatusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "t[target-01] is unreachable") {
		t.Errorf("%v, want 400 unreachable", err)
	}
	r.nodes.set(func() { r.nodes.fails["target-01"] = apierr.Unavailable(0, "starting") })
	_, err = r.Do(ctx, request(t, wire.ActStopMaintenance, wire.MembershipMsg{NodeID: "target-01", Timeout: "50ms"}))
	if apierr.StatusOf(err) != http.StatusBadRequest || !strings.Contains(err.Error(), "still starting, or stopping, after 50ms") {
		t.Errorf("%v, want 400 still starting", err)
	}
	time.AfterFunc(100*time.Millisecond, func() { r.nodes.set(func() { delete(r.nodes.fails, "target-01") }) })
	if _, err = r.Do(ctx, request(t, wire.ActStopMaintenance, wire.MembershipMsg{NodeID: "target-01", Timeout: "20s"})); err != nil {
		t.Errorf("a node that comes in time: %v", err)
	}
}

// TestADeadlineDoesNotEndTheOperation: it goes on, and the error says so.
func TestADeadlineDoesNotEndTheOperation(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 3, 1)
	r := running(t, s, false)
	s.mu.Lock()
	s.atOnce = false
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := r.Do(ctx, request(t, wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01", SkipRebalance: true}))
	if apierr.StatusOf(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "goes on") || !strings.Contains(err.Error(), "targets to stop writing") {
		t.Errorf("%v, want 503 that says what is waited for", err)
	}
	if err := s.activate(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ends", func() bool { return s.View().Operations.Now() == nil })
}

// TestACommitThatFailsIsTriedAgain: without a majority nothing changes, and
// nothing is forgotten.
func TestACommitThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 3, 0)
	op, err := Admit(s.View(), request(t, wire.ActDecommissionNode, wire.MembershipMsg{NodeID: "target-01"}), &Conditions{Now: start}, "operation-1")
	if err != nil {
		t.Fatal(err)
	}
	s.change(t, meta.KindOperations, &meta.OperationsPatch{Current: op})
	s.failNext = apierr.Unavailable(0, "no majority")
	r := running(t, s, false)
	eventually(t, "the target leaves", func() bool { return s.View().Smap.Node("target-01") == nil })
	if want := []string{"decommission-node target-01"}; !slices.Equal(r.nodes.told, want) {
		t.Errorf("told %v, want %v", r.nodes.told, want)
	}
}

// TestAVoterIsReplacedBeforeItStops: two of three voters that stop at once
// would stop the cluster.
func TestAVoterIsReplacedBeforeItStops(t *testing.T) {
	t.Parallel()
	s := newStore(t, 1, 3, 0)
	voters := func(ids ...string) {
		patch := &meta.VotersPatch{}
		for i, id := range ids {
			patch.Members = append(patch.Members, meta.Member{NodeID: id, RaftID: uint64(i + 1)})
		}
		s.change(t, meta.KindVoters, patch)
	}
	voters("proxy-01", "target-01", "target-02")
	r := running(t, s, false)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := r.Do(ctx, request(t, wire.ActShutdownNode, wire.MembershipMsg{NodeIDs: []string{"target-01", "target-02"}}))
	if apierr.StatusOf(err) != http.StatusServiceUnavailable || len(r.nodes.told) > 0 {
		t.Errorf("%v, told %v", err, r.nodes.told)
	}
	voters("proxy-01")
	r.Notify()
	eventually(t, "it ends", func() bool { return s.View().Operations.Now() == nil })
	slices.Sort(r.nodes.told)
	if want := []string{"shutdown-node target-01", "shutdown-node target-02"}; !slices.Equal(r.nodes.told, want) {
		t.Errorf("told %v, want %v", r.nodes.told, want)
	}
}

// TestWholeCluster: all others first, the primary last.
func TestWholeCluster(t *testing.T) {
	t.Parallel()
	s := newStore(t, 2, 2, 1)
	r := running(t, s, false)
	if err := r.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.nodes.told)
	if want := []string{"shutdown proxy-02", "shutdown target-01", "shutdown target-02"}; !slices.Equal(r.nodes.told, want) {
		t.Errorf("told %v, want %v", r.nodes.told, want)
	}
	r.nodes.set(func() { r.nodes.told = nil })
	if err := r.GiveUp(context.Background(), &wire.MembershipMsg{RemoveUserData: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are told", func() bool {
		r.nodes.mu.Lock()
		defer r.nodes.mu.Unlock()
		return len(r.nodes.told) == 4
	})
	if last := r.nodes.told[3]; last != "decommission proxy-01" {
		t.Errorf("told last: %q, want the primary", last)
	}
}

// TestRequests: what cannot be meant is refused before anything is looked up.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		action string
		value  wire.MembershipMsg
		want   string
	}{
		{"no node", wire.ActStartMaintenance, wire.MembershipMsg{}, `no node is named: expecting "sid" or "sids"`},
		{"both forms", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "target-01", NodeIDs: []string{"target-02"}}, "exclude each other"},
		{"short id", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: "short"}, "too short: 5 < 8"},
		{"long id", wire.ActStartMaintenance, wire.MembershipMsg{NodeID: strings.Repeat("x", 33)}, "too long: 33 > 32"},
		{"bad characters", wire.ActStartMaintenance, wire.MembershipMsg{NodeIDs: []string{"target/01"}}, "is invalid"},
		{"twice", wire.ActStartMaintenance, wire.MembershipMsg{NodeIDs: []string{"target-01", "target-01"}}, `node "target-01" is named twice`},
		{"unsafe with rebalance", wire.ActRemoveUnsafe, wire.MembershipMsg{NodeID: "target-01"}, `expecting "skip_rebalance": true`},
		{"data of a node that stays", wire.ActShutdownNode, wire.MembershipMsg{NodeID: "target-01", RemoveUserData: true}, `"rm_user_data" is an option of decommission-node`},
		{"timeout of another action", wire.ActShutdownNode, wire.MembershipMsg{NodeID: "target-01", Timeout: "1s"}, `"timeout" is an option of stop-maintenance`},
		{"bad timeout", wire.ActStopMaintenance, wire.MembershipMsg{NodeID: "target-01", Timeout: "soon"}, "expecting a positive duration"},
	} {
		_, err := NewRequest(tt.action, &tt.value)
		if apierr.StatusOf(err) != http.StatusBadRequest || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want 400 with %q", tt.name, err, tt.want)
		}
	}
}
