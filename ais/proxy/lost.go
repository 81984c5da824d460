package proxy

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// declareLost has the cluster go on without what targets hold that are out of it:
// nobody waits for them any more, and what only they have does not exist. One that
// comes back all the same comes in empty (docs/lifecycle_node.md). The answer is the
// id of the rebalance that settles the placement, or empty.
func (p *Proxy) declareLost(w http.ResponseWriter, r *http.Request, msg *node.ActMsg) error {
	var value wire.DeclareLostMsg
	if err := node.DecodeValue(msg.Value, &value, "the value of action "+msg.Action); err != nil {
		return err
	}
	ids, err := lostIDs(&value)
	if err != nil {
		return err
	}
	before := p.control.View()
	var declared []string
	after, err := p.control.Commit(r.Context(), msg.Action, func(v *meta.View) (changes []meta.Change, err error) {
		declared, changes, err = p.loseTargets(v, ids, value.Force)
		return changes, err
	})
	if err != nil {
		return err
	}
	if len(declared) > 0 {
		p.logger.Warn("an operator has declared targets lost: what only they hold does not exist any more", "targets", declared,
			"placement", after.Placement.Ver(), "by", r.RemoteAddr)
	}
	p.rebalances.notify()
	if err := membership.Everywhere(r.Context(), p.control); err != nil {
		return err
	}
	if now := p.control.View().RMD.Ver(); now > before.RMD.Ver() {
		return node.WriteText(w, r, meta.RebalanceID(now))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// lostIDs are the targets of a message, ascending.
func lostIDs(value *wire.DeclareLostMsg) ([]string, error) {
	ids := slices.Clone(value.NodeIDs)
	switch {
	case value.NodeID != "" && len(ids) > 0:
		return nil, apierr.BadRequest(`%s: "sid" and "sids" exclude each other`, wire.ActDeclareLost)
	case value.NodeID != "":
		ids = []string{value.NodeID}
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 0 || ids[0] == "" {
		return nil, apierr.BadRequest(`%s: no target is named: expecting "sid" or "sids" in the value`, wire.ActDeclareLost)
	}
	return ids, nil
}

// loseTargets are the changes that declare targets lost, of which those that are so
// already are left out. All are admitted, or none.
func (p *Proxy) loseTargets(v *meta.View, ids []string, force bool) (declared []string, changes []meta.Change, err error) {
	for _, id := range ids {
		lost, err := p.mayBeLost(v, id)
		if err != nil {
			return nil, nil, err
		}
		if !lost {
			declared = append(declared, id)
		}
	}
	switch {
	case len(declared) == 0:
		return nil, nil, nil
	case !force:
		return nil, nil, apierr.BadRequest(`%s gives up what only %s holds: expecting "force": true`, wire.ActDeclareLost, strings.Join(declared, ", "))
	case v.Transition.Now() != nil:
		return nil, nil, apierr.Unavailable(time.Second, "%s: the targets of the cluster are changing", wire.ActDeclareLost)
	}
	change, err := meta.NewChange(v, meta.KindPlacement, &meta.PlacementPatch{Targets: slices.Concat([]string{}, v.Placement.Current()), Lost: declared})
	if err != nil {
		return nil, nil, err
	}
	changes = append(changes, change)
	if v.Config.Rebalance.Enabled && v.BMD.Len() > 0 && v.Smap.CountTargets() > 0 {
		if change, err = meta.NewChange(v, meta.KindRMD, &meta.RMDPatch{}); err != nil {
			return nil, nil, err
		}
		changes = append(changes, change)
	}
	return declared, changes, nil
}

// mayBeLost refuses a target that has not gone; lost: it was declared so before.
func (p *Proxy) mayBeLost(v *meta.View, id string) (lost bool, err error) {
	target := v.Smap.Tmap[id]
	holds := slices.Contains(v.Placement.Holders(), id)
	switch {
	case target == nil && v.Placement.IsLost(id):
		return true, nil
	case v.Smap.Pmap[id] != nil:
		return false, apierr.BadRequest("cannot %s %s: it is a gateway, and holds no objects", wire.ActDeclareLost, v.Smap.Pmap[id])
	case target == nil && !holds:
		return false, apierr.New(http.StatusNotFound, wire.CodeNodeNotFound, "%s: %s target %q: nobody of that id may hold objects that the cluster waits for (Smap v%d)",
			p.node.Name(), wire.ActDeclareLost, id, v.Smap.Version)
	case target == nil:
		return false, nil
	case target.Active():
		return false, apierr.New(http.StatusConflict, wire.CodeBusy,
			"cannot %s %s: it owns names. One that has died is taken out of the map after a minute, or by %s", wire.ActDeclareLost, target, wire.ActRemoveUnsafe)
	case !p.control.IsDown(id):
		return false, apierr.New(http.StatusConflict, wire.CodeBusy, "cannot %s %s: it runs, and what it holds can be read: use %s", wire.ActDeclareLost, target, wire.ActDecommissionNode)
	case v.Placement.IsLost(id):
		return true, nil
	case !holds:
		return false, apierr.BadRequest("cannot %s %s: it holds nothing that the cluster waits for", wire.ActDeclareLost, target)
	}
	return false, nil
}
