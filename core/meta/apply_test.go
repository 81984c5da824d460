package meta_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func encode(t rapid.TB, v *meta.View) []byte {
	t.Helper()
	data, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFounding(t *testing.T) {
	t.Parallel()
	v := founded(t)
	if v.UUID != "Q1wErTy7U" || v.Lineage != "line12345" || v.BMD.UUID != v.UUID || v.Config.UUID != v.UUID || v.Config.Version != 1 ||
		v.Smap.Version != 1 || !v.Smap.IsPrimary("proxyAAA") || v.Index != 1 || v.Term != 1 {
		t.Errorf("%+v", v)
	}
	m, ok := v.Voters.ByNode("proxyAAA")
	if r, found := v.Voters.ByRaft(5); !ok || !found || m != r || m.RaftID != 5 {
		t.Errorf("%+v", v.Voters)
	}
	again, err := meta.DecodeView(encode(t, v))
	if err != nil || !bytes.Equal(encode(t, again), encode(t, v)) {
		t.Fatalf("%v", err)
	}
	empty, err := meta.DecodeView(encode(t, &meta.View{}))
	if err != nil || empty.Smap != nil || empty.Document(meta.KindBMD) != nil || empty.Document("x") != nil {
		t.Errorf("%+v, %v", empty, err)
	}
}

func TestStaleCommandNamesVersions(t *testing.T) {
	t.Parallel()
	v := founded(t)
	stale := change(t, v, meta.KindSmap, &meta.SmapPatch{Put: []*meta.Snode{node("tgtAAAAA1", meta.RoleTarget)}})
	v = apply(t, v, 2, stale)
	fresh := change(t, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{entry(aisBck("b"))}})
	next, err := v.Apply(&meta.Command{Changes: []meta.Change{fresh, stale}}, 1, 3)
	if !meta.IsStale(err) || apierr.StatusOf(err) != 409 || err.Error() != "stale smap: the change replaces version 1, the current version is 2" {
		t.Errorf("%v", err)
	}
	if next.Smap != v.Smap || next.BMD != v.BMD || next.Index != 3 || v.Index != 2 {
		t.Errorf("a part of a refused command is applied: %+v", next)
	}
}

func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	v := founded(t)
	target := node("tgtAAAAA1", meta.RoleTarget)
	wrongDigest := target.Clone()
	wrongDigest.Digest++
	smapChange := func(p meta.SmapPatch) meta.Change { return change(t, v, meta.KindSmap, p) }
	shrunk := smapChange(meta.SmapPatch{})
	shrunk.To = shrunk.From
	for name, changes := range map[string][]meta.Change{
		"an unknown kind":              {{Kind: "odd", To: 1}},
		"a version that does not grow": {shrunk},
		"one document twice":           {smapChange(meta.SmapPatch{}), smapChange(meta.SmapPatch{})},
		"a patch that is no JSON":      {{Kind: meta.KindSmap, From: 1, To: 2, Patch: []byte("x")}},
		"the primary deleted":          {smapChange(meta.SmapPatch{Del: []string{"proxyAAA"}})},
		"a target as primary":          {smapChange(meta.SmapPatch{Put: []*meta.Snode{target}, Primary: target.ID})},
		"an id in both roles":          {smapChange(meta.SmapPatch{Put: []*meta.Snode{node("proxyAAA", meta.RoleTarget)}})},
		"a wrong digest":               {smapChange(meta.SmapPatch{Put: []*meta.Snode{wrongDigest}})},
		"a cluster founded twice":      {smapChange(meta.SmapPatch{UUID: "other1234"})},
		"a null node":                  {smapChange(meta.SmapPatch{Put: []*meta.Snode{nil}})},
		"a configuration that is text": {{Kind: meta.KindConfig, From: 1, To: 2, Patch: []byte(`{"mirror":5}`)}},
		"a voter twice":                {change(t, v, meta.KindVoters, meta.VotersPatch{Members: []meta.Member{{NodeID: "a", RaftID: 1}, {NodeID: "b", RaftID: 1}}})},
		"a voter without Raft id":      {change(t, v, meta.KindVoters, meta.VotersPatch{Members: []meta.Member{{NodeID: "a"}}})},
	} {
		next, err := v.Apply(&meta.Command{Changes: changes}, 1, 2)
		if err == nil || meta.IsStale(err) || apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		moved := *next
		moved.Index = v.Index
		if !bytes.Equal(encode(t, &moved), encode(t, v)) {
			t.Errorf("%s: refused, yet changed", name)
		}
	}
	if _, err := (&meta.View{}).Apply(&meta.Command{Changes: []meta.Change{change(t, &meta.View{}, meta.KindSmap, meta.SmapPatch{})}}, 1, 1); err == nil {
		t.Error("a cluster without UUID is founded")
	}
	badConfig := defaults()
	badConfig.Mirror.Copies = 1
	for _, patch := range []any{badConfig, &meta.Config{Cluster: badConfig}, &meta.Config{}, "text"} {
		if _, err := meta.NewChange(v, meta.KindConfig, patch); err == nil {
			t.Errorf("a change to the configuration %v", patch)
		}
	}
	if _, err := meta.NewChange(v, "odd", nil); err == nil {
		t.Error("a change of an unknown kind")
	}
}

