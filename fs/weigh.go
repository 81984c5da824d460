package fs

import (
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
)

// Mountpaths of different size: with capacities each gets names in proportion, see package
// hrw. Capacities are numbers of the volume record. They are not looked at again when a disk
// grows or fills: only an operator changes them.

// MaxCapacity bounds the capacity of a mountpath; the unit is the operator's (MiB,
// where the node finds it out by itself).
const MaxCapacity = 1 << 40

// before tells that mountpath i comes before mountpath j in the order of a name.
func (s *Set) before(i, j int, unameDigest uint64) bool {
	a, b := hrw.Weight(s.Paths[i].Digest, unameDigest), hrw.Weight(s.Paths[j].Digest, unameDigest)
	if s.capacities == nil {
		return a > b
	}
	return hrw.Before(a, s.capacities[i], b, s.capacities[j])
}

// Order returns the mountpaths in the order in which they would be that of a name if those
// before them did not exist: Owner first.
func (s *Set) Order(unameDigest uint64) []*Mountpath {
	order := make([]int, len(s.Paths))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case s.before(i, j, unameDigest):
			return -1
		case s.before(j, i, unameDigest):
			return 1
		}
		return i - j
	})
	all := make([]*Mountpath, len(order))
	for n, i := range order {
		all[n] = s.Paths[i]
	}
	return all
}

// ownerByCapacity is Owner of a set with capacities.
func (s *Set) ownerByCapacity(unameDigest uint64) *Mountpath {
	best := -1
	var most, least uint64 // the weight and the cost of the best
	for i, mp := range s.Paths {
		weight := hrw.Weight(mp.Digest, unameDigest)
		cost := hrw.Cost(weight)
		if best < 0 || hrw.Cheaper(cost, weight, s.capacities[i], least, most, s.capacities[best]) {
			best, most, least = i, weight, cost
		}
	}
	return s.Paths[best]
}

// Capacities are those that count for the mountpaths in use, by path; nil: each gets an
// equal share.
func (s *Set) Capacities() map[string]uint64 {
	if s.capacities == nil {
		return nil
	}
	byPath := make(map[string]uint64, len(s.Paths))
	for i, mp := range s.Paths {
		byPath[mp.Path] = s.capacities[i]
	}
	return byPath
}

// capacitiesInUse are the capacities of the mountpaths in use, in their order; nil if
// they make no difference.
func (r *volumeRecord) capacitiesInUse() (all []uint64) {
	if !r.weighed() {
		return nil
	}
	for i := range r.Mountpaths {
		if e := &r.Mountpaths[i]; e.InUse {
			all = append(all, max(1, e.Capacity))
		}
	}
	return thatDiffer(all)
}

// thatDiffer is nil for capacities that are all the same.
func thatDiffer(capacities []uint64) []uint64 {
	for _, c := range capacities {
		if c != capacities[0] {
			return capacities
		}
	}
	return nil
}

// weighed tells that capacities were given.
func (r *volumeRecord) weighed() bool {
	return r != nil && slices.ContainsFunc(r.Mountpaths, func(e volumeEntry) bool { return e.Capacity > 0 })
}

// weighComers gives mountpaths that come into use where capacities count, and that have
// none, the mean of the others.
func (r *volumeRecord) weighComers() {
	if !r.weighed() {
		return
	}
	sum, n := uint64(0), uint64(0)
	for i := range r.Mountpaths {
		if c := r.Mountpaths[i].Capacity; c > 0 {
			sum, n = sum+c, n+1
		}
	}
	for i := range r.Mountpaths {
		if e := &r.Mountpaths[i]; e.InUse && e.Capacity == 0 {
			e.Capacity = max(1, sum/n)
		}
	}
}

// Weigh gives the mountpaths capacities, by path: all that are in use must be named. nil
// takes that back. Names whose place changes by it are found where they were, and have to be
// moved: see Set.Unarranged.
//
// It is durable when it returns nil. After any error nothing has changed. ErrAlready: they are
// as asked for. 400: a capacity out of range, or one is missing; 404: no such mountpath; 500: the
// volume record cannot be written.
func (m *Manager) Weigh(capacities map[string]uint64) error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	next := m.state.volume.next()
	for path, capacity := range capacities {
		if e := next.find(path); e == nil || e.State == StateDetached {
			return m.errUnknown(path)
		}
		if capacity == 0 || capacity > MaxCapacity {
			return errInvalid("invalid capacity %d of mountpath %q: expecting 1 to %d", capacity, path, uint64(MaxCapacity))
		}
	}
	if capacities != nil && len(capacities) == 0 {
		return errInvalid("invalid capacities: there is none")
	}
	same := true
	for i := range next.Mountpaths {
		e := &next.Mountpaths[i]
		capacity, named := capacities[e.Path]
		switch {
		case named, capacities == nil:
		case e.InUse:
			return errInvalid("invalid capacities: that of mountpath %q is missing", e.Path)
		default: // out of use: it gets one when it is back
			capacity = 0
		}
		same = same && capacity == e.Capacity
		e.Capacity = capacity
	}
	if same {
		return ErrAlready
	}
	moves := !slices.Equal(m.state.volume.capacitiesInUse(), next.capacitiesInUse())
	if moves {
		next.Unsettled, next.Unarranged = true, true
	}
	settled := !m.state.volume.Unsettled
	if err := m.save(next, "", false); err != nil {
		return err
	}
	m.publish()
	if moves && settled {
		m.settleIfEmpty()
	}
	m.log.Info("mountpaths were weighed", "capacities", capacities, "moves", moves)
	return nil
}

// Sizes are the sizes of the mountpaths in use in MiB, at least 1, by path. Mountpaths of one
// filesystem share its size. An error: a filesystem cannot be asked.
func (m *Manager) Sizes() (map[string]uint64, error) {
	sharers := map[*Filesystem]uint64{}
	capacity := m.RefreshCapacity()
	for i := range capacity.Mountpaths {
		if mp := &capacity.Mountpaths[i]; !mp.Leaving {
			sharers[mp.Filesystem]++
		}
	}
	sizes := map[string]uint64{}
	for i := range capacity.Mountpaths {
		mp := &capacity.Mountpaths[i]
		switch {
		case mp.Leaving:
		case mp.Err != nil:
			return nil, apierr.Wrap(mp.Err, apierr.StatusServiceUnavailable, "", "the size of mountpath %q is not known", mp.Path)
		default:
			sizes[mp.Path] = min(max(1, mp.Total>>20/sharers[mp.Filesystem]), MaxCapacity)
		}
	}
	return sizes, nil
}
