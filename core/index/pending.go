package index

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
)

// Work is a kind of redundancy that a name may owe.
type Work uint8

// Kinds of work.
const (
	WorkCopies Work = 1 // copies on other mountpaths
	WorkSlices Work = 2 // slices or replicas on other targets

	maxWork = 3
)

// Pending work is keyed under a bucket id that no bucket has; see
// docs/on_disk_layout.md, section 8.2, for keys and values.
const (
	pendingBID     = math.MaxUint64
	pendingHead    = bidSize + 1 + bidSize
	pendingVersion = 1
	pendingValue   = 1 + VersionSize + 8

	// maxTracked bounds the entries that are counted one by one in memory, of
	// all kinds; of what is beyond, changes of one name count several times.
	maxTracked = 64 << 10
)

// Owed is one name with work that is pending.
type Owed struct {
	BID   uint64
	Name  string
	Stamp [VersionSize]byte // that the caller gave
	Since int64             // when it was added, nanoseconds since the epoch
}

// PendingStats tells how much work of one kind is pending.
type PendingStats struct {
	Count  int64 // names; more than that if there are more than can be counted one by one
	Oldest int64 // when the oldest was added, ns since the epoch; 0: nothing is pending, or not known
}

// pendingTable counts what is pending. Memory is bounded: names beyond are
// counted without being known.
type pendingTable struct {
	mu      sync.Mutex
	tracked map[uint64]tracked // by the hash of the key
	beyond  [maxWork]int64     // changes that are not tracked

	added       uint64 // changes so far
	addedBeyond uint64 // what added was at the last one that is not tracked
}

type tracked struct {
	bid   uint64
	since int64
	added uint64 // what pendingTable.added was at the last change
	work  Work
	none  bool // the name holds nothing
}

func (p *pendingTable) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracked, p.beyond = nil, [maxWork]int64{}
}

func (p *pendingTable) add(key []byte, work Work, o *Owed) {
	bid, since := o.BID, o.Since
	hash := xxhash.Sum64(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added++
	before, known := p.tracked[hash]
	switch {
	case known:
		since = min(since, before.since)
	case len(p.tracked) >= maxTracked:
		p.beyond[work]++
		p.addedBeyond = p.added
		return
	case p.tracked == nil:
		p.tracked = make(map[uint64]tracked)
	}
	p.tracked[hash] = tracked{bid: bid, since: since, added: p.added, work: work, none: o.Stamp == [VersionSize]byte{}}
}

// mark is what remove takes: the changes until now.
func (p *pendingTable) mark() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.added
}

// remove takes a key out, unless it was or may have been added after a mark.
func (p *pendingTable) remove(key []byte, work Work, mark uint64) bool {
	hash := xxhash.Sum64(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	t, known := p.tracked[hash]
	switch {
	case known && t.added > mark, !known && p.addedBeyond > mark:
		return false
	case known:
		delete(p.tracked, hash)
	default:
		p.beyond[work] = max(0, p.beyond[work]-1)
	}
	return true
}

func (p *pendingTable) stats(work Work) (s PendingStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Count = p.beyond[work]
	for _, t := range p.tracked {
		if t.work != work {
			continue
		}
		s.Count++
		if s.Oldest == 0 || t.since < s.Oldest {
			s.Oldest = t.since
		}
	}
	return s
}

// objects adds to counts, by the id of their bucket, the names with work of a kind
// that hold something.
func (p *pendingTable) objects(work Work, counts map[uint64]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tracked {
		if t.work == work && !t.none {
			counts[t.bid]++
		}
	}
}

// holds tells whether a key may be pending; sure is false if only the entry can
// tell.
func (p *pendingTable) holds(key []byte) (holds, sure bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tracked) > 0 {
		if _, holds = p.tracked[xxhash.Sum64(key)]; holds {
			return true, true
		}
	}
	for _, n := range p.beyond {
		if n > 0 {
			return false, false
		}
	}
	return false, true
}

// any tells that anything is pending, of any kind.
func (p *pendingTable) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.beyond {
		if n > 0 {
			return true
		}
	}
	return len(p.tracked) > 0
}

// drained is called when a whole pass has found no entry of a kind: what was
// counted without being known is none.
func (p *pendingTable) drained(work Work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beyond[work] = 0
}

func (p *pendingTable) drop(bid uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for hash, t := range p.tracked {
		if t.bid == bid {
			delete(p.tracked, hash)
		}
	}
}

func appendPendingHead(dst []byte, work Work, bid uint64) []byte {
	return appendBID(append(appendBID(dst, pendingBID), byte(work)), bid)
}

func appendPendingKey(dst []byte, work Work, bid uint64, name string) []byte {
	return append(appendEscaped(appendPendingHead(dst, work, bid), name), 0, terminator)
}

// parsePending reads a key and a value; ok is false for what is none.
func parsePending(key, value []byte) (o Owed, work Work, ok bool) {
	if len(key) < pendingHead || bidOf(key) != pendingBID || len(value) != pendingValue || value[0] != pendingVersion {
		return o, 0, false
	}
	work = Work(key[bidSize])
	o.BID = bidOf(key[bidSize+1:])
	name, current, ok := appendName(nil, key[bidSize+1:])
	o.Name = string(name)
	copy(o.Stamp[:], value[1:])
	o.Since = int64(binary.LittleEndian.Uint64(value[1+VersionSize:]))
	return o, work, ok && current && work > 0 && work < maxWork
}

