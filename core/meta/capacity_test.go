package meta

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
)

func weighed(t *testing.T, v *View, a, b, c uint64) *View {
	t.Helper()
	return mustChange(t, v, KindSmap, &SmapPatch{Capacities: map[string]uint64{"targetAA": a, "targetBB": b, "targetCC": c}})
}

func nameDigest(i int) uint64 { return hrw.Digest(fmt.Sprintf("ais/@#/b/name-%d", i)) }

// TestOwnersByCapacity: the map, a pending map and a set of targets agree, by
// proportion; equal capacities, and none, give the owners of the ids alone.
func TestOwnersByCapacity(t *testing.T) { // not parallel: it counts allocations
	plain := threeTargets(t)
	equal, uneven := weighed(t, plain, 7, 7, 7), weighed(t, plain, 1, 2, 5)
	if plain.Smap.Weighted() || equal.Smap.Weighted() || !uneven.Smap.Weighted() {
		t.Error("only uneven capacities make a difference")
	}
	patch := SmapPatch{Capacities: map[string]uint64{"targetAA": 1, "targetBB": 2, "targetCC": 5}}
	begun := mustChange(t, plain, KindTransition, &TransitionPatch{Begin: &PendingMap{Action: "weigh", Patch: patch, Targets: NextTargets(plain.Smap, &patch)}})
	data, err := begun.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if begun, err = DecodeView(data); err != nil {
		t.Fatal(err)
	}
	uneven = mustChange(t, uneven, KindPlacement, &PlacementPatch{Targets: []string{"targetAA", "targetBB", "targetCC"}})
	const count = 100_000
	got := map[string]float64{}
	for i := range count {
		digest := nameDigest(i)
		byID, err := plain.Smap.Owner(digest)
		if err != nil {
			t.Fatal(err)
		}
		if owner, err := equal.Smap.Owner(digest); err != nil || owner.ID != byID.ID {
			t.Fatalf("name %d: %s with equal capacities, %s without: %v", i, owner, byID, err)
		}
		owner, err := uneven.Smap.Owner(digest)
		if err != nil {
			t.Fatal(err)
		}
		got[owner.ID]++
		if pending := begun.Transition.Now().Owner(digest); pending != owner.ID {
			t.Fatalf("name %d: the pending map says %s, the map %s", i, pending, owner)
		}
		if set := uneven.Placement.Sets[0].owner(digest); set != owner.ID {
			t.Fatalf("name %d: the set says %s, the map %s", i, set, owner)
		}
		order := uneven.Smap.AppendOrder(nil, digest)
		next := uneven.Smap.OwnerExcept(digest, func(id string) bool { return id == owner.ID })
		if len(order) != 3 || order[0] != owner || order[1] != next || order[2] == next || order[2] == owner {
			t.Fatalf("name %d: order %v, owner %s, then %s", i, order, owner, next)
		}
	}
	for id, share := range map[string]float64{"targetAA": 1. / 8, "targetBB": 2. / 8, "targetCC": 5. / 8} {
		if math.Abs(got[id]/count-share) > 0.03*share {
			t.Errorf("%s owns %.4f of the names, want %.4f", id, got[id]/count, share)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = uneven.Smap.Owner(7); _ = begun.Transition.Now().Owner(7) }); n != 0 {
		t.Errorf("Owner allocates %v times", n)
	}
	if uneven.Smap.OwnerExcept(7, func(string) bool { return true }) != nil {
		t.Error("an owner where there is nobody")
	}
}