// One command changes several documents, and a primary can be replaced.
func TestFailoverCommand(t *testing.T) {
	t.Parallel()
	v := founded(t)
	v = apply(t, v, 2, change(t, v, meta.KindSmap, &meta.SmapPatch{Put: []*meta.Snode{node("proxyBBB", meta.RoleProxy)}}))
	c := change(t, v, meta.KindSmap, &meta.SmapPatch{Del: []string{"proxyAAA"}, Primary: "proxyBBB"})
	c.To = c.From + 100
	conf := v.Config.Clone()
	conf.Proxy.PrimaryURL = "http://127.0.0.1:9081"
	next := apply(t, v, 3, c, change(t, v, meta.KindConfig, conf))
	if next.Smap.Version != 102 || !next.Smap.IsPrimary("proxyBBB") || next.Smap.Node("proxyAAA") != nil || next.Config.Version != 2 ||
		next.Config.Proxy.PrimaryURL != "http://127.0.0.1:9081" || v.Config.Proxy.PrimaryURL != "" {
		t.Errorf("%+v", next)
	}
}

// drawCommand makes a random command, from a view that may be behind.
func drawCommand(t *rapid.T, v *meta.View) *meta.Command {
	bck := func(label string) wire.Bck {
		return wire.Bck{
			Name:     rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label),
			Provider: rapid.SampledFrom([]string{"ais", "aws"}).Draw(t, label+" provider"),
			Ns:       wire.Ns{Name: rapid.SampledFrom([]string{"", "ns"}).Draw(t, label+" namespace")},
		}
	}
	patches := map[string]func() any{
		meta.KindSmap: func() any {
			p := &meta.SmapPatch{}
			for i := range rapid.IntRange(0, 3).Draw(t, "nodes") {
				role := rapid.SampledFrom([]string{meta.RoleProxy, meta.RoleTarget}).Draw(t, "role")
				n := node(role+fmt.Sprint(rapid.IntRange(1, 5).Draw(t, fmt.Sprint("node", i))), role)
				n.Flags = uint64(rapid.IntRange(0, 31).Draw(t, "flags"))
				p.Put = append(p.Put, n)
			}
			if rapid.Bool().Draw(t, "delete") {
				p.Del = []string{fmt.Sprint("target", rapid.IntRange(1, 5).Draw(t, "deleted"))}
			}
			switch rapid.IntRange(0, 5).Draw(t, "weigh") {
			case 0:
				p.Unweighted = true
			case 1, 2: // some of them missing, too much or nothing
				p.Capacities = map[string]uint64{}
				for i := range 5 {
					if rapid.Bool().Draw(t, fmt.Sprint("named", i)) {
						p.Capacities[fmt.Sprint("target", i+1)] = rapid.SampledFrom([]uint64{0, 1, 2, 7, 7, 100, 1 << 60}).Draw(t, fmt.Sprint("capacity", i))
					}
				}
			}
			if rapid.Bool().Draw(t, "elect") {
				p.Primary = fmt.Sprint("proxy", rapid.IntRange(1, 5).Draw(t, "primary"))
			}
			return p
		},
		meta.KindBMD: func() any {
			p := &meta.BMDPatch{}
			for i := range rapid.IntRange(0, 3).Draw(t, "buckets") {
				e := entry(bck(fmt.Sprint("put", i)))
				if props, ok := v.BMD.Get(e.Bck); ok && rapid.Bool().Draw(t, "change") {
					e.Props = props.Clone()
					e.Props.Durability = meta.DurabilityNone
				}
				p.Put = append(p.Put, e)
			}
			if rapid.Bool().Draw(t, "destroy") {
				p.Del = []wire.Bck{bck("del")}
			}
			return p
		},
		meta.KindConfig: func() any {
			c := v.Config.Clone()
			c.Chunks.ChunkSize = unit.Size(rapid.Int64Range(1<<10, 5<<30).Draw(t, "chunk"))
			c.Backend["aws"] = json.RawMessage(rapid.SampledFrom([]string{`{}`, `{ "b":1, "a":2}`, `{"c":"<&>"}`}).Draw(t, "backend"))
			return c
		},
		meta.KindVoters: func() any {
			return &meta.VotersPatch{Members: []meta.Member{{NodeID: "a", RaftID: rapid.Uint64Range(0, 3).Draw(t, "raft id")}}}
		},
	}
	cmd := &meta.Command{ID: "c", Action: "test"}
	kinds := []string{meta.KindSmap, meta.KindBMD, meta.KindConfig, meta.KindVoters}
	for _, kind := range rapid.SliceOfNDistinct(rapid.SampledFrom(kinds), 1, 3, rapid.ID[string]).Draw(t, "kinds") {
		cmd.Changes = append(cmd.Changes, change(t, v, kind, patches[kind]()))
	}
	return cmd
}

