package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
)

const (
	// removalTries is how often the repair of a bucket is begun in a planned removal
	// before that fails.
	removalTries = 3
	// removalPause is between two of them.
	removalPause = 5 * time.Second
)

// removals is the mover of operations that take targets out of service: the
// rebalance, and then the repair of all erasure-coded buckets, which makes what those
// targets hold of slices again on others. Until both have ended the targets are there
// to be read from, so that no object is ever protected less.
type removals struct {
	*rebalances

	mu      sync.Mutex
	op      string // id of the operation that the repairs are for
	repairs map[wire.Bck]*removalRepair
}

// removalRepair is what was begun for a bucket. What the job's record tells of its
// arguments goes with its end, so that another primary begins anew.
type removalRepair struct {
	id    string // of the latest job
	tries int
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
	done = true
	for _, b := range v.BMD.Buckets(nil) {
		if !b.Props.EC.Enabled || b.Props.CheckEC(b.Props, b.Bck, v.Smap.CountTargets(), false) != nil {
			continue // those that are left could not hold what is to be made
		}
		repaired, err := m.repaired(ctx, v, op, b)
		if err != nil {
			return false, err
		}
		done = done && repaired
	}
	return done, nil
}

// takesOut tells that targets go out of service.
func takesOut(op *meta.Operation) bool {
	return slices.Contains([]string{wire.ActStartMaintenance, wire.ActShutdownNode, wire.ActDecommissionNode}, op.Action)
}

// repaired tells whether a repair of a bucket for an operation has ended, and begins
// one if there is none. The error is why the last one has failed.
func (m *removals) repaired(ctx context.Context, v *meta.View, op *meta.Operation, b meta.BucketEntry) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.op != op.ID {
		m.op, m.repairs = op.ID, map[wire.Bck]*removalRepair{}
	}
	repair := m.repairs[b.Bck]
	if repair == nil {
		repair = &removalRepair{}
		m.repairs[b.Bck] = repair
	}
	if latest := jobs.Find(v, repair.id); latest != nil {
		switch {
		case latest.Running():
			return false, nil
		case latest.Error == "" && latest.Cause == "":
			return true, nil
		case time.Since(time.Unix(0, latest.Ended)) < removalPause:
			return false, nil
		case repair.tries >= removalTries && op.Force:
			return true, nil
		case repair.tries >= removalTries:
			return false, apierr.New(apierr.StatusConflict, wire.CodeFailedTo, "slices of %s that these targets hold were not made again on others: %s",
				b.Bck, strings.TrimSpace(cmp.Or(latest.Error, latest.Cause)))
		}
	}
	args, err := json.Marshal(&ecencode.Args{Recover: true, Reason: op.Action + " " + strings.Join(op.Nodes, ", ")})
	if err != nil {
		return false, err
	}
	spec := &xact.Spec{Kind: xact.KindECEncode, Bck: b.Bck, BID: b.Props.BID, Args: args}
	id, err := m.p.jobs.Start(meta.WithCommandID(ctx, ""), spec, nil)
	if err != nil {
		// Most likely another job of the bucket is in the way, and ends.
		m.p.logger.Warn("the repair of slices before targets leave cannot begin yet", "bucket", b.Bck, "operation", op.ID, "err", err)
		return false, nil
	}
	repair.id = id
	repair.tries++
	return false, nil
}
