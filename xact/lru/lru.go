// Package lru is the job that makes space by evicting what was accessed longest
// ago (kind lru). It evicts from buckets whose backend holds the objects as well, and
// from those that have opted in; core.Store.Evict sees to it that nothing else, and nothing
// that is in use, goes.
package lru

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
)

const (
	// leastWorth is how much there must be to free on a filesystem, in bytes,
	// for anything to be evicted there.
	leastWorth = 10 << 20
	// maxFailures is after how many failures in a row on one filesystem the job
	// gives up there: its disk is about to be found faulty.
	maxFailures = 100
	// lookEvery is after how many evictions the use of space is measured again,
	// beside the end: others may be freeing it too.
	lookEvery = 1000
)

// Registration makes the job known.
func Registration() xact.Registration {
	return xact.Registration{Kind: xact.KindLRU, New: newJob}
}

// job is one run.
type job struct {
	env     *xact.Env
	buckets []wire.Bck // nil: all
	force   bool       // of these buckets, lru.enabled does not count if a backend holds the objects

	eligible, looked, evicted, bytes atomic.Int64
	goal                             atomic.Pointer[string] // for people

	mu   sync.Mutex
	kept map[core.Kept]int64
}

func newJob(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
	var args xact.StartArgs
	if len(spec.Args) > 0 {
		if err := json.Unmarshal(spec.Args, &args); err != nil {
			return nil, apierr.BadRequest("arguments of %s: %v", spec.Name(), err)
		}
	}
	j := &job{env: env, buckets: args.Buckets, force: args.Force, kept: map[core.Kept]int64{}}
	if spec.Bck.Name != "" {
		j.buckets = append(slices.Clone(j.buckets), spec.Bck)
	}
	if j.force && len(j.buckets) == 0 {
		return nil, apierr.BadRequest("%s: force needs the buckets that are meant (Bck or Buckets)", spec.Kind)
	}
	for _, entry := range j.entries() {
		if j.force && !core.MayEvict(entry, true) {
			return nil, apierr.BadRequest("bucket %s: force evicts what a backend holds as well; of this bucket the cluster holds the only copy, "+
				"or deleting is not permitted (set lru.enabled and access to evict all the same)", entry.Bck)
		}
	}
	if bmd := env.View().BMD; bmd != nil {
		for _, bck := range j.buckets {
			if _, ok := bmd.Get(bck); !ok {
				return nil, apierr.BucketNotFound(bck)
			}
		}
	}
	return j, nil
}

// entries are the buckets that the job was started for, as they are now.
func (j *job) entries() []meta.BucketEntry {
	bmd := j.env.View().BMD
	if bmd == nil {
		return nil
	}
	if j.buckets == nil {
		return bmd.Buckets(nil)
	}
	var all []meta.BucketEntry
	for _, bck := range j.buckets {
		if props, ok := bmd.Get(bck); ok {
			all = append(all, meta.BucketEntry{Bck: bck, Props: props})
		}
	}
	return all
}

