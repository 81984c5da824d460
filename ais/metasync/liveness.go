package metasync

import (
	"sort"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// peer is what this node knows of another one, from its own observation.
type peer struct {
	id          string
	lastSign    time.Time // of life, zero if there was none
	arrived     time.Time // when the node came into the map, seen by this leader
	raftID      uint64    // as the node says itself, 0 if not known
	incarnation uint64
	left        uint64 // incarnation that said goodbye, 0 if none
	leftAt      time.Time
	opinions    opinions

	// As the node reported: it has quiesced for the transition with this
	// version, in this incarnation.
	quiesced     int64
	quiescedBy   uint64
	stalled      bool // its storage stalls, by its own word
	stalledSince time.Time
	granted      time.Time // last owner lease that this leader granted

	// Of the leader only, and forgotten when it becomes leader.
	greeted   bool   // it answered a push of this leader
	acked     uint64 // index of the last command in effect there
	ackedBy   uint64 // incarnation that acknowledged it
	lastAck   time.Time
	pushing   bool
	pushAgain time.Time
	needs     bool // a member of the group that cannot follow the log yet
	lagging   bool
}

// peer returns what is known of a node.
func (m *machine) peer(id string) *peer {
	p := m.peers[id]
	if p == nil {
		p = &peer{id: id}
		m.peers[id] = p
	}
	return p
}

// signOf notes a sign of life: a call, or the answer to one.
func (m *machine) signOf(e *envelope) {
	if m.identity.UUID == e.UUID && e.RaftID != 0 && e.From != m.self.ID {
		m.routes[e.RaftID] = route{node: e.From, url: e.URL}
	}
	m.noteStall(e)
	m.sign(e.From, e.RaftID, e.Incarnation)
}

// sign notes a sign of life of a node of the map.
func (m *machine) sign(id string, raftID, incarnation uint64) {
	if id == m.self.ID || m.view().Smap.Node(id) == nil {
		return
	}
	m.livesOn(id, incarnation)
	p := m.peer(id)
	if p.left == incarnation {
		return // sent before it left, or while it stops
	}
	p.left, p.raftID, p.incarnation, p.lastSign = 0, raftID, incarnation, m.now
	m.signOfPrimary(id)
}

func (m *machine) signOfPrimary(id string) {
	if m.view().Smap.IsPrimary(id) && !m.peer(id).stalled {
		m.caretaker.primarySign = m.now
	}
}

// goodbye notes that a node is about to stop.
func (m *machine) goodbye(e *envelope) {
	if m.view().Smap.Node(e.From) == nil {
		return
	}
	p := m.peer(e.From)
	p.left, p.leftAt, p.incarnation = e.Incarnation, m.now, e.Incarnation
	if p.lastSign.IsZero() {
		p.lastSign = m.now
	}
}

// down tells, at the leader, a node without a sign of life, or that left.
func (m *machine) down(id string) bool {
	if id == m.self.ID {
		return false
	}
	return m.unseen(id) >= m.times.Down || m.peer(id).left != 0
}

// silence is how long this leader itself had no sign of a node.
func (m *machine) silence(id string) time.Duration {
	p := m.peer(id)
	return m.now.Sub(later(later(p.lastSign, p.arrived), m.leaderSince))
}

// tickDown keeps the set of nodes that are down: the leader's own, or what
// the leader told last.
func (m *machine) tickDown() {
	smap := m.view().Smap
	if smap == nil {
		return
	}
	if m.role != roleLeader {
		m.dropDown(smap)
		return
	}
	m.noteArrivals()
	changed := false
	for _, node := range smap.Nodes() {
		_, was := m.downNodes[node.ID]
		if is := m.down(node.ID); is != was {
			changed = true
			if is {
				m.log.Warn("node is down", "node", node.String())
			} else {
				m.log.Info("node is back", "node", node.String())
			}
		}
	}
	for id := range m.downNodes {
		changed = changed || smap.Node(id) == nil
	}
	if changed {
		m.setDown(m.downIDs())
		m.tickCommits()
	}
}

// dropDown forgets nodes that were down and have left the map: they are not
// down any more when they come back, whatever the leader told last.
func (m *machine) dropDown(smap *meta.Smap) {
	var ids []string
	for id := range m.downNodes {
		if smap.Node(id) != nil {
			ids = append(ids, id)
		}
	}
	m.setDown(ids)
}

func (m *machine) downIDs() []string {
	var ids []string
	for _, node := range m.view().Smap.Nodes() {
		if m.down(node.ID) {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// stillDown are those that were down at the last tick and are: an answer must
// not cost a look at every node.
func (m *machine) stillDown() []string {
	var ids []string
	for id := range m.downNodes {
		if m.view().Smap.Node(id) != nil && m.down(id) {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return ids
}

// noteArrivals gives nodes that come into the map the time to show a sign:
// those from before do not count.
func (m *machine) noteArrivals() {
	smap := m.view().Smap
	if smap == m.arrived {
		return
	}
	for _, node := range smap.Nodes() {
		if m.arrived != nil && m.arrived.Node(node.ID) == nil {
			m.peer(node.ID).arrived = m.now
		}
	}
	m.arrived = smap
}

// setDown replaces the set; readers keep the old one.
func (m *machine) setDown(ids []string) {
	if len(ids) == len(m.downNodes) {
		same := true
		for _, id := range ids {
			_, ok := m.downNodes[id]
			same = same && ok
		}
		if same {
			return
		}
	}
	m.downNodes = make(map[string]struct{}, len(ids))
	for _, id := range ids {
		m.downNodes[id] = struct{}{}
	}
}

// keepaliveState is the node's own side: it tells the leader that it lives.
type keepaliveState struct {
	next     time.Time
	waiting  bool
	answered time.Time // by a leader
	asked    int       // rotation over those who may know the leader
	astray   bool      // the last keepalive went to one of them
}

func (a *keepaliveState) start(m *machine) { a.next = m.now }

// stale tells that no leader has answered for too long.
func (m *machine) stale() bool {
	return !m.leads() && m.now.Sub(m.alive.answered) >= m.times.Down
}

func (m *machine) tickKeepalive() {
	if m.leads() {
		m.alive.answered = m.now
		return
	}
	if m.join.state != joined || m.alive.waiting || m.now.Before(m.alive.next) {
		return
	}
	m.alive.next = m.now.Add(m.times.Keepalive)
	if m.self.Role == meta.RoleTarget && !m.leaseValid() {
		m.alive.next = m.now.Add(m.times.Keepalive / 5) // nobody can write here before it has one
	}
	url := m.leaderHint().URL
	m.alive.astray = !m.alive.astray && m.stale()
	if url == "" || m.alive.astray { // every second time, the supposed leader may be one no more
		if url = m.someone(); url == "" {
			return
		}
	}
	m.alive.waiting = true
	sent := m.now
	m.call(url, KindKeepalive, &keepaliveRequest{envelope: m.envelope(), Quiesced: m.quiesced}, m.times.Keepalive, func(body []byte, err error) {
		m.alive.waiting = false
		var r keepaliveReply
		if err == nil {
			err = unmarshal(KindKeepalive, body, &r)
		}
		switch {
		case err != nil && m.stale() && apierr.CodeOf(err) == trust.CodeIdentity:
			// It was taken out of the map while it was away, and the cluster
			// keys that it holds are of the past: nobody takes its keepalives.
			m.forgetHint(url)
			m.join.again(m)
			return
		case err != nil:
			m.forgetHint(url)
			m.refusedBy(url, err)
			return
		}
		m.keptAlive(url, &r)
		m.granted(sent, &r)
	})
}

// someone returns the next node that may know who leads.
func (m *machine) someone() string {
	urls := m.askable()
	if len(urls) == 0 {
		return ""
	}
	m.alive.asked++
	return urls[m.alive.asked%len(urls)]
}

// forgetHint makes this node ask around after the supposed leader failed.
func (m *machine) forgetHint(url string) {
	if m.hint.URL == url {
		m.hint = hint{Term: m.hint.Term}
	}
}

func (m *machine) keptAlive(url string, r *keepaliveReply) {
	m.signOf(&r.envelope)
	if !r.Leads {
		m.forgetHint(url)
		if r.Hint.URL != url {
			m.learnHint(r.Hint)
		}
		if m.hint.URL != "" {
			m.alive.next = m.now // ask the right one at once
		}
		return
	}
	m.alive.answered = m.now
	m.fenced = ""
	m.learnHint(hint{ID: r.From, URL: r.URL, Term: r.Term})
	if r.Unknown {
		m.join.again(m)
		return
	}
	if m.role != roleLeader {
		m.setDown(r.Down)
	}
	m.membership(&r.groupWord)
	m.pullTo = max(m.pullTo, r.Index)
}

// keepalive answers another node's.
func (m *machine) keepalive(token uint64, body []byte) {
	var req keepaliveRequest
	if err := unmarshal(KindKeepalive, body, &req); err != nil {
		m.respond(token, nil, err)
		return
	}
	if err := m.sameCluster(&req.envelope); err != nil {
		m.respond(token, nil, err)
		return
	}
	here, err := m.sameHolder(&req.envelope)
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	if here {
		m.signOf(&req.envelope)
	}
	r := &keepaliveReply{envelope: m.envelope(), Leads: m.leads(), Hint: m.leaderHint()}
	if r.Leads {
		p := m.peer(req.From)
		r.Primary, r.groupWord = m.primary(), m.wordFor(req.From, p)
		r.Unknown = !here
		r.SmapVersion = m.view().Smap.Version
		r.Index = m.state.view.Index
		r.Down = m.stillDown()
		if !r.Unknown && p.greeted {
			m.acked(p, &req.envelope)
		}
		m.noteQuiesced(p, &req.envelope, req.Quiesced)
		if r.Lease = m.grants(req.From, req.Index); r.Lease {
			m.grant(p)
		}
	}
	m.respond(token, r, nil)
}

func (m *machine) isMember(id string, p *peer) bool {
	raftID := p.raftID
	if raftID == 0 {
		member, _ := m.view().Voters.ByNode(id)
		raftID = member.RaftID
	}
	return raftID != 0 && m.rlog.has(raftID)
}

// tickOut removes nodes without a sign of life from the map: proxies in one
// command, targets by a change of ownership.
func (m *machine) tickOut() {
	if !m.primary() || m.smapBusy {
		return
	}
	view := m.view()
	var proxies, targets []string
	heard, left := false, view.Smap.CountTargets()
	allowed := m.removalsAllowed(len(view.Smap.Tmap))
	var silent []*meta.Snode
	for _, node := range view.Smap.Nodes() {
		if node.ID == m.self.ID {
			continue
		}
		if !m.down(node.ID) {
			heard = true
		}
		if node.Active() && m.gone(node.ID) >= m.times.Out {
			silent = append(silent, node)
		}
	}
	// the longest silent first, where the limit leaves a choice
	sort.SliceStable(silent, func(i, j int) bool { return m.gone(silent[i].ID) > m.gone(silent[j].ID) })
	for _, node := range silent {
		switch {
		case node.Role == meta.RoleProxy:
			proxies = append(proxies, node.ID)
		case allowed > 0 && left > 1:
			targets = append(targets, node.ID)
			allowed--
			left--
		}
	}
	if !heard {
		return // who hears from nobody suspects itself
	}
	if len(proxies) > 0 {
		sort.Strings(proxies)
		m.changeMap(actionOut, &meta.SmapPatch{Del: proxies}, 1, func(err error) {
			if err == nil {
				m.forgetOut(proxies)
			}
		})
		return
	}
	if len(targets) > 0 && view.Transition.Now() == nil {
		sort.Strings(targets)
		m.outTargets(targets)
	}
}

// outTargets begins to take targets out of the map. What they have is not
// moved: it is still with them.
func (m *machine) outTargets(ids []string) {
	pending := &meta.PendingMap{Action: actionOut, Patch: meta.SmapPatch{Del: ids}}
	m.changeOwnership("begin "+actionOut, func(v *meta.View) ([]meta.Change, error) { return BeginTransition(v, pending) }, func(err error) {
		if err == nil {
			m.log.Warn("targets without a sign of life are taken out of the map", "targets", ids)
		}
	})
}

// forgetOut notes nodes that were removed from the map.
func (m *machine) forgetOut(ids []string) {
	m.log.Warn("nodes without a sign of life were removed from the map", "nodes", ids)
	for _, id := range ids {
		delete(m.peers, id)
	}
}

// gone is how long a node has been silent, or has said that it is.
func (m *machine) gone(id string) time.Duration {
	p := m.peer(id)
	if p.left != 0 {
		return m.now.Sub(later(p.leftAt, m.leaderSince))
	}
	return m.unseen(id)
}

// removalsAllowed is how many targets may be removed now without an operator.
func (m *machine) removalsAllowed(targets int) int {
	keep := m.removals[:0]
	for _, at := range m.removals {
		if m.now.Sub(at) < m.times.RemovalWindow {
			keep = append(keep, at)
		}
	}
	m.removals = keep
	return max(max(1, (targets+len(keep))/3)-len(keep), 0)
}
