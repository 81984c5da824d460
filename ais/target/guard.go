package target

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// Guard decides at every commit of this target whether it may change a name:
// it must own the name in the map that is in force and in the one that is
// pending, hold the owner lease until the acknowledgement, and be no outcast
// of its cluster. It counts the commits under way, so that the cluster learns
// when none is left that was let through by an earlier map. It implements
// core.Guard without locks; commits of different names hardly meet.
type Guard struct {
	id, name string
	control  guardControl
	rules    atomic.Pointer[rules]
	closed   atomic.Bool

	// Commits are counted under the generation in which they began. A new one
	// begins after new rules are in force, and when nobody is left in the one
	// before, nobody is left who went by the old rules.
	generation atomic.Uint64
	flights    [2][flightStripes]flight

	left bell // rings when a stripe of a generation is empty

	mu       sync.Mutex
	wanted   int64 // version of the transition to report once drained
	reported int64
	draining chan struct{} // closed when no generation is drained any more; nil: none is
}

// bell wakes those who wait for a condition, and costs those who ring it one load
// while nobody waits.
type bell struct {
	waiting atomic.Int32
	mu      sync.Mutex
	next    chan struct{} // closed by the next ring
}

// ring tells that the condition may hold.
func (b *bell) ring() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// await returns when the condition holds. Whoever makes it hold rings afterwards. The
// error is the cause of the end of the context.
func (b *bell) await(ctx context.Context, holds func() bool) error {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	for {
		b.mu.Lock()
		if b.next == nil {
			b.next = make(chan struct{})
		}
		next := b.next
		b.mu.Unlock()
		if holds() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// guardControl is what the guard needs of the control plane.
type guardControl interface {
	LeaseValid() bool
	Fenced() string
	Quiesced(version int64)
}

// rules are what commits go by.
type rules struct {
	smap    *meta.Smap
	pending *meta.PendingMap // nil: no transition is under way
	epoch   uint64
	frozen  map[wire.Bck]struct{} // buckets that get another name: nil, as a rule
}

const flightStripes = 64 // a power of two

// flight counts commits; it fills a cache line, so that two processors which
// count in different ones do not disturb each other.
type flight struct {
	n atomic.Int64
	_ [56]byte
}

// NewGuard returns the guard of a target. It lets nothing pass before Apply.
func NewGuard(name, id string, control guardControl) *Guard {
	g := &Guard{id: id, name: name, control: control}
	g.rules.Store(&rules{})
	return g
}

// Apply puts a new view into force. It never waits: when no commit is under
// way any more that was let through before, the transition that the view
// brings is reported.
func (g *Guard) Apply(view *meta.View) {
	g.rules.Store(&rules{smap: view.Smap, pending: view.Transition.Now(), epoch: view.Placement.Epoch(), frozen: frozenBuckets(view.BMD)})
	if view.Transition.Now() == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = view.Transition.Version
	if g.draining == nil && g.wanted != g.reported {
		g.draining = make(chan struct{})
		go g.drain(g.turn(), g.wanted)
	}
}

// frozenBuckets are those in which nothing may change, because their content is
// being given to a bucket of another name.
func frozenBuckets(bmd *meta.BMD) (frozen map[wire.Bck]struct{}) {
	for _, entry := range bmd.Buckets(func(_ wire.Bck, p *meta.Bprops) bool { return p.Renamed == wire.ActMoveBucket }) {
		if frozen == nil {
			frozen = map[wire.Bck]struct{}{}
		}
		frozen[entry.Bck] = struct{}{}
	}
	return frozen
}

// Quiesce returns when no commit is under way that went by rules before those
// in force. The error is that of the context.
func (g *Guard) Quiesce(ctx context.Context) error {
	for busy := g.beginDrain(); busy != nil; busy = g.beginDrain() {
		select {
		case <-busy:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	before := g.turn()
	done := make(chan struct{})
	go func() { // goes on when the context ends: the next turn needs it
		g.drained(before)
		g.endDrain()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// beginDrain lets nobody else begin a generation, and returns nil; else what is closed
// when another drain is over.
func (g *Guard) beginDrain() (busy <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining != nil {
		return g.draining
	}
	g.draining = make(chan struct{})
	return nil
}

// endDrain ends beginDrain, and does what was asked for meanwhile.
func (g *Guard) endDrain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted != g.reported {
		go g.drain(g.turn(), g.wanted)
		return
	}
	g.letDrain()
}

// letDrain tells that nothing is drained any more, under the lock.
func (g *Guard) letDrain() {
	close(g.draining)
	g.draining = nil
}

// drained returns when no commit of a generation is under way.
func (g *Guard) drained(generation *[flightStripes]flight) {
	_ = g.left.await(context.Background(), func() bool { return under(generation) == 0 }) // the context does not end
}

// Epoch is the placement epoch that stamps get.
func (g *Guard) Epoch() uint64 { return g.rules.Load().epoch }

// Begin implements core.Guard.
func (g *Guard) Begin(key core.Key, unameDigest uint64) (core.Ticket, error) {
	t := g.enter(unameDigest % flightStripes)
	if err := g.check(key, unameDigest); err != nil {
		g.leave(t)
		return 0, err
	}
	return t, nil
}

// enter counts a commit in the present generation.
func (g *Guard) enter(stripe uint64) core.Ticket {
	for {
		generation := g.generation.Load()
		t := core.Ticket(generation&1*flightStripes + stripe)
		g.flight(t).n.Add(1)
		if g.generation.Load() == generation {
			return t
		}
		g.leave(t) // it ended meanwhile: the drain may have missed this one
	}
}

func (g *Guard) flight(t core.Ticket) *flight { return &g.flights[t/flightStripes][t%flightStripes] }

func (g *Guard) leave(t core.Ticket) {
	if g.flight(t).n.Add(-1) == 0 {
		g.left.ring()
	}
}

// End implements core.Guard.
func (g *Guard) End(t core.Ticket) error {
	valid := g.control.LeaseValid()
	g.leave(t)
	if !valid {
		return apierr.Unavailable(time.Second, "%s: its owner lease ended while the object was being changed: the outcome is open", g.name)
	}
	return nil
}

// check tells whether a name may be changed now.
func (g *Guard) check(key core.Key, unameDigest uint64) error {
	if g.closed.Load() {
		return apierr.Unavailable(time.Second, "%s is stopping", g.name)
	}
	if why := g.control.Fenced(); why != "" {
		return apierr.Unavailable(10*time.Second, "%s may not write: %s", g.name, why)
	}
	r := g.rules.Load()
	if _, frozen := r.frozen[key.Bck]; frozen {
		return objreq.ErrRenaming(key.Bck)
	}
	owner, err := r.smap.Owner(unameDigest)
	switch {
	case err != nil:
		return err
	case owner.ID != g.id:
		return errNotOwner(g.name, key, owner, r.smap)
	}
	if r.pending != nil {
		if next := r.pending.Owner(unameDigest); next != g.id {
			return errNextOwner(g.name, key, next)
		}
	}
	if !g.control.LeaseValid() {
		return apierr.Unavailable(time.Second, "%s may not write: it has no owner lease, since the primary does not answer it", g.name)
	}
	return nil
}

// turn begins a generation and returns the commits of the one before, which
// must be over before the next turn.
func (g *Guard) turn() *[flightStripes]flight { return &g.flights[(g.generation.Add(1)-1)&1] }

// drain waits for the commits of a generation and reports, until there is
// nothing new to report.
func (g *Guard) drain(before *[flightStripes]flight, version int64) {
	for {
		g.drained(before)
		g.control.Quiesced(version)
		g.mu.Lock()
		g.reported = version
		if version == g.wanted {
			g.letDrain()
			g.mu.Unlock()
			return
		}
		before, version = g.turn(), g.wanted
		g.mu.Unlock()
	}
}

// under is how many commits of a generation are under way.
func under(generation *[flightStripes]flight) (n int64) {
	for i := range generation {
		n += generation[i].n.Load()
	}
	return n
}

// Close lets no further commit begin and waits for those under way; it tells
// whether none is left.
func (g *Guard) Close(ctx context.Context) bool {
	g.closed.Store(true)
	return g.left.await(ctx, func() bool { return under(&g.flights[0])+under(&g.flights[1]) == 0 }) == nil
}
