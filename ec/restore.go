package ec

import (
	"context"
	"errors"
	"io"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
)

// restoreID is a name in a bucket incarnation.
type restoreID struct {
	bid  uint64
	name string
}

// restoreRun is the rebuilding of one object, for which all who need it wait.
type restoreRun struct {
	done chan struct{}
	err  error
}

// Restore implements core.Slices: it rebuilds an object that this target owns from
// what others hold.
func (e *Engine) Restore(ctx context.Context, key core.Key) error {
	if !e.owns(key) {
		return apierr.ObjectNotFound(key.Cname())
	}
	id := restoreID{key.Props.BID, key.Name}
	e.mu.Lock()
	run := e.restores[id]
	mine := run == nil
	if mine {
		run = &restoreRun{done: make(chan struct{})}
		e.restores[id] = run
	}
	e.mu.Unlock()
	if !mine {
		select {
		case <-run.done:
			return run.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	run.err = e.restore(context.WithoutCancel(ctx), key) // others may wait for it
	e.mu.Lock()
	delete(e.restores, id)
	e.mu.Unlock()
	close(run.done)
	return run.err
}

// awaitRestore returns when no rebuilding of an object is under way that began
// before the call.
func (e *Engine) awaitRestore(ctx context.Context, key core.Key) {
	e.mu.Lock()
	run := e.restores[restoreID{key.Props.BID, key.Name}]
	e.mu.Unlock()
	if run == nil {
		return
	}
	select {
	case <-run.done:
	case <-ctx.Done():
	}
}

func (e *Engine) restore(ctx context.Context, key core.Key) (err error) {
	for range restoreAttempts {
		g := e.gather(ctx, key, false)
		if staged := e.beingStaged(key); !staged.IsZero() {
			g = g.without(staged)
		}
		var found *readable
		if found, err = e.choose(key, g); err == nil {
			err = e.rebuild(ctx, key, found, g)
		} else if apierr.IsNotFound(err) && redundant(key) && e.olderReadable(g) {
			// Who reads that it is gone must not read it again, whatever is lost next.
			if _, told := e.markAll(ctx, key, g.newest, core.SliceDeleted, false); told != nil && !errors.Is(told, errChanged) {
				err = apierr.Unavailable(retryAfter, "%s is being deleted: %v", key.Cname(), told)
			}
		}
		if !overtook(err) {
			break
		}
	}
	if err != nil && !apierr.IsNotFound(err) {
		e.logger.Warn("an object cannot be rebuilt", "object", key.Cname(), "err", err)
	}
	return err
}

// rebuild makes the object again, and notes that slices may be missing.
func (e *Engine) rebuild(ctx context.Context, key core.Key, found *readable, g *gathered) error {
	var first func(func() (io.ReadCloser, error)) error
	if redundant(key) && g.onlyStaged(found.object.LastChange()) {
		first = func(content func() (io.ReadCloser, error)) error { return e.complete(ctx, key, found, g, content) }
	}
	body, w := io.Pipe()
	go func() {
		err := e.decode(ctx, key, found, 0, found.object.Size, w)
		_ = w.CloseWithError(err) // always nil
	}()
	err := e.store.RestoreObject(ctx, key, &found.object, body, first)
	_ = body.CloseWithError(err) // always nil
	if err != nil {
		return unreadable(key, err)
	}
	e.logger.Info("an object was rebuilt", "object", key.Cname(), "size", found.object.Size, "from", found.shape.String())
	if e.onRestored != nil {
		e.onRestored(key, found.object.Size)
	}
	return e.store.Owe(ctx, core.WorkSlices, key)
}

// restoreAttempts is how often it is asked again what is held of an object that is
// overwritten or deleted while it is rebuilt.
const restoreAttempts = 3

// overtook tells that slices which were there a moment ago are not any more: the object
// was overwritten or deleted meanwhile.
func overtook(err error) bool {
	var few *TooFewError
	return errors.As(err, &few) && few.vanished
}

// unreadable names the object of which too few slices were whole.
func unreadable(key core.Key, err error) error {
	var few *TooFewError
	if !errors.As(err, &few) {
		return err
	}
	if few.vanished || apierr.StatusOf(few.Errs) == apierr.StatusServiceUnavailable {
		unavailable := apierr.Unavailable(retryAfter, "%s: %v", key.Cname(), few)
		unavailable.Cause = few
		return unavailable
	}
	return apierr.Wrap(err, apierr.StatusInternalServerError, "", "%s cannot be rebuilt", key.Cname())
}

// decode writes a range of a generation to w.
func (e *Engine) decode(ctx context.Context, key core.Key, found *readable, off, length int64, w io.Writer) error {
	sources := make(map[int]Source, len(found.byN))
	for n, p := range found.byN {
		sources[n] = func(ctx context.Context, off, length int64) (io.ReadCloser, error) {
			return e.read(ctx, p.id, key, p.Stamp, p.Number, off, length)
		}
	}
	return e.codec.Decode(ctx, found.shape, found.object.Size, sources, off, length, w, func(n int, err error) {
		p := found.byN[n]
		e.logger.Warn("a slice cannot be read", "object", key.Cname(), "slice", p.Number, "target", p.id, "err", err)
	})
}

// Content is an object that is read from its slices, without its owner.
type Content struct {
	core.Attrs
	e     *Engine
	key   core.Key
	found *readable
}

// Open finds what can be read of a name without its owner. With durability "redundant"
// nothing is that the owner, when it is back, may not know. Errors are those of core.Slices.Restore.
func (e *Engine) Open(ctx context.Context, key core.Key) (*Content, error) {
	g := e.gather(ctx, key, false)
	found, err := e.choose(key, g)
	if redundant(key) && (err == nil || apierr.IsNotFound(err)) {
		if why := e.undecided(g, found); why != "" {
			return nil, apierr.Unavailable(retryAfter, "%s: %s", key.Cname(), why)
		}
	}
	if err != nil {
		return nil, err
	}
	return &Content{Attrs: found.object, e: e, key: key, found: found}, nil
}

// WriteRange writes a range of the object; only the slices that are needed are
// read.
func (c *Content) WriteRange(ctx context.Context, off, length int64, w io.Writer) error {
	return unreadable(c.key, c.e.decode(ctx, c.key, c.found, off, length, w))
}

// Read implements core.Slices.
func (e *Engine) Read(ctx context.Context, key core.Key, attrs *core.Attrs, off, length int64, w io.Writer) error {
	found, err := e.choose(key, e.gather(ctx, key, false))
	if err != nil {
		return err
	}
	if !found.object.SameContent(attrs) {
		return apierr.Unavailable(retryAfter, "%s: the slices are not those of what is being read", key.Cname())
	}
	e.logger.Warn("an object is read on from its slices", "object", key.Cname(), "offset", off)
	return unreadable(key, e.decode(ctx, key, found, off, length, w))
}
