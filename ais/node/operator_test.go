package node

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// operatedControl is a control plane that an operator can restart by force.
type operatedControl struct {
	*fakeControl
	asked []string
}

func (o *operatedControl) ForceRestart(_ context.Context, lineage string, nodes []string) (*wire.ForcedRestart, error) {
	o.asked = append(o.asked, "force-restart "+lineage+" "+strings.Join(nodes, ","))
	if lineage == "refused" {
		return nil, apierr.New(apierr.StatusConflict, "", "a majority of the voters answers")
	}
	return &wire.ForcedRestart{Lineage: "newer", SmapVersion: 107, Adopted: []string{"a"}, Absent: []string{}}, nil
}

func (o *operatedControl) Rejoin(_ context.Context, uuid, lineage string) (*wire.Rejoined, error) {
	o.asked = append(o.asked, "rejoin "+uuid+" "+lineage)
	return &wire.Rejoined{UUID: uuid, Lineage: lineage, Joined: true, SmapVersion: 9}, nil
}

func (o *operatedControl) GivenUp() []wire.GivenUp {
	return []wire.GivenUp{{UUID: "A", Lineage: "older", Joined: "newer", Buckets: []wire.GivenUpBucket{{Name: "ais://b"}}}}
}

func TestOperatorActions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		role   string
		fenced string
		body   string
		status int
		answer string // part of it
		asked  string
	}{
		{"forced restart", meta.RoleProxy, "", `{"action":"force-restart","value":{"lineage":"old","nodes":["a","b"]}}`, 200, `{"lineage":"newer","smap_version":"107","adopted":["a"],"absent":[]}`, "force-restart old a,b"},
		{"refused", meta.RoleProxy, "", `{"action":"force-restart","value":{"lineage":"refused"}}`, 409, "a majority of the voters answers", "force-restart refused "},
		{"no value", meta.RoleProxy, "", `{"action":"force-restart"}`, 400, `action \"force-restart\" needs a value`, ""},
		{"misspelt field", meta.RoleProxy, "", `{"action":"force-restart","value":{"linage":"old"}}`, 400, "linage", ""},
		{"rejoin", meta.RoleProxy, "lost", `{"action":"rejoin","value":{"uuid":"u","lineage":"l"}}`, 200, `"joined":true,"smap_version":"9"`, "rejoin u l"},
		{"target that serves", meta.RoleTarget, "", `{"action":"force-restart","value":{"lineage":"old"}}`, 403, "from other nodes of the cluster only", ""},
		{"fenced target", meta.RoleTarget, "lost", `{"action":"force-restart","value":{"lineage":"old"}}`, 200, `"lineage":"newer"`, "force-restart old "},
		{"fenced target, rejoin", meta.RoleTarget, "lost", `{"action":"rejoin","value":{"uuid":"u","lineage":"l"}}`, 200, `"joined":true`, "rejoin u l"},
		{"fenced target, another action", meta.RoleTarget, "lost", `{"action":"reset-stats","value":true}`, 403, "from other nodes of the cluster only", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newTestNode(t, tc.role, "node0001", nil)
			n.MarkStarted()
			n.cp.joined.Store(true)
			cp := &operatedControl{fakeControl: n.cp}
			if tc.fenced != "" {
				n.cp.fenced.Store(&tc.fenced)
			}
			n.SetControl(cp)
			a := do(t, "PUT", n.Snode().Public.URL+wire.PathDaemon, tc.body)
			if a.status != tc.status || !strings.Contains(a.body, tc.answer) {
				t.Errorf("status %d, want %d with %s: %s", a.status, tc.status, tc.answer, a.body)
			}
			if got := strings.Join(cp.asked, "; "); got != tc.asked {
				t.Errorf("asked for %q, want %q", got, tc.asked)
			}
		})
	}
}

func TestLineageQuery(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, meta.RoleTarget, "node0001", nil)
	var info wire.LineageInfo
	a := do(t, "GET", n.Snode().Public.URL+wire.PathDaemon+"?what=lineage", "")
	if err := json.Unmarshal([]byte(a.body), &info); err != nil || a.status != 200 || info.Ancestors == nil {
		t.Errorf("status %d, %v: %s", a.status, err, a.body)
	}
}
