package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/core/meta"
)

// SetAside is for a target that was declared lost and comes back: it closes all
// buckets, has move take away what the mountpaths hold of them, and begins anew, with
// empty buckets. bmd are the buckets of the cluster, nil if they are not known yet.
// move is called with the function that it has to call when nothing is left there and
// before it notes that: listings must not remember what was. After an error all
// buckets stay closed, and SetAside is to be called again.
//
// It does not wait for readers: an open file is read to its end.
func (s *Store) SetAside(ctx context.Context, bmd *meta.BMD, move func(moved func() error) error) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if err := s.ClearMetadata(ctx, nil); err != nil {
		s.log.Warn("access times of before are not written", "err", err)
	}
	s.DropAppends(0)
	before := *s.buckets.Load()
	s.buckets.Store(&bucketTable{})
	for _, b := range before {
		b.end()
	}
	ids := make(map[uint64]bool, bmd.Len())
	for _, b := range before {
		ids[b.bid] = true
	}
	for _, entry := range bmd.Buckets(nil) {
		ids[entry.Props.BID] = true
	}
	if err := move(func() error { return s.indexing.forget(ctx, ids) }); err != nil {
		return err
	}
	s.meta.clear()
	wanted := make(bucketTable, bmd.Len())
	set := s.options.FS.Available()
	var errs []error
	for _, entry := range bmd.Buckets(nil) {
		b := newBucket(entry.Bck, entry.Props.BID, &s.pendingSignals)
		b.props.Store(entry.Props)
		for _, mp := range set.All() {
			errs = append(errs, mp.CreateBucket(b.bck))
			b.on(set, mp)
		}
		wanted[entry.Bck] = b
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.buckets.Store(&wanted)
	s.indexing.wakeAll()
	return nil
}

// forget says, durably, that the indexes of all mountpaths do not know what there
// is of some buckets: they are compared with the files before they are used again.
func (t *indexing) forget(ctx context.Context, ids map[uint64]bool) error {
	var errs []error
	for _, m := range *t.table.Load() {
		for id := range ids {
			m.ix.Doubt(id)
		}
		if err := m.ix.Checkpoint(ctx); err != nil && m.ix.Err() == nil { // else it is made anew
			errs = append(errs, m.mp.IOError("forget what was listed", err))
		}
	}
	return errors.Join(errs...)
}
