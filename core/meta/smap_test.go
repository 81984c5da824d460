package meta_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func netInfo(port string) meta.NetInfo {
	return meta.NetInfo{Host: "127.0.0.1", Port: port, URL: "http://127.0.0.1:" + port}
}

func node(id, role string) *meta.Snode {
	return meta.NewSnode(id, role, netInfo("8080"), netInfo("9080"), netInfo("10080"))
}

func flagged(n *meta.Snode, flags uint64) *meta.Snode {
	n.Flags = flags
	return n
}

func smap(nodes ...*meta.Snode) *meta.Smap {
	s := &meta.Smap{Pmap: map[string]*meta.Snode{}, Tmap: map[string]*meta.Snode{}, UUID: "Q1wErTy7U", Created: "2026-08-21 10:00:00", Version: 7}
	for _, n := range nodes {
		if n.Role == meta.RoleProxy {
			s.Pmap[n.ID] = n
		} else {
			s.Tmap[n.ID] = n
		}
	}
	return s.Freeze()
}

// The JSON is what clients read: a full copy of the primary, a version in quotes.
func TestSmapJSON(t *testing.T) {
	t.Parallel()
	p := flagged(node("vWcp8080", meta.RoleProxy), meta.FlagIC)
	s := smap(p)
	s.Primary = p
	const proxy = `{"public_net":{"node_ip_addr":"127.0.0.1","daemon_port":"8080","direct_url":"http://127.0.0.1:8080"},` +
		`"intra_data_net":{"node_ip_addr":"127.0.0.1","daemon_port":"10080","direct_url":"http://127.0.0.1:10080"},` +
		`"intra_control_net":{"node_ip_addr":"127.0.0.1","daemon_port":"9080","direct_url":"http://127.0.0.1:9080"},` +
		`"daemon_type":"proxy","daemon_id":"vWcp8080","flags":2,"id_digest":`
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := json.Marshal(hrw.Digest("vWcp8080"))
	if err != nil {
		t.Fatal(err)
	}
	snode := proxy + string(digest) + "}"
	want := `{"pmap":{"vWcp8080":` + snode + `},"proxy_si":` + snode + `,"tmap":{},"uuid":"Q1wErTy7U","creation_time":"2026-08-21 10:00:00","version":"7"}`
	if string(data) != want {
		t.Errorf("%s\nwant\n%s", data, want)
	}
	d, err := meta.Decode(meta.KindSmap, data)
	if err != nil {
		t.Fatal(err)
	}
	again := d.(*meta.Smap)
	if again.Primary != again.Pmap["vWcp8080"] || !again.IsPrimary("vWcp8080") || again.IsPrimary("x") {
		t.Errorf("primary %v", again.Primary)
	}
	empty, err := (&meta.Smap{Version: 1}).Encode()
	if err != nil || !strings.Contains(string(empty), `"pmap":{},"proxy_si":null,"tmap":{}`) {
		t.Errorf("%s, %v", empty, err)
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	s := smap(node("tgtCCCCC3", meta.RoleTarget), node("tgtAAAAA1", meta.RoleTarget), node("tgtBBBBB2", meta.RoleTarget), node("proxyAAA", meta.RoleProxy))
	for uname, want := range map[string]string{
		"ais/@#/b1/obj-0":           "tgtBBBBB2",
		"ais/@#/b1/dir/a b.txt":     "tgtCCCCC3",
		"aws/@#/data/train-000.tar": "tgtBBBBB2",
		"ais/@#ns1/b1/привет":       "tgtBBBBB2",
		"ais/@Q9wP67Uiqt#/rb/o1":    "tgtAAAAA1",
	} {
		owner, err := s.Owner(hrw.Digest(uname))
		if err != nil || owner.ID != want {
			t.Errorf("owner of %s is %v, %v, want %s", uname, owner, err, want)
		}
	}
	s = smap(flagged(node("tgtBBBBB2", meta.RoleTarget), meta.FlagMaintenance), node("tgtAAAAA1", meta.RoleTarget),
		flagged(node("tgtCCCCC3", meta.RoleTarget), meta.FlagDecommission))
	if owner, err := s.Owner(hrw.Digest("ais/@#/b1/obj-0")); err != nil || owner.ID != "tgtAAAAA1" || s.CountTargets() != 1 {
		t.Errorf("%v, %v: nodes in maintenance own objects", owner, err)
	}
	for _, none := range []*meta.Smap{nil, smap(node("proxyAAA", meta.RoleProxy))} {
		if _, err := none.Owner(1); apierr.StatusOf(err) != 400 || apierr.CodeOf(err) != wire.CodeNoNodes {
			t.Errorf("%v", err)
		}
	}
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	a, b, c := node("proxyAAA", meta.RoleProxy), node("proxyBBB", meta.RoleProxy), node("proxyCCC", meta.RoleProxy)
	nodes := []*meta.Snode{a, b, c}
	best := a
	for _, n := range nodes {
		if n.Digest > best.Digest {
			best = n
		}
	}
	s := smap(a, b, c, node("tgtAAAAA1", meta.RoleTarget))
	if got := s.Successor(""); got != best {
		t.Errorf("Successor is %v, want %v", got, best)
	}
	second := s.Successor(best.ID)
	if second == nil || second == best {
		t.Fatalf("Successor without %v is %v", best, second)
	}
	for _, flag := range []uint64{meta.FlagNonElectable, meta.FlagMaintenance, meta.FlagDecommission} {
		replaced := s.Clone()
		replaced.Pmap[best.ID] = flagged(best.Clone(), flag)
		if got := replaced.Freeze().Successor(""); got != second {
			t.Errorf("flag %d: Successor is %v, want %v", flag, got, second)
		}
	}
	if got := smap(a).Successor(a.ID); got != nil {
		t.Errorf("Successor is %v, want none", got)
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	p, t1, t2 := node("proxyAAA", meta.RoleProxy), node("tgtAAAAA1", meta.RoleTarget), node("tgtBBBBB2", meta.RoleTarget)
	s := smap(t2, t1, p)
	if got := s.Nodes(); !slices.Equal(got, []*meta.Snode{p, t1, t2}) {
		t.Errorf("%v", got)
	}
	for id, want := range map[string]*meta.Snode{p.ID: p, t2.ID: t2, "x": nil} {
		if got := s.Node(id); got != want {
			t.Errorf("Node(%s) = %v", id, got)
		}
	}
	if (*meta.Smap)(nil).Node("x") != nil || (*meta.Smap)(nil).Ver() != 0 {
		t.Error("no map has nodes")
	}
	moved := t1.Clone()
	moved.PublicExtra = []meta.NetInfo{netInfo("1")}
	if !t1.SameAddresses(t1.Clone()) || t1.SameAddresses(moved) || t1.PublicExtra != nil {
		t.Errorf("%+v %+v", t1, moved)
	}
	if p.String() != "p[proxyAAA]" || t1.String() != "t[tgtAAAAA1]" {
		t.Errorf("%s %s", p, t1)
	}
}

func TestSmapDecodeRefuses(t *testing.T) {
	t.Parallel()
	good, err := smap(node("proxyAAA", meta.RoleProxy), node("tgtAAAAA1", meta.RoleTarget)).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := meta.Decode(meta.KindSmap, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a digest of another id":   {`"id_digest":`, `"id_digest":1`},
		"another role":             {`"daemon_type":"target"`, `"daemon_type":"proxy"`},
		"no role":                  {`"daemon_type":"target"`, `"daemon_type":""`},
		"a key of another id":      {`"tmap":{"tgtAAAAA1"`, `"tmap":{"tgtAAAAA2"`},
		"a proxy and a target":     {`"tgtAAAAA1"`, `"proxyAAA"`},
		"a node that is null":      {`"tmap":{`, `"tmap":{"x":null,`},
		"no version":               {`"version":"7"`, `"version":"0"`},
		"a version without quotes": {`"version":"7"`, `"version":7`},
		"an unknown primary":       {`"proxy_si":null`, `"proxy_si":{"daemon_id":"x"}`},
	} {
		bad := strings.ReplaceAll(string(good), change[0], change[1])
		if bad == string(good) {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := meta.Decode(meta.KindSmap, []byte(bad)); apierr.StatusOf(err) != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHotLookupsDoNotAllocate(t *testing.T) {
	bck := wire.Bck{Name: "bucket", Provider: "ais"}
	bmd := meta.NewBMD("Q1wErTy7U", 1, meta.BucketEntry{Bck: bck, Props: meta.DefaultBprops(bck, defaults())})
	s := smap(node("tgtAAAAA1", meta.RoleTarget), node("tgtBBBBB2", meta.RoleTarget))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Owner(42); err != nil {
			t.Error(err)
		}
		if _, ok := bmd.Get(bck); !ok {
			t.Error("no bucket")
		}
		_ = s.ActiveTargets()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOwner(b *testing.B) {
	nodes := make([]*meta.Snode, 16)
	for i := range nodes {
		nodes[i] = node("target"+string(rune('A'+i))+"xx", meta.RoleTarget)
	}
	s := smap(nodes...)
	b.ReportAllocs()
	var digest uint64
	for b.Loop() {
		digest++
		if _, err := s.Owner(digest); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBMDGet(b *testing.B) {
	bck := wire.Bck{Name: "bucket", Provider: "ais"}
	bmd := meta.NewBMD("Q1wErTy7U", 1, meta.BucketEntry{Bck: bck, Props: &meta.Bprops{}})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := bmd.Get(bck); !ok {
			b.Fatal("no bucket")
		}
	}
}
