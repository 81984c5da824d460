package core

import (
	"context"
	"errors"
	"time"

	"github.com/aistore-go/aistore/core/index"
	fsys "github.com/aistore-go/aistore/fs"
)

// The pending set is the names whose copies or slices have to be made, or
// looked after, in the order in which they lie in the listing indexes. An entry
// appears with the commit of a name and costs no flush: whatever brings the name
// back after a crash brings the entry back (docs/on_disk_layout.md, section
// 8.2). It is not removed before somebody says that the work is done, so a
// worker must be able to find it done already.
//
// A worker goes like this:
//
//	var at core.PendingCursor
//	for {
//		batch, next, err := store.Pending(ctx, core.WorkCopies, at, 256)
//		for i := range batch {
//			if do(ctx, &batch[i]) == nil { store.PendingDone(ctx, core.WorkCopies, &batch[i]) }
//		}
//		if at = next; at.AtEnd() { // wait for store.PendingSignal, or a while if something has failed
//		}
//	}

// Work is a kind of redundancy that a name may owe.
type Work = index.Work

// Kinds of work.
const (
	WorkCopies = index.WorkCopies // copies on other mountpaths of this target
	WorkSlices = index.WorkSlices // slices or replicas on other targets
)

// Pending is a name that owes work.
type Pending struct {
	Key                // with the properties that its bucket has now
	Stamp    Stamp     // of the generation that owes it; zero: the name held nothing
	Since    time.Time // when it was added, or added again after a crash
	location *fsys.Mountpath
	entry    index.Owed
}

// PendingCursor is a position in the pending set. The zero value is the start.
type PendingCursor struct {
	mp   *fsys.Mountpath
	bid  uint64
	name string
	end  bool
}

// AtEnd tells that nothing was beyond; the cursor then goes on at the start.
func (c *PendingCursor) AtEnd() bool { return c.end }

// Pending returns up to limit names that owe work of a kind, beyond a cursor, and
// the cursor beyond them. Fewer than the limit are no end: see
// PendingCursor.AtEnd. What is owed on a mountpath without an index is not among
// them; when it has one again, all of its names that may owe something are.
func (s *Store) Pending(ctx context.Context, work Work, at PendingCursor, limit int) (batch []Pending, next PendingCursor, err error) {
	all := s.options.FS.Available().All()
	from := 0
	for i, mp := range all {
		if mp == at.mp && !at.end {
			from = i
		}
	}
	if len(all) == 0 || at.end || all[from] != at.mp {
		at = PendingCursor{}
	}
	buckets := s.bucketsByID()
	for _, mp := range all[from:] {
		ix := s.indexing.of(mp)
		if ix == nil {
			continue
		}
		next = PendingCursor{mp: mp}
		if mp == at.mp {
			next = at
		}
		for more := true; more; {
			found, err := ix.OwedAfter(ctx, work, next.bid, next.name, limit)
			if err != nil && !errors.Is(err, index.ErrFailed) {
				return nil, PendingCursor{}, err
			}
			for _, o := range found {
				next.bid, next.name = o.BID, o.Name
				if b := buckets[o.BID]; b != nil { // else it is about to be forgotten
					batch = append(batch, Pending{
						Key: Key{Bck: b.bck, Props: b.props.Load(), Name: o.Name}, Stamp: decodeStamp(o.Stamp[:]), Since: time.Unix(0, o.Since), location: mp, entry: o,
					})
				}
			}
			if len(batch) > 0 {
				return batch, next, nil
			}
			more = len(found) == limit
		}
	}
	return nil, PendingCursor{end: true}, nil
}

// bucketsByID is the buckets of now.
func (s *Store) bucketsByID() map[uint64]*bucket {
	table := *s.buckets.Load()
	byID := make(map[uint64]*bucket, len(table))
	for _, b := range table {
		byID[b.bid] = b
	}
	return byID
}

// PendingDone ends the work that a name owed, unless it has changed since: then
// it owes it for what it is now, and done is false. It takes the name lock.
func (s *Store) PendingDone(ctx context.Context, work Work, p *Pending) (done bool, err error) {
	o, err := s.resolve(p.Key)
	if err != nil {
		return false, err
	}
	if err := s.locks.lock(ctx, o.digest, false); err != nil {
		return false, err
	}
	defer s.locks.unlock(o.digest, false)
	ix := s.indexing.of(p.location)
	if ix == nil {
		return false, nil
	}
	done, err = ix.Discharge(ctx, work, &p.entry)
	if errors.Is(err, index.ErrFailed) {
		return false, nil // the next index finds out by itself
	}
	return done, err
}

