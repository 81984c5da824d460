package meta

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Placement is the history of the sets of active targets since the last one
// that is known to be settled: a name that is not at its owner may lie with
// its owner in an earlier set. A published Placement is immutable.
type Placement struct {
	Version int64       `json:"version,string"`
	Sets    []TargetSet `json:"sets"` // the newest, which is in force, last
	// Older are all targets of sets that are too long ago to be kept: any of
	// them may have owned any name.
	Older []string `json:"older,omitempty"` // ids, ascending
	// Gone are targets of earlier sets that hold nothing which counts any more:
	// they were decommissioned, or declared lost. Ids, ascending.
	Gone []string `json:"gone,omitempty"`
	// Lost are targets that were ever declared lost, with the version of the
	// placement that did it: whatever one of them held before, it comes back
	// without.
	Lost map[string]int64 `json:"lost,omitempty"`
}

// TargetSet is a set of active targets.
type TargetSet struct {
	Epoch   int64    `json:"epoch,string"` // version of the placement with which it came into force
	Targets []string `json:"targets"`      // ids, ascending
	// Capacities of Targets, left out if they make no difference.
	Capacities []uint64 `json:"capacities,omitempty"`

	digests []uint64 // of Targets
}

// owner is Smap.Owner of the set, "" if it is empty.
func (s *TargetSet) owner(unameDigest uint64) string {
	return ownerAmong(s.Targets, s.digests, s.Capacities, unameDigest)
}

// same tells that all names have the same owners in both sets.
func (s *TargetSet) same(o *TargetSet) bool {
	return slices.Equal(s.Targets, o.Targets) && slices.Equal(s.Capacities, o.Capacities)
}

// PlacementPatch puts a new set into force (Targets, may be empty but not
// nil; their capacities are those of the map), and forgets all earlier ones if
// Settle. Gone are targets that hold nothing which counts any more, Lost those of
// them that are declared lost.
type PlacementPatch struct {
	Targets []string `json:"targets"`
	Settle  bool     `json:"settle,omitempty"`
	Gone    []string `json:"gone,omitempty"`
	Lost    []string `json:"lost,omitempty"`
}

// maxSets bounds the sets that are kept one by one. A set that is there already
// is not added again, so that nodes that come and go do not make it grow.
const maxSets = 64

// Kind is KindPlacement.
func (p *Placement) Kind() string { return KindPlacement }

// Ver is the version; 0 for nil.
func (p *Placement) Ver() int64 {
	if p == nil {
		return 0
	}
	return p.Version
}

// Epoch is the placement epoch, which every commit of an object is stamped
// with; it grows with every change of the set.
func (p *Placement) Epoch() uint64 { return uint64(p.Ver()) }

// Encode returns the document in JSON.
func (p *Placement) Encode() ([]byte, error) { return json.Marshal(p) }

// UnmarshalJSON reads the document and makes it ready for lookups.
func (p *Placement) UnmarshalJSON(data []byte) error {
	type plain Placement
	var form plain
	if err := json.Unmarshal(data, &form); err != nil {
		return err
	}
	*p = Placement(form)
	p.freeze()
	return nil
}

func (p *Placement) freeze() {
	for i := range p.Sets {
		p.Sets[i].digests = digestsOf(p.Sets[i].Targets)
	}
}

// Settled tells that every object is where the set in force has it, as far as
// changes of that set are concerned.
func (p *Placement) Settled() bool { return p == nil || len(p.Sets) <= 1 && len(p.Older) == 0 }

