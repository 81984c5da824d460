package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// lifecycleNode is a node of a cluster whose lifecycle the test watches.
func lifecycleNode(t *testing.T, role, id string) (n *testNode, rested, cleaned *atomic.Int32) {
	t.Helper()
	rested, cleaned = &atomic.Int32{}, &atomic.Int32{}
	n = newTestNode(t, role, id, nil)
	n.RegisterLifecycle(Lifecycle{
		Rest: func(string) { rested.Add(1) },
		Join: func(context.Context, string, uint64) error { return nil },
		Decommission: func(_ context.Context, o DecommissionOptions) error {
			cleaned.Add(1)
			if o.RemoveUserData {
				return errors.New("disk is broken")
			}
			return nil
		},
	})
	return n, rested, cleaned
}

// asCaller are the headers of a call by a node.
func (n *testNode) asCaller() []string {
	return []string{wire.HeaderCallerID + ": " + n.id, wire.HeaderCallerName + ": " + n.name}
}

func exits(n *testNode) bool {
	select {
	case <-n.ExitRequested():
		return true
	default:
		return false
	}
}

// TestLifecycleIsForThePrimaryOnly: nobody else can stop a node, or make it
// forget its cluster.
func TestLifecycleIsForThePrimaryOnly(t *testing.T) {
	t.Parallel()
	primary := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
	other := newTestNode(t, meta.RoleProxy, "proxy0002", nil)
	n, rested, cleaned := lifecycleNode(t, meta.RoleProxy, "proxy0003")
	join(t, primary, other, n)
	for _, action := range []string{
		wire.ActStartMaintenance, wire.ActShutdownNode, wire.ActDecommissionNode, wire.ActDecommission, wire.ActRemoveUnsafe, wire.ActShutdown,
	} {
		body := `{"action":"` + action + `"}`
		for _, as := range []struct {
			name   string
			url    string
			caller *testNode
			status int
		}{
			{"a client", n.snode.Public.URL, nil, 403},
			{"another node", n.snode.IntraControl.URL, other, 400},
		} {
			var headers []string
			if as.caller != nil {
				headers = as.caller.asCaller()
			}
			a := do(t, "PUT", as.url+wire.PathDaemon, body, headers...)
			if want := as.status; a.status != want && (action != wire.ActShutdown || a.status != 400) {
				t.Errorf("%s by %s: status %d, want %d: %s", action, as.name, a.status, want, a.body)
			}
		}
	}
	if exits(n) || rested.Load() != 0 || cleaned.Load() != 0 || n.Decommissioned() != nil {
		t.Error("the node obeyed somebody who is not the primary")
	}
}

// TestLifecycleOnThePrimarysWord: what a node does, once.
func TestLifecycleOnThePrimarysWord(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body       string
		status           int
		exits            bool
		rested, cleanups int32
	}{
		{"maintenance", `{"action":"start-maintenance"}`, 200, false, 0, 0},
		{"shutdown of the node", `{"action":"shutdown-node"}`, 200, true, 0, 0},
		{"shutdown of the cluster", `{"action":"shutdown"}`, 200, true, 0, 0},
		{"unsafe removal", `{"action":"rm-unsafe"}`, 200, false, 1, 0},
		{"decommission", `{"action":"decommission-node","value":{"keep_initial_config":true}}`, 200, true, 1, 1},
		{"decommission of the cluster", `{"action":"decommission"}`, 200, true, 1, 1},
		{"decommission, the process stays", `{"action":"decommission-node","value":{"no_shutdown":true}}`, 200, false, 1, 1},
		{"decommission with a broken disk", `{"action":"decommission-node","value":{"rm_user_data":true}}`, 400, false, 1, 1},
		{"decommission with an unknown option", `{"action":"decommission-node","value":{"quickly":true}}`, 400, false, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			primary := newTestNode(t, meta.RoleProxy, "proxy0001", nil)
			n, rested, cleaned := lifecycleNode(t, meta.RoleTarget, "target001")
			join(t, primary, n)
			a := do(t, "PUT", n.snode.IntraControl.URL+wire.PathDaemon, tt.body,
				primary.asCaller()...)
			if a.status != tt.status || exits(n) != tt.exits || rested.Load() != tt.rested || cleaned.Load() != tt.cleanups {
				t.Errorf("status %d, exits %v, rested %d, cleaned %d times: %s", a.status, exits(n), rested.Load(), cleaned.Load(), a.body)
			}
		})
	}
}

// TestThePrimaryIsNotTakenOut: by the same calls; a client may stop its process.
func TestThePrimaryIsNotTakenOut(t *testing.T) {
	t.Parallel()
	n, _, cleaned := lifecycleNode(t, meta.RoleProxy, "proxy0001")
	join(t, n)
	for _, action := range []string{wire.ActShutdownNode, wire.ActDecommissionNode, wire.ActShutdown} {
		a := do(t, "PUT", n.snode.IntraControl.URL+wire.PathDaemon, `{"action":"`+action+`"}`,
			n.asCaller()...)
		if a.status != 400 || !strings.Contains(a.body, "primary") {
			t.Errorf("%s: status %d, want 400: %s", action, a.status, a.body)
		}
	}
	if exits(n) || cleaned.Load() != 0 {
		t.Error("the primary obeyed")
	}
	if a := do(t, "PUT", n.snode.Public.URL+wire.PathDaemon+"?frc=true", `{"action":"shutdown"}`); a.status != 200 || !exits(n) {
		t.Errorf("forced shutdown: status %d, exits %v: %s", a.status, exits(n), a.body)
	}
}

// TestJoinByAdmin asks a node that no cluster knows.
func TestJoinByAdmin(t *testing.T) {
	t.Parallel()
	n, _, _ := lifecycleNode(t, meta.RoleTarget, "target001")
	n.MarkStarted()
	url := n.snode.IntraControl.URL + wire.PathDaemon + "/" + wire.ItemJoinByAdmin
	for _, tt := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"who are you", `{"ask":true}`, 200, `"daemon_id":"target001"`},
		{"join", `{"uuid":"cluster-1","url":"http://127.0.0.1:1","flags":"0"}`, 200, ""},
		{"no address", `{"uuid":"cluster-1","flags":"0"}`, 400, "expecting uuid, url and flags"},
		{"a target has no vote for primary", `{"uuid":"cluster-1","url":"http://127.0.0.1:1","flags":"1"}`, 400, "invalid flags 1"},
		{"no JSON", `join`, 400, "failed to unmarshal"},
	} {
		a := do(t, "POST", url, tt.body)
		if a.status != tt.status || !strings.Contains(a.body, tt.contains) {
			t.Errorf("%s: status %d, want %d with %q: %s", tt.name, a.status, tt.status, tt.contains, a.body)
		}
	}
	n.RequestExit()
	if a := do(t, "POST", url, `{"ask":true}`); a.status != 503 {
		t.Errorf("a node that is about to end: status %d, want 503", a.status)
	}
}
