package meta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
)

// changed applies one change made of a patch.
func changed(t *testing.T, v *View, kindName string, patch any) (*View, error) {
	t.Helper()
	change, err := NewChange(v, kindName, patch)
	if err != nil {
		t.Fatal(err)
	}
	return v.Apply(&Command{ID: fmt.Sprint(v.Index), Action: "test", Changes: []Change{change}}, 1, v.Index+1)
}

func mustChange(t *testing.T, v *View, kindName string, patch any) *View {
	t.Helper()
	next, err := changed(t, v, kindName, patch)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func threeTargets(t *testing.T) *View {
	t.Helper()
	patch := &SmapPatch{UUID: "cluster01", Lineage: "lineage01", Created: "2026-01-02 03:04:05", Primary: "proxyAAA"}
	patch.Put = append(patch.Put, NewSnode("proxyAAA", RoleProxy, NetInfo{}, NetInfo{}, NetInfo{}))
	for _, id := range []string{"targetAA", "targetBB", "targetCC"} {
		patch.Put = append(patch.Put, NewSnode(id, RoleTarget, NetInfo{}, NetInfo{}, NetInfo{}))
	}
	return mustChange(t, &View{}, KindSmap, patch)
}

func TestTransitionIsOneAtATimeAndKnowsItsOwners(t *testing.T) { // not parallel: it counts allocations
	v := threeTargets(t)
	patch := SmapPatch{Del: []string{"targetBB"}}
	if !MovesOwnership(v.Smap, &patch) {
		t.Error("a target that leaves the map moves no ownership")
	}
	maintenance := v.Smap.Tmap["targetAA"].Clone()
	maintenance.Flags |= FlagMaintenance
	if !MovesOwnership(v.Smap, &SmapPatch{Put: []*Snode{maintenance}}) {
		t.Error("a target that goes into maintenance moves no ownership")
	}
	moved := v.Smap.Tmap["targetAA"].Clone()
	moved.Public.Port = "1"
	if MovesOwnership(v.Smap, &SmapPatch{Put: []*Snode{moved}, Del: []string{"nobody00"}}) {
		t.Error("a new address moves ownership")
	}

	pending := &PendingMap{Action: "out", Patch: patch, Targets: NextTargets(v.Smap, &patch)}
	v = mustChange(t, v, KindTransition, &TransitionPatch{Begin: pending})
	if _, err := changed(t, v, KindTransition, &TransitionPatch{Begin: pending}); apierr.StatusOf(err) != apierr.StatusConflict {
		t.Errorf("a second transition: %v", err)
	}
	if _, err := changed(t, threeTargets(t), KindTransition, &TransitionPatch{Begin: &PendingMap{Patch: SmapPatch{Put: []*Snode{nil}}, Targets: []string{}}}); apierr.StatusOf(err) != 400 {
		t.Errorf("a transition with a null node: %v", err)
	}
	after := mustChange(t, v, KindSmap, &patch)
	for i := range 1000 {
		digest := hrw.Digest(fmt.Sprint("name", i))
		owner, err := after.Smap.Owner(digest)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Transition.Now().Owner(digest); got != owner.ID {
			t.Fatalf("name %d: the pending map says %s, the map %s", i, got, owner.ID)
		}
	}
	if done := mustChange(t, v, KindTransition, &TransitionPatch{}); done.Transition.Now() != nil || done.Transition.Version != 2 {
		t.Errorf("ended transition: %+v", done.Transition)
	}
	if n := testing.AllocsPerRun(100, func() { _ = v.Transition.Pending.Owner(7) }); n != 0 {
		t.Errorf("Owner allocates %v times", n)
	}
}

func TestPlacementRemembersEarlierOwnersUntilItIsSettled(t *testing.T) {
	t.Parallel()
	v := &View{}
	if !v.Placement.Settled() || v.Placement.Epoch() != 0 {
		t.Error("no placement is not settled")
	}
	sets := [][]string{{}, {"targetAA"}, {"targetAA", "targetBB"}, {"targetBB"}, {"targetAA", "targetBB"}}
	for _, set := range sets {
		v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: set})
	}
	if got := len(v.Placement.Sets); got != 3 { // A, B, and the last one; the empty set and the repetition are not kept
		t.Fatalf("%d sets: %+v", got, v.Placement.Sets)
	}
	found := map[string]bool{}
	for i := range 100 {
		digest := hrw.Digest(fmt.Sprint(i))
		now := v.Placement.Sets[2].owner(digest)
		for _, id := range v.Placement.AppendEarlierOwners(nil, digest) {
			if id == now {
				t.Fatalf("name %d: its owner %s counts as an earlier one", i, now)
			}
			found[id] = true
		}
	}
	if len(found) != 2 {
		t.Errorf("earlier owners are among %v", found)
	}
	v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: []string{"targetBB"}, Settle: true})
	if !v.Placement.Settled() || v.Placement.Epoch() != 6 {
		t.Errorf("after settling: %+v", v.Placement)
	}
	if _, err := changed(t, v, KindPlacement, &PlacementPatch{Targets: []string{"b", "a"}}); err == nil {
		t.Error("targets out of order are taken")
	}
	// Sets of long ago are not kept one by one; their targets are all asked.
	for i := range maxSets + 10 {
		v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: []string{fmt.Sprintf("target%04d", i)}})
	}
	if len(v.Placement.Sets) != maxSets || len(v.Placement.Older) != 11 || v.Placement.Settled() {
		t.Fatalf("%d sets, older: %v", len(v.Placement.Sets), v.Placement.Older)
	}
	if got := v.Placement.AppendEarlierOwners(nil, 7); len(got) != maxSets+10 || !slices.Contains(got, "targetBB") || !slices.Contains(got, "target0001") {
		t.Errorf("earlier owners: %v", got)
	}
	if v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: []string{"targetAA"}, Settle: true}); v.Placement.Older != nil {
		t.Errorf("after settling: %+v", v.Placement)
	}
}

