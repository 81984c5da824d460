package meta

import (
	"encoding/json"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Transition is a change of the cluster map that gives names to other
// targets, on its way: committed, but not in force before every target of the
// old map has stopped to write names that it loses. One is under way at a
// time. A published Transition is immutable.
type Transition struct {
	Version int64       `json:"version,string"`
	Pending *PendingMap `json:"pending"` // nil: none is under way
}

// PendingMap is what the map becomes.
type PendingMap struct {
	Action    string    `json:"action"`              // what was asked for, for logs
	Patch     SmapPatch `json:"patch"`               // of the map that is in force
	Step      int64     `json:"step,string"`         // what the change adds to the map's version, at least 1
	Targets   []string  `json:"targets"`             // active targets after it, ascending
	Rebalance bool      `json:"rebalance,omitempty"` // data has to move: RMD grows with the map
	Operation string    `json:"operation,omitempty"` // id of the membership operation that asked for it

	// Capacities of Targets, left out if they make no difference; they follow
	// from the map and Patch.
	Capacities []uint64 `json:"capacities,omitempty"`

	digests []uint64 // of Targets
}

// TransitionPatch begins a transition, or ends the one that is under way.
type TransitionPatch struct {
	Begin *PendingMap `json:"begin,omitempty"` // nil ends
}

// Kind is KindTransition.
func (t *Transition) Kind() string { return KindTransition }

// Ver is the version; 0 for nil.
func (t *Transition) Ver() int64 {
	if t == nil {
		return 0
	}
	return t.Version
}

// Encode returns the document in JSON.
func (t *Transition) Encode() ([]byte, error) { return json.Marshal(t) }

// Now returns the pending map, nil if no transition is under way.
func (t *Transition) Now() *PendingMap {
	if t == nil {
		return nil
	}
	return t.Pending
}

// UnmarshalJSON reads the document and makes it ready for lookups.
func (t *Transition) UnmarshalJSON(data []byte) error {
	type plain Transition
	var form plain
	if err := json.Unmarshal(data, &form); err != nil {
		return err
	}
	*t = Transition(form)
	if t.Pending != nil {
		t.Pending.freeze()
	}
	return nil
}

func (p *PendingMap) freeze() { p.digests = digestsOf(p.Targets) }

// Owner returns the id of the target that owns the name with a digest once
// the pending map is in force, "" if there are no targets then. It neither
// allocates nor locks.
func (p *PendingMap) Owner(unameDigest uint64) string {
	return ownerAmong(p.Targets, p.digests, p.Capacities, unameDigest)
}

// ownerAmong is Smap.Owner of a set of ids in ascending order.
func ownerAmong(ids []string, digests, capacities []uint64, unameDigest uint64) string {
	best := winner(digests, capacities, unameDigest)
	if best < 0 {
		return ""
	}
	return ids[best]
}

// NextTargets returns the ids of the active targets after a patch of the map,
// ascending.
func NextTargets(s *Smap, p *SmapPatch) []string {
	ids, _ := NextPlaces(s, p)
	return ids
}

// MovesOwnership tells that a patch of the map changes the set of active
// targets, or their capacities, and with it who owns which name.
func MovesOwnership(s *Smap, p *SmapPatch) bool {
	ids, capacities := NextPlaces(s, p)
	now := s.ActiveTargets()
	if len(ids) != len(now) || !slices.EqualFunc(ids, now, func(id string, n *Snode) bool { return n.ID == id }) {
		return true
	}
	return s != nil && !slices.Equal(capacities, s.capacities)
}

func applyTransition(v *View, patch []byte, version int64) (*Transition, error) {
	p := new(TransitionPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	next := &Transition{Version: version, Pending: p.Begin}
	if next.Pending == nil {
		return next, nil
	}
	if v.Transition.Now() != nil {
		return nil, apierr.New(apierr.StatusConflict, "ErrBusy", "another change of the cluster's targets is under way: %s", v.Transition.Pending.Action)
	}
	if !slices.IsSorted(next.Pending.Targets) {
		return nil, apierr.BadRequest("invalid transition: its targets are not in order")
	}
	pending := *next.Pending
	for _, node := range pending.Patch.Put {
		if err := node.validate(); err != nil {
			return nil, err
		}
	}
	if ids, capacities := NextPlaces(v.Smap, &pending.Patch); slices.Equal(ids, pending.Targets) {
		pending.Capacities = capacities
	}
	pending.freeze()
	next.Pending = &pending
	return next, nil
}
