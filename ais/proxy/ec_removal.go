package proxy

import (
	"context"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// removals is the mover of operations that take targets out of service: the
// rebalance, and then the repair of all erasure-coded buckets, which makes what those
// targets hold of slices again on others. Until both have ended the targets are there
// to be read from, so that no object is ever protected less.
type removals struct {
	*rebalances
	repairs repairs
}

var _ membership.Mover = (*removals)(nil)

// State implements membership.Mover.
func (m *removals) State(ctx context.Context, number int64) (done bool, err error) {
	if done, err = m.rebalances.State(ctx, number); !done || err != nil {
		return done, err
	}
	v := m.p.control.View()
	op := v.Operations.Now()
	if op == nil || op.Rebalance == 0 || op.Rebalance < number || !takesOut(op) {
		return true, nil
	}
	record := jobs.Find(v, meta.RebalanceID(max(op.Rebalance, v.RMD.Ver())))
	if record == nil || record.Running() {
		return true, nil // nothing had to be moved
	}
	done, err = m.repairs.ended(ctx, v, op.ID, op.Action+" "+strings.Join(op.Nodes, ", "))
	if err != nil && op.Force {
		return true, nil
	}
	return done, err
}

// takesOut tells that targets go out of service.
func takesOut(op *meta.Operation) bool {
	return slices.Contains([]string{wire.ActStartMaintenance, wire.ActShutdownNode, wire.ActDecommissionNode}, op.Action)
}
