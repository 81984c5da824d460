package metasync

import (
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// leaving is the graceful stop of this node: it tells the leader, and hands
// leadership over if it has it.
type leaving struct {
	token   uint64
	next    time.Time
	waiting bool
	told    map[string]bool // who was asked to note it, by URL
	tries   int
}

const maxLeaveTries = 20

// leave starts the graceful stop; the reply comes when the leader knows, or
// when nobody can be told.
func (m *machine) leave(token uint64) {
	if m.leaving != nil {
		m.reply(reply{token: token})
		return
	}
	m.leaving = &leaving{token: token, next: m.now, told: map[string]bool{}}
	m.tickLeave()
}

func (m *machine) endLeave() {
	if m.leaving.token != 0 {
		m.reply(reply{token: m.leaving.token})
		m.leaving.token = 0
	}
}

func (m *machine) tickLeave() {
	l := m.leaving
	if l.token == 0 || l.waiting || m.now.Before(l.next) {
		return
	}
	if l.tries++; l.tries > maxLeaveTries || m.view().Smap == nil || m.identity.UUID == "" {
		m.endLeave()
		return
	}
	l.next = m.now.Add(m.times.Tick)
	if m.role == roleLeader {
		m.leaveLeadership()
		return
	}
	url := m.leaderHint().URL
	switch {
	case url == "":
		l.next = m.now.Add(2 * m.times.Tick)
	case l.told[url]:
		m.endLeave()
	default:
		m.sayGoodbye(url)
	}
}

// leaveLeadership tells the successor, who need not wait for this node to
// return then, and hands leadership over.
func (m *machine) leaveLeadership() {
	l := m.leaving
	heir := m.heir()
	if heir == nil {
		m.endLeave()
		return
	}
	if url := m.urlOf(heir); !l.told[url] {
		m.sayGoodbye(url)
		return
	}
	if m.raft.BasicStatus().LeadTransferee == 0 {
		l.next = m.now.Add(m.times.election() / 2)
		m.raft.TransferLeader(m.peer(heir.ID).raftID)
	}
}

func (m *machine) sayGoodbye(url string) {
	l := m.leaving
	l.waiting = true
	m.call(url, KindLeave, &leaveRequest{envelope: m.envelope()}, m.times.Call/2, func(body []byte, err error) {
		l.waiting = false
		l.told[url] = true // also if it failed: there is no time to insist
		var r leaveReply
		if err == nil && unmarshal(KindLeave, body, &r) == nil {
			m.learnHint(r.Hint)
		} else {
			m.forgetHint(url)
		}
		m.tickLeave()
	})
}

// heir is the best live voter for leadership: successors first.
func (m *machine) heir() *meta.Snode {
	var best *meta.Snode
	rank := func(n *meta.Snode) int {
		if n.Electable() {
			return 1
		}
		return 0
	}
	for _, node := range m.view().Smap.Nodes() {
		if node.ID == m.self.ID || !m.rlog.voter(m.peer(node.ID).raftID) || m.down(node.ID) || !m.heard(node.ID) || m.peer(node.ID).stalled {
			continue
		}
		if best == nil || rank(node) > rank(best) || rank(node) == rank(best) && node.Digest > best.Digest {
			best = node
		}
	}
	return best
}

// left notes that another node is about to stop.
func (m *machine) left(token uint64, body []byte) {
	var req leaveRequest
	err := unmarshal(KindLeave, body, &req)
	if err == nil {
		err = m.sameCluster(&req.envelope)
	}
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	m.goodbye(&req.envelope)
	m.noteQuiesced(m.peer(req.From), &req.envelope, req.Quiesced)
	if m.role == roleLeader {
		m.tickDown()
	}
	m.respond(token, &leaveReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
}
