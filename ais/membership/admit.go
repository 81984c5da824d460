package membership

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Conditions are what the primary knows, besides the documents, when an
// operator asks for something.
type Conditions struct {
	Now     time.Time
	Self    string // name of the primary in messages
	CanMove bool   // there is a job that moves data
	Running int64  // RMD version of the rebalance that runs, 0 if none
	Holds   bool   // targets of the operation that are out of service hold data
}

// CheckBusy fails with 409 while another operation or a rebalance is under way.
func CheckBusy(v *meta.View, c *Conditions, action string) error {
	if op := v.Operations.Now(); op != nil {
		on := strings.Join(op.Nodes, ", ")
		if op.Rebalance > 0 && op.Step == StepMoving {
			on += ", " + rebalanceName(op.Rebalance)
		}
		return apierr.New(http.StatusConflict, wire.CodeBusy, "%s: cannot %s: %s of [%s] is under way (step %q)", c.Self, action, op.Action, on, op.Step)
	}
	if c.Running > 0 {
		return apierr.New(http.StatusConflict, wire.CodeBusy, "%s: cannot %s: %s is running", c.Self, action, rebalanceName(c.Running))
	}
	return nil
}

func rebalanceName(version int64) string { return "rebalance[" + meta.RebalanceID(version) + "]" }

// ErrUnknownNode is the 404 of a node that is not in the map.
func ErrUnknownNode(self, action, id string, smap *meta.Smap) error {
	return apierr.New(http.StatusNotFound, wire.CodeNodeNotFound, "%s: %s node %s not present in Smap v%d", self, action, id, smap.Version)
}

