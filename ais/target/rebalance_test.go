package target_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// leaving is a cluster of three targets, one of which leaves with what it holds
// in two buckets.
type leaving struct {
	t    *testing.T
	c    *aistest.Cluster
	url  string
	held map[string][]string // names that the target holds, by bucket
}

func newLeaving(t *testing.T, conf func(*config.Cluster), sizes ...int) *leaving {
	t.Helper()
	l := &leaving{t: t, c: aistest.New(t, aistest.Options{Targets: 3, Signed: true, Config: conf}), held: map[string][]string{}}
	l.url = l.c.Proxies[0].URL() + "/v1"
	for _, bck := range []string{"b1", "b2"} {
		bucket(t, l.c, bck, "", `{}`)
		for i := range 40 {
			name := fmt.Sprintf("dir%d/%d", i%2, i)
			expect(t, 200, follower, "PUT", l.url+"/objects/"+bck+"/"+name, strings.NewReader(l.content(name, sizes[i%len(sizes)])))
		}
	}
	for _, bck := range []string{"b1", "b2"} {
		for i := range 40 {
			if name := fmt.Sprintf("dir%d/%d", i%2, i); l.at(l.c.Targets[2], bck, name) {
				l.held[bck] = append(l.held[bck], name)
			}
		}
		if len(l.held[bck]) < 4 {
			t.Fatalf("the target holds %v", l.held)
		}
	}
	l.c.ChangeSmap(t, maintenance(l.c.Targets[2].Snode()))
	return l
}

func (l *leaving) content(name string, size int) string {
	return strings.Repeat(name+" ", size/(len(name)+1)+1)[:size]
}

// at tells whether a target has a name itself.
func (l *leaving) at(n *aistest.Node, bck, name string) bool {
	l.t.Helper()
	b := wire.Bck{Name: bck, Provider: wire.ProviderAIS}
	props, _ := l.c.Metadata.View().BMD.Get(b)
	_, kind, err := n.Store.Look(l.t.Context(), core.Key{Bck: b, Props: props, Name: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return kind != 0
}

// stay are the names that the leaving target still holds of a bucket.
func (l *leaving) stay(bck string) (names []string) {
	for _, name := range l.held[bck] {
		if l.at(l.c.Targets[2], bck, name) {
			names = append(names, name)
		}
	}
	return names
}

// start starts a rebalance and returns the answer.
func (l *leaving) start(status int, prefix, value string) string {
	l.t.Helper()
	_, answer := expect(l.t, status, follower, "PUT", l.url+"/cluster", strings.NewReader(fmt.Sprintf(`{"action":"start","name":%q,"value":%s}`, prefix, value)))
	return answer
}

// status is the state of a rebalance in the cluster.
func (l *leaving) status(id string) (s wire.JobStatus) {
	l.t.Helper()
	_, body := expect(l.t, 200, follower, "GET", l.url+"/cluster?what=status", strings.NewReader(`{"id":"`+id+`"}`))
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

// ended waits for the end of a rebalance.
func (l *leaving) ended(id string) (s wire.JobStatus) {
	l.t.Helper()
	eventually(l.t, "the end of "+id, func() bool {
		s = l.status(id)
		return s.EndTime != 0
	})
	return s
}

// run runs a rebalance to its end and returns its snapshots.
func (l *leaving) run(prefix, value string) (snaps []*wire.Snap) {
	l.t.Helper()
	id := l.start(200, prefix, value)
	if s := l.ended(id); s.Aborted || s.Error != "" {
		l.t.Fatalf("%s: %+v", id, s)
	}
	_, body := expect(l.t, 200, follower, "GET", l.url+"/cluster?what=qryxstats", strings.NewReader(`{"id":"`+id+`"}`))
	var all map[string][]*wire.Snap
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		l.t.Fatal(err)
	}
	for _, list := range all {
		snaps = append(snaps, list...)
	}
	return snaps
}

// check reads everything.
func (l *leaving) check(sizes ...int) {
	l.t.Helper()
	for _, bck := range []string{"b1", "b2"} {
		for i := range 40 {
			name := fmt.Sprintf("dir%d/%d", i%2, i)
			if _, got := expect(l.t, 200, follower, "GET", l.url+"/objects/"+bck+"/"+name, nil); got != l.content(name, sizes[i%len(sizes)]) {
				l.t.Errorf("%s/%s: %d bytes", bck, name, len(got))
			}
		}
	}
}

// TestRebalanceOverStreams: what a rebalance sends goes over signed streams as
// the section of the configuration has it: compressed or as it lies in the
// files, with the bundle and the burst that are set.
func TestRebalanceOverStreams(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1000, 100_000, 700_000, 3 << 20}
	for name, set := range map[string]func(*config.Cluster){
		"as it is": func(c *config.Cluster) { c.Rebalance.Compression = config.CompressNever },
		"compressed": func(c *config.Cluster) {
			c.Rebalance.Compression, c.Rebalance.BundleMultiplier = config.CompressAlways, 3
		},
		"bounded": func(c *config.Cluster) { c.Rebalance.BundleMultiplier, c.Rebalance.BurstBuffer = 1, 32 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLeaving(t, set, sizes...)
			l.run("", `{"Kind":"rebalance"}`)
			if left := append(l.stay("b1"), l.stay("b2")...); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			l.check(sizes...)
			sent := l.c.Targets[2].Metrics().Tracker()
			if n := int64(len(l.held["b1"]) + len(l.held["b2"])); sent["stream.out.n"] < n || sent["err.stream.n"] != 0 {
				t.Errorf("%d messages for %d objects, %d errors", sent["stream.out.n"], n, sent["err.stream.n"])
			}
			raw, packed := sent["stream.raw.size"], sent["stream.packed.size"]
			if compressed := name == "compressed"; compressed != (raw > 0) || packed > raw/2 {
				t.Errorf("%d bytes were compressed to %d", raw, packed)
			}
			if moved := l.c.Metadata.View().Placement; !moved.Settled() {
				t.Error("the placement is not settled")
			}
		})
	}
}

