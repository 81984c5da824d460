package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

const (
	// maxSnode bounds the record of a node in a request, in bytes.
	maxSnode = 64 << 10
	// joinPoll is how often a join, or a removal, looks whether it is done.
	joinPoll = 25 * time.Millisecond
	// actJoin names the operation in messages.
	actJoin = "join"
	// pathJoin is where a node that is to join is asked, and told.
	pathJoin = wire.PathDaemon + "/" + wire.ItemJoinByAdmin
)

// joinByAdmin adds a node that an operator names by its control address. The
// node joins by itself; the primary tells it where, and waits.
func (p *Proxy) joinByAdmin(w http.ResponseWriter, r *http.Request, items []string) error {
	if len(items) > 0 {
		return apierr.BadRequest("invalid path '%s': expected %s/%s", r.URL.Path, wire.PathCluster, wire.ItemJoinByAdmin)
	}
	flags, err := joinFlags(r)
	if err != nil {
		return err
	}
	body, err := node.ReadBody(r, maxSnode)
	if err != nil {
		return err
	}
	var asked meta.Snode
	if err := json.Unmarshal(body, &asked); err != nil {
		return apierr.BadRequest("failed to unmarshal the node to join: %v", err)
	}
	joins, err := p.whoIsIt(r.Context(), &asked, flags)
	if err != nil {
		return err
	}
	conditions, err := p.membership.Conditions(r.Context())
	if err != nil {
		return err
	}
	before := p.control.View()
	if err := membership.CheckBusy(before, conditions, actJoin+" "+joins.String()); err != nil {
		return err
	}
	if isIn(before.Smap, joins) {
		return node.WriteJSON(w, r, &wire.JoinResult{NodeID: joins.ID})
	}
	if err := p.checkHolder(r.Context(), before.Smap.Node(joins.ID), joins); err != nil {
		return err
	}
	after, err := p.letJoin(r.Context(), before, joins)
	if err != nil {
		return err
	}
	result := wire.JoinResult{NodeID: joins.ID}
	if conditions.CanMove && after.RMD.Ver() > before.RMD.Ver() {
		result.RebalanceID = meta.RebalanceID(after.RMD.Ver())
	}
	return node.WriteJSON(w, r, &result)
}

// joinFlags reads the header that makes a proxy non-electable.
func joinFlags(r *http.Request) (uint64, error) {
	text := r.Header.Get(wire.HeaderNodeFlags)
	if text == "" {
		return 0, nil
	}
	flags, err := strconv.ParseUint(text, 10, 64)
	if err != nil || flags&^meta.FlagNonElectable != 0 {
		return 0, apierr.BadRequest("invalid header %s %.32q: a proxy may be non-electable (%d)", wire.HeaderNodeFlags, text, meta.FlagNonElectable)
	}
	return flags, nil
}

// whoIsIt asks the node at the control address of a record for its own.
func (p *Proxy) whoIsIt(ctx context.Context, asked *meta.Snode, flags uint64) (*meta.Snode, error) {
	url := asked.IntraControl.URL
	if url == "" {
		return nil, apierr.BadRequest("the node to join has no intra-control address (intra_control_net.direct_url)")
	}
	found, err := snodeAt(ctx, p.node, url)
	switch {
	case err != nil:
		return nil, apierr.BadRequest("cannot join the node at %.200s: it is unreachable: %v", url, err)
	case asked.Role != found.Role:
		return nil, apierr.BadRequest("cannot join %s as %q: it is a %s", found, asked.Role, found.Role)
	case asked.ID != "" && asked.ID != found.ID:
		return nil, apierr.BadRequest("cannot join %q: %s is at %s", asked.ID, found, url)
	case flags != 0 && found.Role != meta.RoleProxy:
		return nil, apierr.BadRequest("cannot join %s as non-electable: it is no proxy", found)
	}
	if err := naming.ValidateNodeID(found.ID); err != nil {
		return nil, err
	}
	found.Flags = flags
	return found, nil
}

