package metasync

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// quiescedForGood is reported by a target that will not commit again in this
// life: it has drained and stops.
const quiescedForGood = int64(1<<63 - 1)

// ownership is the leader's care for who may write what. A change of the map
// that gives names to other targets has two steps: it is committed as pending,
// whereupon every target stops to commit writes that only one of the two maps
// gives to it; once all have said so, or have been without a lease for long
// enough, it comes into force.
type ownership struct {
	index      uint64    // of the command since which the present owners are in force, at most
	placement  int64     // version of the placement that index is about
	transition int64     // version of the transition that is under way, 0: none
	since      time.Time // when this leader saw it first
	warned     bool      // that it takes long
	confirmed  time.Time // a majority followed this leader after this time
	confirm    time.Time // when to ask it again
	decided    bool      // the command is under way that puts the pending map into force

	asked map[string]time.Time // node id: last request of a target to be admitted
}

// BeginTransition returns the changes that begin a change of the map's active
// targets; pending says what it becomes (Targets is computed here, Step is at
// least 1). The leader puts it into force once no target can commit by the old
// map any more. A patch that moves no ownership, and one of a map without
// active targets, take effect with this very command. The error is retryable
// (503) while another change is under way.
func BeginTransition(v *meta.View, pending *meta.PendingMap) ([]meta.Change, error) {
	p := *pending
	p.Targets, p.Step = meta.NextTargets(v.Smap, &p.Patch), max(1, p.Step)
	moves := meta.MovesOwnership(v.Smap, &p.Patch)
	switch now := v.Transition.Now(); {
	case moves && now != nil:
		return nil, apierr.Unavailable(time.Second, "another change of the cluster's targets is under way: %s", now.Action)
	case !moves && !p.Rebalance:
		return mapChanges(v, &p)
	case !moves || v.Smap.CountTargets() == 0:
		return activation(v, &p, true)
	}
	change, err := meta.NewChange(v, meta.KindTransition, &meta.TransitionPatch{Begin: &p})
	return []meta.Change{change}, err
}

// checkMoves refuses changes of a view that would change the active targets in
// one step.
func checkMoves(v *meta.View, action string, changes []meta.Change) error {
	for i := range changes {
		if changes[i].Kind != meta.KindSmap || v.Smap.CountTargets() == 0 {
			continue
		}
		var patch meta.SmapPatch
		if err := json.Unmarshal(changes[i].Patch, &patch); err != nil {
			return apierr.BadRequest("invalid change of the cluster map: %v", err)
		}
		if meta.MovesOwnership(v.Smap, &patch) {
			return apierr.New(apierr.StatusInternalServerError, "", "%q would change the owners of names without a transition", action)
		}
	}
	return nil
}

// CancelTransition returns the changes that give up the transition that is
// under way.
func CancelTransition(v *meta.View) ([]meta.Change, error) {
	if v.Transition.Now() == nil {
		return nil, nil
	}
	change, err := meta.NewChange(v, meta.KindTransition, &meta.TransitionPatch{})
	return []meta.Change{change}, err
}

// mapChanges is the change of the map alone, as it fits the present one: a
// node that is in the map keeps the addresses that it has there.
func mapChanges(v *meta.View, p *meta.PendingMap) ([]meta.Change, error) {
	patch := p.Patch
	patch.Put = slices.Clone(patch.Put)
	for i, node := range patch.Put {
		if now := v.Smap.Node(node.ID); now != nil && !now.SameAddresses(node) && now.Active() != node.Active() {
			own := now.Clone()
			own.Flags = node.Flags
			patch.Put[i] = own
		}
	}
	staff(v.Smap, &patch)
	change, err := meta.NewChange(v, meta.KindSmap, &patch)
	change.To = change.From + max(1, p.Step)
	return []meta.Change{change}, err
}

// activation returns the changes that put a map with other active targets
// into force. settle forgets earlier placements if there are no buckets, and
// so no data that could be elsewhere.
func activation(v *meta.View, p *meta.PendingMap, settle bool) ([]meta.Change, error) {
	changes, err := mapChanges(v, p)
	if err != nil {
		return nil, err
	}
	add := func(kind string, patch any) (to int64) {
		if err != nil {
			return 0
		}
		var change meta.Change
		change, err = meta.NewChange(v, kind, patch)
		changes = append(changes, change)
		return change.To
	}
	moves := meta.MovesOwnership(v.Smap, &p.Patch)
	settle = settle && v.BMD.Len() == 0
	if moves {
		add(meta.KindPlacement, &meta.PlacementPatch{Targets: p.Targets, Settle: settle})
	}
	// What was true when the change began may not be so now: the first bucket was
	// created, or rebalances were allowed.
	joins := p.Action == actionJoin && moves && !settle && v.Config.Rebalance.Enabled && v.Smap.CountTargets() > 0
	if p.Rebalance || joins {
		version := add(meta.KindRMD, &meta.RMDPatch{TargetIDs: newTargets(v.Smap, p)})
		if op := v.Operations.Now(); op != nil && op.ID == p.Operation {
			next := *op
			next.Rebalance = version
			add(meta.KindOperations, &meta.OperationsPatch{Current: &next})
		}
	}
	if moves && v.Transition.Now() != nil {
		add(meta.KindTransition, &meta.TransitionPatch{})
	}
	return changes, err
}

// newTargets are the targets of a pending map that are not active now.
func newTargets(smap *meta.Smap, p *meta.PendingMap) []string {
	var ids []string
	for _, id := range p.Targets {
		if node := smap.Tmap[id]; node == nil || !node.Active() {
			ids = append(ids, id)
		}
	}
	return ids
}