// Owe notes that a name owes work of a kind. The value of the name is published
// after it: then whatever remembers that remembers the work. The caller orders
// the changes of one name. It never fails; an index that was given up forgets
// it, and the next one finds out by itself.
func (x *Index) Owe(work Work, o *Owed) {
	key := appendPendingKey(nil, work, o.BID, o.Name)
	value := append(make([]byte, 0, pendingValue), pendingVersion)
	value = append(value, o.Stamp[:]...)
	value = binary.LittleEndian.AppendUint64(value, uint64(o.Since))
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil || x.buckets.dropped(o.BID) {
		x.mu.Unlock()
		return
	}
	_ = x.queue.Set(key, value, nil) // of a plain batch it never fails
	x.pending.add(key, work, o)
	x.enqueued()
}

// Discharge ends the work that a name owes if the stamp is still the one given,
// and tells whether it is. What is noted again while it runs stays. No change of
// the name may be under way.
func (x *Index) Discharge(ctx context.Context, work Work, o *Owed) (bool, error) {
	key := appendPendingKey(nil, work, o.BID, o.Name)
	for {
		mark := x.pending.mark()
		now, found, err := x.owed(ctx, key)
		switch {
		case err != nil:
			return false, err
		case found && (now.Stamp != o.Stamp || now.Since > o.Since):
			return false, nil
		}
		done, err := x.discharge(work, key, found, mark)
		if done || err != nil {
			return done, err
		}
	}
}

// discharge takes an entry out that was read after a mark; false: it may have
// been noted again since.
func (x *Index) discharge(work Work, key []byte, found bool, mark uint64) (bool, error) {
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil {
		x.mu.Unlock()
		return false, ErrFailed
	}
	if !x.pending.remove(key, work, mark) {
		x.mu.Unlock()
		return false, nil
	}
	if found {
		_ = x.queue.Delete(key, nil)
	}
	x.enqueued()
	return true, nil
}

// owed reads an entry.
func (x *Index) owed(ctx context.Context, key []byte) (o Owed, found bool, err error) {
	if err := x.Sync(ctx); err != nil {
		return o, false, err
	}
	x.using.RLock()
	defer x.using.RUnlock()
	if x.closed {
		return o, false, ErrFailed
	}
	value, closer, err := x.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	o, _, found = parsePending(key, value)
	return o, found, closer.Close()
}

// Owes tells whether a name owes work of a kind.
func (x *Index) Owes(ctx context.Context, work Work, bid uint64, name string) (bool, error) {
	key := appendPendingKey(nil, work, bid, name)
	if holds, sure := x.pending.holds(key); sure {
		return holds, nil
	}
	_, found, err := x.owed(ctx, key)
	return found, err
}

// AnyOwed tells that there may be names that owe work.
func (x *Index) AnyOwed() bool { return x.pending.any() }

// OwedAfter returns up to limit names that owe work of a kind, in the order of
// bucket ids and names, beyond one (with the name "": from the first of its
// bucket on).
func (x *Index) OwedAfter(ctx context.Context, work Work, bid uint64, name string, limit int) (all []Owed, err error) {
	if err := x.Sync(ctx); err != nil {
		return nil, err
	}
	x.using.RLock()
	defer x.using.RUnlock()
	if x.closed {
		return nil, ErrFailed
	}
	lower := appendPendingHead(nil, work, bid)
	if name != "" {
		lower = append(appendEscaped(lower, name), 0, terminator+1)
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: pendingEnd(work)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok && len(all) < limit; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if o, _, ok := parsePending(it.Key(), value); ok {
			all = append(all, o)
		}
	}
	if len(all) == 0 && bid == 0 && name == "" && it.Error() == nil {
		x.pending.drained(work)
	}
	return all, it.Error()
}

// pendingEnd is greater than every key of a kind of work.
func pendingEnd(work Work) []byte { return append(appendBID(nil, pendingBID), byte(work)+1) }

// Pending tells how much work of a kind is pending.
func (x *Index) Pending(work Work) PendingStats { return x.pending.stats(work) }

// PendingObjects adds to counts, by the id of their bucket, the objects with
// pending work of a kind. Names that hold nothing, and those beyond 64 Ki, are not counted.
func (x *Index) PendingObjects(work Work, counts map[uint64]int64) { x.pending.objects(work, counts) }

// loadPending counts what another process has left.
func (x *Index) loadPending() (err error) {
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: appendBID(nil, pendingBID)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if o, work, ok := parsePending(it.Key(), value); ok {
			x.pending.add(it.Key(), work, &o)
		}
	}
	return it.Error()
}

// forgetOwed drops the work of a destroyed bucket; under mu.
func (x *Index) forgetOwed(bid uint64) {
	for work := Work(1); work < maxWork; work++ {
		_ = x.queue.DeleteRange(appendPendingHead(nil, work, bid), appendPendingHead(nil, work, bid+1), nil)
	}
	x.pending.drop(bid)
}
