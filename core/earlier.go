package core

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
)

// After the targets of the cluster changed, the generation that a write
// replaces may lie with an earlier owner of the name: its version and its custom
// metadata go on, and its tag is what conditions are compared with. Its content
// is of no use, and stays there.

// Earlier is the newest that earlier owners of a name hold. Of the attributes
// those count that clients see, and the stamp.
type Earlier struct {
	Kind  Kind // 0: nothing newer than what is here
	Attrs Attrs
	// Told: a write that replaces it is to be told to them, see
	// Peers.Supersede. Not so if this target has written since it owns the
	// name: that was told, unless the store itself knows better.
	Told bool
	// Versions: somebody holds noncurrent versions, or a generation that becomes
	// one. They are brought here, see Peers.Gather.
	Versions bool
}

// earlierState is what a write knows of earlier owners.
type earlierState struct {
	Earlier
	asked     bool
	unsettled bool   // there may be some
	left      bool   // somebody may still have something older, see supersede
	epoch     uint64 // of the placement under which it is so

	amends Stamp // the generation whose metadata a PATCH has changed
}

// newerThan tells that an earlier owner holds something newer than what is here.
func (e *earlierState) newerThan(here *record) bool {
	return e.Kind != 0 && (here == nil || e.Attrs.Stamp.Compare(here.stamp) > 0)
}

// askEarlier finds out what earlier owners hold, unless that is known for the
// placement in force.
func (w *write) askEarlier(ctx context.Context) error {
	peers := w.s.options.Ports.Peers
	if peers == nil {
		return nil
	}
	epoch, settled := peers.Placement(w.digest)
	if w.earlier.asked && w.earlier.epoch == epoch {
		return nil
	}
	w.earlier = earlierState{asked: true, unsettled: !settled, epoch: epoch}
	if settled {
		w.s.untold.settled(epoch)
		return nil
	}
	if err := w.s.lock(ctx, &w.object, false); err != nil {
		return err
	}
	now, err := w.s.current(&w.object)
	gathers := false
	if err == nil {
		gathers, err = w.gathers(&now)
	}
	w.s.unlock(&w.object, false)
	if err != nil {
		return err
	}
	var here, written Stamp
	if newest := now.newest(); newest != nil {
		here, written = newest.stamp, newest.written()
	}
	if gathers {
		return w.gather(ctx, here, written)
	}
	if w.tombstone { // nothing goes on from what they hold
		w.earlier.Told = w.s.undecided(w.digest, written, epoch)
		return nil
	}
	w.earlier.Earlier, err = peers.Earlier(ctx, w.Key, here, w.opts.Conditions.any())
	if err == nil && w.earlier.Versions {
		return w.gather(ctx, here, written)
	}
	w.earlier.Told = w.earlier.Told || w.s.unsure(w.digest, written)
	return err
}

// previous is what a write has from the generation that it follows: the stamp
// that its own must exceed, the custom metadata and the version.
func (w *write) previous(now *existing) (last Stamp, custom []KV, version string) {
	newest := now.newest()
	if e := &w.earlier; e.newerThan(newest) {
		if w.opts.SkipVC || e.Kind.IsDeleted() {
			return e.Attrs.Stamp, nil, ""
		}
		return e.Attrs.Stamp, e.Attrs.Custom, e.Attrs.Version
	}
	switch {
	case newest == nil:
		return Stamp{}, nil, ""
	case w.opts.SkipVC || newest.kind.IsDeleted():
		return newest.stamp, nil, ""
	}
	return newest.stamp, newest.custom, newest.version
}

// sameAsEarlier tells that a body is what an earlier owner holds already: it is
// stored here, and keeps its version.
func (w *write) sameAsEarlier(now *existing, custom []KV) bool {
	e := &w.earlier
	return e.newerThan(now.newest()) && e.Kind == KindObject && !w.unsummed && !w.opts.SkipVC && w.opts.Keep == KeepNothing &&
		e.Attrs.Size == w.size && e.Attrs.Checksum.Equal(w.opts.Checksum) && slices.Equal(custom, e.Attrs.Custom)
}

// errOwnersChanged: the placement is another one than that under which earlier
// owners were asked.
var errOwnersChanged = errors.New("the owners of names have changed")