func TestOperationsAreOneAtATimeAndTheLastOnesAreKept(t *testing.T) {
	t.Parallel()
	v := &View{}
	for i := range 12 {
		op := &Operation{ID: fmt.Sprint("op", i), Action: "start-maintenance", Nodes: []string{"targetAA"}, Step: "flagged"}
		v = mustChange(t, v, KindOperations, &OperationsPatch{Current: op})
		other := &Operation{ID: "other", Action: "rm-unsafe", Nodes: []string{"targetBB"}}
		if _, err := changed(t, v, KindOperations, &OperationsPatch{Current: other}); apierr.CodeOf(err) != "ErrBusy" {
			t.Fatalf("a second operation: %v", err)
		}
		done := *op
		done.Step = "done"
		v = mustChange(t, v, KindOperations, &OperationsPatch{Current: &done, End: true})
	}
	if v.Operations.Now() != nil || len(v.Operations.Past) != maxPast || v.Operations.Past[maxPast-1].ID != "op11" {
		t.Errorf("operations: %+v", v.Operations)
	}
	if _, err := changed(t, v, KindOperations, &OperationsPatch{}); err == nil {
		t.Error("an operation without nodes is taken")
	}
}

func TestNewestKeySignsAndTwoBeforeItAreKept(t *testing.T) {
	t.Parallel()
	v := &View{}
	for i := range uint32(5) {
		v = mustChange(t, v, KindKeys, &KeysPatch{Add: &ClusterKey{ID: i + 1, Boxes: map[string][]byte{"targetAA": {1}}}})
	}
	if len(v.Keys.Keys) != maxKeys || v.Keys.Newest().ID != 5 || v.Keys.Keys[0].ID != 3 {
		t.Errorf("keys: %+v", v.Keys)
	}
	if _, err := changed(t, v, KindKeys, &KeysPatch{Add: &ClusterKey{ID: 5}}); err == nil {
		t.Error("an id is taken twice")
	}
}