// TestCapacitiesOfPatches: only a patch of capacities changes them; who comes
// new has what it says, or the mean.
func TestCapacitiesOfPatches(t *testing.T) {
	t.Parallel()
	v := threeTargets(t)
	of := func(v *View) string {
		var list []string
		for _, node := range v.Smap.Nodes() {
			if node.Role == RoleTarget {
				list = append(list, fmt.Sprint(node.Capacity))
			}
		}
		return strings.Join(list, " ")
	}
	put := func(id string, capacity, flags uint64) *SmapPatch {
		node := NewSnode(id, RoleTarget, NetInfo{}, NetInfo{}, NetInfo{})
		node.Capacity, node.Flags = capacity, flags
		return &SmapPatch{Put: []*Snode{node}}
	}
	if got := of(mustChange(t, v, KindSmap, put("targetDD", 9, 0))); got != "0 0 0 0" {
		t.Errorf("a map without capacities got %s", got)
	}
	v = weighed(t, v, 10, 20, 60)
	for _, tc := range []struct {
		patch *SmapPatch
		want  string
		moves bool
	}{
		{put("targetBB", 99, 0), "10 20 60", false},
		{put("targetBB", 0, FlagMaintenance), "10 20 60", true},
		{put("targetDD", 9, 0), "10 20 60 9", true},
		{put("targetDD", 0, 0), "10 20 60 30", true},
		{put("targetDD", 1<<50, 0), "10 20 60 1099511627776", true},
		{&SmapPatch{Unweighted: true}, "0 0 0", true},
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 10, "targetBB": 20, "targetCC": 60}}, "10 20 60", false},
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 10, "targetBB": 20, "targetCC": 61}}, "10 20 61", true},
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 4, "targetBB": 4, "targetCC": 4}}, "4 4 4", true},
		{&SmapPatch{Del: []string{"targetAA"}}, "20 60", true},
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 5, "proxyAAA": 1, "nobody00": 1}}, "5 20 60", true}, // who left meanwhile
	} {
		if got := MovesOwnership(v.Smap, tc.patch); got != tc.moves {
			t.Errorf("%+v moves ownership: %v, want %v", tc.patch, got, tc.moves)
		}
		ids, capacities := NextPlaces(v.Smap, tc.patch)
		next := mustChange(t, v, KindSmap, tc.patch)
		if got := of(next); got != tc.want {
			t.Errorf("%+v: capacities %s, want %s", tc.patch, got, tc.want)
		}
		var active []string
		for _, node := range next.Smap.ActiveTargets() {
			active = append(active, node.ID)
		}
		if fmt.Sprint(ids) != fmt.Sprint(active) || fmt.Sprint(capacities) != fmt.Sprint(next.Smap.capacities) {
			t.Errorf("%+v: places %v %v, the map has %v %v", tc.patch, ids, capacities, active, next.Smap.capacities)
		}
		data, err := next.Smap.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(KindSmap, data); err != nil || fmt.Sprint(again.(*Smap).capacities) != fmt.Sprint(next.Smap.capacities) {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, tc := range []struct {
		patch *SmapPatch
		text  string
	}{
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 1, "targetBB": 1, "targetCC": 0}}, "invalid capacity 0 of t[targetCC]"},
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 1, "targetBB": 1, "targetCC": 1<<40 + 1}}, "expecting 1 to 1099511627776"},
		{&SmapPatch{Capacities: map[string]uint64{"targetAA": 1, "targetBB": 1, "targetCC": 1}, Unweighted: true}, "has them or not"},
	} {
		if _, err := changed(t, v, KindSmap, tc.patch); apierr.StatusOf(err) != 400 || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%+v: %v, want %q", tc.patch, err, tc.text)
		}
	}
}

// TestEarlierOwnersByCapacity: who owned a name before capacities changed is
// remembered; capacities that come back are no new set.
func TestEarlierOwnersByCapacity(t *testing.T) {
	t.Parallel()
	all := []string{"targetAA", "targetBB", "targetCC"}
	v := threeTargets(t)
	v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: all})
	before := v
	v = weighed(t, v, 1, 1, 8)
	v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: all})
	if v.Placement.Settled() || len(v.Placement.Sets) != 2 {
		t.Fatalf("%+v", v.Placement)
	}
	moved := 0
	for i := range 1000 {
		was, err := before.Smap.Owner(nameDigest(i))
		if err != nil {
			t.Fatal(err)
		}
		now, err := v.Smap.Owner(nameDigest(i))
		if err != nil {
			t.Fatal(err)
		}
		earlier := v.Placement.AppendEarlierOwners(nil, nameDigest(i))
		if was == now || was.ID == now.ID {
			if len(earlier) != 0 {
				t.Fatalf("name %d has not moved, and belonged to %v", i, earlier)
			}
			continue
		}
		if moved++; len(earlier) != 1 || earlier[0] != was.ID || now.ID != "targetCC" {
			t.Fatalf("name %d has moved from %s to %s, and belonged to %v", i, was, now, earlier)
		}
	}
	if moved < 300 {
		t.Errorf("%d of 1000 names have moved", moved)
	}
	v = weighed(t, v, 3, 3, 3)
	v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: all})
	if len(v.Placement.Sets) != 2 || v.Placement.Sets[1].Capacities != nil {
		t.Errorf("the first set is there twice: %+v", v.Placement.Sets)
	}
	if v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: all, Settle: true}); !v.Placement.Settled() {
		t.Errorf("%+v", v.Placement)
	}
}