// Two replicas, one of which is rebuilt from its encoding after each command,
// never differ; a command that is refused changes nothing; versions only grow;
// bucket ids never come back.
func TestReplicasNeverDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a := founded(t)
		b, err := meta.DecodeView(encode(rt, a))
		if err != nil {
			rt.Fatal(err)
		}
		history := []*meta.View{a}
		ids := map[uint64]wire.Bck{}
		for index := uint64(2); index < 12; index++ {
			cmd := drawCommand(rt, history[rapid.IntRange(max(0, len(history)-2), len(history)-1).Draw(rt, "seen")])
			before := encode(rt, a)
			nextA, errA := a.Apply(cmd, 1, index)
			nextB, errB := b.Apply(cmd, 1, index)
			if fmt.Sprint(errA) != fmt.Sprint(errB) {
				rt.Fatalf("one replica says %v, the other %v", errA, errB)
			}
			if !bytes.Equal(before, encode(rt, a)) {
				rt.Fatal("the view before the command was changed")
			}
			encoded := encode(rt, nextA)
			if !bytes.Equal(encoded, encode(rt, nextB)) {
				rt.Fatalf("the replicas differ:\n%s\n%s", encoded, encode(rt, nextB))
			}
			stale := slices.ContainsFunc(cmd.Changes, func(c meta.Change) bool { return c.From != a.Document(c.Kind).Ver() })
			if stale != meta.IsStale(errA) {
				rt.Fatalf("stale %v, error %v", stale, errA)
			}
			if errA != nil {
				same := *nextA
				same.Index = a.Index
				if !bytes.Equal(before, encode(rt, &same)) {
					rt.Fatal("a refused command changed something")
				}
			}
			for _, kind := range []string{meta.KindSmap, meta.KindBMD, meta.KindConfig, meta.KindVoters} {
				if was, is := a.Document(kind).Ver(), nextA.Document(kind).Ver(); is < was {
					rt.Fatalf("the version of %s falls from %d to %d", kind, was, is)
				}
			}
			for _, e := range nextA.BMD.Buckets(nil) {
				was, known := a.BMD.Get(e.Bck)
				if known && was.BID == e.Props.BID {
					continue
				}
				if other, used := ids[e.Props.BID]; used || e.Props.BID == 0 {
					rt.Fatalf("bucket %s has the id %d of %s", e.Bck, e.Props.BID, other)
				}
				ids[e.Props.BID] = e.Bck
			}
			if b, err = meta.DecodeView(encoded); err != nil {
				rt.Fatalf("%v of %s", err, encoded)
			}
			a = nextA
			history = append(history, a)
		}
	})
}

