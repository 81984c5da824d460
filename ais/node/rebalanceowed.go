package node

import (
	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// RebalanceOwed tells that a rebalance of everything is owed: a change of the
// targets or an operator has asked for one, the placement is not settled, and no
// operator has stopped it since. It may be running. One of a part of the names,
// and a cleanup, change nothing about that (docs/rebalance.md, "What is owed").
func RebalanceOwed(v *meta.View) bool {
	if v.RMD.Ver() == 0 || v.Placement.Settled() {
		return false
	}
	if v.RMD.Partial {
		return v.RMD.Due
	}
	record := jobs.Find(v, meta.RebalanceID(v.RMD.Ver()))
	return record == nil || !record.Settled && record.Cause != xact.ErrUserAbort.Error()
}

// rebalanceWhenEnabled is the change that goes with another configuration: that
// allows rebalances again, and the names that have changed owners meanwhile move.
func rebalanceWhenEnabled(v *meta.View, next bool) ([]meta.Change, error) {
	if !next || v.Config.Rebalance.Enabled || v.Placement.Settled() && v.Transition.Now() == nil || v.BMD.Len() == 0 {
		return nil, nil
	}
	change, err := meta.NewChange(v, meta.KindRMD, &meta.RMDPatch{})
	return []meta.Change{change}, err
}
