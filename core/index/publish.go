package index

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/aistore-go/aistore/core/journal"
	"github.com/aistore-go/aistore/fs"
)

// Ticket is a change of a name that began. Publish, Remove or Abandon ends it.
// The zero value is one of which nothing has to be ended.
type Ticket struct {
	index     *Index
	pin       journal.Pin
	unflushed *unflushed
}

func (t Ticket) release() {
	t.pin.Release()
	t.unflushed.end()
}

// Index is the index in which the change began, nil for the zero value.
func (t Ticket) Index() *Index { return t.index }

// Journal is what has to be flushed before the change takes place, if that is to
// be durable; nil: nothing. It is valid until the ticket ends.
func (t Ticket) Journal() fs.File { return t.pin.File() }

// Begin writes a frame of the journal: a name is about to change. Before it does,
// the caller flushes the frame (see Journal), unless nobody will wait until the
// change itself is on stable storage: then durable is false. A frame that cannot
// be written means that the index is not believed after a crash, and nothing to
// the change.
func (x *Index) Begin(op journal.Op, bid uint64, name string, durable bool) Ticket {
	if x.failure.Load() != nil || x.untracked.Load() {
		return Ticket{index: x}
	}
	pin, err := x.journal.Append(op, bid, name)
	if err != nil {
		x.log.Warn("commit journal cannot be written: after a crash the index is made again", "dir", x.options.JournalDir, "err", err)
		x.untrack()
	}
	t := Ticket{index: x, pin: pin}
	if !durable {
		t.unflushed = x.markUnflushed(bid)
	}
	return t
}

// Cancel ends a change that did not take place.
func (x *Index) Cancel(t Ticket) { t.release() }

// Distrust says that what was flushed may not be on stable storage: the index is
// not believed after a crash.
func (x *Index) Distrust() {
	if x.failure.Load() == nil {
		x.untrack()
	}
}

// Publish says that the name has an object with a listing entry now. A List
// that begins after it sees that.
func (x *Index) Publish(t Ticket, bid uint64, name string, value []byte) {
	x.Set(bid, name, value)
	x.settled(bid, name)
	t.release()
}

// Remove says that the name has no object any more.
func (x *Index) Remove(t Ticket, bid uint64, name string) {
	x.Set(bid, name, nil)
	x.settled(bid, name)
	t.release()
}

// Abandon says that the effect of a change is not known: the bucket is not
// listed from the index until Settle says what the name has.
func (x *Index) Abandon(t Ticket, bid uint64, name string) {
	x.buckets.doubt(bid, name, t.pin, false)
	t.unflushed.end()
}

// Settle says what an unsure name has (nil: nothing) and ends the doubt.
func (x *Index) Settle(bid uint64, name string, value []byte) { x.Publish(Ticket{}, bid, name, value) }

func (x *Index) settled(bid uint64, name string) {
	if x.buckets.settled(bid, name) && x.replayed.Add(-1) == 0 {
		signal(x.checkpoint) // the segments of earlier processes can go
	}
}

// Unsure returns up to limit names of a bucket that have to be looked at.
func (x *Index) Unsure(bid uint64, limit int) []string { return x.buckets.some(bid, limit) }

// Set writes an entry, or with nil removes it.
func (x *Index) Set(bid uint64, name string, value []byte) {
	size := keyLength(name)
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil || x.buckets.dropped(bid) {
		x.mu.Unlock()
		return
	}
	if value == nil {
		op := x.queue.DeleteDeferred(size)
		appendKey(op.Key[:0], bid, name)
		_ = op.Finish() // of a plain batch it never fails
	} else {
		op := x.queue.SetDeferred(size, len(value))
		appendKey(op.Key[:0], bid, name)
		copy(op.Value, value)
		_ = op.Finish()
	}
	x.enqueued()
}

// enqueued ends an addition to the queue, and gives the lock back.
func (x *Index) enqueued() {
	queued := x.queue.Len()
	x.mu.Unlock()
	if queued >= applyBytes {
		signal(x.wake)
		if queued > maxQueued {
			x.fail(errors.New("it does not keep up with the changes"))
		}
	}
}