// Admit decides on a request: the operation that it leads to, or nil if
// nothing has to be done. All nodes are admitted, or none.
func Admit(v *meta.View, r *Request, c *Conditions, id string) (*meta.Operation, error) {
	if err := CheckBusy(v, c, r.Action); err != nil {
		return nil, err
	}
	var nodes []string
	for _, nodeID := range r.Nodes {
		node := v.Smap.Node(nodeID)
		switch {
		case node == nil:
			return nil, ErrUnknownNode(c.Self, r.Action, nodeID, v.Smap)
		case v.Smap.IsPrimary(nodeID):
			return nil, apierr.BadRequest("%s: cannot %s %s: it is the primary, make another proxy primary first", c.Self, r.Action, node)
		}
		skip, err := skips(node, r.Action)
		if err != nil {
			return nil, err
		}
		if !skip {
			nodes = append(nodes, nodeID)
		}
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	op := r.operation(id, nodes, c.Now)
	if err := preflight(v, op, c); err != nil {
		return nil, err
	}
	if c.CanMove && (moves(v, op) || c.Holds && v.Config.Rebalance.Enabled && v.Smap.CountTargets() > len(activeTargets(v, op))) {
		// what the next one will be, unless another comes first: see flagged
		op.Rebalance = v.RMD.Ver() + 1
	}
	return op, nil
}

// skips tells a node that is already what the action makes of it.
func skips(node *meta.Snode, action string) (bool, error) {
	leaving := node.Flags&meta.FlagDecommission != 0
	switch action {
	case wire.ActStartMaintenance:
		if leaving {
			return false, apierr.BadRequest("cannot %s %s: it is being decommissioned", action, node)
		}
		return node.Flags&meta.FlagMaintenance != 0 && !unmoved(node), nil
	case wire.ActStopMaintenance:
		if leaving {
			return false, apierr.BadRequest("cannot %s %s: it is being decommissioned", action, node)
		}
		return node.Active(), nil
	}
	return false, nil
}

// preflight fails if the cluster would not do without the nodes, unless the
// operator has said that it must.
func preflight(v *meta.View, op *meta.Operation, c *Conditions) error {
	leaving := activeTargets(v, op)
	if op.Action == wire.ActStopMaintenance || op.Action == wire.ActRemoveUnsafe || len(leaving) == 0 {
		return nil
	}
	remaining := v.Smap.CountTargets() - len(leaving)
	if !op.SkipRebalance && !op.Force {
		if err := checkRemaining(v, op, remaining); err != nil {
			return err
		}
	}
	switch {
	case op.SkipRebalance || remaining == 0 || v.BMD.Len() == 0:
		return nil
	case !v.Config.Rebalance.Enabled && op.Action == wire.ActDecommissionNode && verifies(op):
		return apierr.BadRequest(`cannot %s %s: rebalance is disabled, so that the data cannot leave (add "skip_rebalance" or "force" to lose it)`,
			op.Action, names(leaving))
	case v.Config.Rebalance.Enabled && !c.CanMove:
		return apierr.Unavailable(time.Second, `%s of %s has to move data to other targets, and this primary has nothing that does: add "skip_rebalance" to go without`,
			op.Action, names(leaving))
	}
	return nil
}

// checkRemaining compares the targets that remain with what buckets need.
func checkRemaining(v *meta.View, op *meta.Operation, remaining int) error {
	const hint = `add "skip_rebalance" or "force" to do it all the same`
	if remaining == 0 {
		return apierr.New(http.StatusBadRequest, wire.CodeNotEnoughTargets, "cannot %s %s: no active target would remain (%s)",
			op.Action, names(activeTargets(v, op)), hint)
	}
	now := v.Smap.CountTargets()
	needy := v.BMD.Buckets(func(_ wire.Bck, p *meta.Bprops) bool {
		need := targetsNeeded(p)
		return remaining < need && now >= need // what is too few already does not get worse
	})
	if len(needy) > 0 {
		return apierr.New(http.StatusBadRequest, wire.CodeNotEnoughTargets,
			"cannot %s %s: bucket %s needs %d targets for its slices, %d would remain (%s)",
			op.Action, names(activeTargets(v, op)), needy[0].Bck.String(), targetsNeeded(needy[0].Props), remaining, hint)
	}
	return nil
}

// targetsNeeded is how many targets a bucket is spread over. Mirror copies
// are made on the disks of one target and need no others.
func targetsNeeded(p *meta.Bprops) int {
	if !p.EC.Enabled {
		return 1
	}
	return p.EC.DataSlices + p.EC.ParitySlices + 1
}

// moves tells that an operation makes data move, if there is a job for it.
func moves(v *meta.View, op *meta.Operation) bool {
	if op.SkipRebalance || op.Action == wire.ActRemoveUnsafe || !v.Config.Rebalance.Enabled || v.BMD.Len() == 0 {
		return false
	}
	before := v.Smap.CountTargets()
	if op.Action == wire.ActStopMaintenance {
		after := before
		for _, id := range op.Nodes {
			if node := v.Smap.Tmap[id]; node != nil && !node.Active() {
				after++
			}
		}
		return after > before && after >= 2
	}
	leaving := len(activeTargets(v, op))
	for _, id := range op.Nodes { // an earlier attempt may have left data behind
		if node := v.Smap.Tmap[id]; node != nil && unmoved(node) && (op.Action != wire.ActDecommissionNode || verifies(op)) {
			return before > leaving
		}
	}
	return leaving > 0 && before > leaving
}

// unmoved tells a target that was taken out of service by an operation that has failed before its
// data had moved, and that has not come back.
func unmoved(node *meta.Snode) bool {
	return node.Role == meta.RoleTarget && !node.Active() && node.Flags&meta.FlagPostMaintenance == 0
}

// verifies tells a decommission that ends only when the data has left. That
// the node is to remove what it has afterwards is no reason not to look.
func verifies(op *meta.Operation) bool {
	return op.Action == wire.ActDecommissionNode && !op.SkipRebalance && !op.Force
}

// activeTargets are the nodes of the operation that own objects now.
func activeTargets(v *meta.View, op *meta.Operation) (list []*meta.Snode) {
	for _, id := range op.Nodes {
		if node := v.Smap.Tmap[id]; node != nil && node.Active() {
			list = append(list, node)
		}
	}
	return list
}

func names(nodes []*meta.Snode) string {
	list := make([]string, len(nodes))
	for i, node := range nodes {
		list[i] = node.String()
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
