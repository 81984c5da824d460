package membership

import (
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxNodes bounds a batch.
const maxNodes = 1000

// defaultProbe is how long a node may take to answer before it leaves
// maintenance.
const defaultProbe = 10 * time.Second

// Request is a valid request of an operator.
type Request struct {
	Action string
	Nodes  []string // ids, in the order of the request
	Value  wire.MembershipMsg

	probe time.Duration // of stop-maintenance: how long nodes may take to answer
}

// NewRequest checks what can be checked without knowing the cluster. Errors
// are 400.
func NewRequest(action string, v *wire.MembershipMsg) (*Request, error) {
	r := &Request{Action: action, Value: *v, probe: defaultProbe}
	switch {
	case v.NodeID != "" && len(v.NodeIDs) > 0:
		return nil, apierr.BadRequest(`%s: "sid" and "sids" exclude each other`, action)
	case v.NodeID != "":
		r.Nodes = []string{v.NodeID}
	case len(v.NodeIDs) > 0:
		r.Nodes = slices.Clone(v.NodeIDs)
	default:
		return nil, apierr.BadRequest(`%s: no node is named: expecting "sid" or "sids" in the value`, action)
	}
	if len(r.Nodes) > maxNodes {
		return nil, apierr.BadRequest("%s: %d nodes, at most %d at a time", action, len(r.Nodes), maxNodes)
	}
	seen := make(map[string]bool, len(r.Nodes))
	for _, id := range r.Nodes {
		if err := naming.ValidateNodeID(id); err != nil {
			return nil, err
		}
		if seen[id] {
			return nil, apierr.BadRequest("%s: node %q is named twice", action, id)
		}
		seen[id] = true
	}
	return r, r.checkOptions()
}

// checkOptions refuses options that the action would have to ignore.
func (r *Request) checkOptions() error {
	v := &r.Value
	if r.Action != wire.ActDecommissionNode {
		for _, option := range []struct {
			name string
			set  bool
		}{{"rm_user_data", v.RemoveUserData}, {"keep_initial_config", v.KeepInitialConfig}, {"no_shutdown", v.NoShutdown}} {
			if option.set {
				return apierr.BadRequest("%s: %q is an option of %s", r.Action, option.name, wire.ActDecommissionNode)
			}
		}
	}
	if r.Action == wire.ActRemoveUnsafe && !v.SkipRebalance {
		return apierr.BadRequest(`%s moves no data: expecting "skip_rebalance": true`, r.Action)
	}
	return r.readTimeout()
}

func (r *Request) readTimeout() error {
	text := r.Value.Timeout
	if text == "" {
		return nil
	}
	if r.Action != wire.ActStopMaintenance {
		return apierr.BadRequest(`%s: "timeout" is an option of %s`, r.Action, wire.ActStopMaintenance)
	}
	timeout, err := unit.ParseDuration(text)
	if err != nil || timeout <= 0 {
		return apierr.BadRequest(`%s: invalid "timeout" %.32q, expecting a positive duration such as "30s"`, r.Action, text)
	}
	r.probe = timeout.D()
	return nil
}

// operation is the document that the request leads to.
func (r *Request) operation(id string, nodes []string, now time.Time) *meta.Operation {
	return &meta.Operation{
		ID: id, Action: r.Action, Nodes: nodes, Step: StepAdmitted, Started: now.UnixNano(),
		SkipRebalance: r.Value.SkipRebalance, RemoveUserData: r.Value.RemoveUserData,
		KeepInitialConfig: r.Value.KeepInitialConfig, NoShutdown: r.Value.NoShutdown, Force: r.Value.Force,
	}
}
