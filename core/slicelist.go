package core

import (
	"container/heap"
	"context"
	"strings"

	"github.com/aistore-go/aistore/core/meta"
)

// SliceNames returns in order the first names of which this target holds slices,
// replicas or marks, among those that begin with a prefix and are greater than after: at most
// limit. more tells that there are further ones. There is no index of them: all records are
// read, and no more than limit names are in memory.
func (s *Store) SliceNames(ctx context.Context, entry meta.BucketEntry, prefix, after string, limit int) (names []string, more bool, err error) {
	largest := &nameHeap{}
	have := map[string]bool{}
	err = s.WalkSlices(ctx, entry, func(sl *Slice) error {
		if !strings.HasPrefix(sl.Name, prefix) || sl.Name <= after || have[sl.Name] {
			return nil
		}
		if largest.Len() == limit {
			more = true
			if sl.Name > (*largest)[0] {
				return nil
			}
			dropped, _ := heap.Pop(largest).(string) // always one
			delete(have, dropped)
		}
		have[sl.Name] = true
		heap.Push(largest, sl.Name)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	names = make([]string, largest.Len())
	for i := len(names) - 1; i >= 0; i-- {
		names[i], _ = heap.Pop(largest).(string) // always one
	}
	return names, more, nil
}

// nameHeap has the greatest name on top.
type nameHeap []string

// Len implements heap.Interface.
func (h nameHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h nameHeap) Less(i, j int) bool { return h[i] > h[j] }

// Swap implements heap.Interface.
func (h nameHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *nameHeap) Push(x any) { *h = append(*h, x.(string)) } //nolint:forcetypeassert // of this file alone

// Pop implements heap.Interface.
func (h *nameHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// DirectoryOf is the directory, with a slash behind it, as which a name is listed
// one level below a prefix; "": it is listed itself. "dir" is what "dir/" is.
func DirectoryOf(prefix, name string) string {
	base := prefix[:strings.LastIndexByte(prefix, '/')+1]
	i := strings.IndexByte(name[len(base):], '/')
	if i >= 0 && len(prefix) > len(base) && name[:len(base)+i] == prefix {
		base = name[:len(base)+i+1]
		i = strings.IndexByte(name[len(base):], '/')
	}
	if i < 0 {
		return ""
	}
	return name[:len(base)+i+1]
}
