package node

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// ActionHandler answers an action message. The request's body was read; its
// query and headers are the client's.
type ActionHandler func(w http.ResponseWriter, r *http.Request, msg *ActMsg) error

// ItemHandler answers a call with a path below /v1/cluster or /v1/daemon;
// items are the pieces of the path after the one that was registered.
type ItemHandler func(w http.ResponseWriter, r *http.Request, items []string) error

// Scope says who may ask a node for something.
type Scope int

const (
	// Clients may ask, through /v1/reverse or directly; so may other nodes.
	Clients Scope = iota
	// Nodes of the cluster may ask, and nobody through them.
	Nodes
)

// action is a registered action.
type action struct {
	handler   ActionHandler
	onPrimary bool
	scope     Scope
}

// item is a registered first piece of a path.
type item struct {
	handler   ItemHandler
	methods   []string
	onPrimary bool
	scope     Scope
}

// actions are what a node answers below /v1/cluster and /v1/daemon besides
// questions. The role and the parts of the node register at the start.
type actions struct {
	mu             sync.RWMutex
	clusterActions map[string]action
	daemonActions  map[string]action
	clusterItems   map[string]item
	daemonItems    map[string]item
}

// HandleClusterAction registers the handler of an action message to
// /v1/cluster. With onPrimary it is run by the primary, with the deadline of
// OnPrimary in its context, whichever proxy was asked; else by that proxy.
// A later handler of the same action takes the place of the first.
func (n *Node) HandleClusterAction(name string, onPrimary bool, h ActionHandler) {
	enter(&n.actions, &n.actions.clusterActions, name, action{handler: h, onPrimary: onPrimary})
}

// HandleDaemonAction registers the handler of an action message to /v1/daemon.
func (n *Node) HandleDaemonAction(name string, scope Scope, h ActionHandler) {
	enter(&n.actions, &n.actions.daemonActions, name, action{handler: h, scope: scope})
}

// HandleClusterItem registers the handler of /v1/cluster/<item>[/...] for the
// given methods; onPrimary as with HandleClusterAction. DELETE comes from
// other nodes only.
func (n *Node) HandleClusterItem(name string, methods []string, onPrimary bool, h ItemHandler) {
	enter(&n.actions, &n.actions.clusterItems, name, item{handler: h, methods: methods, onPrimary: onPrimary})
}

// HandleDaemonItem registers the handler of /v1/daemon/<item>[/...] for the
// given methods.
func (n *Node) HandleDaemonItem(name string, methods []string, scope Scope, h ItemHandler) {
	enter(&n.actions, &n.actions.daemonItems, name, item{handler: h, methods: methods, scope: scope})
}

func enter[T any](a *actions, table *map[string]T, name string, entry T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := maps.Clone(*table)
	if next == nil {
		next = map[string]T{}
	}
	next[name] = entry
	*table = next
}

func find[T any](a *actions, table *map[string]T, name string) (T, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	entry, ok := (*table)[name]
	return entry, ok
}

// Actions and path items that clients know. What is not registered on this
// node is 501; other names are 400.
var (
	knownClusterActions = []string{
		wire.ActSetConfig, wire.ActResetConfig, wire.ActRotateLogs, wire.ActResetStats, wire.ActClearLcache,
		wire.ActReloadCreds, wire.ActShutdown, wire.ActDecommission, wire.ActStartMaintenance, wire.ActStopMaintenance,
		wire.ActShutdownNode, wire.ActDecommissionNode, wire.ActRemoveUnsafe, wire.ActStart, wire.ActStop, "bump-metasync",
	}
	knownDaemonActions = []string{
		wire.ActRotateLogs, wire.ActResetStats, wire.ActSetConfig, wire.ActResetConfig, wire.ActClearLcache,
		wire.ActReloadCreds, wire.ActShutdown, wire.ActDecommission, wire.ActStartMaintenance, wire.ActStopMaintenance,
		wire.ActShutdownNode, wire.ActDecommissionNode, wire.ActRemoveUnsafe, wire.ActStart, wire.ActStop,
	}
	knownClusterItems = []string{
		wire.ItemSetConfig, wire.ItemProxy, wire.ItemAttach, wire.ItemDetach, wire.ItemLoadX509, wire.ItemAutoReg,
		wire.ItemKeepalive, wire.ItemJoinByAdmin, wire.ItemDaemon, wire.ItemEnableBackend, wire.ItemDisableBackend,
	}
	knownDaemonItems = []string{
		wire.ItemSetConfig, wire.ItemMountpaths, wire.ItemProxy, wire.ItemLoadX509, wire.ItemJoinByAdmin,
		wire.ItemEnableBackend, wire.ItemDisableBackend, wire.ItemPrimaryForce,
	}
)

