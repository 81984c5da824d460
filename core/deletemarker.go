package core

import (
	"context"
)

// A delete marker is a generation without content: the name does not exist, but
// what it was before may be read by its version id.

// IsDeleted tells records of names that do not exist: readers get a 404.
func (k Kind) IsDeleted() bool { return k == KindTombstone || k == KindDeleteMarker }

// PutDeleteMarker makes a delete marker the current generation of a name,
// whether or not there is an object, and keeps what it replaces as keep says.
// It is as durable as a write. Errors are those of Put.
func (s *Store) PutDeleteMarker(ctx context.Context, key Key, keep Keep) (Attrs, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	if err := o.CheckWritable(); err != nil {
		return Attrs{}, err
	}
	w := &write{s: s, object: o, opts: PutOptions{SkipVC: true, Keep: keep}, sync: key.Props.SyncWrites(), marker: true}
	defer w.discard()
	attrs, err := w.commit(ctx)
	if err != nil {
		return Attrs{}, w.fail(err)
	}
	return attrs, nil
}

// replaceByMarker removes the current generation of a name that has noncurrent
// versions: a delete marker takes its place, so that none of them comes to
// light. It is called under the exclusive lock and under the guard.
func (s *Store) replaceByMarker(ctx context.Context, o *object, now *existing) error {
	w := &write{s: s, object: *o, opts: PutOptions{SkipVC: true}, sync: o.Props.SyncWrites(), marker: true}
	defer w.discard()
	rec, err := w.nextRecord(now)
	if err != nil {
		return err
	}
	if err := w.fileOf(ctx, &rec, w.sync); err != nil {
		return w.fail(err)
	}
	if err := w.close(); err != nil {
		return w.fail(err)
	}
	if err := w.place(ctx, now, &rec); err != nil {
		return w.fail(err)
	}
	return nil
}
