package metasync

import (
	"bytes"
	"sort"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
)

// admission is the leader's side of joining: nodes that wait for the next
// change of the map.
type admission struct {
	queue []*applicant
}

type applicant struct {
	token uint64 // 0: this node itself
	req   joinRequest
}

const maxApplicants = 1000

// joins answers a node that asks to be admitted.
func (m *machine) joins(token uint64, body []byte) {
	a := &applicant{token: token}
	if err := unmarshal(KindJoin, body, &a.req); err != nil {
		m.respond(token, nil, err)
		return
	}
	m.seesApplicant(&a.req)
	if !m.leads() || m.leaving != nil {
		m.respond(token, &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
		return
	}
	if err := m.checkApplicant(&a.req); err != nil {
		m.respond(token, nil, err)
		return
	}
	if !m.mayApply(a) {
		return
	}
	if op := m.decommissioned(&a.req); op != nil {
		m.respond(token, &joinReply{envelope: m.envelope(), Decommissioned: op}, nil)
		return
	}
	now := m.view().Smap.Node(a.req.From)
	switch {
	case !m.primary() && now == nil && !a.req.Node.Electable():
		// A caretaker admits who may become primary, nobody else.
		m.respond(token, &joinReply{envelope: m.envelope()}, nil)
	case now == nil:
		m.enqueue(a)
	case unchanged(now, a.req.Node):
		m.admit(a)
	case now.SameAddresses(a.req.Node):
		m.enqueue(a)
	default:
		m.askHolder(now, a)
	}
}

// unchanged tells that the map has the node as it wants to be.
func unchanged(now, wanted *meta.Snode) bool {
	return now.SameAddresses(wanted) && (now.Flags^wanted.Flags)&meta.FlagNonElectable == 0 && bytes.Equal(now.VerifyingKey, wanted.VerifyingKey)
}

func (m *machine) checkApplicant(req *joinRequest) error {
	node := req.Node
	if node == nil || node.ID != req.From {
		return apierr.BadRequest("join: the node does not name itself")
	}
	if req.UUID != "" {
		if err := m.sameCluster(&req.envelope); err != nil {
			return err
		}
	}
	if err := m.isWanted(req.Want); err != nil {
		return err
	}
	if node.Role != meta.RoleProxy && node.Role != meta.RoleTarget {
		return apierr.BadRequest("join: invalid role %q of node %q, expecting %q or %q", node.Role, node.ID, meta.RoleProxy, meta.RoleTarget)
	}
	if node.Flags&^meta.FlagNonElectable != 0 || node.Flags != 0 && node.Role != meta.RoleProxy {
		return apierr.BadRequest("join: invalid flags %d of %s, a proxy may be non-electable (%d)", node.Flags, node, meta.FlagNonElectable)
	}
	if now := m.view().Smap.Node(node.ID); now != nil && now.Role != node.Role {
		return apierr.New(apierr.StatusConflict, codeDuplicate, "duplicate node ID: %s cannot join as %s", now, node)
	}
	return nil
}

// askHolder finds out whether the node that has the id, at other addresses,
// still runs.
func (m *machine) askHolder(holder *meta.Snode, a *applicant) {
	if holder.ID == m.self.ID {
		m.respond(a.token, nil, errDuplicate(m.self, m.self.IntraControl.URL))
		return
	}
	url := m.urlOf(holder)
	if url == a.req.URL {
		url = holder.IntraControl.URL
	}
	m.call(url, KindWhois, &whoisRequest{m.envelope()}, m.times.Call/2, func(body []byte, err error) {
		var r whoisReply
		if err == nil {
			err = unmarshal(KindWhois, body, &r)
		}
		if err == nil && r.From == holder.ID && r.Incarnation != a.req.Incarnation {
			m.respond(a.token, nil, errDuplicate(holder, url))
			return
		}
		m.enqueue(a)
	})
}

// enqueue lets a node wait for the next change of the map. One that asks again
// takes its earlier place.
func (m *machine) enqueue(a *applicant) {
	if a.req.Node.Role == meta.RoleTarget {
		m.ownership.asked[a.req.From] = m.now
	}
	for i, other := range m.admission.queue {
		if other.req.From == a.req.From {
			m.admission.queue[i] = a
			m.notAdmitted(other)
			m.tickAdmission()
			return
		}
	}
	if len(m.admission.queue) >= maxApplicants {
		m.respond(a.token, nil, apierr.Unavailable(m.times.Keepalive, "too many nodes are joining"))
		return
	}
	m.admission.queue = append(m.admission.queue, a)
	m.tickAdmission()
}

// notAdmitted answers a node that should ask again.
func (m *machine) notAdmitted(a *applicant) {
	if a.token != 0 {
		m.respond(a.token, &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
	}
}

// admitSelf keeps the leader's own addresses in the map what they are.
func (m *machine) admitSelf() {
	now := m.view().Smap.Node(m.self.ID)
	if now != nil && unchanged(now, m.self) {
		m.join.state = joined
		return
	}
	for _, a := range m.admission.queue {
		if a.token == 0 {
			return
		}
	}
	if !m.smapBusy && (now != nil || m.self.Electable()) {
		m.enqueue(&applicant{req: joinRequest{envelope: m.envelope(), Node: m.self}})
	}
}

// tickAdmission takes the nodes that wait into the map: those who do not
// change the set of active targets in one command, then those who do by one
// change of ownership. Who waits for that under way stays in the queue.
func (m *machine) tickAdmission() {
	if len(m.admission.queue) == 0 || m.smapBusy || !m.leads() {
		return
	}
	var plain, moving, rest []*applicant
	plainPatch, movingPatch := &meta.SmapPatch{}, &meta.SmapPatch{}
	smap := m.view().Smap
	for _, a := range m.admission.queue {
		node := *a.req.Node
		node.Digest = hrw.Digest(node.ID)
		now := smap.Node(node.ID)
		if now != nil {
			node.Flags |= now.Flags &^ meta.FlagNonElectable
		}
		switch one := (&meta.SmapPatch{Put: []*meta.Snode{&node}}); {
		case now != nil && a.token != 0 && unchanged(now, a.req.Node):
			m.admit(a) // by a change that came first
		case meta.MovesOwnership(smap, one):
			moving = append(moving, a)
			movingPatch.Put = append(movingPatch.Put, &node)
			rest = append(rest, a)
		default:
			plain = append(plain, a)
			plainPatch.Put = replaceNode(plainPatch.Put, &node)
		}
	}
	m.admission.queue = rest
	switch {
	case len(plain) > 0:
		m.changeMap(actionJoin, plainPatch, 1, func(err error) { m.admitAll(plain, err) })
	case len(moving) > 0 && m.primary() && m.view().Transition.Now() == nil:
		m.admitTargets(movingPatch)
	}
}

// admitAll answers nodes after the change of the map that was for them.
func (m *machine) admitAll(all []*applicant, err error) {
	for _, a := range all {
		switch {
		case a.token == 0:
		case err != nil:
			m.notAdmitted(a)
		default:
			m.admit(a)
		}
	}
}

// admitTargets begins to take targets into the map. They are answered once
// the map with them is in force, see tickAdmission.
func (m *machine) admitTargets(patch *meta.SmapPatch) {
	view := m.view()
	sort.Slice(patch.Put, func(i, j int) bool { return patch.Put[i].ID < patch.Put[j].ID })
	pending := &meta.PendingMap{
		Action: actionJoin, Patch: *patch,
		// Without buckets there is nothing to move.
		Rebalance: view.Config.Rebalance.Enabled && view.Smap.CountTargets() > 0 && view.BMD.Len() > 0,
	}
	action := actionJoin
	if view.Smap.CountTargets() > 0 {
		action = "begin " + actionJoin
	}
	m.changeOwnership(action, func(v *meta.View) ([]meta.Change, error) { return BeginTransition(v, pending) }, func(err error) {
		if err != nil {
			m.log.Info("targets not admitted yet", "err", err)
		}
	})
}

// admit answers a node that is in the map.
func (m *machine) admit(a *applicant) {
	if m.view().Smap.Node(a.req.From) == nil { // removed again meanwhile
		m.respond(a.token, &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
		return
	}
	// A new start: what an earlier one left behind no longer counts.
	p := m.peer(a.req.From)
	p.left = 0
	req := a.req.envelope
	req.UUID = m.identity.UUID
	m.signOf(&req)
	r := &joinReply{envelope: m.envelope(), Admitted: true, groupWord: m.wordFor(a.req.From, p)}
	if a.req.Index < m.view().Index || a.req.UUID == "" {
		data, err := m.view().For(a.req.Node.Role, m.isMember(a.req.From, p)).Encode()
		if err != nil {
			m.respond(a.token, nil, err)
			return
		}
		r.View = data
	}
	m.vouch(a, r)
	m.respond(a.token, r, nil)
}
