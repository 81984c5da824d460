package ec

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/memsys"
)

// passes is how many objects are read and sent stripe by stripe at the same time.
// Each of them needs all of its holders to go on. A holder takes more slices than
// that from one target at a time, so that they never wait for each other in a ring.
const passes = 12

// source is the content of a generation.
type source struct {
	key   core.Key
	attrs *core.Attrs
	open  func(ctx context.Context) (io.ReadCloser, error) // from its start, each time
	// spoilt is called when the content differs from its checksum: it goes to quarantine, or is restored
	// from what others hold. nil: nothing can be done.
	spoilt func(ctx context.Context) error
}

// stored is the content of a generation of this target's store. errChanged: it holds
// another one.
func (e *Engine) stored(key core.Key, attrs *core.Attrs) *source {
	return &source{
		key: key, attrs: attrs,
		open: func(ctx context.Context) (io.ReadCloser, error) {
			r, err := e.store.Open(ctx, key)
			if err != nil {
				return nil, err
			}
			err = errChanged
			if r.LastChange() == attrs.LastChange() {
				err = r.Prepare(ctx, 0, r.Size)
			}
			if err != nil {
				_ = r.Close() // was not read
				return nil, err
			}
			return &storedContent{io.NewSectionReader(r, 0, r.Size), r}, nil
		},
		spoilt: func(ctx context.Context) error { return e.store.CheckContent(ctx, key) },
	}
}

// storedContent is the content of an open object.
type storedContent struct {
	*io.SectionReader
	r *core.Reader
}

// Close implements io.Closer.
func (c *storedContent) Close() error { return c.r.Close() }

// received is the content of a generation that the store does not hold yet.
func received(key core.Key, attrs *core.Attrs, content func() (io.ReadCloser, error)) *source {
	return &source{key: key, attrs: attrs, open: func(context.Context) (io.ReadCloser, error) { return content() }}
}

// deliver makes the slices that are wanted and gives them to their sinks. failed are
// the errors of those; err: the object could not be read, or is not what it was.
func (e *Engine) deliver(ctx context.Context, from *source, shape Shape, sinks []Sink) (failed, err error) {
	if len(sinks) == 0 {
		return nil, nil
	}
	length := core.SliceLength(from.attrs.Size, shape.Data)
	if size := length + core.SliceSums(length); size <= memsys.MaxSlab && !from.key.Props.EC.DiskOnly && !e.memory.Tight() {
		return e.deliverHeld(ctx, from, shape, sinks, size)
	}
	select {
	case e.passing <- struct{}{}:
		defer func() { <-e.passing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return e.encode(ctx, from, shape, sinks, func(number int) (io.ReadCloser, error) {
		return e.anew(ctx, from, shape, number), nil
	})
}

// deliverHeld makes small slices in memory before any is sent. size is that of each
// with its checksums.
func (e *Engine) deliverHeld(ctx context.Context, from *source, shape Shape, sinks []Sink, size int64) (failed, err error) {
	held := make(map[int][]byte, len(sinks)) // by number; replicas are all the same
	var makers []Sink
	for i := range sinks {
		number := sinks[i].Number
		if held[number] != nil {
			continue
		}
		buf := e.memory.Get(max(size, 1))
		defer buf.Free()
		to := buf.Bytes()[:size:size]
		held[number] = to
		makers = append(makers, Sink{Number: number, Send: func(_ context.Context, body Body) error {
			r, err := body.Open()
			if err != nil {
				return err
			}
			_, err = io.ReadFull(r, to)
			return errors.Join(err, r.Close())
		}})
	}
	if failed, err := e.encode(ctx, from, shape, makers, nil); failed != nil || err != nil {
		return nil, errors.Join(failed, err)
	}
	errs := make([]error, len(sinks))
	var all sync.WaitGroup
	for i := range sinks {
		all.Go(func() { errs[i] = sinks[i].Send(ctx, heldBody(held[sinks[i].Number])) })
	}
	all.Wait()
	return joined(errs), nil
}

// anew makes one slice from the object once more, as it is read.
func (e *Engine) anew(ctx context.Context, from *source, shape Shape, number int) io.ReadCloser {
	ctx, cancel := context.WithCancelCause(ctx)
	body, w := io.Pipe()
	a := &anewBody{PipeReader: body, cancel: cancel, done: make(chan struct{})}
	e.logger.Debug("a slice is made once more: what was sent of it is lost", "object", from.key.Cname(), "slice", number)
	go func() {
		defer close(a.done)
		failed, err := e.encode(ctx, from, shape, []Sink{{Number: number, Send: func(_ context.Context, body Body) error {
			r, err := body.Open()
			if err != nil {
				return err
			}
			_, err = io.Copy(w, r)
			return errors.Join(err, r.Close())
		}}}, nil)
		_ = w.CloseWithError(errors.Join(failed, err)) // always nil
	}()
	return a
}

// anewBody is a slice that is made while it is read.
type anewBody struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// Close implements io.Closer.
func (a *anewBody) Close() error {
	_ = a.CloseWithError(errBodyOver) // always nil
	a.cancel(errBodyOver)
	<-a.done
	return nil
}

// encode reads the object and gives the wanted slices to their sinks. failed are
// the errors of those.
func (e *Engine) encode(ctx context.Context, from *source, shape Shape, sinks []Sink, again Again) (failed, err error) {
	r, err := from.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // was only read
	var content io.Reader = r
	want := from.attrs.Checksum
	var sum hash.Hash
	if !want.IsNone() {
		if sum, err = cksum.New(want.Type); err != nil {
			return nil, err
		}
		content = io.TeeReader(content, sum)
	}
	damaged := false
	all, err := e.codec.Encode(ctx, shape, content, from.attrs.Size, sinks, func() error {
		if sum == nil {
			return nil
		}
		if got := cksum.Sum(want.Type, sum); got.Value != want.Value {
			damaged = true
			return apierr.BadChecksum(got.Type, want.Value, got.Value, from.key.Cname())
		}
		return nil
	}, again)
	if damaged && from.spoilt != nil {
		if found := from.spoilt(ctx); found != nil {
			return nil, found
		}
	}
	return joined(all), err
}
