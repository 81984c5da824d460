package test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// TestLostTargetOfAnEncodedBucket: when a dead target is declared lost, what it
// owned is made again from its slices at once, and every listing is whole and every object is
// there from the command on: nothing is forgotten before it was made again.
func TestLostTargetOfAnEncodedBucket(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 5)
	c.Config["rebalance"] = map[string]any{"dest_retry_time": "2s", "repair_delay": "10m", "enabled": true, "bundle_multiplier": 2, "burst_buffer": 1024}
	c.up()
	p := c.nodes[0]
	createBucket(t, p, "b", "")
	set := fmt.Sprintf(`{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":%d}}}`, ecSizeLimit)
	must(t, http.StatusOK, http.MethodPatch, p.URL()+"/v1/buckets/b", set, "Content-Type", jsonType)
	all := c.ecObjects("o", 0, 120)
	names := slices.Sorted(maps.Keys(all))
	c.eventually("all slices are there", func() error {
		if have, want := c.sliceFiles(c.targets()), slicesOf(all, 2, 1); have != want {
			return fmt.Errorf("%d of %d", have, want)
		}
		return nil
	})
	dead := c.targets()[1]
	id := c.idOf(dead)
	c.kill(dead)
	c.removed(dead)
	mustAct(t, http.StatusOK, p, "declare-lost", `{"sid":"`+id+`","force":true}`)
	listings := 0
	for settled := false; !settled; {
		state := decode[wire.PlacementInfo](t, must(t, http.StatusOK, http.MethodGet, p.URL()+"/v1/cluster?what=placement", "").body)
		c.eventually("a listing", func() error {
			have, err := c.listedNames()
			if err == nil && !slices.Equal(have, names) {
				t.Errorf("%d of %d names are listed, settled: %v", len(have), len(names), state.Settled)
			}
			return err
		})
		listings++
		settled = state.Settled
	}
	t.Logf("%d listings until the placement was settled", listings)
	c.atOnce(all)
	if have, want := c.sliceFiles(slices.DeleteFunc(c.targets(), func(n *playground.Node) bool { return n == dead })), slicesOf(all, 2, 1); have != want {
		t.Errorf("%d slices of %d", have, want)
	}
}