func TestDecodeViewRefuses(t *testing.T) {
	t.Parallel()
	good := string(encode(t, founded(t)))
	for name, bad := range map[string]string{
		"no JSON":             "x",
		"an unknown document": strings.Replace(good, `"documents":{`, `"documents":{"odd":{},`, 1),
		"another cluster":     strings.Replace(good, `"uuid":"Q1wErTy7U","lineage"`, `"uuid":"other1234","lineage"`, 1),
		"a broken document":   strings.Replace(good, `"members":[`, `"members":[{},`, 1),
		"an index as number":  strings.Replace(good, `"index":"1"`, `"index":1`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: nothing changed", name)
		}
		if v, err := meta.DecodeView([]byte(bad)); apierr.StatusOf(err) != 400 || v != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []string{"", "odd"} {
		if _, err := meta.Decode(kind, []byte("{}")); err == nil {
			t.Errorf("document of kind %q", kind)
		}
	}
	if _, err := meta.Decode(meta.KindConfig, []byte("{}")); err == nil {
		t.Error("a configuration without a version")
	}
}

func TestConfigDocumentIsComplete(t *testing.T) {
	t.Parallel()
	d, err := meta.Decode(meta.KindConfig, []byte(`{"config_version":"3","uuid":"u","mirror":{"copies":4},"from_another_release":1}`))
	if err != nil {
		t.Fatal(err)
	}
	c := d.(*meta.Config)
	if c.Ver() != 3 || c.Mirror.Copies != 4 || c.LRU != config.DefaultCluster().LRU {
		t.Errorf("%+v", c)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	alphanumeric := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for range 500 {
		for _, id := range []string{meta.NewClusterUUID(), meta.NewJobID(), meta.NewLineage(), meta.NewID(20)} {
			if len(id) < 9 || seen[id] || strings.Trim(id, alphanumeric+"_-") != "" ||
				strings.IndexByte(alphanumeric, id[0]) >= 52 || strings.IndexByte(alphanumeric, id[0]) < 0 || strings.IndexByte(alphanumeric, id[len(id)-1]) < 0 {
				t.Fatalf("id %q", id)
			}
			seen[id] = true
		}
		if id := meta.NewNodeID(); len(id) != 8 || strings.Trim(id, alphanumeric) != "" || seen[id] {
			t.Fatalf("node id %q", id)
		}
	}
	for port, length := range map[string]int{"8080": 8, "80": 8, "51080": 9} {
		p, tgt := meta.NewTestNodeID(meta.RoleProxy, port), meta.NewTestNodeID(meta.RoleTarget, port)
		if !strings.HasSuffix(p, "p"+port) || !strings.HasSuffix(tgt, "t"+port) || len(p) != length || len(tgt) != length {
			t.Errorf("%s %s", p, tgt)
		}
	}
}

func FuzzDecodeView(f *testing.F) {
	v := founded(f)
	f.Add(encode(f, v))
	f.Add(encode(f, apply(f, v, 2, change(f, v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{entry(aisBck("b"))}}))))
	f.Add([]byte(`{"documents":{"smap":{"version":"1","tmap":{"a":null}}}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := meta.DecodeView(data)
		if err != nil {
			return
		}
		encoded := encode(t, v)
		again, err := meta.DecodeView(encoded)
		if err != nil {
			t.Fatalf("%v of %s", err, encoded)
		}
		if second := encode(t, again); !bytes.Equal(encoded, second) {
			t.Errorf("\n%s\n%s", encoded, second)
		}
	})
}
