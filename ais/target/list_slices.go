package target

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// An object whose owner has left the cluster for ever is on nobody's list before
// repair has made it again. Until a target has seen repair end, it lists by the side of its
// own objects what it holds slices or replicas of; gateways take the newest of a name.

const (
	// sliceWindow is how many names a walk over all slices keeps: there is no index.
	sliceWindow = 64 << 10
	// sliceWindowAge is for how long they are used. What was deleted or rebuilt meanwhile is
	// noticed: each name is looked at again.
	sliceWindowAge = time.Minute
)

// sliceNames are names of a bucket with slices here, in order.
type sliceNames struct {
	entry     meta.BucketEntry
	placement int64
	prefix    string
	after     string // they are greater
	names     []string
	more      bool // others follow the last
	at        time.Time
}

// serves tells that the names answer what is asked for.
func (n *sliceNames) serves(entry *meta.BucketEntry, placement int64, prefix, after string) bool {
	return n != nil && n.entry.Props.BID == entry.Props.BID && n.placement == placement && n.prefix == prefix && n.after <= after &&
		(!n.more || after < n.names[len(n.names)-1]) && time.Since(n.at) < sliceWindowAge
}

// sliceLister lists what this target holds slices of. It keeps the names of one walk.
type sliceLister struct {
	t    *Target
	turn chan struct{} // one token: whoever has it may use last
	last *sliceNames
}

func newSliceLister(t *Target) *sliceLister { return &sliceLister{t: t, turn: make(chan struct{}, 1)} }

// following returns names after one, in order, and whether there are more. They
// are not to be changed.
func (l *sliceLister) following(ctx context.Context, entry *meta.BucketEntry, prefix, after string) ([]string, bool, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	placement := l.t.control.View().Placement.Ver()
	if !l.last.serves(entry, placement, prefix, after) {
		now := &sliceNames{entry: *entry, placement: placement, prefix: prefix, after: after, at: time.Now()}
		var err error
		if now.names, now.more, err = l.t.store.SliceNames(ctx, *entry, prefix, after, sliceWindow); err != nil {
			return nil, false, err
		}
		l.last = now
	}
	from, found := slices.BinarySearch(l.last.names, after)
	if found {
		from++
	}
	return l.last.names[from:], l.last.more, nil
}

// list returns the first entries after a name, at most as many as the options
// say, deletions included. Fewer mean that there are no more.
func (l *sliceLister) list(ctx context.Context, entry *meta.BucketEntry, o *core.ListOptions) (page []core.Entry, err error) {
	directory := ""
	for after := o.After; ; {
		names, more, err := l.following(ctx, entry, o.Prefix, after)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			after = name
			shown := name
			if o.NoRecursion {
				if dir := core.DirectoryOf(o.Prefix, name); dir != "" {
					if dir == directory || dir <= o.After {
						continue
					}
					shown = dir
				}
			}
			e, ok, err := l.entry(ctx, core.Key{Bck: entry.Bck, Props: entry.Props, Name: name})
			switch {
			case err != nil:
				return nil, err
			case !ok:
				continue
			case shown != name && e.Tombstone:
				continue
			case shown != name:
				directory, e = shown, core.Entry{Name: shown, Flags: wire.EntryIsDir}
			}
			if page = append(page, e); len(page) == o.Limit {
				return page, nil
			}
		}
		if !more {
			return page, nil
		}
	}
}

// entry is what is held of a name now; ok is false if that tells nothing.
func (l *sliceLister) entry(ctx context.Context, key core.Key) (e core.Entry, ok bool, err error) {
	held, err := l.t.store.LookSlices(ctx, key, false)
	if err != nil {
		return e, false, err
	}
	var newest *core.Slice
	for i := range held {
		if newest == nil || held[i].Stamp.Compare(newest.Stamp) > 0 {
			newest = &held[i]
		}
	}
	if newest == nil || newest.State == core.SliceSuperseded {
		return e, false, nil
	}
	e = core.Entry{Name: key.Name, Flags: wire.EntryPresent, Attrs: newest.Object}
	if newest.IsMark() {
		e.Tombstone, e.Attrs = true, core.Attrs{Stamp: newest.Stamp}
	}
	e.Attrs.Mountpath, e.Attrs.Copies = nil, 1
	return e, true, nil
}

// withSlices adds to a page of this target's own objects what it holds slices of;
// limit is that of the page.
func withSlices(own, held []core.Entry, limit int) []core.Entry {
	if len(held) == 0 {
		return own
	}
	page := make([]core.Entry, 0, min(limit, len(own)+len(held)))
	for len(page) < limit && len(own)+len(held) > 0 {
		var order int
		switch {
		case len(held) == 0:
			order = -1
		case len(own) == 0:
			order = 1
		default:
			order = strings.Compare(own[0].Name, held[0].Name)
		}
		switch {
		case order < 0:
			page, own = append(page, own[0]), own[1:]
		case order > 0:
			page, held = append(page, held[0]), held[1:]
		default:
			e := own[0]
			if held[0].Attrs.Stamp.Compare(e.Attrs.Stamp) > 0 {
				e = held[0]
			}
			page, own, held = append(page, e), own[1:], held[1:]
		}
	}
	return page
}

// absentOwners are the ids of former owners that a gateway misses in the map.
func absentOwners(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
