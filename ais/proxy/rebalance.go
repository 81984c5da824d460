package proxy

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rebalance"
)

const (
	// rebalanceLook is how often the primary looks whether a rebalance has to
	// begin; every change of the metadata wakes it.
	rebalanceLook = time.Second
	// leastBackOff and mostBackOff bound the pause before a rebalance that has
	// failed is tried again.
	leastBackOff = 2 * time.Second
	mostBackOff  = time.Minute
	// rebalanceStart bounds the start of a rebalance.
	rebalanceStart = 20 * time.Second
)

// rebalances is the primary's care for moving data: it starts the rebalance that
// the map was committed with, starts one again that has failed, and settles the
// placement when one has ended everywhere. A new primary goes on from the
// documents.
type rebalances struct {
	p    *Proxy
	wake chan struct{}

	lost repairs // of what targets that were declared lost had

	mu       sync.Mutex
	failed   int   // in a row
	repaired int64 // version of the placement up to which those repairs have ended
}

var _ membership.Mover = (*rebalances)(nil)

func newRebalances(p *Proxy) *rebalances {
	r := &rebalances{p: p, wake: make(chan struct{}, 1), lost: repairs{p: p}}
	p.jobs.OnEnd(xact.KindRebalance, r.ended)
	p.membership.SetMover(&removals{rebalances: r, repairs: repairs{p: p}})
	return r
}

