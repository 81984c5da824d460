package core

import (
	"context"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// MisplacedOptions selects names that another target owns.
type MisplacedOptions struct {
	Prefix string // names must begin with it
	Owns   func(unameDigest uint64) bool
	Page   int // names that are looked at in one step; <= 0: DefaultListLimit
}

// Misplaced calls visit for every name of a bucket of which this target holds
// anything, tombstones and noncurrent versions included, and that it does not
// own: in order, once or, with versions, twice. It goes through the listing
// indexes page by page, and holds one in memory. Names that come meanwhile may be
// left out. An error of visit ends it.
//
// Errors: 404 no such bucket; 500 I/O; 503 a mountpath is busy.
func (s *Store) Misplaced(ctx context.Context, bck wire.Bck, props *meta.Bprops, o MisplacedOptions, visit func(name string) error) error {
	if o.Page <= 0 {
		o.Page = DefaultListLimit
	}
	var uname []byte
	foreign := func(name string) bool {
		uname = bck.AppendUname(uname[:0], name)
		return !o.Owns(hrw.DigestBytes(uname))
	}
	for after := ""; ; {
		page, err := s.List(ctx, bck, props, ListOptions{Prefix: o.Prefix, After: after, Limit: o.Page, Stamps: true})
		if err != nil {
			return err
		}
		for i := range page {
			if foreign(page[i].Name) {
				if err := visit(page[i].Name); err != nil {
					return err
				}
			}
		}
		if len(page) < o.Page {
			break
		}
		after = page[len(page)-1].Name
	}
	if !s.mayHoldVersions(bck, props) {
		return nil
	}
	return s.misplacedVersions(ctx, bck, props, &o, foreign, visit)
}

// misplacedVersions visits names that have no current generation.
func (s *Store) misplacedVersions(
	ctx context.Context, bck wire.Bck, props *meta.Bprops, o *MisplacedOptions, foreign func(string) bool, visit func(string) error,
) error {
	opts := VersionListOptions{Prefix: o.Prefix, Limit: o.Page}
	for last := ""; ; {
		page, err := s.ListBucketVersions(ctx, bck, props, opts)
		if err != nil {
			return err
		}
		for i := range page {
			if v := &page[i]; !v.Current && v.Name != last && foreign(v.Name) {
				if err := visit(v.Name); err != nil {
					return err
				}
			}
			last = page[i].Name
		}
		if len(page) < o.Page {
			return nil
		}
		end := &page[len(page)-1]
		opts.After, opts.AfterStamp = end.Name, end.Attrs.Stamp
	}
}

// mayHoldVersions tells whether any mountpath may have noncurrent versions of a
// bucket.
func (s *Store) mayHoldVersions(bck wire.Bck, props *meta.Bprops) bool {
	b := s.bucket(bck, props)
	if b == nil {
		return false
	}
	set := s.options.FS.Available()
	for _, mp := range set.All() {
		if b.on(set, mp).mayHoldVersions(bck) {
			return true
		}
	}
	return false
}
