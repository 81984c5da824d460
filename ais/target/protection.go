package target

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact/makecopies"
)

const (
	// levelLook is how often what is below its level of protection is counted.
	levelLook = 2 * time.Second
	// levelPage is how many names are looked at between two pauses.
	levelPage = 1000
	// levelShare: a count that does not change is made again after so many times what
	// it took.
	levelShare = 20
	// levelAlert is how long there may be such objects before it is an alert: a
	// write is below its level until its copies or slices are made.
	levelAlert = time.Minute
)

// below tells why an object of this target, or a noncurrent version of it, has fewer copies
// or slices than its bucket asks for, "" if none has; copies is how many a listing shows of it.
// Nobody else is asked. 404: it is not here.
func (t *Target) below(ctx context.Context, key core.Key, copies int) (string, error) {
	if want := makecopies.Instances(key.Props); copies > 0 && copies < want {
		return fmt.Sprintf("%d of %d copies", copies, want), nil
	}
	if why, err := t.ec.Below(ctx, key); why != "" || err != nil {
		return why, err
	}
	return t.versionsBelow(ctx, key)
}

// versionsBelow is below for the noncurrent versions of a name. None of them has
// slices: in an erasure-coded bucket all count.
func (t *Target) versionsBelow(ctx context.Context, key core.Key) (string, error) {
	want := makecopies.Instances(key.Props)
	if want < 2 && !key.Props.EC.Enabled || !t.store.MayHoldVersions(key.Bck, key.Props) {
		return "", nil
	}
	all, err := t.store.ListVersions(ctx, key)
	if err != nil {
		return "", err
	}
	unsliced, short := 0, 0
	for i := range all {
		switch v := &all[i]; {
		case v.Current || v.Kind.IsDeleted() && v.Damage == nil:
		case key.Props.EC.Enabled:
			unsliced++
		case v.Damage != nil || v.Attrs.Copies < want:
			short++
		}
	}
	switch {
	case unsliced > 0:
		return fmt.Sprintf("noncurrent versions have no slices: %d", unsliced), nil
	case short > 0:
		return fmt.Sprintf("noncurrent versions with fewer than %d copies: %d", want, short), nil
	}
	return "", nil
}

// protection counts, by bucket, the objects of this target that are below their
// level of protection. All names are looked at when anything has changed that may put many
// below it (targets, mountpaths, the bucket's properties), and again and again as long as
// there are any. Otherwise those are counted that wait for their copies or slices.
type protection struct {
	t     *Target
	alert time.Duration // see levelAlert
	now   func() time.Time

	looked map[wire.Bck]*lookedAt // of the one who looks

	mu    sync.Mutex
	since time.Time // since when there have been any; zero: there are none
}

// lookedAt is when all names of a bucket were looked at last.
type lookedAt struct {
	state string // of all that counts
	at    time.Time
	took  time.Duration
	below int64
}

func newProtection(t *Target) *protection {
	return &protection{t: t, alert: levelAlert, now: time.Now, looked: map[wire.Bck]*lookedAt{}}
}

// watch counts until the target ends.
func (p *protection) watch() {
	tick := time.NewTicker(levelLook)
	defer tick.Stop()
	for {
		if view := p.t.control.View(); view.Smap != nil && view.BMD != nil {
			p.look(p.t.ctx, view)
		}
		select {
		case <-tick.C:
		case <-p.t.ctx.Done():
			return
		}
	}
}

// look counts once.
func (p *protection) look(ctx context.Context, view *meta.View) {
	counts := map[wire.Bck]int64{}
	waiting := p.waiting()
	state := p.state(view)
	for bck := range p.looked {
		if _, ok := view.BMD.Get(bck); !ok {
			delete(p.looked, bck)
		}
	}
	for _, entry := range view.BMD.Buckets(nil) {
		if !entry.Props.EC.Enabled && !entry.Props.Mirror.Enabled {
			delete(p.looked, entry.Bck)
			continue
		}
		n := waiting[entry.Props.BID]
		if below, err := p.ofBucket(ctx, view, entry, state); err == nil {
			n = max(n, below)
		} else if ctx.Err() == nil && !apierr.IsNotFound(err) {
			p.t.logger.Warn("objects below their level of protection cannot be counted", "bucket", entry.Bck, "err", err)
		}
		if n > 0 {
			counts[entry.Bck] = n
		}
	}
	p.told(counts, p.oldest())
}

// told publishes a count. oldest is since when the oldest object waits whose
// copies or slices are about to be made.
func (p *protection) told(counts map[wire.Bck]int64, oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, swept := p.now(), false
	for _, l := range p.looked {
		swept = swept || l.below > 0
	}
	switch {
	case len(counts) == 0:
		p.since = time.Time{}
	case !swept && !oldest.IsZero():
		p.since = oldest // others come and go
	case p.since.IsZero():
		p.since = now
	}
	age := time.Duration(0)
	if !p.since.IsZero() {
		age = max(0, now.Sub(p.since))
	}
	p.t.metrics.SetUnderProtected(counts, age)
}

// forLong tells that there have been such objects for a while.
func (p *protection) forLong() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.since.IsZero() && p.now().Sub(p.since) >= p.alert
}

// waiting are the objects whose copies or slices are about to be made, by bucket id.
func (p *protection) waiting() map[uint64]int64 {
	sum := p.t.store.PendingObjects(core.WorkCopies)
	for bid, n := range p.t.store.PendingObjects(core.WorkSlices) {
		sum[bid] = max(sum[bid], n) // one may owe both
	}
	return sum
}

func (p *protection) oldest() (at time.Time) {
	for _, work := range []core.Work{core.WorkCopies, core.WorkSlices} {
		if o := p.t.store.PendingStats(work).Oldest; !o.IsZero() && (at.IsZero() || o.Before(at)) {
			at = o
		}
	}
	return at
}