// TestEmptyRebalance: a rebalance that finds nothing to move ends within 2 s, times what the
// machine is slower than one on which a question for a status takes 5 ms.
func TestEmptyRebalance(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Targets: 3})
	l := &leaving{t: t, c: c, url: c.Proxies[0].URL() + "/v1"}
	expect(t, 200, follower, "POST", l.url+"/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	for i := range 20 {
		expect(t, 200, follower, "PUT", fmt.Sprintf("%s/objects/b/o%d", l.url, i), strings.NewReader("content"))
	}
	const asked = 40
	began := time.Now()
	id := l.start(200, "", `{"Kind":"rebalance"}`)
	s := l.ended(id)
	took := time.Since(began)
	if s.Aborted || s.Error != "" {
		t.Errorf("%+v", s)
	}
	began = time.Now()
	for range asked {
		l.status(id)
	}
	slow := max(1, time.Since(began).Seconds()/asked/0.005)
	if bound := time.Duration(slow * float64(2*time.Second)); took > bound {
		t.Errorf("it took %v, want at most %v", took, bound)
	}
}

// TestScopesOfRebalance: a prefix, a bucket, and everything; a cleanup moves
// nothing; only that of everything settles the placement.
func TestScopesOfRebalance(t *testing.T) {
	t.Parallel()
	l := newLeaving(t, nil, 100)
	settled := func(want bool) {
		t.Helper()
		if l.c.Metadata.View().Placement.Settled() != want {
			t.Errorf("settled: %t", !want)
		}
	}
	removed := func(snaps []*wire.Snap) (count int64) {
		for _, s := range snaps {
			count += s.Stats.LocalObjects
			if s.Stats.OutObjects > 0 || s.Stats.InObjects > 0 || !strings.Contains(s.ControlMessage, ":cleanup") {
				t.Errorf("a cleanup: %q, %+v", s.ControlMessage, s.Stats)
			}
		}
		return count
	}
	if n := removed(l.run("", `{"Kind":"rebalance","flags":16}`)); n != 0 || len(l.stay("b1")) != len(l.held["b1"]) {
		t.Errorf("a cleanup removes %d names that are nowhere else", n)
	}
	settled(false)

	l.run("dir1/", `{"Kind":"rebalance","Bck":{"name":"b1","provider":"ais"}}`)
	for _, name := range l.stay("b1") {
		if strings.HasPrefix(name, "dir1/") {
			t.Errorf("%s is left", name)
		}
	}
	if len(l.stay("b1")) == 0 || len(l.stay("b2")) != len(l.held["b2"]) {
		t.Errorf("more has moved than the prefix: %v and %v stay", l.stay("b1"), l.stay("b2"))
	}
	l.run("", `{"Kind":"rebalance","Bck":{"name":"b1"}}`)
	if left := l.stay("b1"); len(left) > 0 || len(l.stay("b2")) != len(l.held["b2"]) {
		t.Errorf("of a rebalance of one bucket %v stay, of the other %v", left, l.stay("b2"))
	}
	settled(false)
	l.check(100)
	l.run("", `{"Kind":"rebalance","flags":2}`) // --latest
	if left := l.stay("b2"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	settled(true)
	l.check(100)
}

// TestRebalancesThatAreRefused: each with the reason.
func TestRebalancesThatAreRefused(t *testing.T) {
	t.Parallel()
	l := newLeaving(t, nil, 10)
	l.refused(400, "needs a bucket", "dir", `{"Kind":"rebalance"}`)
	l.refused(404, "does not exist", "", `{"Kind":"rebalance","Bck":{"name":"nowhere"}}`)
	l.refused(400, "flags 33 (accepted are 22)", "", `{"Kind":"rebalance","flags":33}`)
	l.refused(400, "flags 32 (accepted are 0)", "", `{"Kind":"lru","flags":32}`) // a dry run there is not
	l.c.ChangeSmap(t, maintenance(l.c.Targets[1].Snode()))
	l.refused(400, "not enough targets", "", `{"Kind":"rebalance","flags":16}`)
	l.run("", `{"Kind":"rebalance"}`) // with a single active target all goes there
	if left := l.stay("b1"); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	l.check(10)
	for _, target := range l.c.Targets[1:] {
		l.c.ChangeSmap(t, &meta.SmapPatch{Del: []string{target.ID()}})
	}
	l.refused(400, "not enough targets", "", `{"Kind":"rebalance"}`)
}

// TestRebalanceIsDisabled: none is started, but for a cleanup, which moves
// nothing; everything can be read where it was.
func TestRebalanceIsDisabled(t *testing.T) {
	t.Parallel()
	l := newLeaving(t, func(c *config.Cluster) { c.Rebalance.Enabled = false }, 10)
	l.refused(400, "it is disabled (rebalance.enabled)", "", `{"Kind":"rebalance"}`)
	l.refused(400, "it is disabled (rebalance.enabled)", "", `{"Kind":"rebalance","Bck":{"name":"b1"}}`)
	l.run("", `{"Kind":"rebalance","flags":16}`)
	if len(l.stay("b1")) != len(l.held["b1"]) {
		t.Errorf("only %v stay of %v", l.stay("b1"), l.held["b1"])
	}
	l.check(10)
}

// refused starts a rebalance that is not to start.
func (l *leaving) refused(status int, text, prefix, value string) {
	l.t.Helper()
	if answer := l.start(status, prefix, value); !strings.Contains(answer, text) {
		l.t.Errorf("%s: %s, want %q", value, answer, text)
	}
}
