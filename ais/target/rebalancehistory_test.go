package target_test

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/core/meta"
)

// setTarget puts a map into force in which a target is in service, or out of it
// for maintenance, as the control plane does: every target stops to write names that
// change owners first, and a rebalance is asked for.
func setTarget(t *testing.T, c *aistest.Cluster, target *aistest.Node, inService bool) {
	t.Helper()
	n := target.Snode().Clone()
	if !inService {
		n.Flags |= meta.FlagMaintenance
	}
	patch := meta.SmapPatch{Put: []*meta.Snode{n}}
	before := c.Metadata.View()
	pending := &meta.PendingMap{Action: "test", Patch: patch, Step: 1, Targets: meta.NextTargets(before.Smap, &patch), Rebalance: true}
	c.Change(t, meta.KindTransition, &meta.TransitionPatch{Begin: pending})
	transition := c.Metadata.View().Transition.Version
	for _, active := range before.Smap.ActiveTargets() {
		eventually(t, active.ID+" writes nothing that changes owners", func() bool { return c.Metadata.Quiesced(active.ID) >= transition })
	}
	_, err := c.Metadata.Change("test", func(v *meta.View) ([]meta.Change, error) {
		var changes []meta.Change
		for _, doc := range []struct {
			kind  string
			patch any
		}{
			{meta.KindSmap, &patch}, {meta.KindPlacement, &meta.PlacementPatch{Targets: pending.Targets}},
			{meta.KindRMD, &meta.RMDPatch{}}, {meta.KindTransition, &meta.TransitionPatch{}},
		} {
			change, err := meta.NewChange(v, doc.kind, doc.patch)
			if err != nil {
				return nil, err
			}
			changes = append(changes, change)
		}
		return changes, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHistoryWhileTargetsComeAndGo: objects, also in chunks, are written, read,
// deleted and appended to through HTTP while targets join, go into maintenance and
// come back, one at a time and two in a row, with the rebalances that follow.
func TestHistoryWhileTargetsComeAndGo(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 4, Moving: true})
	joining := c.Targets[3]
	setTarget(t, c, joining, false) // nothing is there to be moved
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	h := beginHistory(t, c.Proxies[0], true)
	settled := func() {
		t.Helper()
		eventually(t, "everything is at its owner", func() bool { return c.Metadata.View().Placement.Settled() })
		h.phase.Add(1)
	}
	settled()
	for _, change := range []struct {
		target    *aistest.Node
		inService bool
		waits     bool // for the end of the rebalance
	}{
		{joining, true, true},
		{c.Targets[0], false, true}, {c.Targets[0], true, true},
		{c.Targets[1], false, false}, {c.Targets[2], false, true},
		{c.Targets[1], true, false}, {joining, false, false}, {c.Targets[2], true, true},
		{joining, true, true},
	} {
		setTarget(t, c, change.target, change.inService)
		if change.waits {
			settled()
		}
	}
	h.end()
}
