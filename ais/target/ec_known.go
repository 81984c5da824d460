package target

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
)

// allKnown knows the buckets of which this target has, or remembers in its own marks,
// every name that it owns and of which any target holds slices: a write of a name that is not
// here replaces nothing anywhere, and nobody has to be told of it. That is so
//
//   - of a bucket that was made while the set of targets was the present one;
//   - when a repair of the bucket has ended without an error on all targets,
//
// until the targets of the cluster, or the mountpaths of this target, are others,
// something here goes to quarantine, erasure coding is turned off, or another repair begins. A process
// begins with knowing none. It is safe for concurrent use.
type allKnown struct {
	disks   func() *fs.Set
	damages func() int64 // grows when something goes to quarantine

	now atomic.Pointer[knownView]
	all atomic.Pointer[map[uint64]knownAt] // by bucket id

	mu      sync.Mutex
	repairs map[string]knownAt // that run, by id: the state when they began
}

// knownView is what of the cluster's metadata it depends on. The pointer stays the same
// while that does.
type knownView struct {
	lineage string
	epoch   int64  // of the set of active targets
	targets string // all of the map
}

// knownAt is a state of the cluster and of this target.
type knownAt struct {
	view    *knownView
	disks   *fs.Set
	damages int64
}

func newAllKnown(disks func() *fs.Set, damages func() int64) *allKnown {
	k := &allKnown{disks: disks, damages: damages, repairs: make(map[string]knownAt)}
	k.now.Store(&knownView{})
	k.all.Store(&map[uint64]knownAt{})
	return k
}

func (k *allKnown) state() knownAt {
	return knownAt{view: k.now.Load(), disks: k.disks(), damages: k.damages()}
}

// holds tells it of a bucket.
func (k *allKnown) holds(bid uint64) bool {
	at, ok := (*k.all.Load())[bid]
	return ok && at == k.state()
}

// applied follows the metadata.
func (k *allKnown) applied(before, after *meta.View) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.now.Load()
	now := viewOf(after)
	if now != *was {
		k.now.Store(&now)
	}
	if before.BMD == after.BMD && before.Jobs == after.Jobs && now == *was {
		return
	}
	next := maps.Clone(*k.all.Load())
	if before.BMD != nil && after.BMD != nil && before.BMD != after.BMD {
		k.buckets(next, before.BMD, after.BMD, now == *was && now.epoch != 0)
	}
	if after.BMD != nil && before.Jobs != after.Jobs {
		k.jobs(next, after)
	}
	k.all.Store(&next)
}

func viewOf(v *meta.View) (k knownView) {
	if v.Smap == nil || v.Placement == nil || len(v.Placement.Sets) == 0 {
		return k
	}
	return knownView{
		lineage: v.Lineage, epoch: v.Placement.Sets[len(v.Placement.Sets)-1].Epoch,
		targets: strings.Join(slices.Sorted(maps.Keys(v.Smap.Tmap)), " "),
	}
}

// buckets adds those that are new, and drops those that are gone or not encoded any more.
func (k *allKnown) buckets(next map[uint64]knownAt, before, after *meta.BMD, same bool) {
	was := map[uint64]*meta.Bprops{}
	for _, b := range before.Buckets(nil) {
		was[b.Props.BID] = b.Props
	}
	for _, b := range after.Buckets(nil) {
		old := was[b.Props.BID]
		delete(was, b.Props.BID)
		switch {
		case old == nil && same:
			next[b.Props.BID] = k.state()
		case old != nil && old.EC.Enabled && !b.Props.EC.Enabled:
			delete(next, b.Props.BID) // what changes from now on nobody is told of
		}
	}
	for bid := range was {
		delete(next, bid)
	}
}

// jobs follows the repairs.
func (k *allKnown) jobs(next map[uint64]knownAt, v *meta.View) {
	there := map[string]bool{}
	for _, r := range jobs.All(v) {
		id := r.Spec.ID
		began, follows := k.repairs[id]
		// What a record tells of the arguments goes with the end of the job.
		if r.Spec.Kind != xact.KindECEncode || !follows && !isRepair(r) {
			continue
		}
		there[id] = true
		switch {
		case r.Running():
			if !follows {
				k.repairs[id] = k.state()
			}
			delete(next, r.Spec.BID)
		case follows:
			delete(k.repairs, id)
			props, exists := v.BMD.Get(r.Spec.Bck)
			if began == k.state() && exists && props.BID == r.Spec.BID && props.EC.Enabled && whole(v, r) {
				next[props.BID] = began
			}
		}
	}
	for id := range k.repairs {
		if !there[id] {
			delete(k.repairs, id)
		}
	}
}

func isRepair(r *jobs.Record) bool {
	var args ecencode.Args
	return json.Unmarshal(r.Spec.Args, &args) == nil && args.Recover
}

// whole tells that a job has ended without an error on all targets of the map.
func whole(v *meta.View, r *jobs.Record) bool {
	for id := range v.Smap.Tmap {
		if !slices.Contains(r.Targets, id) {
			return false
		}
	}
	return r.Cause == "" && r.Error == ""
}

// AllKnown implements ec.Cluster.
func (c ecCluster) AllKnown(key core.Key) bool { return c.t.known.holds(key.Props.BID) }
