package metasync

import (
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
	if !m.leads() || m.leaving != nil {
		m.respond(token, &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
		return
	}
	if err := m.checkApplicant(&a.req); err != nil {
		m.respond(token, nil, err)
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
	return now.SameAddresses(wanted) && (now.Flags^wanted.Flags)&meta.FlagNonElectable == 0
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
	url := holder.IntraControl.URL
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

func (m *machine) enqueue(a *applicant) {
	if len(m.admission.queue) >= maxApplicants {
		m.respond(a.token, nil, apierr.Unavailable(m.times.Keepalive, "too many nodes are joining"))
		return
	}
	m.admission.queue = append(m.admission.queue, a)
	m.tickAdmission()
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

// tickAdmission commits all that wait in one change of the map.
func (m *machine) tickAdmission() {
	if len(m.admission.queue) == 0 || m.smapBusy || !m.leads() {
		return
	}
	queue := m.admission.queue
	m.admission.queue = nil
	patch := &meta.SmapPatch{}
	for _, a := range queue {
		node := *a.req.Node
		node.Digest = hrw.Digest(node.ID)
		if now := m.view().Smap.Node(node.ID); now != nil {
			node.Flags |= now.Flags &^ meta.FlagNonElectable
		}
		patch.Put = replaceNode(patch.Put, &node)
	}
	m.changeMap("join", patch, 1, func(err error) {
		for _, a := range queue {
			switch {
			case a.token == 0:
			case err != nil:
				m.respond(a.token, &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
			default:
				m.admit(a)
			}
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
	r := &joinReply{envelope: m.envelope(), Admitted: true}
	if a.req.Index < m.view().Index || a.req.UUID == "" {
		data, err := m.view().Encode()
		if err != nil {
			m.respond(a.token, nil, err)
			return
		}
		r.View = data
	}
	m.respond(a.token, r, nil)
}
