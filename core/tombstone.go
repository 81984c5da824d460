package core

import (
	"context"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// A tombstone is a record without content in the place of an object: the name
// was deleted here, and whatever another target still holds of it under a
// smaller stamp is no object. Reads and listings do not see tombstones, and a
// write replaces one as it replaces an object.

// kind is what the write leaves.
func (w *write) kind() Kind {
	switch {
	case w.tombstone:
		return KindTombstone
	case w.marker:
		return KindDeleteMarker
	case w.chunks != nil:
		return KindChunked
	}
	return KindObject
}

// Burial is what Bury has done.
type Burial struct {
	Stamp Stamp // of the tombstone
	// Final: no other target holds anything older. Else somebody who has left
	// the cluster may, or has not answered, and the tombstone is needed.
	Final bool
}

// Bury deletes a name and leaves a tombstone, whether or not there is an
// object, or a delete marker if there are noncurrent versions. It is as durable as a write, and earlier owners are told as of one.
// Errors are those of Put.
func (s *Store) Bury(ctx context.Context, key Key) (Burial, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Burial{}, err
	}
	if err := o.CheckWritable(); err != nil {
		return Burial{}, err
	}
	w := &write{s: s, object: o, opts: PutOptions{SkipVC: true}, sync: key.Props.SyncWrites(), tombstone: true}
	defer w.discard()
	attrs, err := w.commit(ctx)
	if err != nil {
		return Burial{}, w.fail(err)
	}
	return Burial{Stamp: attrs.Stamp, Final: !w.earlier.left}, nil
}

// Look returns what this target itself holds of a name: an object, a
// tombstone, or nothing (kind 0). Errors are those of Open.
func (s *Store) Look(ctx context.Context, key Key) (attrs Attrs, kind Kind, err error) {
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, 0, err
	}
	c, err := s.openOnce(ctx, &o, false)
	switch {
	case err != nil:
		return Attrs{}, 0, err
	case c.damage != nil:
		if c.file != nil {
			_ = c.file.Close() // it is not read
		}
		return Attrs{}, 0, c.damage
	case c.file == nil:
		return Attrs{}, 0, nil
	}
	attrs = c.attrs(s, &o)
	return attrs, c.rec.kind, c.file.Close()
}

// RemoveOlder removes what this target holds of a name if its stamp is smaller
// than one: the owner has a newer generation. Nothing of it is no error. It
// needs no permission of the guard, since it changes nothing for clients.
func (s *Store) RemoveOlder(ctx context.Context, key Key, than Stamp) error {
	return s.removeIf(ctx, key, func(r *record) bool { return r.stamp.Compare(than) < 0 })
}

// GiveUp is RemoveOlder at a former owner, which has not seen all that became of
// the name: a generation with a version id stays, since it may be a noncurrent
// version by now. It is moved to the owner, which knows.
func (s *Store) GiveUp(ctx context.Context, key Key, than Stamp) error {
	return s.removeIf(ctx, key, func(r *record) bool { return r.stamp.Compare(than) < 0 && r.flags&flagVersioned == 0 })
}

// Unbury removes a tombstone, if it is still the one with a stamp.
func (s *Store) Unbury(ctx context.Context, key Key, stamp Stamp) error {
	return s.removeIf(ctx, key, func(r *record) bool { return r.kind == KindTombstone && r.stamp == stamp })
}

func (s *Store) removeIf(ctx context.Context, key Key, when func(*record) bool) error {
	o, err := s.lockName(ctx, key, true)
	if err != nil {
		return err
	}
	defer s.unlock(&o, true)
	now, err := s.current(&o)
	if err != nil {
		return err
	}
	newest := now.newest()
	if newest == nil || !when(newest) {
		return nil
	}
	s.changed(&o)
	return s.removeAll(context.WithoutCancel(ctx), &o, &now)
}

// RemoveTombstones removes all tombstones of the buckets of a BMD: nobody
// holds an older object any more.
func (s *Store) RemoveTombstones(ctx context.Context, bmd *meta.BMD) error {
	for _, bucket := range bmd.Buckets(nil) {
		after := ""
		for {
			page, err := s.List(ctx, bucket.Bck, bucket.Props, ListOptions{After: after, Stamps: true})
			if apierr.StatusOf(err) == apierr.StatusNotFound {
				break // destroyed meanwhile
			}
			if err != nil {
				return err
			}
			for i := range page {
				if !page[i].Tombstone {
					continue
				}
				key := Key{Bck: bucket.Bck, Props: bucket.Props, Name: page[i].Name}
				err := s.removeIf(ctx, key, func(r *record) bool { return r.kind == KindTombstone })
				if err != nil && apierr.StatusOf(err) != apierr.StatusNotFound { // else destroyed meanwhile
					return err
				}
			}
			if len(page) < DefaultListLimit {
				break
			}
			after = page[len(page)-1].Name
		}
	}
	return nil
}
