package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// gates hold rebalances until a test lets them end.
type gates struct {
	mu   sync.Mutex
	byID map[string]chan struct{}
}

func (g *gates) gate(id string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byID == nil {
		g.byID = map[string]chan struct{}{}
	}
	if g.byID[id] == nil {
		g.byID[id] = make(chan struct{})
	}
	return g.byID[id]
}

// registration is a rebalance that moves nothing.
func (g *gates) registration() xact.Registration {
	return xact.Registration{Kind: xact.KindRebalance, New: func(_ *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return gated(g.gate(spec.ID)), nil
	}}
}

type gated chan struct{}

func (g gated) Run(ctx context.Context, _ *xact.Xaction) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// moving is a cluster of three targets whose primary starts rebalances, which
// the test lets end.
type moving struct {
	t     *testing.T
	c     *aistest.Cluster
	url   string
	gates gates
}

func newMoving(t *testing.T, conf func(*config.Cluster)) *moving {
	t.Helper()
	m := &moving{t: t}
	m.c = aistest.New(t, aistest.Options{Targets: 3, Moving: true, Config: conf, Jobs: []xact.Registration{m.gates.registration()}})
	m.url = m.c.Proxies[0].URL() + "/v1/cluster"
	createBucket(t, m.c, "b")
	return m
}

