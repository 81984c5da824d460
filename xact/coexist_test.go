package xact_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/xact"
)

func TestCoexistence(t *testing.T) {
	a, b, c := wire.Bck{Name: "a", Provider: "ais"}, wire.Bck{Name: "b", Provider: "ais"}, wire.Bck{Name: "c", Provider: "ais"}
	on := func(kind string, bck wire.Bck) *xact.Spec {
		return &xact.Spec{ID: "id-of-" + kind + bck.Name, Kind: kind, Bck: bck}
	}
	pair := func(kind string, from, to wire.Bck) *xact.Spec {
		s := on(kind, to)
		s.ID, s.Source, s.To = s.ID+from.Name, from, to
		return s
	}
	plain := func(kind string) *xact.Spec { return on(kind, wire.Bck{}) }
	new := func(s *xact.Spec) *xact.Spec { n := *s; n.ID = "new"; return &n }
	forced := pair("copy-bck", a, b)
	forced.Force = true
	idle := func(s *xact.Spec) xact.Active { return xact.Active{Spec: s, Idle: true} }
	busy := func(s *xact.Spec) xact.Active { return xact.Active{Spec: s} }
	type want struct {
		status int
		text   string
		aborts int
		join   bool
	}
	for _, tc := range []struct {
		name    string
		start   *xact.Spec
		running xact.Active
		ignore  bool
		want    want
	}{
		{"copy while rebalancing", pair("copy-bck", a, b), busy(plain("rebalance")), false, want{409, "currently running, cannot run \"copy-bck\"", 0, false}},
		{"ec-encode while resilvering", on("ec-encode", a), busy(plain("resilver")), false, want{409, "concurrently", 0, false}},
		{"cleanup while rebalancing", plain("cleanup-store"), busy(plain("rebalance")), false, want{409, "", 0, false}},
		{"the same by flag", pair("copy-bck", a, b), busy(plain("rebalance")), true, want{}},
		{"the same by force", forced, busy(plain("rebalance")), false, want{}},
		{"rebalance while copying", plain("rebalance"), busy(pair("copy-bck", a, b)), false, want{aborts: 1}},
		{"rebalance while cleaning up", plain("rebalance"), busy(plain("cleanup-store")), false, want{409, "", 0, false}},
		{"lru while rebalancing", plain("lru"), busy(plain("rebalance")), false, want{}},
		{"rename while its bucket is copied", pair("move-bck", a, c), busy(pair("copy-bck", a, b)), false, want{409, "", 0, false}},
		{"rename while others are copied", pair("move-bck", a, c), busy(pair("copy-bck", b, wire.Bck{Name: "d", Provider: "ais"})), false, want{}},
		{"rename while an idle job has its bucket", pair("move-bck", a, c), idle(on("copy-listrange", a)), false, want{}},
		{"rename while a busy job has its bucket", pair("move-bck", a, c), busy(on("copy-listrange", a)), false, want{409, "", 0, false}},
		{"copy of a bucket that is renamed", pair("copy-bck", a, b), busy(pair("move-bck", a, c)), false, want{409, "", 0, false}},
		{"second rename", pair("move-bck", b, wire.Bck{Name: "d", Provider: "ais"}), busy(pair("move-bck", a, c)), false, want{409, "", 0, false}},
		{"second rebalance", new(plain("rebalance")), busy(plain("rebalance")), false, want{aborts: 1}},
		{"second make-n-copies", new(on("make-n-copies", a)), busy(on("make-n-copies", a)), false, want{400, "is currently running, cannot start a new", 0, false}},
		{"of another bucket", on("make-n-copies", b), busy(on("make-n-copies", a)), false, want{}},
		{"make-n-copies and copies after PUT", on("make-n-copies", a), busy(on("put-copies", a)), false, want{aborts: 1}},
		{"second ec-encode", new(on("ec-encode", a)), busy(on("ec-encode", a)), false, want{400, "is already running - not starting", 0, false}},
		{"second copy of a pair", new(pair("copy-bck", a, b)), busy(pair("copy-bck", a, b)), false, want{400, "already running", 0, false}},
		{"copy of another pair", pair("copy-bck", a, c), busy(pair("copy-bck", a, b)), false, want{}},
		{"second lru", new(plain("lru")), busy(plain("lru")), false, want{join: true}},
		{"second warm-up", new(on("load-lom-cache", a)), busy(on("load-lom-cache", a)), false, want{join: true}},
		{"more objects to copy", new(on("copy-listrange", a)), idle(on("copy-listrange", a)), false, want{join: true}},
		{"second prefetch", new(on("prefetch-listrange", a)), busy(on("prefetch-listrange", a)), false, want{}},
	} {
		v := xact.Coexist("t1", tc.start, []xact.Active{tc.running}, tc.ignore)
		got := want{aborts: len(v.Abort), join: v.Join != nil}
		if v.Err != nil {
			got.status = apierr.StatusOf(v.Err)
			if tc.want.text != "" && !strings.Contains(v.Err.Error(), tc.want.text) {
				t.Errorf("%s: %v", tc.name, v.Err)
			}
			if v.Retry != (got.status == 409) {
				t.Errorf("%s: retry %t", tc.name, v.Retry)
			}
		}
		got.text = tc.want.text
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v (%v)", tc.name, got, tc.want, v.Err)
		}
	}
	v := xact.Coexist("t1", new(plain("rebalance")), []xact.Active{busy(plain("rebalance"))}, false)
	if len(v.Abort) != 1 || !errors.Is(v.Abort[0].Cause, xact.ErrRenewal) {
		t.Errorf("%+v", v)
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range xact.Kinds() {
		if seen[k.Name] || k.Display != "" && seen[k.Display] {
			t.Errorf("%s is there twice", k.Name)
		}
		seen[k.Name], seen[k.Display] = true, true
		if byName, ok := xact.FindKind(k.Name); !ok || byName != k {
			t.Errorf("%s is not found", k.Name)
		}
		if k.Display != "" {
			if byDisplay, ok := xact.FindKind(k.Display); !ok || byDisplay.Name != k.Name {
				t.Errorf("%s is not found", k.Display)
			}
		}
	}
	if len(xact.Kinds()) < 35 {
		t.Errorf("%d kinds", len(xact.Kinds()))
	}
	var clients []wire.JobKind
	for _, k := range xact.Kinds() {
		clients = append(clients, wire.JobKind{Name: k.Name, Display: k.Display, Bucket: k.Scope == xact.ScopeBucket, Idle: k.Idle, IC: k.IC})
	}
	if !slices.Equal(clients, wire.JobKinds()) {
		t.Errorf("clients are told something else:\n%v\n%v", clients, wire.JobKinds())
	}
	if _, ok := xact.FindKind(""); ok {
		t.Error("no name is a kind")
	}
}