// begin is Store.begin of a write that knows what earlier owners hold.
func (w *write) begin() (Ticket, error) {
	ticket, err := w.s.begin(&w.object)
	if err == nil && w.earlier.asked && w.earlier.epoch != w.s.options.Epoch() {
		_ = w.s.end(ticket) // nothing was done under it
		return 0, errOwnersChanged
	}
	return ticket, err
}

// asOwner returns the error of a write that is refused for what its name holds,
// if this target is the one to say that.
func (w *write) asOwner(refused error) error {
	ticket, err := w.begin()
	if err == nil {
		err = w.s.end(ticket)
	}
	if err != nil {
		return err
	}
	return refused
}

const (
	// changeTime is how long a write waits at its commit for a change of owners
	// that is under way, before the client is asked to send it again.
	changeTime = 10 * time.Second
	// changePause is how often it looks.
	changePause = 5 * time.Millisecond
)

// commitAsOwner commits a write as the owner of its name, whoever that is by
// now: if it is another target, that one does it.
func (w *write) commitAsOwner(ctx context.Context) (Attrs, error) {
	var waiting time.Time
	for {
		if err := w.askEarlier(ctx); err != nil {
			return Attrs{}, err
		}
		attrs, err := w.commitOnce(ctx)
		if err != nil {
			w.endStaging()
		}
		if errors.Is(err, ErrNotOwner) && w.mayHandOver() {
			var handed error
			if attrs, handed = w.handOver(ctx); !errors.Is(handed, ErrNotOwner) {
				return attrs, handed
			}
		}
		switch {
		case err == nil:
			kept := w.keepStaged(ctx)
			if err := w.supersede(ctx, attrs.Stamp); err != nil {
				return attrs, err
			}
			return attrs, w.protect(ctx, &attrs, kept)
		case errors.Is(err, errUnverified):
			if err := w.verifyStored(ctx); err != nil {
				return Attrs{}, err
			}
			continue
		case !errors.Is(err, errOwnersChanged) && !errors.Is(err, errRestage) && !(errors.Is(err, ErrNotOwner) && w.mayHandOver()):
			return Attrs{}, err
		}
		if waiting.IsZero() {
			waiting = time.Now()
		} else if time.Since(waiting) > changeTime {
			what := "the owner of the name keeps changing"
			if errors.Is(err, errRestage) {
				what = "what the name holds keeps changing"
			}
			return Attrs{}, apierr.Wrap(err, apierr.StatusServiceUnavailable, "", "PUT %s: %s", w.Cname(), what)
		}
		if err := delay.For(ctx, changePause); err != nil {
			return Attrs{}, err
		}
	}
}

// owe remembers, before a write can be seen, that earlier owners are to be told
// of it: if that fails the next write tells them, though it finds one of this
// placement.
func (w *write) owe() {
	if w.earlier.Told {
		w.s.untold.add(w.digest, w.earlier.epoch)
	}
}

// owing is owe for a change of what is here, which goes on from that alone.
func (s *Store) owing(digest uint64, written Stamp) (e earlierState) {
	peers := s.options.Ports.Peers
	if peers == nil {
		return e
	}
	epoch, settled := peers.Placement(digest)
	if settled {
		return e
	}
	e.unsettled, e.epoch = true, epoch
	if e.Told = s.undecided(digest, written, epoch); e.Told {
		s.untold.add(digest, epoch)
	}
	return e
}

// supersede tells earlier owners of the first write since they were. If that
// fails the write is there, and wins by its stamp; but the loss of its disk
// would bring the older one to light, so it is not acknowledged. They are told of
// every tombstone: it may go when nobody has anything older.
func (w *write) supersede(ctx context.Context, stamp Stamp) error {
	e := &w.earlier
	if !e.Told && !(w.tombstone && e.unsettled) {
		return nil
	}
	all, err := w.s.tell(ctx, &w.object, stamp, e.epoch)
	e.left = err != nil || !all
	if !e.Told {
		return nil // an earlier write was told, and what was out then the tombstone is for
	}
	return err
}

// tell has earlier owners give up what is older than a write.
func (s *Store) tell(ctx context.Context, o *object, stamp Stamp, epoch uint64) (all bool, err error) {
	all, err = s.options.Ports.Peers.Supersede(context.WithoutCancel(ctx), o.Key, stamp)
	if err == nil {
		s.untold.remove(o.digest, epoch)
	}
	return all, err
}
