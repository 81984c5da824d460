package xact

import "time"

// ServedKinds is how many kinds of operations of users are told apart.
const ServedKinds = 4

// Served is what users have got since the node started, by kinds of operations.
type Served [ServedKinds]struct {
	Count int64
	Time  time.Duration // all of them together, from request to answer
}

// seen is what users have got in some time.
type seen struct {
	elapsed float64 // s
	count   [ServedKinds]float64
	took    [ServedKinds]float64 // s
}

func (s *seen) add(before, after *LoadSample, elapsed time.Duration) {
	s.elapsed += elapsed.Seconds()
	for kind := range s.count {
		s.count[kind] += float64(after.Served[kind].Count - before.Served[kind].Count)
		s.took[kind] += (after.Served[kind].Time - before.Served[kind].Time).Seconds()
	}
}

// decay forgets a part of it.
func (s *seen) decay() {
	const keep = 1 - forget
	s.elapsed *= keep
	for kind := range s.count {
		s.count[kind] *= keep
		s.took[kind] *= keep
	}
}

func (s *seen) operations() (n float64) {
	for _, count := range s.count {
		n += count
	}
	return n
}

// harm is by what part users get less beside jobs than alone: the greater one of how
// much longer their operations take, and how many fewer they do. known: there is enough to
// tell.
func harm(alone, beside *seen) (part float64, known bool) {
	if alone.operations() < enough || beside.operations() < enough {
		return 0, false
	}
	// Operations of one kind are compared: there may have been more of the long ones.
	var took, expected float64
	for kind, count := range beside.count {
		if count > 0 && alone.count[kind] > 0 {
			took += beside.took[kind]
			expected += count * alone.took[kind] / alone.count[kind]
		}
	}
	if expected > 0 {
		part = took/expected - 1
	}
	fewer := alone.operations()/alone.elapsed*beside.elapsed/beside.operations() - 1
	return max(part, fewer), true
}
