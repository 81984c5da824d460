package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/metasync"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// weighTargets has targets own names in proportion to capacities, or takes
// that back. It is a change of owners as when a target joins: one at a time,
// in two steps. The answer comes when it is in force, and is the id of the
// rebalance that has begun, or empty.
func (p *Proxy) weighTargets(w http.ResponseWriter, r *http.Request, msg *node.ActMsg) error {
	var value wire.WeighMsg
	if err := node.DecodeValue(msg.Value, &value, "the value of action "+msg.Action); err != nil {
		return err
	}
	conditions, err := p.membership.Conditions(r.Context())
	if err != nil {
		return err
	}
	before := p.control.View()
	patch, err := p.weights(r.Context(), before.Smap, &value)
	if err != nil {
		return err
	}
	moves := false
	_, err = p.control.Commit(r.Context(), msg.Action, func(v *meta.View) ([]meta.Change, error) {
		if err := membership.CheckBusy(v, conditions, msg.Action); err != nil {
			return nil, err
		}
		if weighed(v.Smap, patch) {
			return nil, nil
		}
		moves = meta.MovesOwnership(v.Smap, patch)
		return metasync.BeginTransition(v, &meta.PendingMap{
			Action: msg.Action, Patch: *patch,
			Rebalance: moves && v.Config.Rebalance.Enabled && v.BMD.Len() > 0, // as when a target joins
		})
	})
	if err != nil {
		return err
	}
	if err := waitFor(r.Context(), func() bool { return weighed(p.control.View().Smap, patch) }); err != nil {
		return apierr.Unavailable(5*time.Second, "%s goes on: targets that do not answer are waited for until their right to write has ended", msg.Action)
	}
	if err := membership.Everywhere(r.Context(), p.control); err != nil {
		return err
	}
	if err := p.weighMountpaths(r.Context(), &value); err != nil {
		return err
	}
	if now := p.control.View().RMD.Ver(); moves && conditions.CanMove && now > before.RMD.Ver() {
		return node.WriteText(w, r, meta.RebalanceID(now))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// weighMountpaths has all targets weigh their mountpaths in the same way. Capacities that an
// operator gives are those of targets alone.
func (p *Proxy) weighMountpaths(ctx context.Context, value *wire.WeighMsg) error {
	if value.By == "" {
		return nil
	}
	body, err := json.Marshal(&node.ActMsg{Action: wire.ActWeighMountpaths, Value: json.RawMessage(`{"by":"` + value.By + `"}`)})
	if err != nil {
		return err
	}
	var targets []*meta.Snode
	for _, sn := range p.control.View().Smap.Nodes() {
		if sn.Role == meta.RoleTarget {
			targets = append(targets, sn)
		}
	}
	if err := p.node.Broadcast(ctx, targets, http.MethodPut, wire.PathDaemon, body); err != nil {
		return apierr.Wrap(err, apierr.StatusOf(err), "", "targets are weighed, but not all mountpaths (do it again)")
	}
	return nil
}

// weights checks a message and makes a patch of the map of it.
func (p *Proxy) weights(ctx context.Context, smap *meta.Smap, value *wire.WeighMsg) (*meta.SmapPatch, error) {
	switch {
	case value.By != "" && len(value.Capacities) > 0:
		return nil, apierr.BadRequest(`invalid value: "by" and "capacities" exclude each other`)
	case value.By == wire.WeighByNothing:
		return &meta.SmapPatch{Unweighted: true}, nil
	case value.By == wire.WeighByCapacity:
		capacities, err := p.sizes(ctx, smap)
		return &meta.SmapPatch{Capacities: capacities}, err
	case value.By != "" || len(value.Capacities) == 0:
		return nil, apierr.BadRequest(`invalid value: expecting "by":%q, "by":%q, or "capacities" with a number for each target, have "by":%q`,
			wire.WeighByCapacity, wire.WeighByNothing, value.By)
	}
	for id, capacity := range value.Capacities {
		switch {
		case smap.Tmap[id] == nil:
			return nil, apierr.New(http.StatusNotFound, wire.CodeNodeNotFound, "%s: target %q of capacities is not present in Smap v%d", p.node.Name(), id, smap.Version)
		case capacity == 0 || capacity > meta.MaxCapacity:
			return nil, apierr.BadRequest("invalid capacity %d of %s: expecting 1 to %d", capacity, meta.NodeName(meta.RoleTarget, id), uint64(meta.MaxCapacity))
		}
	}
	for id := range smap.Tmap {
		if value.Capacities[id] == 0 {
			return nil, apierr.BadRequest("invalid capacities: that of %s is missing", meta.NodeName(meta.RoleTarget, id))
		}
	}
	return &meta.SmapPatch{Capacities: value.Capacities}, nil
}

// sizes asks every target of the map for the size of its filesystems, in GiB.
func (p *Proxy) sizes(ctx context.Context, smap *meta.Smap) (map[string]uint64, error) {
	if len(smap.Tmap) == 0 {
		return nil, apierr.New(http.StatusBadRequest, wire.CodeNoNodes, "the cluster has no targets to weigh")
	}
	sizes := map[string]uint64{}
	for _, target := range smap.Nodes() {
		if target.Role != meta.RoleTarget {
			continue
		}
		space, err := (&nodes{p.node}).Space(ctx, target)
		if err != nil {
			return nil, apierr.Wrap(err, http.StatusServiceUnavailable, "", `%s does not tell its size (give it by "capacities")`, target)
		}
		total := uint64(0)
		for _, filesystem := range space {
			total += filesystem.Used + filesystem.Avail
		}
		sizes[target.ID] = min(max(1, total>>30), meta.MaxCapacity)
	}
	return sizes, nil
}

// weighed tells that a patch of capacities has come into force.
func weighed(smap *meta.Smap, patch *meta.SmapPatch) bool {
	for id, target := range smap.Tmap {
		want, named := patch.Capacities[id]
		if target.Capacity != want && (named || patch.Unweighted) {
			return false
		}
	}
	return true
}