// Sync waits until everything that was published is visible to iterators.
func (x *Index) Sync(ctx context.Context) error {
	x.mu.Lock()
	if err := x.Err(); err != nil {
		x.mu.Unlock()
		return err
	}
	if x.ended || x.queue.Empty() && !x.applying {
		x.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	x.waiters = append(x.waiters, done)
	x.mu.Unlock()
	signal(x.wake)
	select {
	case <-done:
		return x.Err()
	case <-x.failed:
		return x.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply writes what is published into the library, until the end.
func (x *Index) apply() {
	spare := x.db.NewBatchWithSize(applyBytes)
	for {
		select {
		case <-x.wake:
		case <-x.ending:
			return
		case <-x.failed:
			return
		}
		for {
			x.mu.Lock()
			waiters := x.waiters
			if x.queue.Empty() && len(waiters) == 0 {
				x.mu.Unlock()
				break
			}
			batch := x.queue
			x.queue, x.waiters, x.applying = spare, nil, true
			x.mu.Unlock()
			err := x.applyBatch(batch)
			x.mu.Lock()
			x.applying = false
			x.mu.Unlock()
			if err != nil {
				x.fail(err)
				return
			}
			for _, waiter := range waiters {
				close(waiter)
			}
			spare = batch
			if cap(batch.Repr()) > 4*applyBytes {
				_ = batch.Close() // gives its memory back
				spare = x.db.NewBatchWithSize(applyBytes)
			} else {
				spare.Reset()
			}
		}
	}
}

func (x *Index) applyBatch(batch *pebble.Batch) error {
	if batch.Empty() {
		return nil
	}
	if x.unflushed.Add(int64(batch.Len())) > maxUnflushed {
		return errors.New("its disk does not take it")
	}
	return x.db.Apply(batch, pebble.NoSync)
}

// Ready tells that a bucket can be listed from the index.
func (x *Index) Ready(bid uint64) bool { return x.failure.Load() == nil && x.buckets.ready(bid) }

// Completed tells that every name of a bucket is in the index, though some may
// be unsure.
func (x *Index) Completed(bid uint64) bool {
	return x.failure.Load() == nil && x.buckets.complete(bid)
}

// Unclean tells that the process before was killed: the index holds what the
// journal and the files say.
func (x *Index) Unclean() bool { return x.unclean }

// Doubts is how often Doubt was called for a bucket; see Complete.
func (x *Index) Doubts(bid uint64) uint64 { return x.buckets.doubts(bid) }

// Complete says that every name of a bucket is in the index, unless somebody has
// doubted that since Doubts was what is given. Names that were Set without a
// Begin must be on stable storage (see Checkpoint): after the end of the process
// the journal alone brings back what was not.
func (x *Index) Complete(bid, doubts uint64) {
	x.completing.Lock()
	defer x.completing.Unlock()
	if x.buckets.doubts(bid) != doubts {
		return
	}
	t := x.Begin(journal.Bucket, bid, "", true)
	defer t.pin.Release()
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil || x.buckets.dropped(bid) {
		x.mu.Unlock()
		return
	}
	_ = x.queue.Set(appendMark(nil, bid), nil, nil) // of a plain batch it never fails
	x.buckets.setComplete(bid, true)
	x.enqueued()
}

// Doubt says that names of a bucket may be missing, or be too many.
func (x *Index) Doubt(bid uint64) {
	x.completing.Lock()
	defer x.completing.Unlock()
	t := x.Begin(journal.Doubted, bid, "", true)
	defer t.pin.Release()
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil || x.buckets.dropped(bid) {
		x.mu.Unlock()
		return
	}
	_ = x.queue.Delete(appendMark(nil, bid), nil)
	x.buckets.incomplete(bid)
	x.enqueued()
}

// DropBucket forgets a bucket that was destroyed.
func (x *Index) DropBucket(bid uint64) {
	if n := x.buckets.drop(bid); n > 0 && x.replayed.Add(-n) == 0 {
		signal(x.checkpoint)
	}
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil {
		x.mu.Unlock()
		return
	}
	_ = x.queue.DeleteRange(appendBID(nil, bid), appendPast(nil, bid, ""), nil)
	x.forgetOwed(bid)
	x.enqueued()
}
