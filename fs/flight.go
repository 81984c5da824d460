package fs

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// flight counts the operations under way on one mountpath: how many there are,
// which is bounded, and how old those are that a disk answers at once when it
// answers at all. A request pays for it with a few atomic additions to counters
// of the mountpath.
//
// Ages are counted by generation, of which the manager's watch begins another
// every agesPerHang-th of Options.HangTime. An operation is as old, at least, as
// the end of the generation in which it began. While there are operations older
// than HangTime the mountpath hangs, and whoever wants to begin one is refused:
// else the requests for one disk would take the process's threads, one by one,
// and wait in vain.
type flight struct {
	_       [64]byte // what is read all the time lies before
	used    atomic.Int64
	waiting atomic.Int64  // for a slot
	freed   chan struct{} // one token: a slot is free, for one of them
	hung    atomic.Bool
	current atomic.Uint32
	begun   [generations]atomic.Int64 // operations under way by generation
	_       [64]byte

	ended [generations]time.Time // of the watch alone
}

const (
	agesPerHang = 8
	generations = 2 * agesPerHang
)

// Acquire takes one of the mountpath's slots for a disk operation. When all
// are taken it waits, at most Options.SlotWait, and then returns a 503: a disk
// that hangs must not take the process with it. One that is known to hang is
// 503 at once. Every nil is followed by one Release.
func (mp *Mountpath) Acquire(ctx context.Context) error {
	f := &mp.flight
	if f.hung.Load() {
		return mp.errHung()
	}
	if f.waiting.Load() == 0 && f.take(mp.limit) {
		return nil
	}
	return mp.acquireSlowly(ctx)
}

// Release gives the slot of an Acquire back.
func (mp *Mountpath) Release() {
	f := &mp.flight
	f.used.Add(-1)
	if f.waiting.Load() > 0 {
		f.wake()
	}
}

// InFlight is the number of disk operations under way.
func (mp *Mountpath) InFlight() int { return int(mp.flight.used.Load()) }

// Hung tells that operations of the mountpath have been under way for longer
// than Options.HangTime.
func (mp *Mountpath) Hung() bool { return mp.flight.hung.Load() }

// Begin notes that an operation begins that takes moments unless the disk
// hangs; it is not for flushes, which may take their time. The caller has a
// slot. It is followed by one End with what Begin returned.
func (mp *Mountpath) Begin() (age uint32) {
	age = mp.flight.current.Load()
	mp.flight.begun[age].Add(1)
	return age
}

// End ends what Begin began.
func (mp *Mountpath) End(age uint32) { mp.flight.begun[age].Add(-1) }

// Enter is Acquire and Begin. Every nil is followed by one Leave.
func (mp *Mountpath) Enter() (age uint32, err error) {
	if err := mp.Acquire(context.Background()); err != nil {
		return 0, err
	}
	return mp.Begin(), nil
}

// Leave is End and Release.
func (mp *Mountpath) Leave(age uint32) {
	mp.End(age)
	mp.Release()
}

// Gate counts and bounds the calls that may wait for a disk, see Mountpath.Enter.
type Gate interface {
	Enter() (age uint32, err error)
	Leave(age uint32)
}

// Gated is a File that has a say in the calls that read from it through its
// descriptor, and not by its methods: those of faultfs can fail them.
type Gated interface {
	// GateOf is the gate before that of the mountpath.
	GateOf(mountpath Gate) Gate
}

// GateOf is the gate of the calls, such as sendfile, that read from an open file of
// the mountpath through its descriptor.
func (mp *Mountpath) GateOf(f File) Gate {
	if gated, ok := f.(Gated); ok {
		return gated.GateOf(mp)
	}
	return mp
}

// take takes a slot if one is free.
func (f *flight) take(limit int64) bool {
	for {
		used := f.used.Load()
		if used >= limit {
			return false
		}
		if f.used.CompareAndSwap(used, used+1) {
			return true
		}
	}
}

// wake lets one of those that wait for a slot try again.
func (f *flight) wake() {
	select {
	case f.freed <- struct{}{}:
	default: // there is a token, and who takes it passes it on
	}
}

func (mp *Mountpath) acquireSlowly(ctx context.Context) error {
	f := &mp.flight
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	timer := time.NewTimer(mp.manager.options.SlotWait)
	defer timer.Stop()
	for {
		if f.take(mp.limit) {
			if f.used.Load() < mp.limit && f.waiting.Load() > 1 {
				f.wake()
			}
			return nil
		}
		select {
		case <-f.freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return apierr.Unavailable(time.Second, "%s is busy: %d disk operations in flight", mp.name, mp.limit)
		}
		if f.hung.Load() {
			f.wake() // nobody else of those that wait has to
			return mp.errHung()
		}
	}
}

func (mp *Mountpath) errHung() error {
	return apierr.Unavailable(time.Second, "%s does not answer: disk operations have been waiting for more than %s", mp.name, mp.manager.options.HangTime)
}

// age begins another generation and looks how old those before are. Only the
// watch calls it. It tells whether that has changed what Hung says.
func (f *flight) age(now time.Time, hangTime time.Duration) (changed bool) {
	current := f.current.Load()
	hung := false
	for i := range f.begun {
		// The present generation has not ended.
		if uint32(i) != current && f.begun[i].Load() > 0 && now.Sub(f.ended[i]) >= hangTime {
			hung = true
		}
	}
	// One that is to be used again must be over: else its old operations would
	// pass for new ones. By then they hang, so that hardly any begin.
	if next := (current + 1) % generations; f.begun[next].Load() == 0 {
		f.ended[current] = now
		f.current.Store(next)
	}
	return f.hung.Swap(hung) != hung
}

// ageAll looks for mountpaths that hang, or answer again.
func (m *Manager) ageAll(now time.Time) {
	for _, mp := range m.Available().All() {
		changed := mp.flight.age(now, m.options.HangTime)
		hung := mp.Hung()
		switch {
		case changed && hung:
			m.raise(Event{Kind: EventHung, Mountpath: mp.Path, Err: mp.errHung(), Message: "requests are refused until it answers"})
		case changed:
			m.log.Info("mountpath answers again", "mountpath", mp.Path)
		}
		if mp.hangs.counts(now, changed, hung, m.options.HangTime) {
			m.raise(Event{Kind: EventIOError, Mountpath: mp.Path, Err: errHangs, Message: mp.errHung().Error()})
		}
	}
}

const (
	// hangsLong is how many times HangTime a hang counts as a failure of the disk
	// (30 s of 5), and hangsOften so many of them within hangsWithin.
	hangsLong   = 6
	hangsOften  = 3
	hangsWithin = 10 * time.Minute
)

// errHangs: operations do not end for so long, or so often, that the disk cannot be
// relied on.
var errHangs = errors.New("the disk hangs")

// hangs remembers when a mountpath did not answer. Only the watch uses it.
type hangs struct {
	began []time.Time // of the last hangsOften
	told  bool        // of the present one
}

// counts tells whether the present hang speaks against the disk, once for each.
func (h *hangs) counts(now time.Time, changed, hung bool, hangTime time.Duration) bool {
	if !hung {
		h.told = false
		return false
	}
	if changed {
		if h.began = append(h.began, now); len(h.began) > hangsOften {
			h.began = h.began[1:]
		}
	}
	if h.told || len(h.began) == 0 {
		return false
	}
	// It had hung for a HangTime when that was noticed.
	long := now.Sub(h.began[len(h.began)-1]) >= (hangsLong-1)*hangTime
	often := len(h.began) == hangsOften && now.Sub(h.began[0]) < hangsWithin
	h.told = long || often
	return h.told
}