// AppendEarlierOwners appends the ids of the targets that owned the name with
// a digest in earlier sets, newest first, each once, other than its present
// owner.
func (p *Placement) AppendEarlierOwners(dst []string, unameDigest uint64) []string {
	if p.Settled() {
		return dst
	}
	now := p.Sets[len(p.Sets)-1].owner(unameDigest)
	start := len(dst)
	for i := len(p.Sets) - 2; i >= 0; i-- {
		id := p.Sets[i].owner(unameDigest)
		if id != "" && id != now && !slices.Contains(dst[start:], id) && !p.isGone(id) {
			dst = append(dst, id)
		}
	}
	for _, id := range p.Older {
		if id != now && !slices.Contains(dst[start:], id) && !p.isGone(id) {
			dst = append(dst, id)
		}
	}
	return dst
}

// isGone tells a target of an earlier set that holds nothing any more.
func (p *Placement) isGone(id string) bool {
	_, gone := slices.BinarySearch(p.Gone, id)
	return gone
}

// LostAt is the version of the placement that declared a target lost, the last
// time that happened; 0: never.
func (p *Placement) LostAt(id string) int64 {
	if p == nil {
		return 0
	}
	return p.Lost[id]
}

// LastLost is the version of the placement that declared a target lost last; 0:
// none was.
func (p *Placement) LastLost() (version int64) {
	if p == nil {
		return 0
	}
	for _, at := range p.Lost {
		version = max(version, at)
	}
	return version
}

// IsLost tells a target that was declared lost and has not come back into force.
func (p *Placement) IsLost(id string) bool {
	return p.LostAt(id) > 0 && p.isGone(id)
}

// Holders are the targets that may hold anything, ids ascending: those of all
// sets but the ones that are gone.
func (p *Placement) Holders() []string {
	if p == nil {
		return nil
	}
	ids := p.Older
	for i := range p.Sets {
		ids = union(ids, p.Sets[i].Targets)
	}
	return slices.DeleteFunc(slices.Clone(ids), p.isGone)
}

// Current are the active targets, ids ascending. It must not be changed.
func (p *Placement) Current() []string {
	if p == nil || len(p.Sets) == 0 {
		return nil
	}
	return p.Sets[len(p.Sets)-1].Targets
}

func applyPlacement(v *View, patch []byte, version int64) (*Placement, error) {
	p := new(PlacementPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	if p.Targets == nil || !slices.IsSorted(p.Targets) {
		return nil, apierr.BadRequest("invalid placement: its targets are missing or not in order")
	}
	now := TargetSet{Epoch: version, Targets: p.Targets, Capacities: v.Smap.capacitiesOf(p.Targets)}
	next := &Placement{Version: version}
	next.forgetGone(v.Placement, p)
	if v.Placement != nil && !p.Settle {
		next.Older = v.Placement.Older
		for i := range v.Placement.Sets {
			set := &v.Placement.Sets[i]
			if len(set.Targets) > 0 && !set.same(&now) {
				next.Sets = append(next.Sets, TargetSet{Epoch: set.Epoch, Targets: set.Targets, Capacities: set.Capacities})
			}
		}
	}
	if over := len(next.Sets) - maxSets + 1; over > 0 {
		for _, set := range next.Sets[:over] {
			next.Older = union(next.Older, set.Targets)
		}
		next.Sets = next.Sets[over:]
	}
	next.Sets = append(next.Sets, now)
	next.freeze()
	return next, nil
}

// forgetGone takes over who is gone and who was lost. A target that comes back
// into force may hold something again.
func (p *Placement) forgetGone(before *Placement, patch *PlacementPatch) {
	if before != nil {
		p.Lost = before.Lost
		if !patch.Settle {
			p.Gone = before.Gone
		}
	}
	if !patch.Settle {
		p.Gone = slices.DeleteFunc(union(p.Gone, union(patch.Gone, patch.Lost)), func(id string) bool {
			return slices.Contains(patch.Targets, id)
		})
	}
	if len(patch.Lost) > 0 {
		p.Lost = maps.Clone(p.Lost)
		if p.Lost == nil {
			p.Lost = map[string]int64{}
		}
		for _, id := range patch.Lost {
			p.Lost[id] = p.Version
		}
	}
}

// union returns what is in a or b, ascending, as a slice of its own.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
