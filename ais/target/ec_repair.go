package target

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
)

const (
	// repairLook is how often it is seen whether targets or disks have changed.
	repairLook = 2 * time.Second
	// repairSettle is how long the disks of this target must have been as they are
	// before what they have lost is made again.
	repairSettle = 10 * time.Second
	// repairAgain is after what time it is asked for again if it could not start.
	repairAgain = 10 * time.Second
)

// watchProtection has the slices of all buckets repaired, by a job of the
// cluster, when this target has started, when its mountpaths have changed, and
// when the set of active targets has and stays so for rebalance.repair_delay: a
// target that is back before that has what it had.
func (t *Target) watchProtection() {
	tick := time.NewTicker(repairLook)
	defer tick.Stop()
	disks := change{grace: func() time.Duration { return repairSettle }}
	targets := change{grace: func() time.Duration { return t.node.Config().Rebalance.RepairDelay.D() }, known: true}
	for {
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return
		}
		view := t.control.View()
		if view.Smap == nil || view.BMD == nil || !t.control.LeaseValid() {
			continue
		}
		now := time.Now()
		if disks.due(t.disksNow(), now) {
			disks.tried(t.repair(view, disks.since, "the mountpaths of "+t.node.Name()+" may have changed"), now)
		}
		active := view.Smap.ActiveTargets()
		if targets.due(targetsNow(active), now) {
			// One of them is enough to ask for it.
			other := len(active) > 0 && active[0].ID != t.node.ID()
			targets.tried(other || t.repair(view, targets.since, "the set of targets has changed"), now)
		}
	}
}

// change notices when something is another than it was when it was handled last,
// and has stayed so for a while.
type change struct {
	grace func() time.Duration
	known bool // the first state is as it should be

	done, now string
	since     time.Time
	next      time.Time // when it may be tried again
}

func (c *change) due(state string, at time.Time) bool {
	if c.known {
		c.known, c.done, c.now = false, state, state
	}
	if state != c.now {
		c.now, c.since = state, at
	}
	return c.now != c.done && at.Sub(c.since) >= c.grace() && !at.Before(c.next)
}

// tried notes that a change was handled, or has to wait: most likely a job is in
// the way that ends soon.
func (c *change) tried(handled bool, at time.Time) {
	if handled {
		c.done = c.now
	}
	c.next = at.Add(repairAgain)
}

// disksNow tells one set of mountpaths from another.
func (t *Target) disksNow() string {
	var ids []string
	for _, mp := range t.fs.Available().All() {
		ids = append(ids, mp.ID)
	}
	return strings.Join(ids, " ")
}

func targetsNow(active []*meta.Snode) string {
	var ids []string
	for _, sn := range active {
		ids = append(ids, sn.ID)
	}
	return strings.Join(ids, " ")
}

// repair asks the primary to start the repair of all erasure-coded buckets, but
// those whose repair has begun after a time; false: it is to be asked again.
func (t *Target) repair(view *meta.View, since time.Time, reason string) bool {
	args, err := json.Marshal(&ecencode.Args{Recover: true, Reason: reason})
	if err != nil {
		return true
	}
	all := true
	for _, b := range view.BMD.Buckets(nil) {
		if !b.Props.EC.Enabled || repairedSince(view, b.Bck, since) {
			continue
		}
		id, err := t.node.AskForJob(t.ctx, xact.KindECEncode, b.Bck, args)
		if err != nil {
			t.logger.Warn("the repair of slices cannot be started yet", "bucket", b.Bck, "reason", reason, "err", err)
			all = false
			continue
		}
		t.logger.Info("slices are being repaired", "bucket", b.Bck, "job", id, "reason", reason)
	}
	return all
}

// repairedSince tells that the repair of a bucket has begun after a time.
func repairedSince(view *meta.View, bck wire.Bck, since time.Time) bool {
	for _, r := range jobs.All(view) {
		var args ecencode.Args
		if r.Spec.Kind == xact.KindECEncode && r.Spec.Bck == bck && r.Spec.Started >= since.UnixNano() && json.Unmarshal(r.Spec.Args, &args) == nil && args.Recover {
			return true
		}
	}
	return false
}
