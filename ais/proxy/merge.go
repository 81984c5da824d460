package proxy

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/wire"
)

// minWindow is the smallest window of names, for pages that are not smaller:
// small shares are uneven.
const minWindow = 64

// maxPageBytes bounds a page by what its entries take, in bytes: names of
// thousands of bytes must not fill a gateway's memory. Such a page is shorter
// than it could be, and continues.
const maxPageBytes = 64 << 20

// entryBytes is what an entry takes beside its strings.
const entryBytes = 128

// fetchFunc returns up to limit entries of one target whose names are strictly
// greater than after, in ascending order of names, and whether more follow.
type fetchFunc func(ctx context.Context, after string, limit int) (entries []wire.LsoEntry, more bool, err error)

// stream is the ordered listing of one target, of which a window is in memory.
type stream struct {
	fetch   fetchFunc
	entries []wire.LsoEntry
	next    int    // index of the head in entries
	after   string // last name that was fetched
	more    bool   // the target has names after that
}

// head is the smallest name not yet taken; ok is false at the end of the window.
func (s *stream) head() (name string, ok bool) {
	if s.next == len(s.entries) {
		return "", false
	}
	return s.entries[s.next].Name, true
}

// fill replaces an empty window by the next one. Afterwards the window is
// empty only if the stream has ended.
func (s *stream) fill(ctx context.Context, limit int) error {
	for s.more && s.next == len(s.entries) {
		entries, more, err := s.fetch(ctx, s.after, limit)
		if err != nil {
			return err
		}
		s.entries, s.next, s.more = entries, 0, more
		if n := len(entries); n > 0 {
			s.after = entries[n-1].Name
		} else {
			s.more = false
		}
	}
	return nil
}

// mergePage returns the limit smallest distinct names of all targets that are
// strictly greater than after, in bytewise order. full tells that the page
// holds as much as it may, so that more may follow; else there are no more
// anywhere. The error of any target is the error of the page: it is never cut
// short.
//
// Names are spread evenly over targets, so each is asked for a fifth more
// than its share at first; a target whose window runs dry before the page is
// full is asked again for its share of what is missing.
func mergePage(ctx context.Context, fetches []fetchFunc, after string, limit int, every bool) (page []wire.LsoEntry, full bool, err error) {
	streams := make([]*stream, len(fetches))
	share := windowSize(limit, len(fetches))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, fetch := range fetches {
		s := &stream{fetch: fetch, after: after, more: true}
		streams[i] = s
		group.Go(func() error { return s.fill(groupCtx, share) })
	}
	if err := group.Wait(); err != nil {
		return nil, false, err
	}

	h := newStreamHeap(streams)
	held := 0
	for _, s := range streams {
		held += len(s.entries)
	}
	page = make([]wire.LsoEntry, 0, min(limit, held))
	size := 0
	for len(h) > 0 && size < maxPageBytes {
		s := h[0]
		entry := &s.entries[s.next]
		switch n := len(page); {
		case every && n > 0 && page[n-1].Name == entry.Name:
			if !entry.IsDir() {
				page = append(page, *entry)
			}
		case n > 0 && page[n-1].Name == entry.Name:
			// Of several targets that list a name, who has the newest counts.
			if entry.Mark.Newer(page[n-1].Mark) {
				page[n-1] = *entry
			}
		default:
			// The last name has all its marks now.
			page = dropDeleted(page, every)
			if len(page) >= limit {
				return ordered(page, every), true, nil
			}
			page = append(page, *entry)
			size += entryBytes + entry.StringBytes()
		}
		s.next++
		// With marks the last entry may still go.
		if s.next == len(s.entries) && (len(page) < limit || entry.Mark != nil) {
			if err := s.fill(ctx, windowSize(max(1, limit-len(page)), len(fetches))); err != nil {
				return nil, false, err
			}
		}
		h = h.fix()
	}
	page = dropDeleted(page, every)
	return ordered(page, every), len(page) >= limit || size >= maxPageBytes, nil
}

// ordered puts entries of one name into the order of their status.
func ordered(page []wire.LsoEntry, every bool) []wire.LsoEntry {
	if every {
		slices.SortStableFunc(page, func(a, b wire.LsoEntry) int { return a.Compare(&b) })
	}
	return page
}

// dropDeleted takes the entries of the last name away if the newest word about
// it is that it was deleted. Of every file of a name it leaves those that are
// objects.
func dropDeleted(page []wire.LsoEntry, every bool) []wire.LsoEntry {
	n := len(page)
	if n == 0 || page[n-1].Mark == nil {
		return page
	}
	first, newest := n-1, page[n-1].Mark
	for every && first > 0 && page[first-1].Name == page[n-1].Name {
		if first--; page[first].Mark.Newer(newest) {
			newest = page[first].Mark
		}
	}
	if newest.Tombstone {
		return page[:first]
	}
	kept := slices.DeleteFunc(page[first:], func(e wire.LsoEntry) bool { return e.Mark.Tombstone })
	return page[:first+len(kept)]
}

// windowSize is the number of names to ask one of n targets for when limit
// names are missing: 1.2 times its share, and never more than all of them.
func windowSize(limit, n int) int {
	return min(limit, max(minWindow, (limit*6/5+n-1)/n))
}

// streamHeap is a binary heap of streams by the name of their head. Streams
// that have ended are not in it.
type streamHeap []*stream

func newStreamHeap(streams []*stream) streamHeap {
	h := make(streamHeap, 0, len(streams))
	for _, s := range streams {
		if _, ok := s.head(); ok {
			h = append(h, s)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

// fix restores the order after the head of the first stream was taken.
func (h streamHeap) fix() streamHeap {
	if _, ok := h[0].head(); !ok {
		last := len(h) - 1
		h[0] = h[last]
		h = h[:last]
	}
	h.down(0)
	return h
}

func (h streamHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h.name(child) < h.name(least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (h streamHeap) name(i int) string { return h[i].entries[h[i].next].Name }