// notify tells that the documents have changed. It does not block.
func (r *rebalances) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run works while this node is the primary, until ctx ends.
func (r *rebalances) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := rebalanceLook
		if r.p.control.IsPrimary() {
			pause = r.look(ctx)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look starts what has to run, and returns when to look again.
func (r *rebalances) look(ctx context.Context) time.Duration {
	v := r.p.control.View()
	number := v.RMD.Ver()
	if v.Smap == nil || v.Config == nil || number == 0 || v.Placement.Settled() {
		return rebalanceLook
	}
	if v.BMD.Len() == 0 || v.Smap.CountTargets() == 0 || v.Transition.Now() != nil {
		return rebalanceLook
	}
	var err error
	switch record := jobs.Find(v, meta.RebalanceID(number)); {
	case record != nil && record.Running(), !v.Config.Rebalance.Enabled, !node.RebalanceOwed(v):
	case v.RMD.Partial:
		err = r.again(ctx, meta.RebalanceID(number))
	case record == nil:
		err = r.begin(ctx, number, "")
	case record.Cause == "" && record.Error == "":
		// The arguments are dropped with the end: whether it moved everything,
		// for the present placement, only another one can tell.
		if holdersIn(v, record) && r.repair(ctx, v) {
			err = r.again(ctx, record.Spec.ID)
		}
	default:
		if wait := r.backOff(record); wait > 0 {
			return wait
		}
		err = r.again(ctx, record.Spec.ID)
		r.failures(func(n int) int { return n + 1 })
	}
	if err != nil && ctx.Err() == nil {
		r.p.logger.Warn("the rebalance cannot be started yet", "rebalance", meta.RebalanceID(number), "err", err)
	}
	return rebalanceLook
}

// begin starts the rebalance with a number, which the RMD has already.
func (r *rebalances) begin(ctx context.Context, number int64, why string) error {
	ctx, cancel := context.WithTimeout(meta.WithCommandID(ctx, ""), rebalanceStart)
	defer cancel()
	spec := &xact.Spec{Control: why}
	if err := rebalance.Number(spec, r.p.control.View(), number); err != nil {
		return err
	}
	_, err := r.p.jobs.Start(ctx, spec, func(v *meta.View, spec *xact.Spec) ([]meta.Change, error) {
		if v.RMD.Ver() != number {
			return nil, apierr.Unavailable(time.Second, "a later rebalance has been asked for")
		}
		return nil, rebalance.Number(spec, v, number)
	})
	return err
}

// again starts another rebalance of everything after one that was not it, or that
// has left something.
func (r *rebalances) again(ctx context.Context, after string) error {
	ctx, cancel := context.WithTimeout(meta.WithCommandID(ctx, ""), rebalanceStart)
	defer cancel()
	spec := &xact.Spec{Kind: xact.KindRebalance, Control: "after " + after}
	_, err := r.p.jobs.Start(ctx, spec, func(v *meta.View, spec *xact.Spec) ([]meta.Change, error) {
		if meta.RebalanceID(v.RMD.Ver()) != after {
			return nil, apierr.Unavailable(time.Second, "a later rebalance has been asked for")
		}
		return rebalance.Next(v, spec, true)
	})
	return err
}

// failures changes how many rebalances have failed in a row.
func (r *rebalances) failures(change func(int) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = change(r.failed)
}

// backOff is how long to wait until a rebalance that has failed is tried again.
func (r *rebalances) backOff(record *jobs.Record) time.Duration {
	if isReplaced(record) {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pause := min(leastBackOff<<min(r.failed, 10), mostBackOff)
	return pause - time.Since(time.Unix(0, record.Ended))
}

// isReplaced tells a rebalance that ended because the targets have changed, or
// another one has come.
func isReplaced(record *jobs.Record) bool {
	return strings.Contains(record.Cause, rebalance.ErrPlacement.Error()) || strings.Contains(record.Cause, xact.ErrRenewal.Error())
}

// Start implements membership.Mover.
func (r *rebalances) Start(ctx context.Context, number int64, op *meta.Operation) error {
	if r.p.control.View().RMD.Ver() != number {
		return nil // a later one does the same
	}
	return r.begin(ctx, number, op.Action+" "+strings.Join(op.Nodes, ", "))
}

// State implements membership.Mover.
func (r *rebalances) State(_ context.Context, number int64) (done bool, err error) {
	v := r.p.control.View()
	latest := max(number, v.RMD.Ver())
	record := jobs.Find(v, meta.RebalanceID(latest))
	switch {
	case record == nil:
		return !r.due(v), nil // not begun, or so long ago that nobody knows
	case record.Running() || isReplaced(record):
		return false, nil
	case record.Cause != "":
		return false, apierr.New(apierr.StatusConflict, wire.CodeFailedTo, "it was aborted: %s", record.Cause)
	case record.Error != "":
		return false, apierr.New(apierr.StatusConflict, wire.CodeFailedTo, "%s", record.Error)
	}
	return true, nil
}

// due tells that the operation under way asks for the rebalance of the present
// number.
func (r *rebalances) due(v *meta.View) bool {
	op := v.Operations.Now()
	return op != nil && op.Rebalance == v.RMD.Ver()
}

// ended settles the placement together with the end of a rebalance.
func (r *rebalances) ended(v *meta.View, record *jobs.Record) ([]meta.Change, error) {
	defer r.notify()
	defer r.p.membership.Notify()
	if record.Cause != "" || record.Error != "" {
		return nil, nil
	}
	r.failures(func(int) int { return 0 })
	if record.Settled = v.Placement.Settled(); record.Settled || !confirmed(v, record) || r.owesRepair(v) {
		return nil, nil
	}
	record.Settled = true
	return settle(v)
}

// owesRepair tells that the objects which targets that were declared lost have
// owned are not all made again from their slices. Until they are the placement is not settled:
// listings take them from those who hold slices of what an earlier owner had.
func (r *rebalances) owesRepair(v *meta.View) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return lostAt(v) > r.repaired && len(repairable(v)) > 0
}

// repair tells whether nothing is owed to objects of targets that were declared
// lost, and has it done. Of objects that cannot be made again the job tells; nobody waits for them.
func (r *rebalances) repair(ctx context.Context, v *meta.View) bool {
	if !r.owesRepair(v) {
		return true
	}
	at := lostAt(v)
	done, err := r.lost.ended(ctx, v, "lost "+strconv.FormatInt(at, 10), "targets were declared lost")
	switch {
	case err != nil:
		r.p.logger.Warn("not everything of the targets that were declared lost could be made again", "err", err)
	case !done:
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repaired = max(r.repaired, at)
	return true
}

// lostAt is the version of the placement that declared the last one lost of those
// targets that an earlier set has; 0: none of them was.
func lostAt(v *meta.View) (version int64) {
	for _, id := range absentOwners(v) {
		if v.Placement.IsLost(id) {
			version = max(version, v.Placement.LostAt(id))
		}
	}
	return version
}

// confirmed tells that every target that may hold anything has taken part in a
// rebalance to its end, for the present placement.
func confirmed(v *meta.View, record *jobs.Record) bool {
	return !v.Placement.Settled() && rebalance.Settles(record.Spec, v.Placement.Ver()) && holdersIn(v, record)
}

func holdersIn(v *meta.View, record *jobs.Record) bool {
	for _, id := range v.Placement.Holders() {
		if v.Smap.Tmap[id] == nil || !slices.Contains(record.Targets, id) {
			return false
		}
	}
	return true
}

// settle is the change that forgets all earlier placements.
func settle(v *meta.View) ([]meta.Change, error) {
	change, err := meta.NewChange(v, meta.KindPlacement, &meta.PlacementPatch{Targets: v.Placement.Current(), Settle: true})
	return []meta.Change{change}, err
}