// leadOwnership starts the care when this node becomes leader: what holds now
// is in force since now, and a majority has just elected it.
func (m *machine) leadOwnership() {
	m.ownership = ownership{index: m.view().Index, placement: m.view().Placement.Ver(), asked: map[string]time.Time{}}
	for _, p := range m.peers {
		p.granted = time.Time{}
	}
}

// tickOwnership lets the primary bring a transition to its end.
func (m *machine) tickOwnership() {
	if !m.primary() {
		return
	}
	m.noteOwners()
	view, o := m.view(), &m.ownership
	m.confirmLeadership()
	p := view.Transition.Now()
	if p == nil {
		o.transition, o.warned = 0, false
		return
	}
	if view.Transition.Version != o.transition {
		o.transition, o.since, o.warned = view.Transition.Version, m.now, false
	}
	if m.smapBusy || m.leaving != nil {
		return
	}
	if why := m.senseless(p); why != "" {
		m.changeOwnership("cancel "+p.Action, CancelTransition, func(err error) {
			if err == nil {
				m.log.Warn("change of the cluster's targets given up", "action", p.Action, "targets", p.Targets, "why", why)
			}
		})
		return
	}
	if waits := m.unquiesced(); len(waits) > 0 {
		if m.now.Sub(o.since) >= m.times.Ack && !o.warned {
			o.warned = true
			m.log.Warn("change of the cluster's targets waits for targets to stop writing, or to be without a lease", "action", p.Action, "targets", waits)
		}
		return
	}
	o.decided = true // from here on, who was not waited for gets no lease by the old map
	m.changeOwnership(p.Action, func(v *meta.View) ([]meta.Change, error) {
		// A bucket that is being created may get objects before this command.
		return activation(v, p, len(m.proposals) == 0)
	}, func(err error) {
		m.ownership.decided = false
		if err != nil {
			return
		}
		m.log.Info("change of the cluster's targets is in force", "action", p.Action, "targets", p.Targets, "smap", m.view().Smap.Version)
		if p.Action == actionOut {
			for range p.Patch.Del {
				m.removals = append(m.removals, m.now)
			}
			m.forgetOut(p.Patch.Del)
		}
	})
}

// noteOwners keeps the index since which the present owners are in force.
func (m *machine) noteOwners() {
	if version := m.view().Placement.Ver(); version != m.ownership.placement {
		m.ownership.placement, m.ownership.index = version, m.view().Index
	}
}

// changeOwnership commits changes that this leader decides on.
func (m *machine) changeOwnership(action string, build func(*meta.View) ([]meta.Change, error), then func(error)) {
	changes, err := build(m.view())
	if err != nil || len(changes) == 0 {
		then(err)
		return
	}
	m.proposeMap(action, changes, then)
}

// unquiesced are the active targets that may still commit by the old map.
func (m *machine) unquiesced() []string {
	var ids []string
	for _, node := range m.view().Smap.ActiveTargets() {
		if m.mutation == mutationImpatient && m.silence(node.ID) >= m.times.Down {
			continue
		}
		if !m.hasQuiesced(node.ID) && m.ungranted(node.ID) < m.times.Out {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// hasQuiesced tells a target that has reported the transition under way.
func (m *machine) hasQuiesced(id string) bool {
	if id == m.self.ID {
		return m.quiesced >= m.view().Transition.Ver()
	}
	p := m.peer(id)
	return p.quiesced >= m.view().Transition.Ver() && p.quiescedBy == p.incarnation
}

// noteQuiesced takes what a keepalive or a goodbye reports.
func (m *machine) noteQuiesced(p *peer, e *envelope, version int64) {
	if p.incarnation == e.Incarnation && version > 0 {
		p.quiesced, p.quiescedBy = version, e.Incarnation
	}
}

// senseless says why a pending map should not come into force, "" if it should.
func (m *machine) senseless(p *meta.PendingMap) string {
	smap := m.view().Smap
	ids, capacities := meta.NextPlaces(smap, &p.Patch)
	if !slices.Equal(ids, p.Targets) || !slices.Equal(capacities, p.Capacities) || !meta.MovesOwnership(smap, &p.Patch) {
		return "the map has changed otherwise"
	}
	switch p.Action {
	case actionJoin:
		for _, node := range p.Patch.Put {
			if smap.Node(node.ID) == nil && m.now.Sub(later(m.ownership.asked[node.ID], m.leaderSince)) >= 2*m.times.Down {
				return node.String() + " does not ask any more"
			}
		}
	case actionOut:
		for _, id := range p.Patch.Del {
			if m.gone(id) < m.times.Out && m.now.Sub(m.leaderSince) > m.gone(id) {
				return "a node that was silent has returned: " + id
			}
		}
	}
	return ""
}

// confirmLeadership has a majority say, every half interval, that it still
// follows this leader.
func (m *machine) confirmLeadership() {
	o := &m.ownership
	if m.now.Before(o.confirm) {
		return
	}
	o.confirm = m.now.Add(m.times.Keepalive / 2)
	m.read(&reader{until: m.now.Add(m.times.Barrier), confirms: m.now, term: m.term()})
}

// leadershipConfirmed notes that a majority followed this node in a term
// after a time.
func (m *machine) leadershipConfirmed(at time.Time, term uint64) {
	if m.role == roleLeader && m.term() == term {
		m.ownership.confirmed = later(m.ownership.confirmed, at)
	}
}
