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

// deliver makes the slices that are wanted and gives them to their sinks. failed are
// the errors of those; err: the object could not be read, or is not what it was.
func (e *Engine) deliver(ctx context.Context, key core.Key, attrs *core.Attrs, shape Shape, sinks []Sink) (failed, err error) {
	if len(sinks) == 0 {
		return nil, nil
	}
	length := core.SliceLength(attrs.Size, shape.Data)
	if size := length + core.SliceSums(length); size <= memsys.MaxSlab && !key.Props.EC.DiskOnly && !e.memory.Tight() {
		return e.deliverHeld(ctx, key, attrs, shape, sinks, size)
	}
	select {
	case e.passing <- struct{}{}:
		defer func() { <-e.passing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return e.encode(ctx, key, attrs, shape, sinks, func(number int) (io.ReadCloser, error) {
		return e.anew(ctx, key, attrs, shape, number), nil
	})
}

// deliverHeld makes small slices in memory before any is sent. size is that of each
// with its checksums.
func (e *Engine) deliverHeld(ctx context.Context, key core.Key, attrs *core.Attrs, shape Shape, sinks []Sink, size int64) (failed, err error) {
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
	if failed, err := e.encode(ctx, key, attrs, shape, makers, nil); failed != nil || err != nil {
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
func (e *Engine) anew(ctx context.Context, key core.Key, attrs *core.Attrs, shape Shape, number int) io.ReadCloser {
	ctx, cancel := context.WithCancelCause(ctx)
	body, w := io.Pipe()
	a := &anewBody{PipeReader: body, cancel: cancel, done: make(chan struct{})}
	e.logger.Debug("a slice is made once more: what was sent of it is lost", "object", key.Cname(), "slice", number)
	go func() {
		defer close(a.done)
		failed, err := e.encode(ctx, key, attrs, shape, []Sink{{Number: number, Send: func(_ context.Context, body Body) error {
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
func (e *Engine) encode(ctx context.Context, key core.Key, attrs *core.Attrs, shape Shape, sinks []Sink, again Again) (failed, err error) {
	r, err := e.store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // was only read
	if r.LastChange() != attrs.LastChange() {
		return nil, errChanged
	}
	if err := r.Prepare(ctx, 0, r.Size); err != nil {
		return nil, err
	}
	var content io.Reader = io.NewSectionReader(r, 0, r.Size)
	var sum hash.Hash
	if !attrs.Checksum.IsNone() {
		if sum, err = cksum.New(attrs.Checksum.Type); err != nil {
			return nil, err
		}
		content = io.TeeReader(content, sum)
	}
	damaged := false
	all, err := e.codec.Encode(ctx, shape, content, r.Size, sinks, func() error {
		if sum == nil {
			return nil
		}
		if got := cksum.Sum(attrs.Checksum.Type, sum); got.Value != attrs.Checksum.Value {
			damaged = true
			return apierr.BadChecksum(got.Type, attrs.Checksum.Value, got.Value, key.Cname())
		}
		return nil
	}, again)
	if damaged {
		// It goes to quarantine, or is restored from what others hold.
		if found := e.store.CheckContent(ctx, key); found != nil {
			return nil, found
		}
	}
	return joined(all), err
}