// change takes a target out of service, or back, and asks for a rebalance, as
// the control plane does.
func (m *moving) change(active, asks bool) {
	m.t.Helper()
	target := m.c.Targets[2].Snode().Clone()
	if !active {
		target.Flags |= meta.FlagMaintenance
	}
	patch := &meta.SmapPatch{Put: []*meta.Snode{target}}
	_, err := m.c.Metadata.Change("test", func(v *meta.View) ([]meta.Change, error) {
		var changes []meta.Change
		for kind, p := range map[string]any{
			meta.KindSmap: patch, meta.KindPlacement: &meta.PlacementPatch{Targets: meta.NextTargets(v.Smap, patch)}, meta.KindRMD: &meta.RMDPatch{},
		} {
			if kind == meta.KindRMD && !asks {
				continue
			}
			change, err := meta.NewChange(v, kind, p)
			if err != nil {
				return nil, err
			}
			changes = append(changes, change)
		}
		return changes, nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// start has an operator start a rebalance.
func (m *moving) start(want, value string) {
	m.t.Helper()
	if _, id := expect(m.t, 200, follower, "PUT", m.url, `{"action":"start","value":`+value+`}`); id != want {
		m.t.Fatalf("%s starts %q, want %s", value, id, want)
	}
	m.awaitRunning(want)
}

// stop has an operator stop one.
func (m *moving) stop(id string) {
	m.t.Helper()
	expect(m.t, 200, follower, "PUT", m.url, `{"action":"stop","value":{"ID":"`+id+`"}}`)
	m.await(id+" is stopped", func(r *jobs.Record, _ *meta.View) bool { return r != nil && r.Cause == xact.ErrUserAbort.Error() }, id)
}

// letEnd has a rebalance end by itself.
func (m *moving) letEnd(id string) {
	m.t.Helper()
	close(m.gates.gate(id))
	m.await("the end of "+id, func(r *jobs.Record, _ *meta.View) bool {
		return r != nil && !r.Running() && r.Cause == "" && r.Error == ""
	}, id)
}

func (m *moving) awaitRunning(id string) {
	m.t.Helper()
	m.await(id+" runs", func(r *jobs.Record, v *meta.View) bool {
		return r != nil && r.Running() && meta.RebalanceID(v.RMD.Ver()) == id
	}, id)
}

// await waits until the record of a job, and the documents, are as they should be.
func (m *moving) await(what string, is func(*jobs.Record, *meta.View) bool, id string) {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		v := m.c.Metadata.View()
		record := jobs.Find(v, id)
		if is(record, v) {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: still not: %+v, latest %s", what, record, meta.RebalanceID(v.RMD.Ver()))
		}
	}
}

// owed fails unless a rebalance of everything is owed, or is not, and the latest
// one has an id.
func (m *moving) owed(want bool, latest string) {
	m.t.Helper()
	v := m.c.Metadata.View()
	if now := meta.RebalanceID(v.RMD.Ver()); node.RebalanceOwed(v) != want || now != latest {
		m.t.Fatalf("owed: %t, the latest is %s, want %t and %s", !want, now, want, latest)
	}
}

func (m *moving) settled(want bool) {
	m.t.Helper()
	if m.c.Metadata.View().Placement.Settled() != want {
		m.t.Fatalf("the placement is settled: %t", !want)
	}
}

const (
	everything = `{"Kind":"rebalance"}`
	oneBucket  = `{"Kind":"rebalance","Bck":{"name":"b","provider":"ais"}}`
	cleanup    = `{"Kind":"rebalance","flags":16}`
)

// TestRebalanceThatIsOwed: one of a part of the names, and a cleanup, never keep
// that of everything from starting, however they end; what an operator has stopped
// stays stopped until the next change, or until it is started.
func TestRebalanceThatIsOwed(t *testing.T) {
	t.Parallel()
	m := newMoving(t, nil)
	m.change(false, true)
	m.awaitRunning("g1")

	m.start("g2", oneBucket)
	m.stop("g2")
	m.awaitRunning("g3")
	m.start("g4", cleanup)
	m.letEnd("g4")
	m.awaitRunning("g5")
	m.start("g6", oneBucket)
	m.start("g7", oneBucket) // one of a part in the place of another
	m.letEnd("g7")
	m.awaitRunning("g8")

	m.stop("g8")
	m.owed(false, "g8")
	m.start("g9", oneBucket)
	m.letEnd("g9")
	m.owed(false, "g9")
	m.start("g10", cleanup)
	m.stop("g10")
	m.owed(false, "g10")
	m.settled(false)

	m.change(true, true)
	m.awaitRunning("g11")
	m.stop("g11")
	m.owed(false, "g11")
	m.start("g12", everything)
	m.owed(true, "g12")
	m.letEnd("g12")
	m.settled(true)
	m.owed(false, "g12")

	m.start("g13", oneBucket) // nothing has to move
	m.letEnd("g13")
	m.change(false, false) // as with skip_rebalance
	m.owed(false, "g13")
	m.settled(false)
	m.start("g14", everything)
	m.letEnd("g14")
	m.settled(true)
	m.change(true, false)
	m.owed(false, "g14")
}

// TestRebalanceIsEnabled: what changes while rebalances are disabled moves when
// they are allowed again, and so does what an operator has stopped.
func TestRebalanceIsEnabled(t *testing.T) {
	t.Parallel()
	m := newMoving(t, func(c *config.Cluster) { c.Rebalance.Enabled = false })
	enable := func(key string, value any) {
		t.Helper()
		expect(t, 200, follower, "PUT", fmt.Sprintf("%s/set-config?%s=%v", m.url, key, value), "")
	}
	enable("rebalance.enabled", true) // nothing has to move
	enable("rebalance.enabled", false)
	m.owed(false, "g0")
	m.change(false, false)
	enable("rebalance.dest_retry_time", "3m") // is none of them
	m.owed(false, "g0")
	enable("rebalance.enabled", true)
	m.awaitRunning("g1")
	enable("rebalance.enabled", true) // as it was
	m.owed(true, "g1")

	m.stop("g1")
	enable("rebalance.enabled", false)
	m.owed(false, "g1")
	enable("rebalance.enabled", true)
	m.awaitRunning("g2")
	m.letEnd("g2")
	m.settled(true)
}

// TestLatestRebalanceIsRemembered: its record outlives those of other jobs, so that
// what an operator has stopped does not begin again when it would be forgotten.
func TestLatestRebalanceIsRemembered(t *testing.T) {
	t.Parallel()
	m := newMoving(t, nil)
	m.change(false, true)
	m.awaitRunning("g1")
	m.stop("g1")
	// Long ago.
	_, err := m.c.Metadata.Change("test", func(v *meta.View) ([]meta.Change, error) {
		data, _ := v.Jobs.Get("g1")
		end := fmt.Sprint(jobs.Find(v, "g1").Ended)
		old := strings.Replace(string(data), end, fmt.Sprint(time.Now().Add(-24*time.Hour).UnixNano()), 1)
		change, err := meta.NewChange(v, meta.KindJobs, &meta.TablePatch{Put: map[string]json.RawMessage{"g1": json.RawMessage(old)}})
		return []meta.Change{change}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, id := expect(t, 200, follower, "PUT", m.url, `{"action":"start","value":{"Kind":"lru"}}`)
	if view := m.c.Metadata.View(); jobs.Find(view, id) == nil || jobs.Find(view, "g1") == nil {
		t.Errorf("the records are %v", view.Jobs.Entries)
	}
	m.owed(false, "g1")
}
