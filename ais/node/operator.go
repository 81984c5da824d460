package node

import (
	"context"
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Operated is what an operator can have the control plane of a node do when
// the cluster cannot go on by itself.
type Operated interface {
	// ForceRestart gives a lineage up and starts a new one from the newest
	// documents of all reachable nodes; 409 while a majority answers.
	ForceRestart(ctx context.Context, lineage string, nodes []string) (*wire.ForcedRestart, error)
	// Rejoin makes the node forget its cluster, keep its id and data, and join
	// the named cluster and lineage.
	Rejoin(ctx context.Context, uuid, lineage string) (*wire.Rejoined, error)
	// GivenUp are the histories that the node has given up by Rejoin, as far as
	// they have what no other has.
	GivenUp() []wire.GivenUp
}

// registerOperator puts the actions in place that bring a node back.
func (n *Node) registerOperator() {
	n.HandleDaemonAction(wire.ActForceRestart, Clients, n.forceRestart)
	n.HandleDaemonAction(wire.ActRejoin, Clients, n.rejoin)
}

// maySave tells whether a target takes a control request of a client: those of
// an operator, while there is no primary that could pass them on.
func (n *Node) maySave(r *http.Request) bool {
	if r.Method != http.MethodPut || len(ItemsBelow(r, wire.PathDaemon)) > 0 {
		return false
	}
	cp := n.Control()
	return cp != nil && (cp.Fenced() != "" || !cp.Joined() || cp.Stale())
}

// daemonSave answers a client's control request to a target that has nobody
// else to turn to.
func (n *Node) daemonSave(w http.ResponseWriter, r *http.Request) error {
	msg, _, err := n.readAction(w, r)
	if err != nil {
		return err
	}
	switch msg.Action {
	case wire.ActForceRestart:
		return n.forceRestart(w, r, msg)
	case wire.ActRejoin:
		return n.rejoin(w, r, msg)
	}
	return n.errNodesOnly(r)
}

func (n *Node) errNodesOnly(r *http.Request) error {
	return apierr.New(http.StatusForbidden, "", "%s: %s %s is accepted from other nodes of the cluster only", n.name, r.Method, wire.PathDaemon)
}

func (n *Node) operated() (Operated, error) {
	cp := n.Control()
	if cp == nil {
		return nil, errStarting
	}
	if o, ok := cp.(Operated); ok {
		return o, nil
	}
	return nil, apierr.NotImplemented("this node's metadata cannot be restarted by force")
}

func (n *Node) forceRestart(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	var value wire.ForceRestartMsg
	if err := decodeValue(msg, &value); err != nil {
		return err
	}
	cp, err := n.operated()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), n.limits.ControlTimeout)
	defer cancel()
	done, err := cp.ForceRestart(ctx, value.Lineage, value.Nodes)
	if err != nil {
		return err
	}
	n.logger.Warn("the cluster was restarted by force", "lineage", done.Lineage, "smap", done.SmapVersion, "adopted", done.Adopted, "absent", done.Absent)
	return WriteJSON(w, r, done)
}

func (n *Node) rejoin(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	var value wire.RejoinMsg
	if err := decodeValue(msg, &value); err != nil {
		return err
	}
	cp, err := n.operated()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), n.limits.ControlTimeout)
	defer cancel()
	done, err := cp.Rejoin(ctx, value.UUID, value.Lineage)
	if err != nil {
		return err
	}
	return WriteJSON(w, r, done)
}

// decodeValue reads the value of an action; a field that the action does not
// have is an error: the operator meant something.
func decodeValue(msg *ActMsg, into any) error {
	if len(msg.Value) == 0 {
		return apierr.BadRequest("action %q needs a value", msg.Action)
	}
	if err := decodeJSON(msg.Value, into, true); err != nil {
		return apierr.BadRequest("failed to unmarshal the value of action %q: %v", msg.Action, err)
	}
	return nil
}

// writeLineage answers to which history of its cluster this node belongs.
func (n *Node) writeLineage(w http.ResponseWriter, r *http.Request) error {
	view := n.View()
	info := wire.LineageInfo{UUID: view.UUID, Lineage: view.Lineage, Ancestors: notNil(view.Ancestors), Fenced: n.fenced()}
	if view.Voters != nil {
		for _, member := range view.Voters.Members {
			if !member.Learner {
				info.Voters = append(info.Voters, member.NodeID)
			}
		}
	}
	if cp, err := n.operated(); err == nil {
		info.GivenUp = cp.GivenUp()
	}
	return WriteJSON(w, r, &info)
}