func BenchmarkOwnerByCapacity(b *testing.B) {
	for _, uneven := range []bool{false, true} {
		b.Run(fmt.Sprintf("uneven=%v", uneven), func(b *testing.B) {
			s := &Smap{Pmap: map[string]*Snode{}, Tmap: map[string]*Snode{}}
			for i := range 10 {
				node := NewSnode(fmt.Sprintf("target%02d", i), RoleTarget, NetInfo{}, NetInfo{}, NetInfo{})
				if uneven {
					node.Capacity = uint64(i + 1)
				}
				s.Tmap[node.ID] = node
			}
			s.Freeze()
			b.ReportAllocs()
			digest := uint64(1)
			for b.Loop() {
				digest = hrw.Mix(digest)
				if _, err := s.Owner(digest); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestPlacesOfAPatchAreThoseOfTheMap: what a pending map says of owners is what
// the map says once the patch is in force.
func TestPlacesOfAPatchAreThoseOfTheMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		id := func(label string) string { return fmt.Sprintf("target%02d", rapid.IntRange(1, 6).Draw(rt, label)) }
		number := rapid.SampledFrom([]uint64{0, 1, 1, 3, 8, 1 << 40})
		s := (*Smap)(nil)
		for step := range 5 {
			p := &SmapPatch{Unweighted: rapid.IntRange(0, 6).Draw(rt, "unweighted") == 0}
			if s == nil {
				p.UUID, p.Created = "cluster01", "2026-01-02 03:04:05"
			}
			for i := range rapid.IntRange(0, 4).Draw(rt, "nodes") {
				node := NewSnode(id(fmt.Sprint("put", i)), RoleTarget, NetInfo{}, NetInfo{}, NetInfo{})
				node.Capacity = number.Draw(rt, "its capacity")
				node.Flags = rapid.SampledFrom([]uint64{0, 0, FlagMaintenance}).Draw(rt, "flags")
				p.Put = append(p.Put, node)
			}
			if s != nil && rapid.Bool().Draw(rt, "delete") {
				p.Del = []string{id("del")}
			}
			for i := range rapid.IntRange(0, 6).Draw(rt, "capacities") {
				if p.Capacities == nil {
					p.Capacities = map[string]uint64{}
				}
				p.Capacities[id(fmt.Sprint("named", i))] = max(1, number.Draw(rt, "capacity"))
			}
			ids, capacities := NextPlaces(s, p)
			next, err := p.apply(s, int64(step)+1)
			if err != nil {
				if !p.Unweighted || p.Capacities == nil {
					rt.Fatal(err)
				}
				continue
			}
			var active []string
			for _, node := range next.ActiveTargets() {
				active = append(active, node.ID)
			}
			if fmt.Sprint(ids) != fmt.Sprint(active) || fmt.Sprint(capacities) != fmt.Sprint(next.capacities) {
				rt.Fatalf("places %v %v, the map has %v %v", ids, capacities, active, next.capacities)
			}
			if fmt.Sprint(next.capacitiesOf(active)) != fmt.Sprint(next.capacities) {
				rt.Fatalf("a set of %v has capacities %v, the map %v", active, next.capacitiesOf(active), next.capacities)
			}
			s = next
		}
	})
}
