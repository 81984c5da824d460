package metasync

import (
	"errors"
	"time"
)

// simDisk is the storage of a simulated node. Batches become durable one
// after another, some time after they were handed out; a crash keeps those
// before a random one of those that are under way.
type simDisk struct {
	queue   []simBatch
	busy    bool
	stalled bool  // nothing is finished
	fails   error // nothing is taken
}

type simBatch struct {
	number uint64
	writes []write
}

// errSimDisk is what a full disk says.
var errSimDisk = errors.New("no space left on device")

// flush stores what waits, as one write to the disk.
func (n *simNode) flush() {
	d := &n.disk
	if d.busy || d.stalled || len(d.queue) == 0 || n.m == nil {
		return
	}
	if d.fails != nil {
		d.busy = true
		life, why := n.life, d.fails
		n.s.after(0, func() {
			if n.life == life {
				n.input(func(m *machine) { m.saveFails(why.Error()) })
			}
		})
		n.s.after(time.Second, func() {
			if n.life == life {
				d.busy = false
				n.flush()
			}
		})
		return
	}
	d.busy = true
	count, life := len(d.queue), n.life
	n.s.after(n.s.random(n.s.diskDelay)+time.Microsecond, func() {
		if n.life != life {
			return
		}
		d.busy = false
		if d.stalled {
			return
		}
		last := d.queue[count-1].number
		n.persist(count)
		n.input(func(m *machine) { m.saved(last) })
		n.flush()
	})
}

// persist makes the first batches durable.
func (n *simNode) persist(count int) {
	for _, b := range n.disk.queue[:count] {
		n.store.apply(b.writes)
	}
	n.disk.queue = n.disk.queue[count:]
}

// crashDisk is what a crash leaves of the writes under way.
func (n *simNode) crashDisk() {
	if count := len(n.disk.queue); count > 0 && !n.disk.stalled && n.disk.fails == nil {
		n.persist(n.s.rng.IntN(count + 1))
	}
	n.disk.queue, n.disk.busy = nil, false
}

func (n *simNode) stallDisk() { n.disk.stalled = true }

func (n *simNode) repairDisk() {
	n.disk.stalled, n.disk.fails = false, nil
	n.flush()
}
