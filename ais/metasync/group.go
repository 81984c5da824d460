package metasync

import (
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// wordFor is what this leader tells a node of the group.
func (m *machine) wordFor(id string, p *peer) groupWord {
	return groupWord{Member: m.isMember(id, p), Group: m.rlog.applied, Known: m.groupKnown()}
}

// groupKnown tells that a majority of the voters knows that the last change of
// the group is committed. Before that, who was removed may still have to vote
// for one that does not know.
func (m *machine) groupKnown() bool {
	return m.leads() && !m.rlog.joint() && m.voters.known > 0 && m.rlog.applied >= m.voters.known
}

// membership takes a leader's word on whether this node is a member of the
// group. One that was removed leaves for good once its vote cannot be needed
// any more, if it has acknowledged nothing that is later than the word.
func (m *machine) membership(word *groupWord) {
	if m.rlog.applied > word.Group {
		return // this node knows better
	}
	m.detached = !word.Member && m.rlog.has(m.identity.RaftID)
	if !word.Member && word.Known && m.rlog.applied > 0 && m.lastIndex() <= word.Group {
		m.leaveGroup()
	}
}

func (m *machine) lastIndex() uint64 {
	last, err := m.rlog.LastIndex()
	if err != nil {
		m.out.fatal = err
	}
	return last
}

// leaveGroup makes an ordinary node of a member that was removed: its log and
// the documents that only members get are dropped. Should it become a member
// again, it is a new one, with another Raft id: nothing that was under way
// for the old one can be taken for its word.
func (m *machine) leaveGroup() {
	view := m.view()
	m.log.Info("no longer a member of the Raft group", "index", m.rlog.applied)
	m.pushTerm = m.term()
	m.identity.RaftID = m.newID()
	m.saveIdentity()
	m.saveDocs(view)
	for _, bucket := range []string{bucketEntries, bucketHard, bucketSnapshot} {
		m.remove(bucket, 0, endOfKeys)
	}
	m.recent = recent{}
	m.detached, m.replayTo = false, 0
	docs, saved, batch := m.docs, m.docsSaved, m.viewBatch
	if err := m.restore(&stored{identity: m.identity}); err != nil {
		m.out.fatal = err
		return
	}
	m.docs, m.docsSaved, m.viewBatch = docs, saved, batch
	m.followRole()
	m.settleThose(func(*proposal) bool { return true }, errNoMajority("the outcome is not known"))
	m.failRound()
}

// leaderless is how long no leader has been known.
func (m *machine) leaderless() time.Duration {
	if m.leaderKnown() {
		m.leaderSeen = m.now
	}
	return m.now.Sub(m.leaderSeen)
}

// leaderKnown tells that somebody leads, as far as this node can know: a
// member by the heartbeats, any other node by the answers to its keepalives.
func (m *machine) leaderKnown() bool {
	switch {
	case m.leads():
		return true
	case m.member():
		return m.leader != 0
	}
	return !m.alive.answered.IsZero() && m.now.Sub(m.alive.answered) < 2*m.times.Keepalive
}

// canServe tells a role whose documents this node has all of.
func (m *machine) canServe(role string) bool {
	return m.member() || m.self.Role == meta.RoleProxy || role == m.self.Role
}