func TestTablesTakePatches(t *testing.T) {
	t.Parallel()
	v := mustChange(t, &View{}, KindS3Keys, &TablePatch{Put: map[string]json.RawMessage{"a": []byte(`1`), "b": []byte(`{"x":2}`)}})
	v = mustChange(t, v, KindS3Keys, &TablePatch{Del: []string{"a", "c"}, Put: map[string]json.RawMessage{"d": []byte(`3`)}})
	data, err := v.S3Keys.Encode()
	if err != nil || string(data) != `{"version":"2","entries":{"b":{"x":2},"d":3}}` {
		t.Errorf("table: %s, %v", data, err)
	}
	if entry, ok := v.S3Keys.Get("d"); !ok || string(entry) != "3" {
		t.Errorf("entry: %s, %v", entry, ok)
	}
	if _, ok := (*Table)(nil).Get("d"); ok {
		t.Error("a table that does not exist has an entry")
	}
}

// A node gets what is for its role, and a command without the rest.
func TestDistribution(t *testing.T) {
	t.Parallel()
	v := threeTargets(t)
	v = mustChange(t, v, KindVoters, &VotersPatch{Members: []Member{{NodeID: "proxyAAA", RaftID: 1}}})
	v = mustChange(t, v, KindOperations, &OperationsPatch{Current: &Operation{ID: "op", Nodes: []string{"targetAA"}}})
	v = mustChange(t, v, KindJobs, &TablePatch{Put: map[string]json.RawMessage{"j": []byte(`1`)}})
	cmd := &Command{ID: "x", Action: "test"}
	for _, name := range []string{KindSmap, KindVoters, KindOperations, KindJobs} {
		cmd.Changes = append(cmd.Changes, Change{Kind: name})
	}
	for _, test := range []struct {
		role  string
		voter bool
		gets  string
	}{
		{RoleTarget, false, "smap"},
		{RoleProxy, false, "smap operations"},
		{RoleTarget, true, "smap voters operations jobs"},
		{RoleProxy, true, "smap voters operations jobs"},
	} {
		own := v.For(test.role, test.voter)
		var docs, changes []string
		for _, name := range Kinds() {
			if own.Document(name) != nil {
				docs = append(docs, name)
			}
		}
		for _, c := range cmd.For(test.role, test.voter).Changes {
			changes = append(changes, c.Kind)
		}
		if strings.Join(docs, " ") != test.gets || strings.Join(changes, " ") != test.gets {
			t.Errorf("%s, voter %v: gets %v and changes of %v, want %s", test.role, test.voter, docs, changes, test.gets)
		}
		if own.Index != v.Index || own.UUID != v.UUID {
			t.Errorf("%s: the view stands elsewhere: %+v", test.role, own)
		}
	}
	if len(cmd.Changes) != 4 || v.Jobs == nil {
		t.Error("the original was changed")
	}
}

// Every kind survives encoding, and equal views have equal encodings.
func TestViewOfAllKinds(t *testing.T) {
	t.Parallel()
	v := threeTargets(t)
	v.Ancestors = []string{"lineage00"}
	v = mustChange(t, v, KindRMD, &RMDPatch{TargetIDs: []string{"targetAA"}})
	v = mustChange(t, v, KindTransition, &TransitionPatch{Begin: &PendingMap{Targets: []string{"targetAA", "targetBB"}}})
	v = mustChange(t, v, KindPlacement, &PlacementPatch{Targets: []string{"targetAA"}})
	v = mustChange(t, v, KindOperations, &OperationsPatch{Current: &Operation{ID: "op", Nodes: []string{"targetAA"}}})
	v = mustChange(t, v, KindKeys, &KeysPatch{Add: &ClusterKey{ID: 9, Made: 5, Boxes: map[string][]byte{"targetAA": {1, 2}}}})
	for _, name := range []string{KindETL, KindTokens, KindS3Keys, KindJobs} {
		v = mustChange(t, v, name, &TablePatch{Put: map[string]json.RawMessage{"k": []byte(`"v"`)}})
	}
	data, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeView(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Encode()
	if err != nil || !bytes.Equal(data, again) {
		t.Fatalf("encoded again (%v):\n%s\n%s", err, data, again)
	}
	if !slices.Equal(back.Ancestors, v.Ancestors) || back.Transition.Pending.Owner(7) != v.Transition.Pending.Owner(7) {
		t.Error("the decoded view answers otherwise")
	}
	if RebalanceID(back.RMD.Version) != "g1" || back.RMD.ClusterID != "cluster01" {
		t.Errorf("rmd: %+v", back.RMD)
	}
}
