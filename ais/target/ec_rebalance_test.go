package target_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// numbersOf are the numbers of the slices, 0 for replicas, that some targets hold of each
// of the names, in order, with their sizes.
func numbersOf(t *testing.T, c *aistest.Cluster, nodes []*aistest.Node, names map[string]string) map[string][]string {
	t.Helper()
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	props, _ := c.Metadata.View().BMD.Get(bck)
	held := map[string][]string{}
	for name := range names {
		for _, n := range nodes {
			list, err := n.Store.LookSlices(t.Context(), core.Key{Bck: bck, Props: props, Name: name}, true)
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				held[name] = append(held[name], fmt.Sprintf("%d of %d bytes, state %d", list[i].Number, list[i].Length, list[i].State))
			}
		}
		slices.Sort(held[name])
	}
	return held
}

// TestRebalanceOfAnEncodedBucketIsStopped: a target leaves, the rebalance is stopped in its
// middle, and a second target dies for ever; every object can be read all the time, and
// when the next rebalance and a repair have ended there are as many slices of the same
// sizes as before.
func TestRebalanceOfAnEncodedBucketIsStopped(t *testing.T) {
	t.Parallel()
	l := &leaving{t: t, c: aistest.New(t, aistest.Options{Targets: 7, Signed: true})}
	c := l.c
	l.url = c.Proxies[0].URL() + "/v1"
	expect(t, 200, follower, "POST", l.url+"/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	const ec = `"data_slices":2,"parity_slices":2,"objsize_limit":1000`
	bucketAction(t, c, 200, "PATCH", "set-bprops", `{"ec":{"enabled":true,`+ec+`}}`)
	all := map[string]string{}
	for i := range 90 {
		name := fmt.Sprintf("o%02d", i)
		all[name] = strings.Repeat(name, i*i*3) // empty, replicas, slices of more than a stripe
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), strings.NewReader(all[name]))
	}
	wantUnderProtected(t, c, c.Targets, "written", 0)
	before := numbersOf(t, c, c.Targets, all)
	read := func(when string) {
		t.Helper()
		for name, content := range all {
			if _, text := expect(t, 200, follower, "GET", object(c.Proxies[0], name), nil); text != content {
				t.Errorf("%s: %s: %d bytes, want %d", when, name, len(text), len(content))
			}
		}
	}
	leaves, dies, left := c.Targets[0], c.Targets[1], c.Targets[2:]

	c.ChangeSmap(t, maintenance(leaves.Snode()))
	enough := l.messages() + 4
	id := l.start(200, "", `{"Kind":"rebalance"}`)
	eventually(t, "something has moved", func() bool { return l.messages() >= enough || l.status(id).EndTime != 0 })
	l.stop(id, `{"ID":"`+id+`"}`)
	if s := l.status(id); !s.Aborted {
		t.Errorf("it had come to its end: %+v", s)
	}
	read("the rebalance is stopped")
	c.Stop(t, dies)
	c.ChangeSmap(t, &meta.SmapPatch{Del: []string{dies.ID()}})
	read("a second target has died")
	l.run("", `{"Kind":"rebalance"}`)
	read("the next rebalance has ended")
	_, id = expect(t, 200, follower, "POST", l.url+"/buckets/b", strings.NewReader(`{"action":"ec-encode","name":"recover","value":{`+ec+`}}`))
	if s := l.ended(id); s.Aborted || s.Error != "" {
		t.Errorf("repair: %+v", s)
	}
	read("all is repaired")
	wantUnderProtected(t, c, left, "repaired", 0)
	after := numbersOf(t, c, left, all)
	for name := range all {
		if !slices.Equal(before[name], after[name]) {
			t.Errorf("%s has %q, and had %q", name, after[name], before[name])
		}
	}
	if said := scrubbed(t, c); strings.Contains(said, "below its level") {
		t.Errorf("the scrub says %s", said)
	}
}
