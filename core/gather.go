package core

import (
	"context"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// All generations of a name have one owner. What replaces a generation that stays
// as a noncurrent version, and what concerns one version, therefore begins with
// the earlier owners sending all that they hold of the name here, where it is
// received as in a rebalance (Arrive), and giving it up (Departure.Remove): in
// this order, so that every version is somewhere at every moment.

// gathers tells whether a write has to have all generations of its name here:
// it keeps what it replaces, or versions are here.
func (w *write) gathers(now *existing) (bool, error) {
	newest := now.newest()
	if w.opts.Keep != KeepNothing || w.marker || newest.isVersion() {
		return true, nil
	}
	former, err := w.s.noncurrentOf(&w.object, newest)
	return len(former) > 0, err
}

// isVersion tells that a generation, nil for none, counts as a version beside
// others.
func (r *record) isVersion() bool {
	return r != nil && (r.flags&flagVersioned != 0 || r.kind == KindDeleteMarker)
}

// gather has all generations of the name brought here, for a write. here and
// written are the stamps of what this target holds.
func (w *write) gather(ctx context.Context, here, written Stamp) error {
	if w.s.unsure(w.digest, written) {
		here = Stamp{}
	}
	all, err := w.s.options.Ports.Peers.Gather(ctx, w.Key, here, w.opts.Conditions.any())
	w.earlier.Earlier = Earlier{} // what they held is here, and they hold nothing to be told of
	w.earlier.left = !all
	return err
}

// Gather brings all generations of a name here that earlier owners hold, before
// one of them is asked for by its version id, or all are listed. Errors: 503
// somebody who may hold one cannot be asked.
func (s *Store) Gather(ctx context.Context, key Key) error {
	o, err := s.resolve(key)
	if err != nil {
		return err
	}
	_, err = s.gatherAll(ctx, &o)
	return err
}

// gatherAll is Gather; epoch is that of the placement for which it holds, 0 if
// no other target can hold anything.
func (s *Store) gatherAll(ctx context.Context, o *object) (epoch uint64, err error) {
	peers := s.options.Ports.Peers
	if peers == nil {
		return 0, nil
	}
	epoch, settled := peers.Placement(o.digest)
	if settled {
		return 0, nil
	}
	_, err = peers.Gather(ctx, o.Key, Stamp{}, true)
	return epoch, err
}

// KeepsVersions tells whether this target holds noncurrent versions of a name,
// or a current generation that would become one. Errors: 400, 404 no such
// bucket, 500 I/O, 503 a mountpath is busy.
func (s *Store) KeepsVersions(ctx context.Context, key Key) (bool, error) {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return false, err
	}
	defer s.unlock(&o, false)
	now, err := s.current(&o)
	if err != nil {
		return false, err
	}
	newest := now.newest()
	if newest.isVersion() {
		return true, nil
	}
	former, err := s.noncurrentOf(&o, newest)
	return len(former) > 0, err
}

// departures lets one Departure of a name exist at a time: when the second one
// begins, nothing of the first is on its way any more.
type departures struct {
	mu   sync.Mutex
	open map[uint64]chan struct{} // digest of the unique name: closed at the end
}

// enter waits until no departure of a name is left. The error is that of the
// context.
func (d *departures) enter(ctx context.Context, digest uint64) error {
	for {
		d.mu.Lock()
		before := d.open[digest]
		if before == nil {
			if d.open == nil {
				d.open = map[uint64]chan struct{}{}
			}
			d.open[digest] = make(chan struct{})
			d.mu.Unlock()
			return nil
		}
		d.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (d *departures) leave(digest uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.open[digest])
	delete(d.open, digest)
}

// maxRemovedVersions bounds the versions that are remembered, about a megabyte.
const maxRemovedVersions = 1 << 14

// removedVersions are the versions that were deleted by their ids under the
// placement of an epoch: one that is still on its way from an earlier owner,
// sent by a process of it that has ended since, must not come back. Of current
// generations that is what tombstones are for.
type removedVersions struct {
	mu    sync.Mutex
	epoch uint64
	all   map[versionOf]struct{}
}

type versionOf struct {
	digest uint64
	stamp  Stamp
}

// add holds a version from now on; false: there are too many.
func (r *removedVersions) add(digest uint64, stamp Stamp, epoch uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch || r.all == nil {
		r.epoch, r.all = epoch, map[versionOf]struct{}{}
	}
	if len(r.all) >= maxRemovedVersions {
		return false
	}
	r.all[versionOf{digest, stamp}] = struct{}{}
	return true
}

// forget is called when a version was not removed after all.
func (r *removedVersions) forget(digest uint64, stamp Stamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, versionOf{digest, stamp})
}

func (r *removedVersions) has(digest uint64, stamp Stamp, epoch uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch {
		return false
	}
	_, held := r.all[versionOf{digest, stamp}]
	return held
}

// wasRemoved tells that a version was deleted here under the placement in force.
func (s *Store) wasRemoved(o *object, stamp Stamp) bool {
	return s.options.Epoch != nil && s.removed.has(o.digest, stamp, s.options.Epoch())
}

// errManyRemoved refuses to delete a version.
func errManyRemoved(o *object) error {
	return apierr.Unavailable(time.Minute, "DELETE %s: more than %d versions were deleted while objects move between targets; when they have moved it works again",
		o.Cname(), maxRemovedVersions)
}
