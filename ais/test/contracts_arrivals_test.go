package test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/aistore-go/aistore/transport/rpc"
)

// TestWeaknessW26_NodesComeAndGoDuringAnOperation: while an operator takes a
// target out of service and its data moves, one target removes itself and
// another one joins by itself. Both take place, in order, and the operation is
// neither renewed nor forgotten: its last step comes when the data has moved.
func TestWeaknessW26_NodesComeAndGoDuringAnOperation(t *testing.T) {
	t.Parallel()
	m := &standIn{}
	c := startInProcessWithout(t, 2, 4, 1, m)
	primary, p := c.settledPrimary()
	createBucket(t, p, "b", "")
	late, leaving := c.targets()[3], c.targetOf[c.targets()[1]]
	t1 := c.idOf(c.targets()[0])
	if a := mustAct(t, http.StatusOK, p, "start-maintenance", `{"sid":"`+t1+`"}`); a.body != "g1" {
		t.Fatalf("body %q, want g1", a.body)
	}
	begun := c.operations(p).Current
	if begun == nil {
		t.Fatal("the operation is over before the data has moved")
	}

	c.launch(late, m)
	c.awaitMember(late, 6)
	if nodes, _ := c.members(late); nodes[c.idOf(late)].Flags != 0 || nodes[t1].Flags != flagMaintenance {
		t.Errorf("flags %d of the node that joined, %d of the one that leaves service", nodes[c.idOf(late)].Flags, nodes[t1].Flags)
	}
	leaving.Agent.Rest("it has removed itself")
	if _, _, err := leaving.Node.RPC().Request(context.Background(), rpc.Control, http.MethodDelete, primary.ControlURL()+"/v1/cluster/daemon/"+leaving.Node.ID(), "", nil); err != nil {
		t.Fatal(err)
	}
	c.awaitFlags(p, leaving.Node.ID(), -1)
	switch now := c.operations(p).Current; {
	case now == nil:
		t.Fatal("the operation is forgotten")
	case now.ID != begun.ID, now.Step != "moving", now.Error != "":
		t.Errorf("the operation was %+v, and is %+v", begun, now)
	}
	if a := mustAct(t, http.StatusConflict, p, "stop-maintenance", sid(t1)); a.status != http.StatusConflict {
		t.Errorf("%d %s", a.status, a.body)
	}

	m.mu.Lock()
	last := m.started[len(m.started)-1]
	m.mu.Unlock()
	m.end(last + 1) // whatever the two have asked for has moved, too
	c.awaitFlags(p, t1, flagMaintenance|flagDataMoved)
	c.eventually("the operation ends", func() error {
		ops := c.operations(p)
		if ops.Current != nil || len(ops.Past) != 1 || ops.Past[0].Step != "done" || ops.Past[0].Error != "" {
			return fmt.Errorf("%+v", ops)
		}
		return nil
	})
	nodes, _ := c.members(p)
	if len(nodes) != 5 || nodes[c.idOf(late)].ID == "" {
		t.Errorf("%+v", nodes)
	}
}
