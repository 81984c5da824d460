package rebalance

import (
	"testing"

	"github.com/aistore-go/aistore/xact"
)

// saturated is the load of a target that users take everything of.
type saturated struct{}

func (saturated) Now() xact.LoadSample {
	return xact.LoadSample{Disk: 100, CPU: 100, Slow: 100, Users: true}
}

// TestUsersTakeEverything: a rebalance gets on while users leave it nothing, and ends.
// Each target tells how many objects and bytes it has sent and received.
func TestUsersTakeEverything(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2", "t3")
	c.active("t1", "t2")
	names := c.put(60)
	for _, r := range c.rigs {
		r.Govern(saturated{})
	}
	c.active("t1", "t2", "t3")
	type sums struct{ objects, bytes int64 }
	sent := map[string]sums{}
	received := sums{}
	for name, former := range names {
		if owner := c.owner(name); owner != former {
			was, size := sent[former], int64(len(content(name)))
			sent[former] = sums{was.objects + 1, was.bytes + size}
			received = sums{received.objects + 1, received.bytes + size}
		}
	}
	if received.objects == 0 {
		t.Fatal("nothing has to move")
	}
	for id, x := range c.start("g1", Args{}, nil) {
		stats := c.rigs[id].Finish(x).Stats
		want := sums{}
		if id == "t3" {
			want = received
		}
		if got := (sums{stats.OutObjects, stats.OutBytes}); got != sent[id] {
			t.Errorf("%s has sent %+v, want %+v", id, got, sent[id])
		}
		if got := (sums{stats.InObjects, stats.InBytes}); got != want {
			t.Errorf("%s has received %+v, want %+v", id, got, want)
		}
	}
	c.check(names)
}
