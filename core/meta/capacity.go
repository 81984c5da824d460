package meta

import (
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
)

// Targets of different size: a map whose targets have capacities gives each of
// them names in proportion, see package hrw. Without capacities, and with equal
// ones, the owners are those that clients compute by themselves.

// MaxCapacity bounds a capacity; the unit of Snode.Capacity is the operator's
// (GiB, where the cluster finds it out by itself).
const MaxCapacity = 1 << 40

// Weighted tells that targets own names in proportion to their capacities, so
// that clients cannot compute owners from the ids of targets alone.
func (s *Smap) Weighted() bool { return s != nil && s.capacities != nil }

// hasCapacities tells that the operator has given the targets capacities, be
// they equal.
func (s *Smap) hasCapacities() bool {
	if s == nil {
		return false
	}
	for _, node := range s.Tmap {
		if node.Capacity > 0 {
			return true
		}
	}
	return false
}

// OwnerExcept is Owner as if targets for which not says true did not exist;
// nil if there are no others.
func (s *Smap) OwnerExcept(unameDigest uint64, not func(id string) bool) *Snode {
	var c contest
	for i, node := range s.ActiveTargets() {
		if !not(node.ID) {
			c.enter(i, s.digests[i], s.capacityAt(i), unameDigest)
		}
	}
	if !c.any {
		return nil
	}
	return s.targets[c.best]
}

// AppendOrder appends the active targets in the order in which they would own
// a name if those before them did not exist: Owner first.
func (s *Smap) AppendOrder(dst []*Snode, unameDigest uint64) []*Snode {
	if s == nil {
		return dst
	}
	order := make([]int, len(s.targets))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { // stable by itself: places that are alike are in the order of ids
		a, b := hrw.Weight(s.digests[i], unameDigest), hrw.Weight(s.digests[j], unameDigest)
		switch {
		case hrw.Before(a, s.capacityAt(i), b, s.capacityAt(j)):
			return -1
		case hrw.Before(b, s.capacityAt(j), a, s.capacityAt(i)):
			return 1
		}
		return i - j
	})
	for _, i := range order {
		dst = append(dst, s.targets[i])
	}
	return dst
}

func (s *Smap) capacityAt(i int) uint64 {
	if s.capacities == nil {
		return 1
	}
	return s.capacities[i]
}

// contest finds the owner among places that enter one after another. Of places
// that are alike the first wins.
type contest struct {
	any                    bool
	best                   int
	weight, cost, capacity uint64
}

func (c *contest) enter(i int, digest, capacity, unameDigest uint64) {
	weight := hrw.Weight(digest, unameDigest)
	cost := hrw.Cost(weight)
	if !c.any || hrw.Cheaper(cost, weight, capacity, c.cost, c.weight, c.capacity) {
		*c = contest{any: true, best: i, weight: weight, cost: cost, capacity: capacity}
	}
}

// winner is the index of the owner of a name among places, -1 if there are
// none. capacities is nil if they are equal. It neither allocates nor locks.
func winner(digests, capacities []uint64, unameDigest uint64) int {
	if capacities != nil {
		c := contest{best: -1}
		for i, digest := range digests {
			c.enter(i, digest, capacities[i], unameDigest)
		}
		return c.best
	}
	best, highest := -1, uint64(0)
	for i, digest := range digests {
		if weight := hrw.Weight(digest, unameDigest); best < 0 || weight > highest {
			best, highest = i, weight
		}
	}
	return best
}

// normal is nil for capacities that make no difference.
func normal(capacities []uint64) []uint64 {
	for _, c := range capacities {
		if c != capacities[0] {
			return capacities
		}
	}
	return nil
}

// capacitiesOf are those of targets in the map, by their ids, nil if they make
// no difference.
func (s *Smap) capacitiesOf(ids []string) []uint64 {
	if !s.hasCapacities() {
		return nil
	}
	capacities := make([]uint64, len(ids))
	for i, id := range ids {
		capacities[i] = 1
		if node := s.Tmap[id]; node != nil {
			capacities[i] = max(1, node.Capacity)
		}
	}
	return normal(capacities)
}

// digestsOf are the digests of ids.
func digestsOf(ids []string) []uint64 {
	digests := make([]uint64, len(ids))
	for i, id := range ids {
		digests[i] = hrw.Digest(id)
	}
	return digests
}

// NextPlaces returns the ids of the active targets after a patch of the map,
// ascending, and their capacities, nil if they make no difference. s may be nil.
func NextPlaces(s *Smap, p *SmapPatch) (ids []string, capacities []uint64) {
	active := map[string]uint64{}
	for _, node := range s.ActiveTargets() {
		active[node.ID] = node.Capacity
	}
	for _, id := range p.Del {
		delete(active, id)
	}
	for _, node := range p.Put {
		if node.Role == RoleTarget && node.Active() {
			active[node.ID] = p.capacityOf(s, node)
		} else {
			delete(active, node.ID)
		}
	}
	ids = make([]string, 0, len(active))
	for id := range active {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		capacities = append(capacities, max(1, p.weighed(id, active[id])))
	}
	return ids, normal(capacities)
}

// capacityOf is the capacity with which a node of the patch comes into the map:
// one that is there keeps its own; a new one, where capacities count, has what
// it says of itself, or the mean.
func (p *SmapPatch) capacityOf(s *Smap, node *Snode) uint64 {
	switch now := s.Node(node.ID); {
	case now != nil && now.Role == RoleTarget:
		return now.Capacity
	case !s.hasCapacities():
		return 0
	case node.Capacity > 0:
		return min(node.Capacity, MaxCapacity)
	}
	sum := uint64(0)
	for _, target := range s.Tmap {
		sum += target.Capacity
	}
	return max(1, sum/uint64(len(s.Tmap)))
}

// weigh gives the targets of the next map the capacities that the patch names.
// Between its making and its coming into force targets that are out of service
// may have come or gone: those that it does not name keep what they have.
func (p *SmapPatch) weigh(next *Smap) error {
	if len(p.Capacities) > 0 && p.Unweighted {
		return apierr.BadRequest("invalid capacities: a map has them or not")
	}
	for _, id := range slices.Sorted(maps.Keys(p.Capacities)) { // all replicas say the same
		if capacity := p.Capacities[id]; capacity == 0 || capacity > MaxCapacity {
			return apierr.BadRequest("invalid capacity %d of %s: expecting 1 to %d", capacity, NodeName(RoleTarget, id), uint64(MaxCapacity))
		}
	}
	for id, node := range next.Tmap {
		next.Tmap[id] = node.withCapacity(p.weighed(id, node.Capacity))
	}
	return nil
}

// weighed is what a capacity becomes by the patch.
func (p *SmapPatch) weighed(id string, now uint64) uint64 {
	switch named := p.Capacities[id]; {
	case p.Unweighted:
		return 0
	case named > 0:
		return named
	case now > 0 || len(p.Capacities) == 0:
		return now
	}
	sum := uint64(0)
	for _, capacity := range p.Capacities {
		sum += capacity
	}
	return max(1, sum/uint64(len(p.Capacities)))
}

// withCapacity is the node with a capacity; itself, if it has that.
func (n *Snode) withCapacity(capacity uint64) *Snode {
	if n.Capacity == capacity {
		return n
	}
	own := n.Clone()
	own.Capacity = capacity
	return own
}