// Run implements xact.Job.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	x.SetControl(j.message)
	short := j.short(j.env.Disks.RefreshCapacity())
	if len(short) == 0 {
		return nil
	}
	var buckets []meta.BucketEntry
	for _, entry := range j.entries() {
		if core.MayEvict(entry, j.force) {
			buckets = append(buckets, entry)
		}
	}
	j.eligible.Store(int64(len(buckets)))
	pace := x.NewPace()
	choice := core.EvictionChoice{
		Buckets: buckets, Before: j.before, Batch: int(j.env.Config().LRU.BatchSize), Pause: pace.Wait,
	}
	for len(buckets) > 0 {
		choice.Filesystems = slices.Collect(maps.Keys(short))
		oldest, err := j.env.Store.OldestObjects(ctx, choice)
		j.looked.Add(oldest.Looked)
		if err != nil {
			return err
		}
		group, evicting := errgroup.WithContext(ctx)
		for filesystem, objects := range oldest.Oldest {
			group.Go(func() error { return j.evict(evicting, x, filesystem, objects) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		// What is short now was so before: nothing new is begun.
		now := j.short(j.env.Disks.RefreshCapacity())
		maps.DeleteFunc(short, func(f *fs.Filesystem, _ int64) bool { return now[f] == 0 })
		if !oldest.More || len(short) == 0 {
			break
		}
		choice.After = oldest.Cursor
	}
	return nil
}

// before is the time before which an object must have been accessed last, ns.
func (j *job) before(entry meta.BucketEntry) int64 {
	protected := entry.Props.LRU.DontEvictTime.D()
	if protected <= 0 {
		protected = j.env.Config().LRU.DontEvictTime.D()
	}
	return time.Now().Add(-protected).UnixNano()
}

// short is how many bytes there are to free by filesystem. While the job runs a
// filesystem stays in it until it is at the low watermark.
func (j *job) short(c *fs.Capacity) map[*fs.Filesystem]int64 {
	short := map[*fs.Filesystem]int64{}
	began := j.goal.Load() != nil
	for i := range c.Mountpaths {
		mp := &c.Mountpaths[i]
		if mp.Err != nil || mp.Leaving || mp.PctUsed <= c.Marks.High && !began {
			continue
		}
		if n := over(mp, &c.Marks); n > 0 && (n >= leastWorth || began) {
			short[mp.Filesystem] = n
		}
	}
	if !began {
		text := fmt.Sprintf("used:%d%% highwm:%d%% lowwm:%d%%", c.PctMax, c.Marks.High, c.Marks.Low)
		j.goal.Store(&text)
	}
	return short
}

// over is by how many bytes a filesystem is over the low watermark.
func over(mp *fs.MountpathCapacity, marks *fs.Watermarks) int64 {
	low := float64(mp.Total) * float64(marks.Low) / 100
	return int64(float64(mp.Used) - low)
}

// evict evicts objects of one filesystem, in order, until it has space or there
// are no more.
func (j *job) evict(ctx context.Context, x *xact.Xaction, filesystem *fs.Filesystem, objects []core.Evictable) error {
	pace, failures := x.NewPace(), 0
	need := j.need(filesystem)
	for i := range objects {
		if need <= 0 || i%lookEvery == lookEvery-1 {
			if need = j.need(filesystem); need <= 0 {
				return nil
			}
		}
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		o := &objects[i]
		kept, err := j.env.Store.Evict(ctx, o)
		switch {
		case apierr.StatusOf(err) == apierr.StatusNotFound: // the bucket was destroyed meanwhile
		case err != nil:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			x.AddError(fmt.Errorf("evict %s: %w", o.Key.Cname(), err))
			if failures++; failures >= maxFailures {
				return fmt.Errorf("%d evictions in a row have failed, the last one with: %w", failures, err)
			}
			continue
		case kept != core.KeptNot:
			j.mu.Lock()
			j.kept[kept]++
			j.mu.Unlock()
		default:
			need -= o.Size
			j.evicted.Add(1)
			j.bytes.Add(o.Size)
			x.AddObjects(1, o.Size)
			j.env.Metrics.Evicted(1, o.Size)
		}
		failures = 0
	}
	return nil
}

// need is how many bytes are to be freed on a filesystem now.
func (j *job) need(filesystem *fs.Filesystem) int64 {
	c := j.env.Disks.RefreshCapacity()
	for i := range c.Mountpaths {
		if mp := &c.Mountpaths[i]; mp.Filesystem == filesystem && mp.Err == nil {
			return over(mp, &c.Marks)
		}
	}
	return 0 // it has left
}

// message tells people how far the job is.
func (j *job) message() string {
	goal := j.goal.Load()
	if goal == nil {
		return ""
	}
	text := fmt.Sprintf("%s buckets:%d looked:%d evicted:%d/%d", *goal, j.eligible.Load(), j.looked.Load(), j.evicted.Load(), j.bytes.Load())
	j.mu.Lock()
	defer j.mu.Unlock()
	var kept []string
	for reason, n := range j.kept {
		kept = append(kept, fmt.Sprintf("kept-%s:%d", reason, n))
	}
	slices.Sort(kept)
	return strings.TrimSpace(text + " " + strings.Join(kept, " "))
}