// snodeAt asks the node at a control address for its record.
func snodeAt(ctx context.Context, n *node.Node, url string) (*meta.Snode, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	body, err := json.Marshal(&node.JoinByAdminMsg{Ask: true})
	if err != nil {
		return nil, err
	}
	data, _, err := n.RPC().Request(ctx, rpc.Control, http.MethodPost, url+pathJoin, wire.ContentJSON, body)
	if err != nil {
		return nil, err
	}
	found := &meta.Snode{}
	return found, json.Unmarshal(data, found)
}

// isIn tells that the map has a node as it is to join.
func isIn(smap *meta.Smap, joins *meta.Snode) bool {
	now := smap.Node(joins.ID)
	return now != nil && now.Role == joins.Role && now.SameAddresses(joins) && (now.Flags^joins.Flags)&meta.FlagNonElectable == 0
}

// checkHolder fails if another node that has the id still answers.
func (p *Proxy) checkHolder(ctx context.Context, holder, joins *meta.Snode) error {
	if holder == nil || holder.SameAddresses(joins) {
		return nil
	}
	if other, err := snodeAt(ctx, p.node, holder.IntraControl.URL); err == nil && other.ID == joins.ID {
		return apierr.BadRequest("duplicate node ID: %s already runs at %s", holder, holder.IntraControl.URL)
	}
	return nil
}

// letJoin tells a node to join and waits until the map has it.
func (p *Proxy) letJoin(ctx context.Context, before *meta.View, joins *meta.Snode) (*meta.View, error) {
	body, err := json.Marshal(&node.JoinByAdminMsg{UUID: before.UUID, URL: p.node.Snode().IntraControl.URL, Flags: joins.Flags})
	if err != nil {
		return nil, err
	}
	url := joins.IntraControl.URL + pathJoin
	if _, _, err := p.node.RPC().Request(ctx, rpc.Control, http.MethodPost, url, wire.ContentJSON, body); err != nil {
		return nil, apierr.Wrap(err, http.StatusBadRequest, apierr.CodeOf(err), "cannot join %s", joins)
	}
	err = waitFor(ctx, func() bool { return isIn(p.control.View().Smap, joins) })
	if err != nil {
		return nil, apierr.Unavailable(5*time.Second, "%s was told to join and has not done so yet", joins)
	}
	return p.control.View(), membership.Everywhere(ctx, p.control)
}

// waitFor returns when a condition holds, or with the context's error.
func waitFor(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(joinPoll)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// removeItself takes a node out of the map at its own request. No data moves.
func (p *Proxy) removeItself(w http.ResponseWriter, r *http.Request, items []string) error {
	if len(items) != 1 {
		return apierr.BadRequest("invalid path '%s': expected %s/%s/<node id>", r.URL.Path, wire.PathCluster, wire.ItemDaemon)
	}
	id, smap := items[0], p.control.View().Smap
	leaving := smap.Node(id)
	switch {
	case leaving == nil:
		return membership.ErrUnknownNode(p.node.Name(), "remove", id, smap)
	case smap.IsPrimary(id):
		return apierr.BadRequest("%s cannot remove itself: it is the primary", leaving)
	}
	if caller := p.node.Caller(r); caller == nil || caller.ID != id {
		return apierr.New(http.StatusForbidden, "", "%s: only node %q itself can ask for its removal", p.node.Name(), id)
	}
	for {
		_, err := p.control.Commit(r.Context(), "remove", func(v *meta.View) ([]meta.Change, error) {
			if v.Smap.Node(id) == nil {
				return nil, nil
			}
			return metasync.BeginTransition(v, &meta.PendingMap{Action: "remove", Patch: meta.SmapPatch{Del: []string{id}}})
		})
		if err == nil {
			break
		}
		if apierr.StatusOf(err) != http.StatusServiceUnavailable || apierr.CodeOf(err) == wire.CodeNotPrimary || r.Context().Err() != nil {
			return err
		}
		select { // another change of the targets is under way
		case <-time.After(10 * joinPoll):
		case <-r.Context().Done():
			return err
		}
	}
	if err := waitFor(r.Context(), func() bool { return p.control.View().Smap.Node(id) == nil }); err != nil {
		return apierr.Unavailable(5*time.Second, "the removal of %s goes on", id)
	}
	p.node.RememberGone(leaving)
	if err := membership.Everywhere(r.Context(), p.control); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
