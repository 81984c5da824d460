package index

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// closeWait bounds the closing of an index that was given up: its library may
// wait for a disk that hangs.
const closeWait = 2 * time.Second

// checkpoints makes a checkpoint whenever a segment of the journal is full.
func (x *Index) checkpoints() {
	for {
		select {
		case <-x.checkpoint:
			if err := x.Checkpoint(context.Background()); err != nil {
				x.log.Debug("no checkpoint of the index", "dir", x.options.Dir, "err", err)
			}
		case <-x.ending:
			return
		case <-x.failed:
			return
		}
	}
}

// Checkpoint writes the index to stable storage and removes the segments of the
// journal that say nothing new.
func (x *Index) Checkpoint(ctx context.Context) error {
	x.checkpointing.Lock()
	defer x.checkpointing.Unlock()
	if err := x.flushUnflushed(); err != nil {
		return err
	}
	settled, old := x.journal.Settled(), x.replayed.Load() == 0
	if err := x.flush(ctx); err != nil {
		return err
	}
	err := x.journal.Remove(settled)
	if old && err == nil {
		if err = x.dropOld(); err == nil {
			err = x.settleState()
		}
	}
	return err
}

// settleState says that what a loss of power took is made good.
func (x *Index) settleState() error {
	x.stating.Lock()
	defer x.stating.Unlock()
	if x.state.BootID == x.options.BootID || x.untracked.Load() || x.failure.Load() != nil {
		return nil
	}
	x.state.BootID = x.options.BootID
	return writeState(x.options.System, x.options.JournalDir, x.state)
}

func (x *Index) dropOld() error { return x.journal.DropOld() }

// flush writes everything that was published before to stable storage.
func (x *Index) flush(ctx context.Context) error {
	if err := x.Sync(ctx); err != nil {
		return err
	}
	done, err := x.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-done:
		return x.Err()
	case <-x.failed:
		return x.Err()
	case <-x.ending:
		return ErrFailed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes the index and closes it. If every change has ended and no name
// is unsure, the next process believes it as it is. Changes must have ended.
func (x *Index) Close(ctx context.Context) error {
	var err error
	x.closeOnce.Do(func() { err = x.close(ctx) })
	return err
}

func (x *Index) close(ctx context.Context) error {
	flushed := x.flush(ctx)
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	close(x.ending)
	if x.believed.Load() {
		x.removeState()
	}
	if x.Err() != nil {
		x.closeFailed()
		return nil //nolint:nilerr // it was told when it happened
	}
	x.workers.Wait()
	err := x.closeDB()
	// What is unsure, or was not journaled, has to be looked at by the next
	// process.
	end := flushed == nil && err == nil && x.buckets.unsure.Load() == 0 && !x.untracked.Load()
	if end {
		// Objects that were written without a flush must not be lost while
		// the index remembers them.
		if err := syncAll(x.options.System, x.options.JournalDir); err != nil {
			x.log.Warn("the index will be checked at the next start", "dir", x.options.Dir, "err", err)
			end = false
		}
	}
	err = errors.Join(err, x.journal.Close(end))
	if end {
		x.state.State = clean
		err = errors.Join(err, writeState(x.options.System, x.options.JournalDir, x.state))
	}
	if err != nil {
		return fmt.Errorf("index %s: %w", x.options.Dir, err)
	}
	return nil
}

// closeDB closes the library once no iterator uses it.
func (x *Index) closeDB() error {
	x.using.Lock()
	defer x.using.Unlock()
	x.closed = true
	return errors.Join(x.queue.Close(), x.db.Close())
}

// closeFailed closes an index that was given up, as far as that goes.
func (x *Index) closeFailed() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				x.log.Debug("index not closed cleanly", "dir", x.options.Dir, "panic", fmt.Sprint(r))
			}
		}()
		x.workers.Wait()
		if err := x.closeDB(); err != nil {
			x.log.Debug("index not closed cleanly", "dir", x.options.Dir, "err", err)
		}
	}()
	if err := x.journal.Close(false); err != nil {
		x.log.Debug("journal not closed cleanly", "dir", x.options.JournalDir, "err", err)
	}
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