// clusterWrite answers what is not a question to /v1/cluster.
func (n *Node) clusterWrite(w http.ResponseWriter, r *http.Request) error {
	if err := n.admit(); err != nil {
		return err
	}
	if items := ItemsBelow(r, wire.PathCluster); len(items) > 0 {
		it, ok := find(&n.actions, &n.actions.clusterItems, items[0])
		if !ok {
			return errNoItem(r, wire.PathCluster, items[0], knownClusterItems)
		}
		if !slices.Contains(it.methods, r.Method) {
			methodNotAllowed(w, r, it.methods)
			return nil
		}
		h := func(w http.ResponseWriter, r *http.Request) error { return it.handler(w, r, items[1:]) }
		if it.onPrimary {
			return n.OnPrimary(w, r, n.whenServing(h))
		}
		return h(w, r)
	}
	msg, body, err := n.readAction(w, r)
	if err != nil {
		return err
	}
	act, ok := find(&n.actions, &n.actions.clusterActions, msg.Action)
	if !ok {
		return errNoAction("the cluster", msg.Action, knownClusterActions)
	}
	h := func(w http.ResponseWriter, r *http.Request) error { return act.handler(w, r, msg) }
	if act.onPrimary {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return n.OnPrimary(w, r, n.whenServing(h))
	}
	return h(w, r)
}

// daemonWrite answers what is not a question to /v1/daemon.
func (n *Node) daemonWrite(w http.ResponseWriter, r *http.Request, items []string) error {
	if len(items) > 0 {
		it, ok := find(&n.actions, &n.actions.daemonItems, items[0])
		if !ok {
			return errNoItem(r, wire.PathDaemon, items[0], knownDaemonItems)
		}
		if !slices.Contains(it.methods, r.Method) {
			methodNotAllowed(w, r, it.methods)
			return nil
		}
		if err := n.mayAsk(r, it.scope, wire.PathDaemon+"/"+items[0]); err != nil {
			return err
		}
		return it.handler(w, r, items[1:])
	}
	msg, _, err := n.readAction(w, r)
	if err != nil {
		return err
	}
	act, ok := find(&n.actions, &n.actions.daemonActions, msg.Action)
	if !ok {
		return errNoAction("a node", msg.Action, knownDaemonActions)
	}
	if err := n.mayAsk(r, act.scope, "action "+msg.Action); err != nil {
		return err
	}
	return act.handler(w, r, msg)
}

// readAction reads and decodes an action message, within a time.
func (n *Node) readAction(w http.ResponseWriter, r *http.Request) (*ActMsg, []byte, error) {
	body, err := readBodyWithin(w, r, n.limits.ControlBody, n.limits.ControlTimeout)
	if err != nil {
		return nil, nil, err
	}
	msg, err := DecodeActMsg(body)
	return msg, body, err
}

// admit fails while this node takes no control request at all.
func (n *Node) admit() error {
	switch {
	case n.Stopping():
		return apierr.Unavailable(time.Second, "%s is stopping", n.name)
	case !n.Started(), n.View().Smap == nil:
		if why := n.fenced(); why != "" {
			return n.errFenced(why)
		}
		return errStarting
	}
	return nil
}

// whenServing lets a handler run only where the cluster has started: on a
// primary that serves.
func (n *Node) whenServing(h Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !n.Joined() {
			return n.errClusterStarting()
		}
		return h(w, r)
	}
}

// mayAsk fails if what is asked for is not for clients.
func (n *Node) mayAsk(r *http.Request, scope Scope, what string) error {
	if scope == Nodes && (n.Caller(r) == nil || passedOn(r)) {
		return apierr.New(http.StatusForbidden, "", "%s: %s %s is accepted from other nodes of the cluster only", n.name, r.Method, what)
	}
	return nil
}

// passedOn tells a client's request that another node passes on.
func passedOn(r *http.Request) bool { return len(r.Header[wire.HeaderCallerPasses]) > 0 }

// FromPrimary fails unless the request was made, and not only passed on, by
// the primary.
func (n *Node) FromPrimary(r *http.Request) error {
	caller, smap := n.Caller(r), n.View().Smap
	if caller == nil || passedOn(r) || smap == nil || !smap.IsPrimary(caller.ID) {
		return apierr.BadRequest("%s: %s %s is accepted from the primary only (caller %q)", n.name, r.Method, r.URL.Path, r.Header.Get(wire.HeaderCallerID))
	}
	return nil
}

func (n *Node) errFenced(why string) error {
	return apierr.Unavailable(10*time.Second, "%s may not serve: %s", n.name, why)
}

// InvalidAction is the 400 of an action that does not exist.
func InvalidAction(action string) error { return apierr.BadRequest("invalid action %.64q", action) }

// NotBuilt answers every request of a service that is not built with one
// sentence.
func NotBuilt(what string) Handler {
	return func(http.ResponseWriter, *http.Request) error {
		return apierr.NotImplemented("%s is not built yet", what)
	}
}

// errNoAction refuses an action that nobody has registered.
func errNoAction(of, name string, known []string) error {
	if slices.Contains(known, name) {
		return apierr.NotImplemented("action %q on %s is not built yet", name, of)
	}
	return InvalidAction(name)
}

// errNoItem refuses a path that nobody has registered.
func errNoItem(r *http.Request, prefix, name string, known []string) error {
	if slices.Contains(known, name) {
		return apierr.NotImplemented("%s %s/%s is not built yet", r.Method, prefix, name)
	}
	return apierr.BadRequest("invalid path item %.64q below %s", name, prefix)
}
