package core

import (
	"cmp"
	"container/heap"
	"context"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// EvictionChoice says among which objects the oldest are looked for.
type EvictionChoice struct {
	// Buckets, and of each the time, in nanoseconds, before which an object
	// must have been accessed last.
	Buckets []meta.BucketEntry
	Before  func(meta.BucketEntry) int64
	// Filesystems on which there is to be more space.
	Filesystems []*fs.Filesystem
	// Batch bounds the objects that are chosen for one filesystem, and so the
	// memory.
	Batch int
	// After is what an earlier call has returned: only later accessed ones count.
	After EvictionCursor
	// Pause, if set, is called after each page of a listing.
	Pause func(context.Context) error
}

// EvictionCursor is a moment in the order of accesses.
type EvictionCursor struct {
	atime  int64
	digest uint64 // of those that were accessed at the same moment
}

// Eviction is the objects that were accessed longest ago, in that order.
type Eviction struct {
	Oldest map[*fs.Filesystem][]Evictable
	Looked int64 // objects
	// More: there are others, after Cursor.
	More   bool
	Cursor EvictionCursor
}

// OldestObjects looks at all objects of some buckets and returns, for each of the
// filesystems, those that were accessed longest ago. An access counts from the
// moment it was made, whether or not the file knows of it yet. Of chunked objects
// it is not known here where their chunks lie: they count for every filesystem.
//
// Errors: those of List; a bucket that is destroyed meanwhile is left out.
func (s *Store) OldestObjects(ctx context.Context, c EvictionChoice) (Eviction, error) {
	e := Eviction{Oldest: make(map[*fs.Filesystem][]Evictable, len(c.Filesystems))}
	all := make([]*oldest, len(c.Filesystems))
	for i, filesystem := range c.Filesystems {
		all[i] = &oldest{filesystem: filesystem, limit: max(c.Batch, 1)}
	}
	for _, entry := range c.Buckets {
		if err := s.oldestIn(ctx, &c, entry, all, &e); err != nil && apierr.StatusOf(err) != apierr.StatusNotFound {
			return e, err
		}
	}
	for _, o := range all {
		slices.SortFunc(o.kept, func(a, b Evictable) int { return a.compare(&b) })
		e.Oldest[o.filesystem] = o.kept
		if !o.dropped {
			continue
		}
		// What was dropped is later than all that was kept, on this filesystem.
		last := o.kept[len(o.kept)-1].cursor()
		if !e.More || last.compare(e.Cursor) < 0 {
			e.Cursor = last
		}
		e.More = true
	}
	return e, nil
}

func (s *Store) oldestIn(ctx context.Context, c *EvictionChoice, entry meta.BucketEntry, all []*oldest, e *Eviction) error {
	before, uname := c.Before(entry), []byte(nil)
	opts := ListOptions{Props: ListSize | ListAtime | ListLocation, Stamps: true}
	for {
		chosen := s.options.Clock().UnixNano()
		page, err := s.List(ctx, entry.Bck, entry.Props, opts)
		if err != nil {
			return err
		}
		for i := range page {
			found := &page[i]
			if found.Tombstone {
				continue
			}
			e.Looked++
			uname = entry.Bck.AppendUname(uname[:0], found.Name)
			x := Evictable{
				Key: Key{Bck: entry.Bck, Props: entry.Props, Name: found.Name}, Stamp: found.Attrs.Stamp, Atime: found.Attrs.Atime,
				Size: found.Attrs.Size, Mountpath: found.Attrs.Mountpath, digest: hrw.DigestBytes(uname), chosen: chosen,
			}
			if x.Atime >= before || x.cursor().compare(c.After) <= 0 {
				continue
			}
			for _, o := range all {
				if found.Flags&wire.EntryIsChunked != 0 || x.Mountpath != nil && x.Mountpath.Filesystem() == o.filesystem {
					o.add(x)
				}
			}
		}
		if len(page) < DefaultListLimit {
			return nil
		}
		opts.After = page[len(page)-1].Name
		if c.Pause != nil {
			if err := c.Pause(ctx); err != nil {
				return err
			}
		}
	}
}

func (x *Evictable) cursor() EvictionCursor { return EvictionCursor{x.Atime, x.digest} }

func (x *Evictable) compare(o *Evictable) int { return x.cursor().compare(o.cursor()) }

func (c EvictionCursor) compare(o EvictionCursor) int {
	if n := cmp.Compare(c.atime, o.atime); n != 0 {
		return n
	}
	return cmp.Compare(c.digest, o.digest)
}

// oldest keeps the objects of one filesystem that were accessed longest ago: a
// heap with the latest of them on top.
type oldest struct {
	filesystem *fs.Filesystem
	limit      int
	kept       []Evictable
	dropped    bool
}

func (o *oldest) add(x Evictable) {
	if len(o.kept) < o.limit {
		heap.Push(o, x)
		return
	}
	o.dropped = true
	if x.compare(&o.kept[0]) < 0 {
		o.kept[0] = x
		heap.Fix(o, 0)
	}
}

// Len implements heap.Interface.
func (o *oldest) Len() int { return len(o.kept) }

// Less implements heap.Interface.
func (o *oldest) Less(i, j int) bool { return o.kept[i].compare(&o.kept[j]) > 0 }

// Swap implements heap.Interface.
func (o *oldest) Swap(i, j int) { o.kept[i], o.kept[j] = o.kept[j], o.kept[i] }

// Push implements heap.Interface.
func (o *oldest) Push(x any) { o.kept = append(o.kept, x.(Evictable)) }

// Pop implements heap.Interface.
func (o *oldest) Pop() any {
	last := o.kept[len(o.kept)-1]
	o.kept = o.kept[:len(o.kept)-1]
	return last
}
