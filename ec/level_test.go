package ec

import (
	"context"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/core"
)

// wantBelow checks which objects are below their level of protection.
func (c *testCluster) wantBelow(what string, all []stored, want func(o stored) bool) {
	c.tb.Helper()
	for _, o := range all {
		why, err := c.owner(o.name).engine.Below(context.Background(), c.key(o.name))
		if err != nil || (why != "") != want(o) {
			c.tb.Errorf("%s: %s: %q, %v", what, o.name, why, err)
		}
	}
}

// TestLevels: an owner knows which of its objects are below their level of
// protection, and why, as soon as targets are gone.
func TestLevels(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	none := func(stored) bool { return false }
	c := newCluster(t, 7, 2, 2, nil)
	early := stored{name: "early", content: randomContent(1, 5000)}
	early.attrs = c.put(early.name, early.content)
	c.wantBelow("before it is encoded", []stored{early}, func(stored) bool { return true })
	all := append(c.fill("o", 40), early)
	c.wantBelow("encoded", all, none)

	// Objects of the lost targets are left out: they have other owners now.
	var left []stored
	held := map[string][]string{}
	for _, o := range all {
		order := c.order(o.name)
		if order[0] != "t2" && order[0] != "t5" {
			left = append(left, o)
			held[o.name] = order[1 : 1+ShapeOf(c.entry.Props, int64(len(o.content))).Pieces()]
		}
	}
	c.set(c.removed, "t2", true)
	c.set(c.removed, "t5", true)
	lost := func(o stored) bool { return slices.Contains(held[o.name], "t2") || slices.Contains(held[o.name], "t5") }
	if !slices.ContainsFunc(left, lost) {
		t.Fatal("no object had slices on the lost targets")
	}
	c.wantBelow("two targets are gone", left, lost)
	// Trusting notes is enough to mend it.
	for _, o := range left {
		if _, err := c.owner(o.name).engine.ProtectObject(ctx, c.key(o.name), TrustNote); err != nil {
			t.Errorf("%s: %v", o.name, err)
		}
	}
	c.checkWhole(left)
	c.recoverAll()
	c.wantBelow("repaired", all, none)

	// With four targets there is no room for a fourth slice.
	c.set(c.removed, "t7", true)
	big := func(o stored) bool { return len(o.content) >= 1000 }
	for round := range 2 { // the owners, and the new ones of what t7 owned
		for _, o := range all {
			_, err := c.owner(o.name).engine.ProtectObject(ctx, c.key(o.name), AskAll)
			if round == 1 && big(o) != (statusOf(err) == 503) {
				t.Errorf("four targets: %s: %v", o.name, err)
			}
		}
	}
	c.wantBelow("four targets", all, big)
	for id, target := range c.targets {
		if !c.removed[id] {
			_, _ = target.engine.pass(ctx, nil, nil) // it fails, and drops what is mended
		}
	}
	for _, o := range all {
		if owes := c.owner(o.name).store.IsPending(ctx, core.WorkSlices, c.key(o.name)); owes != big(o) {
			t.Errorf("%s is looked after: %v", o.name, owes)
		}
	}
	c.start("t8")
	c.recoverAll()
	c.wantBelow("a fifth one has come", all, none)
	c.checkWhole(all)
	c.checkAll(all)
}

// TestLostSlicesAreCounted: what nobody could know but the one who lost it counts
// from the moment in which it was found, and is mended by the pending work.
func TestLostSlicesAreCounted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newCluster(t, 6, 2, 2, nil)
	all := c.fill("o", 20)
	c.wipe("t3")
	below := map[string]bool{}
	for _, o := range all {
		if c.order(o.name)[0] == "t3" {
			continue
		}
		engine := c.owner(o.name).engine
		p, err := engine.VerifyProtection(ctx, c.key(o.name), true)
		if err != nil {
			t.Fatal(err)
		}
		if p.Whole < p.Want {
			below[o.name] = true
			if err := engine.Degrade(ctx, c.key(o.name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(below) == 0 {
		t.Fatal("t3 held nothing")
	}
	var left []stored
	counted := int64(0)
	for _, o := range all {
		if c.order(o.name)[0] != "t3" {
			left = append(left, o)
		}
	}
	for _, target := range c.targets {
		counted += target.store.PendingObjects(core.WorkSlices)[c.entry.Props.BID]
	}
	c.wantBelow("found", left, func(o stored) bool { return below[o.name] })
	if counted != int64(len(below)) {
		t.Errorf("%d are counted, of %d", counted, len(below))
	}
	c.settle()
	c.wantBelow("mended", left, func(stored) bool { return false })
	c.checkWhole(left)
}
