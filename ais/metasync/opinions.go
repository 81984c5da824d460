package metasync

import (
	"sort"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// KindProbe asks a node whether it reaches another one, over a connection of
// its own.
const KindProbe = "probe"

// maxOpinions is how many nodes are asked about one that is silent.
const maxOpinions = 3

// probeRequest names the node in question.
type probeRequest struct {
	envelope
	ID string `json:"id"`
}

// probeReply says whether it answered.
type probeReply struct {
	envelope
	Reached bool `json:"reached"`
}

// opinions is what a leader learns of a silent node from others.
type opinions struct {
	waiting int       // questions under way
	next    time.Time // when to ask again
	vouched time.Time // another node reached it then
}

// unseen is how long there was no sign of a node, neither here nor at those
// that were asked about it.
func (m *machine) unseen(id string) time.Duration {
	p := m.peer(id)
	return m.now.Sub(later(later(p.lastSign, p.opinions.vouched), later(p.arrived, m.leaderSince)))
}

// vouched tells a node that is silent here, and that others reach.
func (m *machine) vouched(id string) bool {
	return m.peer(id).left == 0 && m.silence(id) >= m.times.Down && m.unseen(id) < m.times.Down
}

// tickOpinions asks about nodes that have been silent for half the time that
// makes them down, so that the answers are there when it is over.
func (m *machine) tickOpinions() {
	if m.role != roleLeader {
		return
	}
	smap := m.view().Smap
	for _, node := range smap.Nodes() {
		if node.ID == m.self.ID {
			continue
		}
		p := m.peer(node.ID)
		o := &p.opinions
		if p.left != 0 || m.silence(node.ID) < m.times.Down/2 || o.waiting > 0 || m.now.Before(o.next) {
			continue
		}
		o.next = m.now.Add(m.times.Down / 4)
		for _, witness := range m.witnesses(node.ID) {
			m.askOpinion(witness, node, p)
		}
	}
}

// witnesses are live nodes to ask about one, others each time.
func (m *machine) witnesses(about string) []*meta.Snode {
	var live []*meta.Snode
	for _, node := range m.view().Smap.Nodes() {
		if node.ID != about && node.ID != m.self.ID && m.heard(node.ID) {
			live = append(live, node)
		}
	}
	if len(live) <= maxOpinions {
		return live
	}
	m.asking++
	chosen := make([]*meta.Snode, maxOpinions)
	for i := range chosen {
		chosen[i] = live[(m.asking*maxOpinions+i)%len(live)]
	}
	return chosen
}

func (m *machine) askOpinion(witness, about *meta.Snode, p *peer) {
	p.opinions.waiting++
	req := &probeRequest{envelope: m.envelope(), ID: about.ID}
	term := m.term()
	m.call(m.urlOf(witness), KindProbe, req, m.times.Call, func(body []byte, err error) {
		p.opinions.waiting--
		var r probeReply
		if err == nil {
			err = unmarshal(KindProbe, body, &r)
		}
		if err != nil || !r.Reached || m.role != roleLeader || m.term() != term {
			return
		}
		if m.now.Sub(p.opinions.vouched) >= m.times.Down {
			m.log.Warn("node is silent here, but another one reaches it: it stays in the map", "node", about.String(), "reached by", witness.String())
		}
		p.opinions.vouched = m.now
		m.tickDown()
	})
}

// probed answers whether this node reaches another one.
func (m *machine) probed(token uint64, body []byte) {
	var req probeRequest
	err := unmarshal(KindProbe, body, &req)
	if err == nil {
		err = m.sameCluster(&req.envelope)
	}
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	m.signOf(&req.envelope)
	node := m.view().Smap.Node(req.ID)
	if req.ID == m.self.ID || node == nil {
		m.respond(token, &probeReply{envelope: m.envelope(), Reached: req.ID == m.self.ID}, nil)
		return
	}
	m.call(m.urlOf(node), KindWhois, &whoisRequest{m.envelope()}, m.times.Call/2, func(body []byte, err error) {
		m.respond(token, &probeReply{envelope: m.envelope(), Reached: m.answered(req.ID, body, err)}, nil)
	})
}

// answered tells that the answer to a whois is that of a running node of this
// cluster with an id.
func (m *machine) answered(id string, body []byte, err error) bool {
	var r whoisReply
	if err != nil || unmarshal(KindWhois, body, &r) != nil || r.From != id || r.UUID != m.identity.UUID {
		return false
	}
	m.sign(r.From, r.RaftID, r.Incarnation)
	return true
}

// lookout is a gateway's own watch over the targets while it hears of no
// primary.
type lookout struct {
	since time.Time // zero: there is a primary
	next  time.Time
}

// tickLookout makes a node that no primary answers see for itself which
// targets are down: clients are still sent to them.
func (m *machine) tickLookout() {
	l := &m.lookout
	if !m.stale() || m.join.state != joined || m.view().Smap == nil || m.self.Role != meta.RoleProxy {
		*l = lookout{}
		return
	}
	if l.since.IsZero() {
		l.since = m.now
	}
	var down []string
	targets := m.view().Smap.ActiveTargets()
	for _, node := range targets {
		p := m.peer(node.ID)
		if m.now.Sub(later(p.lastSign, l.since)) >= m.times.Down {
			down = append(down, node.ID)
		}
	}
	if m.now.Sub(l.since) >= m.times.Down {
		sort.Strings(down)
		m.setDown(down)
	}
	if m.now.Before(l.next) {
		return
	}
	l.next = m.now.Add(m.times.Down / 3)
	for _, node := range targets {
		m.call(m.urlOf(node), KindWhois, &whoisRequest{m.envelope()}, m.times.Call/2, func(body []byte, err error) {
			m.answered(node.ID, body, err)
		})
	}
}
