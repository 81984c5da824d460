package fs

import (
	"path/filepath"
	"slices"

	"github.com/aistore-go/aistore/cmn/hrw"
)

// Set is the mountpaths that are in use. It is immutable; each change makes
// another Set, so that the pointer tells whether anything changed.
//
// Whoever holds a slot of a mountpath (see Mountpath.Acquire) and then finds
// the Set unchanged may work on it: a mountpath is let go only when it has left
// the Set and its slots are free.
type Set struct {
	// Paths take part in placement, ordered by path.
	Paths []*Mountpath
	// Leaving are being disabled or detached: they get no new objects, and
	// what lies on them is read until it has moved. Ordered by path.
	Leaving []*Mountpath
	// Unsettled: an object may lie on another mountpath than Owner says.
	Unsettled bool
	// Unarranged: the set has changed since everything was last seen to lie where
	// it belongs, with its copies (see Manager.Settle): a resilver is due.
	Unarranged bool

	stale []*Mountpath
	// capacities of Paths, nil if they make no difference; see Manager.Weigh.
	capacities []uint64
}

// Owner is the mountpath of a name, nil if there is none. It takes no lock and
// allocates nothing.
func (s *Set) Owner(unameDigest uint64) *Mountpath {
	if s.capacities != nil {
		return s.ownerByCapacity(unameDigest)
	}
	var best *Mountpath
	var most uint64
	for _, mp := range s.Paths {
		if weight := hrw.Weight(mp.Digest, unameDigest); best == nil || weight > most {
			best, most = mp, weight
		}
	}
	return best
}

// MayBeStale tells that what lies on a mountpath may be older than what lies
// on another: it was out of use for a time, and came back with its objects.
func (s *Set) MayBeStale(mp *Mountpath) bool { return slices.Contains(s.stale, mp) }

// Has tells whether a mountpath is in the set, leaving or not.
func (s *Set) Has(mp *Mountpath) bool {
	return slices.Contains(s.Paths, mp) || slices.Contains(s.Leaving, mp)
}

// All are Paths and Leaving.
func (s *Set) All() []*Mountpath {
	if len(s.Leaving) == 0 {
		return s.Paths
	}
	return append(slices.Clone(s.Paths), s.Leaving...)
}

// Find is the mountpath in use, leaving or not, at a path, nil if there is none.
func (m *Manager) Find(path string) *Mountpath {
	clean := filepath.Clean(path)
	for _, mp := range m.Available().All() {
		if mp.Path == clean {
			return mp
		}
	}
	return nil
}

// ByPath finds a mountpath that takes part in placement, nil if it does not.
func (s *Set) ByPath(path string) *Mountpath {
	for _, mp := range s.Paths {
		if mp.Path == path {
			return mp
		}
	}
	return nil
}
