package core

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// VersionListOptions selects a page of the versions of a bucket.
type VersionListOptions struct {
	Prefix string // names must begin with it
	Limit  int    // at most so many versions; <= 0: DefaultListLimit

	// After is the name of the last version of the page before, AfterStamp
	// its stamp; without a stamp all versions of that name are left out.
	After      string
	AfterStamp Stamp
}

// ListBucketVersions returns one page of all generations that this target
// holds, delete markers included, by name in bytewise order, and of one name
// the newest first. Fewer versions than the limit mean that there are no more.
//
// A page is read from the listing indexes, and its cost depends on the page. As
// long as one of them is not usable the directories of all noncurrent versions
// are read for every page.
//
// Errors: 400 a prefix that is too long; 404 no such bucket; 500 I/O; 503 a
// mountpath is busy.
func (s *Store) ListBucketVersions(ctx context.Context, bck wire.Bck, props *meta.Bprops, opts VersionListOptions) ([]Version, error) {
	b, err := s.listed(bck, props, opts.Prefix)
	if err != nil {
		return nil, err
	}
	if opts.Limit <= 0 {
		opts.Limit = DefaultListLimit
	}
	if page, ok, err := s.indexedVersions(ctx, b, &opts); ok || err != nil {
		return page, err
	}
	return s.walkVersions(ctx, bck, props, &opts)
}

// walkVersions makes a page of what the files say.
func (s *Store) walkVersions(ctx context.Context, bck wire.Bck, props *meta.Bprops, opts *VersionListOptions) ([]Version, error) {
	var page []Version
	after := opts.After
	if after != "" && !opts.AfterStamp.IsZero() && strings.HasPrefix(after, opts.Prefix) {
		all, err := s.ListVersions(ctx, Key{Bck: bck, Props: props, Name: after})
		if err != nil {
			return nil, err
		}
		page = slices.DeleteFunc(all, func(v Version) bool { return v.Attrs.Stamp.Compare(opts.AfterStamp) >= 0 })
	}
	for len(page) < opts.Limit {
		names, err := s.namesWithVersions(ctx, bck, props, opts.Prefix, after, opts.Limit)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			all, err := s.ListVersions(ctx, Key{Bck: bck, Props: props, Name: name})
			if err != nil {
				return nil, err
			}
			if page = append(page, all...); len(page) >= opts.Limit {
				break
			}
		}
		if len(names) < opts.Limit {
			break
		}
		after = names[len(names)-1]
	}
	page = page[:min(len(page), opts.Limit)]
	for i := range page {
		page[i].shorten()
	}
	return page, nil
}

// shorten leaves what a page of a bucket's versions shows.
func (v *Version) shorten() {
	v.path, v.rec, v.at = "", record{}, object{}
	if v.Damage != nil {
		v.Attrs = Attrs{Stamp: v.Attrs.Stamp}
		return
	}
	v.ETag, _ = v.Attrs.CustomValue(CustomETag)
	v.Attrs.Custom, v.Attrs.Chunks, v.Attrs.LargestChunk, v.Attrs.Revision = nil, 0, 0, Stamp{}
}

// namesWithVersions returns the smallest names behind one that have any
// generation.
func (s *Store) namesWithVersions(ctx context.Context, bck wire.Bck, props *meta.Bprops, prefix, after string, limit int) ([]string, error) {
	current, err := s.List(ctx, bck, props, ListOptions{Prefix: prefix, After: after, Limit: limit, Stamps: true})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(current))
	for i := range current {
		names = append(names, current[i].Name)
	}
	cut := func() {
		slices.Sort(names)
		names = slices.Compact(names)
		names = names[:min(len(names), limit)]
	}
	for _, mp := range s.options.FS.Available().All() {
		err := s.acquire(ctx, mp)
		if errors.Is(err, errLeft) {
			continue
		}
		if err == nil {
			err = s.namesOfVersions(ctx, mp, bck, func(name string) {
				if name > after && strings.HasPrefix(name, prefix) {
					if names = append(names, name); len(names) > 2*limit+1024 {
						cut()
					}
				}
			})
			mp.Release()
		}
		if err != nil {
			return nil, err
		}
	}
	cut()
	return names, nil
}

// namesOfVersions calls yield for every name that has a directory of versions
// on a mountpath, in no order. One whose name cannot be read is left out:
// verification finds it.
func (s *Store) namesOfVersions(ctx context.Context, mp *fsys.Mountpath, bck wire.Bck, yield func(name string)) error {
	return s.eachHashed(mp, mp.BucketDir(bck, fsys.ContentVersion), func(dir string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.versionsNameOf(mp, dir, yield)
	})
}

// versionsNameOf calls yield with the name of a directory of versions, if it
// can be read.
func (s *Store) versionsNameOf(mp *fsys.Mountpath, dir string, yield func(name string)) error {
	name, err := s.readVersionsName(mp, dir+"/"+versionsNameFile)
	switch {
	case err == nil:
		yield(name)
	case isNotExist(err), errors.Is(err, unix.ENOTDIR), errors.Is(err, errRecordDamaged):
	default:
		return mp.IOError("read "+dir, err)
	}
	return nil
}

// readVersionsName reads the file that names a directory of versions.
func (s *Store) readVersionsName(mp *fsys.Mountpath, path string) (name string, err error) {
	file, err := s.readSmall(mp, path, len(versionsMagic)+4+naming.MaxObjectName+frameSum)
	if err != nil {
		return "", err
	}
	return decodeVersionsName(file)
}
