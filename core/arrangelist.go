package core

import (
	"context"
	"errors"
	"slices"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// Unarranged calls visit with the names of a bucket that have, or may have,
// something on a mountpath that belongs elsewhere under a set, or of which copies
// may be missing: in order, each once, from the listing index if that is ready.
// Whoever arranges all of them on all mountpaths, and then those of
// UploadsOf and SlicesOf, has arranged the bucket. No more than a page is in memory. A
// mountpath that is out of use has none, and so has a bucket that is gone.
func (s *Store) Unarranged(ctx context.Context, set *fsys.Set, mp *fsys.Mountpath, entry meta.BucketEntry, visit func(Key) error) error {
	after := ""
	for {
		b := s.bucket(entry.Bck, entry.Props)
		if b == nil || !set.Has(mp) {
			return nil
		}
		names, last, err := s.unarrangedPage(ctx, set, mp, b, entry, after)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := visit(Key{Bck: entry.Bck, Props: entry.Props, Name: name}); err != nil {
				return err
			}
		}
		if last == "" {
			return nil
		}
		after = last
	}
}

// arrangePage is how many names are looked at for a page.
const arrangePage = 4096

// unarrangedPage returns the names beyond one that are to be arranged, and the
// last that was looked at; "" if there are no more.
func (s *Store) unarrangedPage(ctx context.Context, set *fsys.Set, mp *fsys.Mountpath, b *bucket, entry meta.BucketEntry, after string) (names []string, last string, err error) {
	ix := s.indexing.of(mp)
	if ix == nil || !ix.Ready(b.bid) {
		w := verifyWalk{s: s, ctx: ctx}
		w.opts.batch = arrangePage
		names, err = w.next(entry, mp, after, map[string]error{})
		if len(names) == arrangePage {
			last = names[len(names)-1]
		}
		return names, last, err
	}
	if err := ix.Sync(ctx); err != nil {
		return nil, "", err
	}
	it, err := ix.IterateFrom(b.bid, "", after)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var uname []byte
	current, seen := "", 0
	for {
		e, ok, err := it.NextEntry()
		if err != nil || !ok {
			if err != nil {
				ix.GiveUp(err)
			}
			return names, "", err
		}
		if string(e.Name) != current {
			if seen++; seen > arrangePage {
				return names, current, nil
			}
			current = string(e.Name)
		}
		if n := len(names); current == after || n > 0 && names[n-1] == current {
			continue
		}
		var v entryValue
		uname = b.bck.AppendUname(uname[:0], current)
		if !v.decodeHead(e.Value) || s.mayBeMisplaced(set, mp, b, hrw.DigestBytes(uname), &v) {
			names = append(names, current)
		}
	}
}

// mayBeMisplaced tells from a value of the index whether a name is to be looked
// at.
func (s *Store) mayBeMisplaced(set *fsys.Set, mp *fsys.Mountpath, b *bucket, digest uint64, v *entryValue) bool {
	owner := set.Owner(digest)
	props := b.props.Load()
	if mp != owner || v.kind == KindChunked {
		return mp != owner && (v.flags&valueReplica == 0 || !slices.Contains(copyHomes(set, digest, props.Mirror.Copies), mp) || !props.Mirror.Enabled) ||
			v.kind == KindChunked
	}
	return props.Mirror.Enabled && !v.kind.IsDeleted() || v.flags&valueReplica != 0 || !v.details(false) || v.copies > 0
}

// UploadsOf calls visit with the names of a bucket that have manifests, or uploads
// that go on, on a mountpath.
func (s *Store) UploadsOf(ctx context.Context, mp *fsys.Mountpath, entry meta.BucketEntry, visit func(Key) error) error {
	if s.bucket(entry.Bck, entry.Props) == nil {
		return nil
	}
	var dirs []string
	err := s.withSlot(mp, nil, func() error {
		return s.eachHashed(mp, mp.BucketDir(entry.Bck, fsys.ContentManifest), func(dir string) error {
			dirs = append(dirs, dir)
			return ctx.Err()
		})
	})
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		seen := map[string]bool{}
		err := s.withSlot(mp, nil, func() error {
			return s.eachIn(mp, dir, func(path string) error {
				file, err := s.readSmall(mp, path, maxManifest)
				if err != nil {
					return ignoreMissing(err)
				}
				if m, err := decodeManifest(file); err == nil && m.bid == entry.Props.BID {
					seen[m.name] = true
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		for name := range seen {
			if err := visit(Key{Bck: entry.Bck, Props: entry.Props, Name: name}); err != nil {
				return err
			}
		}
	}
	return nil
}

// LeftOn tells how many files of buckets of today lie on a mountpath, and up to
// limit of their names or, where these are not known, paths.
func (s *Store) LeftOn(ctx context.Context, mp *fsys.Mountpath, buckets []meta.BucketEntry, limit int) (names []string, err error) {
	for _, entry := range buckets {
		if s.bucket(entry.Bck, entry.Props) == nil {
			continue
		}
		w := verifyWalk{s: s, ctx: ctx}
		w.opts.batch = limit
		unnamed := map[string]error{}
		found, err := w.next(entry, mp, "", unnamed)
		if err != nil {
			return names, err
		}
		for _, name := range found {
			holds, err := s.holdsOn(ctx, mp, Key{Bck: entry.Bck, Props: entry.Props, Name: name})
			if err != nil {
				return names, err
			}
			if holds {
				names = append(names, entry.Bck.Cname(name))
			}
		}
		for path := range unnamed {
			names = append(names, path)
		}
		if len(names) >= limit {
			return names[:limit], nil
		}
		rest := func(k Key) error {
			if names = append(names, k.Cname()); len(names) >= limit {
				return fsys.ErrStopWalk
			}
			return nil
		}
		if err = s.UploadsOf(ctx, mp, entry, rest); err == nil {
			err = s.SlicesOf(ctx, s.options.FS.Available(), mp, entry, rest)
		}
		if err != nil {
			if errors.Is(err, fsys.ErrStopWalk) {
				return names, nil
			}
			return names, err
		}
	}
	return names, nil
}

// holdsOn tells whether a mountpath has an object or a version of a name of this
// incarnation of its bucket.
func (s *Store) holdsOn(ctx context.Context, mp *fsys.Mountpath, key Key) (holds bool, err error) {
	o, err := s.resolve(key)
	if err != nil {
		return false, err
	}
	at := o.on(mp)
	if err := s.locks.lock(ctx, o.digest, false); err != nil {
		return false, err
	}
	defer s.locks.unlock(o.digest, false)
	err = s.withSlot(mp, nil, func() error {
		e, err := s.here(&at)
		if holds = e.found || e.damaged != ""; holds || err != nil {
			return err
		}
		all, err := s.noncurrentHere(&at, nil, nil)
		holds = len(all) > 0
		return err
	})
	return holds, err
}
