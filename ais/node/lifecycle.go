package node

import (
	"context"
	"net/http"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Lifecycle is what a role can do when an operator takes its node out of the
// cluster, or takes it in.
type Lifecycle struct {
	// Rest makes the node stay out once the cluster has removed it; why is
	// what it says then.
	Rest func(why string)
	// Join makes the node ask for admission at an intra-control URL, as what
	// flags say (meta.FlagNonElectable).
	Join func(ctx context.Context, url string, flags uint64) error
	// Decommission removes what the node keeps of the cluster. It may be
	// called again.
	Decommission func(ctx context.Context, o DecommissionOptions) error
}

// DecommissionOptions are what an operator decides on.
type DecommissionOptions struct {
	RemoveUserData    bool `json:"rm_user_data"`        // objects, too
	KeepInitialConfig bool `json:"keep_initial_config"` // the plain configuration files stay
	NoShutdown        bool `json:"no_shutdown"`         // the process goes on
}

// lifecycle is the state of a node that an operator takes out.
type lifecycle struct {
	mu      sync.Mutex
	hooks   Lifecycle
	exit    chan struct{}
	exiting bool
	cleaned *DecommissionOptions // with which the node was decommissioned
}

// RegisterLifecycle puts the answers to lifecycle actions in place.
func (n *Node) RegisterLifecycle(hooks Lifecycle) {
	n.lifecycle.mu.Lock()
	n.lifecycle.hooks = hooks
	n.lifecycle.mu.Unlock()
	for _, name := range []string{
		wire.ActStartMaintenance, wire.ActShutdownNode, wire.ActDecommissionNode, wire.ActDecommission, wire.ActRemoveUnsafe,
	} {
		n.HandleDaemonAction(name, Nodes, n.lifecycleAction)
	}
	n.HandleDaemonAction(wire.ActShutdown, Clients, n.shutdownAction)
	// A node that waits to be added knows no other node yet: it cannot tell
	// who asks. What it then does is to join, which proves both sides.
	n.register(wire.PathDaemon+"/"+wire.ItemJoinByAdmin, []string{http.MethodPost}, nil, n.joinByAdmin, false, false)
}

// ExitRequested is closed when the process has to end.
func (n *Node) ExitRequested() <-chan struct{} {
	n.lifecycle.mu.Lock()
	defer n.lifecycle.mu.Unlock()
	return n.lifecycle.exitChannel()
}

func (l *lifecycle) exitChannel() chan struct{} {
	if l.exit == nil {
		l.exit = make(chan struct{})
	}
	return l.exit
}

// RequestExit makes the process end in order.
func (n *Node) RequestExit() {
	l := &n.lifecycle
	l.mu.Lock()
	defer l.mu.Unlock()
	if ch := l.exitChannel(); !l.exiting {
		l.exiting = true
		close(ch)
	}
}

func (n *Node) exitRequested() bool {
	n.lifecycle.mu.Lock()
	defer n.lifecycle.mu.Unlock()
	return n.lifecycle.exiting
}

// Decommissioned returns how this node was decommissioned, nil if it was not.
func (n *Node) Decommissioned() *DecommissionOptions {
	n.lifecycle.mu.Lock()
	defer n.lifecycle.mu.Unlock()
	return n.lifecycle.cleaned
}

// lifecycleAction does the node's part of an operation, on the primary's word.
func (n *Node) lifecycleAction(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	if n.isPrimary() {
		return apierr.BadRequest("%s: cannot %s: this node is the primary", n.name, msg.Action)
	}
	if err := n.FromPrimary(r); err != nil {
		return err
	}
	var options DecommissionOptions
	if err := DecodeValue(msg.Value, &options, "the value of action "+msg.Action); err != nil {
		return err
	}
	n.logger.Warn("an operator takes this node out", "action", msg.Action)
	switch msg.Action {
	case wire.ActStartMaintenance:
		// The map says it; keepalives go on, so that it shows whether the node runs.
	case wire.ActShutdownNode:
		n.RequestExit()
	case wire.ActRemoveUnsafe:
		if rest := n.lifecycleHooks().Rest; rest != nil {
			rest("an operator has removed this node from the cluster: restart it, or add it again, to take part")
		}
	default: // wire.ActDecommissionNode, wire.ActDecommission
		if err := n.Decommission(r.Context(), options); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// Decommission removes what this node keeps of the cluster and ends the
// process, unless that is not wanted.
func (n *Node) Decommission(ctx context.Context, o DecommissionOptions) error {
	hooks := n.lifecycleHooks()
	if hooks.Decommission == nil {
		return errStarting
	}
	if hooks.Rest != nil {
		hooks.Rest("this node was decommissioned: restart it, or add it, to take part again")
	}
	n.endExports()
	// A part that cannot be removed must not keep the node in the cluster.
	err := hooks.Decommission(context.WithoutCancel(ctx), o)
	if err != nil {
		n.logger.Error("decommission: not everything was removed", "err", err)
	}
	n.lifecycle.mu.Lock()
	n.lifecycle.cleaned = &o
	n.lifecycle.mu.Unlock()
	if err == nil && !o.NoShutdown {
		n.RequestExit()
	}
	return err
}

func (n *Node) lifecycleHooks() Lifecycle {
	n.lifecycle.mu.Lock()
	defer n.lifecycle.mu.Unlock()
	return n.lifecycle.hooks
}

// shutdownAction ends this process: on the primary's word when the whole
// cluster stops, and on a client's word if it insists and this is the primary,
// which nobody else may stop.
func (n *Node) shutdownAction(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	switch forced := q.Bool(wire.QueryForce); {
	case n.isPrimary() && !forced:
		return apierr.BadRequest("%s: cannot %s the primary this way, add %s=true", n.name, msg.Action, wire.QueryForce)
	case !n.isPrimary():
		if err := n.FromPrimary(r); err != nil {
			return err
		}
	}
	n.logger.Warn("an operator stops this node", "action", msg.Action)
	n.RequestExit()
	w.WriteHeader(http.StatusOK)
	return nil
}

// JoinByAdminMsg asks a node who it is, or tells it where its cluster is.
type JoinByAdminMsg struct {
	Ask   bool   `json:"ask"`          // answer with the node's record (meta.Snode), do nothing
	UUID  string `json:"uuid"`         // of the cluster
	URL   string `json:"url"`          // intra-control URL of the primary
	Flags uint64 `json:"flags,string"` // of the node: meta.FlagNonElectable
}

// maxJoinMsg bounds its body, in bytes.
const maxJoinMsg = 64 << 10

// joinByAdmin makes this node join the cluster whose primary asks.
func (n *Node) joinByAdmin(w http.ResponseWriter, r *http.Request) error {
	body, err := ReadBody(r, maxJoinMsg)
	if err != nil {
		return err
	}
	var msg JoinByAdminMsg
	switch err := decodeJSON(body, &msg, false); {
	case err != nil:
		return apierr.BadRequest("failed to unmarshal %s: %v", wire.ItemJoinByAdmin, err)
	case msg.Ask && (!n.Started() || n.Stopping() || n.exitRequested()):
		return errStarting
	case msg.Ask:
		return WriteJSON(w, r, n.self())
	case msg.URL == "" || msg.UUID == "":
		return apierr.BadRequest("%s: expecting uuid, url and flags", wire.ItemJoinByAdmin)
	}
	if msg.Flags&^meta.FlagNonElectable != 0 || msg.Flags != 0 && n.role != meta.RoleProxy {
		return apierr.BadRequest("invalid flags %d of %s: a proxy may be non-electable (%d)", msg.Flags, n.name, meta.FlagNonElectable)
	}
	if smap := n.View().Smap; smap != nil {
		// Who has known a cluster can tell who asks.
		proven := trust.CallerOf(r.Context())
		if caller := n.Caller(r); caller == nil || caller.Role != meta.RoleProxy || n.trust != nil && (proven == nil || !proven.Member) {
			return apierr.New(http.StatusForbidden, "", "%s: %s is accepted from proxies of its cluster only", n.name, wire.ItemJoinByAdmin)
		}
	}
	if own := n.View().UUID; own != "" && own != msg.UUID {
		return apierr.BadRequest("cluster integrity error: %s belongs to cluster %q, cannot join %q", n.name, own, msg.UUID)
	}
	join := n.lifecycleHooks().Join
	if join == nil || !n.Started() {
		return errStarting
	}
	if err := join(r.Context(), msg.URL, msg.Flags); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
