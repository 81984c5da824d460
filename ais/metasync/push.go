package metasync

import (
	"encoding/json"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

const roleLeader = raft.StateLeader

// pushAgainAfter is the pause after a push that failed.
const pushAgainAfter = 300 * time.Millisecond

// tickPushes sends to every live node what it has not acknowledged. One push
// to a node is under way at a time.
func (m *machine) tickPushes() {
	view := m.view()
	if m.role != roleLeader || view.Smap == nil {
		return
	}
	for _, node := range view.Smap.Nodes() {
		if node.ID == m.self.ID {
			continue
		}
		p := m.peer(node.ID)
		if p.pushing || m.now.Before(p.pushAgain) || p.greeted && (p.acked >= view.Index || m.down(node.ID)) {
			continue
		}
		m.push(node, p)
	}
}

// push sends one push. The first of a leader greets the node: it learns who
// leads, and the leader how far it is.
func (m *machine) push(node *meta.Snode, p *peer) {
	view := m.state.view
	req := &pushRequest{envelope: m.envelope(), Primary: m.primary(), groupWord: m.wordFor(node.ID, p), Upto: view.Index}
	switch {
	case !p.greeted:
		req.Upto = 0
	case req.Member && !p.needs:
	default:
		m.fill(req, p.acked, node.Role, req.Member)
	}
	p.pushing = true
	term := m.term()
	req.To = node.ID
	m.call(m.urlOf(node), KindPush, req, m.times.Ack, func(body []byte, err error) {
		p.pushing = false
		if m.role != roleLeader || m.term() != term {
			return
		}
		var ack pushReply
		if err == nil {
			err = unmarshal(KindPush, body, &ack)
		}
		if err == nil && ack.From != node.ID {
			err = errDuplicate(node, node.IntraControl.URL)
		}
		if err != nil {
			m.log.Debug("push failed", "to", node.String(), "err", err)
			p.pushAgain = m.now.Add(pushAgainAfter)
			return
		}
		progress := !p.greeted || ack.Index > p.acked || ack.Need && !p.needs
		p.greeted, p.needs = true, ack.Need
		m.acked(p, &ack.envelope)
		if !progress {
			p.pushAgain = m.now.Add(pushAgainAfter)
		}
		m.tickPushes()
		m.tickCommits()
	})
}

// fill puts into a push what follows index, as a node of a role gets it.
func (m *machine) fill(req *pushRequest, index uint64, role string, member bool) {
	if index >= m.state.view.Index {
		return
	}
	if deltas, ok := m.recent.after(index, role, member); ok {
		req.Deltas = deltas
		return
	}
	data, err := m.state.view.For(role, member).Encode()
	if err != nil {
		m.log.Error("cannot encode the cluster's metadata", "err", err)
		return
	}
	req.View = json.RawMessage(data)
}

// acked notes how far a node is. One that answers but gets no further counts
// as silent.
func (m *machine) acked(p *peer, e *envelope) {
	m.signOf(e)
	if p.ackedBy != e.Incarnation { // a node that starts again may be behind where it was
		p.ackedBy, p.acked, p.lastAck = e.Incarnation, e.Index, m.now
	}
	if e.Index > p.acked {
		p.acked, p.lastAck = e.Index, m.now
	}
	if p.acked >= m.state.view.Index {
		p.lagging = false
	}
}

// pushWait is a push that is answered when its index is in effect.
type pushWait struct {
	token uint64
	upto  uint64
	until time.Time
}

// pushed takes committed commands from the leader.
func (m *machine) pushed(token uint64, body []byte) {
	var req pushRequest
	if err := unmarshal(KindPush, body, &req); err != nil {
		m.respond(token, nil, err)
		return
	}
	if err := m.sameCluster(&req.envelope); err != nil {
		m.respond(token, nil, err)
		return
	}
	need, err := m.take(&req)
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	if need {
		m.respond(token, &pushReply{envelope: m.envelope(), Need: true}, nil)
		return
	}
	m.pushes = append(m.pushes, &pushWait{token: token, upto: req.Upto, until: m.now.Add(m.times.Ack / 2)})
	m.answerPushes()
}

// take applies what a push or a pull brings. It reports whether the sender
// has to send more.
func (m *machine) take(req *pushRequest) (need bool, err error) {
	if req.Term < m.term() && m.mutation != mutationAnyTerm {
		return false, apierr.New(apierr.StatusConflict, codeOldTerm, "%s leads in term %d, term %d is known here", req.From, req.Term, m.term())
	}
	m.pushTerm = req.Term
	m.learnHint(hint{ID: req.From, URL: req.URL, Term: req.Term})
	m.signOf(&req.envelope)
	m.membership(&req.groupWord)
	if m.member() && req.Member {
		return false, nil // the log brings it
	}
	if req.View != nil {
		if err := m.takeView(req.View); err != nil {
			return false, err
		}
	}
	if !m.takeDeltas(req.Deltas) {
		return true, nil
	}
	return req.Upto > m.view().Index, nil
}

func (m *machine) answerPushes() {
	waiting := m.pushes[:0]
	for _, w := range m.pushes {
		if w.upto > m.effective && m.now.Before(w.until) {
			waiting = append(waiting, w)
			continue
		}
		m.respond(w.token, &pushReply{envelope: m.envelope()}, nil)
	}
	clear(m.pushes[len(waiting):])
	m.pushes = waiting
}

func (m *machine) tickPushWaits() {
	if len(m.pushes) > 0 {
		m.answerPushes()
	}
}
