package ec

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/core"
)

// turn switches the erasure coding of the bucket on or off, as a change of its
// properties does.
func (c *testCluster) turn(on bool) {
	next := c.entry.Props.Clone()
	next.EC.Enabled, next.Encoded = on, true
	c.entry.Props = next
}

// TestChangesWhileErasureCodingIsOff: what is deleted or overwritten while a bucket
// is not erasure-coded does not come back from the slices of before when it is again,
// though one of their holders was out of reach.
func TestChangesWhileErasureCodingIsOff(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 7, 2, 2, nil)
		for _, name := range []string{"deleted", "overwritten", "changed"} {
			c.put(name, randomContent(1, size))
		}
		c.settle()
		c.turn(false)
		deleted, overwritten := c.order("deleted"), c.order("overwritten")
		away := deleted[1]
		if away == overwritten[0] {
			away = deleted[2]
		}
		c.set(c.down, away, true)
		if err := c.owner("deleted").store.Delete(ctx, c.key("deleted")); err != nil {
			t.Fatal(err)
		}
		content := randomContent(2, size)
		c.put("overwritten", content)
		attrs, err := c.owner("changed").store.SetCustom(ctx, c.key("changed"), []core.KV{{Key: "new", Value: "value"}}, false)
		if err != nil {
			t.Fatal(err)
		}
		c.set(c.down, away, false)
		c.turn(true)
		c.recoverAll()
		if _, _, err := c.owner("deleted").get("deleted"); statusOf(err) != 404 {
			t.Errorf("%d bytes: what was deleted: %v", size, err)
		}
		c.set(c.removed, overwritten[0], true)
		if got, _, err := c.owner("overwritten").get("overwritten"); err != nil || string(got) != string(content) {
			t.Errorf("%d bytes: what was overwritten: %d bytes, %v", size, len(got), err)
		}
		c.set(c.removed, overwritten[0], false)
		c.mustGet("changed", randomContent(1, size), attrs)
		c.mustBeWhole("changed")
	}
}

// TestOverwrittenWhileErasureCodingIsOff: before anything is encoded again the
// content of before is not given for the one that was lost with its owner.
func TestOverwrittenWhileErasureCodingIsOff(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, nil)
	c.put("o", randomContent(1, 50_000))
	c.settle()
	c.turn(false)
	c.put("o", randomContent(2, 50_000))
	c.turn(true)
	c.wipe(c.order("o")[0])
	if got, _, err := c.owner("o").get("o"); err == nil {
		t.Errorf("%d bytes of a content that was replaced", len(got))
	}
}

// transition are peers of a store while the placement is not settled: some
// target may hold something, and those who answer hold nothing.
type transition struct{ over atomic.Bool }

func (p *transition) Placement(uint64) (uint64, bool) { return 0, p.over.Load() }

func (p *transition) Earlier(context.Context, core.Key, core.Stamp, bool) (core.Earlier, error) {
	return core.Earlier{}, nil
}

func (p *transition) Supersede(context.Context, core.Key, core.Stamp) (bool, error) { return true, nil }

func (p *transition) Gather(context.Context, core.Key, core.Stamp, bool) (bool, error) {
	return true, nil
}

func (p *transition) HandOver(context.Context, core.Key, *core.Handover) (core.Attrs, error) {
	return core.Attrs{}, core.ErrNotOwner
}

// TestMarksStayForThoseWhoAreOut: a target that was not told of a deletion, has left
// the cluster and comes back brings nothing back, though a repair that all others
// took part in has ended meanwhile.
func TestMarksStayForThoseWhoAreOut(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 7, 2, 2, nil)
		peers := &transition{}
		for _, target := range c.targets {
			target.store.UsePeers(peers)
		}
		for _, name := range []string{"deleted", "overwritten"} {
			c.put(name, randomContent(1, size))
		}
		c.settle()
		out := c.order("deleted")[1]
		c.set(c.down, out, true)
		if err := c.owner("deleted").store.Delete(context.Background(), c.key("deleted")); err != nil {
			t.Fatal(err)
		}
		c.set(c.removed, out, true)
		c.recoverAll()
		c.set(c.removed, out, false)
		c.set(c.down, out, false)
		c.recoverAll()
		if _, _, err := c.owner("deleted").get("deleted"); statusOf(err) != 404 {
			t.Errorf("%d bytes: what was deleted: %v", size, err)
		}
		peers.over.Store(true)
		c.cleanUpAll(nil)
		c.recoverAll()
		want := ShapeOf(c.entry.Props, int64(size)).Pieces()
		if n := c.countSlices(); n != want {
			t.Errorf("%d bytes: %d files of slices are left, want those of the other object, %d", size, n, want)
		}
	}
}
