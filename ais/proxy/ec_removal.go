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

	mu    sync.Mutex
	op    string             // id of the operation that tries are of
	tries map[wire.Bck]int64 // repairs that were begun
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
		repaired, err := m.repaired(ctx, v, op, b, record.Ended)
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

// repaired tells whether a repair of a bucket that began after a time has ended, and
// begins one if there is none. The error is why the last one has failed.
func (m *removals) repaired(ctx context.Context, v *meta.View, op *meta.Operation, b meta.BucketEntry, after int64) (bool, error) {
	latest := latestRepair(v, b, after)
	switch {
	case latest != nil && latest.Running():
		return false, nil
	case latest != nil && latest.Error == "" && latest.Cause == "":
		return true, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.op != op.ID {
		m.op, m.tries = op.ID, map[wire.Bck]int64{}
	}
	if latest != nil {
		switch {
		case time.Since(time.Unix(0, latest.Ended)) < removalPause:
			return false, nil
		case m.tries[b.Bck] >= removalTries && op.Force:
			return true, nil
		case m.tries[b.Bck] >= removalTries:
			return false, apierr.New(apierr.StatusConflict, wire.CodeFailedTo, "slices of %s that these targets hold were not made again on others: %s",
				b.Bck, strings.TrimSpace(cmp.Or(latest.Error, latest.Cause)))
		}
	}
	args, err := json.Marshal(&ecencode.Args{Recover: true, Reason: op.Action + " " + strings.Join(op.Nodes, ", ")})
	if err != nil {
		return false, err
	}
	spec := &xact.Spec{Kind: xact.KindECEncode, Bck: b.Bck, BID: b.Props.BID, Args: args}
	if _, err := m.p.jobs.Start(meta.WithCommandID(ctx, ""), spec, nil); err != nil {
		// Most likely another job of the bucket is in the way, and ends.
		m.p.logger.Warn("the repair of slices before targets leave cannot begin yet", "bucket", b.Bck, "operation", op.ID, "err", err)
		return false, nil
	}
	m.tries[b.Bck]++
	return false, nil
}

// latestRepair returns the repair of a bucket that has begun last, nil if none has
// after a time.
func latestRepair(v *meta.View, b meta.BucketEntry, after int64) (latest *jobs.Record) {
	for _, r := range jobs.All(v) {
		var args ecencode.Args
		if r.Spec.Kind != xact.KindECEncode || r.Spec.BID != b.Props.BID || r.Spec.Started < after || json.Unmarshal(r.Spec.Args, &args) != nil || !args.Recover {
			continue
		}
		if latest == nil || r.Spec.Started > latest.Spec.Started {
			latest = r
		}
	}
	return latest
}