// Owe notes that a name owes work that nobody has committed: somebody has found
// a copy or a slice missing. It takes the name lock. Errors are those of Open,
// but for a name that holds nothing, which owes nothing.
func (s *Store) Owe(ctx context.Context, work Work, key Key) error {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return err
	}
	defer s.unlock(&o, false)
	now, err := s.here(&o)
	if err != nil || !now.found {
		return err
	}
	owed := owed{stamp: now.rec.stamp}
	owed.work[work] = true
	owed.note(s.indexing.of(o.mp), &o)
	s.pendingSignals.wake(&owed)
	return nil
}

// IsPending tells whether a name owes work of a kind; without an index of its
// mountpath it may.
func (s *Store) IsPending(ctx context.Context, work Work, key Key) bool {
	o, err := s.resolve(key)
	return err == nil && s.owesNow(ctx, work, &o)
}

func (s *Store) owesNow(ctx context.Context, work Work, o *object) bool {
	ix := s.indexing.of(o.mp)
	if ix == nil {
		return true
	}
	owes, err := ix.Owes(ctx, work, o.bucket.bid, o.Name)
	return owes || err != nil
}

// pendingCopies tells that names on a mountpath owe copies, or may.
func (s *Store) pendingCopies(mp *fsys.Mountpath) bool {
	ix := s.indexing.of(mp)
	return ix == nil || ix.AnyOwed()
}

// PendingStats is how much work of a kind is pending on all mountpaths.
type PendingStats struct {
	Count  int64     // names; an upper bound if there are more than 64 Ki on a mountpath
	Oldest time.Time // when the oldest of them was added; zero: none is known
}

// PendingStats tells how much work of a kind is pending. It touches no disk.
func (s *Store) PendingStats(work Work) (sum PendingStats) {
	for _, m := range *s.indexing.table.Load() {
		p := m.ix.Pending(work)
		sum.Count += p.Count
		if at := time.Unix(0, p.Oldest); p.Oldest != 0 && (sum.Oldest.IsZero() || at.Before(sum.Oldest)) {
			sum.Oldest = at
		}
	}
	return sum
}

// PendingObjects counts the objects with pending work of a kind, by the id of
// their bucket: at most 64 Ki on each mountpath. It touches no disk.
func (s *Store) PendingObjects(work Work) map[uint64]int64 {
	counts := map[uint64]int64{}
	for _, m := range *s.indexing.table.Load() {
		m.ix.PendingObjects(work, counts)
	}
	return counts
}

// PendingSignal gets a value when a name has come to owe work of a kind since
// the value before was taken. It has one receiver.
func (s *Store) PendingSignal(work Work) <-chan struct{} { return s.pendingSignals[work] }

// pendingSignals wakes the workers, one of each kind of work.
type pendingSignals [WorkSlices + 1]chan struct{}

func newPendingSignals() (p pendingSignals) {
	for i := range p {
		p[i] = make(chan struct{}, 1)
	}
	return p
}

func (p *pendingSignals) wake(o *owed) {
	for work, is := range o.work {
		if is {
			select {
			case p[work] <- struct{}{}:
			default:
			}
		}
	}
}

// owed is what a name owes with what it holds now.
type owed struct {
	work  [WorkSlices + 1]bool
	stamp Stamp
	wake  *pendingSignals
}

// owes tells what a name owes that holds a record on a mountpath, or with nil
// nothing any more.
func (b *bucket) owes(rec *record, mountpath string) (o owed) {
	o.wake = b.signals
	props := b.props.Load()
	sliced := props != nil && props.EC.Enabled
	if rec == nil {
		o.work[WorkSlices] = sliced
		return o
	}
	mirrored := props != nil && props.Mirror.Enabled
	if !sliced && !mirrored && len(rec.copies) == 0 || rec.isReplica(mountpath) {
		return o
	}
	o.stamp = rec.stamp
	o.work[WorkCopies], o.work[WorkSlices] = mirrored || len(rec.copies) > 0, sliced
	return o
}

// note adds what is owed to the index in which the name is about to be
// published, nil for none.
func (o *owed) note(ix *index.Index, name *object) {
	if ix == nil || !o.work[WorkCopies] && !o.work[WorkSlices] {
		return
	}
	entry := index.Owed{BID: name.bucket.bid, Name: name.Name, Since: time.Now().UnixNano()}
	o.stamp.append(entry.Stamp[:0])
	for work, is := range o.work {
		if is {
			ix.Owe(Work(work), &entry)
		}
	}
	if o.wake != nil {
		o.wake.wake(o)
	}
}