// state tells one state of targets and mountpaths from another.
func (p *protection) state(view *meta.View) string {
	ids := slices.Sorted(maps.Keys(view.Smap.Tmap))
	for _, sn := range view.Smap.ActiveTargets() {
		ids = append(ids, sn.ID)
	}
	return strings.Join(ids, " ") + "|" + p.t.disksNow()
}

// ofBucket counts the objects of one bucket, unless that was done for the same
// state and cannot have changed.
func (p *protection) ofBucket(ctx context.Context, view *meta.View, entry meta.BucketEntry, state string) (int64, error) {
	e, m := &entry.Props.EC, &entry.Props.Mirror
	state = fmt.Sprint(entry.Props.BID, e.Enabled, e.DataSlices, e.ParitySlices, e.ObjSizeLimit, m.Enabled, m.Copies, " ", state)
	last := p.looked[entry.Bck]
	if last != nil && last.state == state {
		if last.below == 0 || p.now().Sub(last.at) < max(levelLook, levelShare*last.took) {
			return last.below, nil
		}
	}
	began := p.now()
	below, err := p.count(ctx, view.Smap, entry)
	if err != nil {
		return 0, err
	}
	lost, err := p.notRebuilt(ctx, view, entry)
	if err != nil {
		return 0, err
	}
	below += lost
	p.looked[entry.Bck] = &lookedAt{state: state, at: p.now(), took: p.now().Sub(began), below: below}
	return below, nil
}

// count looks at all names of a bucket that this target owns, half of the time.
func (p *protection) count(ctx context.Context, smap *meta.Smap, entry meta.BucketEntry) (below int64, err error) {
	self := p.t.node.ID()
	opts := core.ListOptions{Limit: levelPage, Props: core.ListCopies, Stamps: p.t.store.MayHoldVersions(entry.Bck, entry.Props), Owns: func(digest uint64) bool {
		owner, err := smap.Owner(digest)
		return err == nil && owner.ID == self
	}}
	for {
		began := time.Now()
		page, err := p.t.store.List(ctx, entry.Bck, entry.Props, opts)
		if err != nil {
			return 0, err
		}
		for i := range page {
			e := &page[i]
			key := core.Key{Bck: entry.Bck, Props: entry.Props, Name: e.Name}
			var why string
			if e.Tombstone { // what it was may be there as versions
				why, err = p.t.versionsBelow(ctx, key)
			} else {
				why, err = p.t.below(ctx, key, e.Attrs.Copies)
			}
			switch {
			case apierr.IsNotFound(err): // deleted meanwhile
			case ctx.Err() != nil:
				return 0, context.Cause(ctx)
			case err != nil, why != "": // what cannot be read is not protected
				below++
			}
		}
		if len(page) < levelPage {
			return below, nil
		}
		opts.After = page[len(page)-1].Name
		timer := time.NewTimer(time.Since(began))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, context.Cause(ctx)
		}
	}
}

// checkProtection compares what there is of an object of this target with what
// there should be: all other targets are asked, and read what they hold. What is missing is
// mended in the background. below is "" if nothing is.
func (t *Target) checkProtection(ctx context.Context, key core.Key, copies int) (below string, err error) {
	if want := makecopies.Instances(key.Props); copies > 0 && copies < want {
		return fmt.Sprintf("%d of %d copies", copies, want), t.store.Owe(ctx, core.WorkCopies, key)
	}
	if !key.Props.EC.Enabled {
		if below, err = t.versionsBelow(ctx, key); below == "" || err != nil {
			return "", err
		}
		return below, t.store.Owe(ctx, core.WorkCopies, key)
	}
	p, err := t.ec.VerifyProtection(ctx, key, true)
	if err != nil {
		return "", err
	}
	if p.Whole == p.Want {
		return t.versionsBelow(ctx, key)
	}
	what := "slices"
	if p.Replicated {
		what = "replicas"
	}
	return fmt.Sprintf("%d of %d %s", p.Whole, p.Want, what), t.ec.Degrade(ctx, key)
}

// notRebuilt counts the objects whose owners have left the cluster for ever, which this target
// owns now and has not made again: as many as it holds slices or replicas of itself, which
// the next one in the order of a name does.
func (p *protection) notRebuilt(ctx context.Context, view *meta.View, entry meta.BucketEntry) (count int64, err error) {
	if !entry.Props.EC.Enabled || !p.t.ec.HoldsLost(entry.Props.BID, formerTargets(view)) {
		return 0, nil
	}
	self, last := p.t.node.ID(), ""
	err = p.t.store.WalkSlices(ctx, entry, func(sl *core.Slice) error {
		if sl.IsMark() || sl.Name == last { // a staged one lies beside one that is committed
			return nil
		}
		owner, err := view.Smap.Owner(hrw.Digest(entry.Bck.Uname(sl.Name)))
		if err != nil || owner.ID != self {
			return err
		}
		_, kind, err := p.t.store.Look(ctx, core.Key{Bck: entry.Bck, Props: entry.Props, Name: sl.Name})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && kind == 0:
			last = sl.Name
			count++
		}
		return nil // one that is damaged is counted as one that is here
	})
	return count, err
}

// formerTargets are the ids of targets that have owned names and are not in the map.
func formerTargets(view *meta.View) (ids []string) {
	if view.Placement == nil {
		return nil
	}
	add := func(of []string) {
		for _, id := range of {
			if view.Smap.Tmap[id] == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	for i := range view.Placement.Sets {
		add(view.Placement.Sets[i].Targets)
	}
	add(view.Placement.Older)
	add(view.Placement.Gone)
	return ids
}
