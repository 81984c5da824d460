package metasync

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// KindAnnounce is the call of a node that starts, or has lost the cluster, to
// every address that it knows: here I am now.
const KindAnnounce = "announce"

const (
	announcePause    = 500 * time.Millisecond // first pause between rounds, doubled up to
	announcePauseMax = 2 * time.Second        //
	announceFan      = 16                     // calls of one round
	maxAnnounced     = 1000                   // nodes whose word is kept
	elsewhereKept    = 30 * time.Second       // how long a node of another lineage is told of
)

// Signer signs what a node says of itself, and checks what others say.
type Signer interface {
	// Sign returns the signature of this node.
	Sign(text []byte) []byte
	// Verify tells whether text was signed by the node with a public key.
	Verify(publicKey, text, signature []byte) bool
}

// announcement is what a node says of itself; others pass it on as it is. It
// needs no majority, so it is a hint where to dial and no more: who is dialed
// proves by UUID, lineage and Raft id that it is the right one.
type announcement struct {
	Node        *meta.Snode `json:"node"` // with its addresses of now
	RaftID      uint64      `json:"raft_id,string"`
	Incarnation uint64      `json:"incarnation,string"` // the greatest of a node is the last
	UUID        string      `json:"uuid,omitempty"`
	Lineage     string      `json:"lineage,omitempty"`
	Ancestors   []string    `json:"ancestors,omitempty"`
	Superseded  string      `json:"superseded,omitempty"` // lineage that replaced Lineage
	Newborn     bool        `json:"newborn,omitempty"`    // it founded a cluster, and is alone in it
	Signature   []byte      `json:"signature,omitempty"`
}

func (a *announcement) id() string {
	if a.Node == nil {
		return ""
	}
	return a.Node.String()
}

// text is what the signature covers.
func (a *announcement) text() ([]byte, error) {
	unsigned := *a
	unsigned.Signature = nil
	data, err := json.Marshal(&unsigned)
	return append([]byte("ais-announcement-v1 "), data...), err
}

// announced is a checked announcement of another node of the map.
type announced struct {
	announcement
	inMap string    // URL of the node in the map when it came: it counts until that changes
	at    time.Time // when it came
}

type announceRequest struct {
	envelope
	Self announcement      `json:"self"`
	Know map[string]uint64 `json:"know,omitempty"` // by node id: incarnation of what the sender knows
}

// announceReply tells what the sender does not know yet.
type announceReply struct {
	envelope
	Self   announcement   `json:"self"`
	Others []announcement `json:"others,omitempty"`
	// Active tells that the sender follows a leader: the lineage has a majority.
	Active bool `json:"active,omitempty"`
	Hint   hint `json:"hint"`
}

// meeting is the time after a start until every node of the stored map has
// answered or failed once. A node that took part earlier could bring a
// lineage back to life that another has replaced meanwhile.
type meeting struct {
	number  int // of the meeting: answers to an earlier one do not count
	waiting int
	asked   map[string]bool // by URL
	until   time.Time
}

func (w *meeting) underWay() bool { return w.asked != nil }

// ownAnnouncement is made anew for each use: what it says changes.
func (m *machine) ownAnnouncement() announcement {
	a := announcement{
		Node: m.self, RaftID: m.identity.RaftID, Incarnation: m.incarnation, UUID: m.identity.UUID, Lineage: m.identity.Lineage,
		Ancestors: m.ancestors(), Superseded: m.identity.Superseded, Newborn: m.newborn(),
	}
	if want := m.identity.Want; a.UUID == "" && want != nil {
		a.UUID = want.UUID // whose data it has; without a lineage it speaks for none
	}
	if m.history.signer != nil {
		if text, err := a.text(); err == nil {
			a.Signature = m.history.signer.Sign(text)
		}
	}
	return a
}

// checked calls then with an announcement that the node itself has made, as
// far as that can be told: what a node of the own cluster says must bear the
// signature of the key that the map has.
func (m *machine) checked(a *announcement, then func(*announcement)) {
	if a.Node == nil || a.Node.ID == m.self.ID || a.Node.IntraControl.URL == "" {
		return
	}
	if a.UUID == m.identity.UUID && a.UUID != "" {
		known := m.view().Smap.Node(a.Node.ID)
		if known == nil {
			return
		}
		if s := m.history.signer; s != nil && len(known.VerifyingKey) > 0 {
			text, err := a.text()
			if err != nil || !s.Verify(known.VerifyingKey, text, a.Signature) {
				m.log.Warn("announcement with a wrong signature", "node", a.id(), "url", a.Node.IntraControl.URL)
				return
			}
		}
	}
	then(a)
}

// hear is learn of what a node has said here itself. That of a node of another
// lineage is passed on for a while: where both halves of a cluster were
// restarted by force, and have other addresses since, they may reach each other
// and know of each other only through a node that both still find.
func (m *machine) hear(a *announcement) {
	m.learn(a)
	delete(m.history.elsewhere, a.Node.ID)
	if a.UUID != "" && a.UUID == m.identity.UUID && a.Lineage != "" && a.Lineage != m.identity.Lineage {
		m.history.elsewhere[a.Node.ID] = &announced{announcement: *a, at: m.now} // in the map: see checked
	}
}

// learn keeps where a node of the own lineage is now.
func (m *machine) learn(a *announcement) {
	m.meet(a)
	node := m.view().Smap.Node(a.Node.ID)
	if node == nil || a.UUID != m.identity.UUID || a.Lineage != m.identity.Lineage || m.superseded() || node.Role != a.Node.Role {
		return
	}
	if known := m.history.announced[node.ID]; known != nil && known.Incarnation >= a.Incarnation {
		return
	}
	m.history.announced[node.ID] = &announced{announcement: *a, inMap: node.IntraControl.URL, at: m.now}
	url := a.Node.IntraControl.URL
	m.routes[a.RaftID] = route{node: node.ID, url: url}
	if url != node.IntraControl.URL {
		m.log.Info("node announces another address", "node", node.String(), "url", url, "before", node.IntraControl.URL)
	}
	if m.history.meeting.underWay() {
		m.askAtStart(url)
	}
}

// livesOn forgets the announcement of a process that was started under the id
// of another one, when the other shows that it lives.
func (m *machine) livesOn(id string, incarnation uint64) {
	if a := m.history.announced[id]; a != nil && a.Incarnation != incarnation {
		delete(m.history.announced, id)
	}
}

// urlOf is where a node of the map is dialed: at the address in the map, or
// at one that it has announced since.
func (m *machine) urlOf(node *meta.Snode) string {
	if a := m.history.announced[node.ID]; a != nil && a.inMap == node.IntraControl.URL {
		return a.Node.IntraControl.URL
	}
	return node.IntraControl.URL
}

// startMeeting announces this node to everybody that it remembers.
func (m *machine) startMeeting() {
	if m.identity.UUID == "" || m.superseded() {
		return
	}
	urls := m.askable()
	// The log is not applied yet at this moment, but it may name nodes, too.
	// And where this node was itself, nobody may be under its id.
	whole, _, err := m.whole()
	if err != nil {
		m.out.fatal = err
		return
	}
	if smap := whole.view.Smap; smap != nil {
		for _, node := range smap.Nodes() {
			urls = append(urls, node.IntraControl.URL)
		}
	}
	w := &m.history.meeting
	*w = meeting{number: w.number + 1, asked: map[string]bool{}, until: m.now.Add(m.times.Call)}
	for _, url := range urls {
		m.askAtStart(url)
	}
	m.endMeeting()
}

// askAtStart is the announcement to one address during the meeting.
func (m *machine) askAtStart(url string) {
	w := &m.history.meeting
	if w.asked[url] || url == m.self.IntraControl.URL {
		return
	}
	w.asked[url] = true
	w.waiting++
	number := w.number
	m.announceTo(url, func(r *announceReply) {
		if w.number != number || !w.underWay() {
			return
		}
		w.waiting--
		if r != nil && r.Active && r.Self.Lineage == m.identity.Lineage {
			w.waiting = 0 // a majority of this lineage is at work
		}
		m.endMeeting()
	})
}

// endMeeting lets this node take part once there is nobody left to hear.
func (m *machine) endMeeting() {
	w := &m.history.meeting
	if !w.underWay() || w.waiting > 0 && m.now.Before(w.until) {
		return
	}
	m.log.Debug("has met the others", "asked", len(w.asked), "unanswered", w.waiting)
	*w = meeting{number: w.number}
	m.campaignAlone()
}

// campaignAlone makes a group of one elect its member at once: there is
// nobody else to wait for.
func (m *machine) campaignAlone() {
	if voters := m.rlog.conf.GetVoters(); !m.mayTakePart() || len(voters) != 1 || voters[0] != m.identity.RaftID || m.rlog.joint() {
		return
	}
	if err := m.raft.Campaign(); err != nil {
		m.log.Error("cannot stand for election", "err", err)
	}
}

// tickHistory announces while there is no leader, or while the leader misses
// somebody, and looks out for others.
func (m *machine) tickHistory() {
	m.endMeeting()
	m.tickNewborn()
	m.tickForce()
	h := &m.history
	if m.superseded() || m.identity.UUID == "" || h.meeting.underWay() || m.hasAll() {
		h.announce.pause = announcePause
		return
	}
	if m.now.Before(h.announce.next) {
		return
	}
	h.announce.next = m.now.Add(h.announce.pause)
	h.announce.pause = min(2*h.announce.pause, announcePauseMax)
	urls := m.askable()
	for range min(announceFan, len(urls)) {
		m.alive.asked++
		m.announceTo(urls[m.alive.asked%len(urls)], func(*announceReply) {})
	}
}

// hasAll tells that there is nobody to look for: this node follows a leader,
// or leads and hears from everybody.
func (m *machine) hasAll() bool {
	if m.leads() {
		for _, node := range m.view().Smap.Nodes() {
			if node.ID != m.self.ID && (m.peer(node.ID).lastSign.IsZero() || m.down(node.ID)) {
				return false
			}
		}
		return true
	}
	return m.join.state == joined && !m.stale()
}

// heardFrom keeps the address of a node that has called, for as long as this
// one looks for a cluster.
func (m *machine) heardFrom(url string) {
	const most = 16
	h := &m.history
	if m.identity.UUID != "" || url == m.self.IntraControl.URL || slices.Contains(h.callers, url) {
		return
	}
	if h.callers = append(h.callers, url); len(h.callers) > most {
		h.callers = h.callers[1:]
	}
}

// announceTo announces this node; then gets the answer, nil if there was none.
func (m *machine) announceTo(url string, then func(*announceReply)) {
	req := &announceRequest{envelope: m.envelope(), Self: m.ownAnnouncement(), Know: map[string]uint64{}}
	for id, a := range m.history.announced {
		req.Know[id] = a.Incarnation
	}
	m.call(url, KindAnnounce, req, m.times.Call, func(body []byte, err error) {
		var r announceReply
		if err == nil {
			err = unmarshal(KindAnnounce, body, &r)
		}
		if err != nil {
			m.refusedBy(url, err)
			then(nil)
			return
		}
		m.checked(&r.Self, m.hear)
		for i := range r.Others {
			m.checked(&r.Others[i], m.learn)
		}
		if r.Self.Lineage == m.identity.Lineage {
			m.learnHint(r.Hint)
		}
		then(&r)
	})
}

// announces answers another node's announcement.
func (m *machine) announces(token uint64, body []byte) {
	var req announceRequest
	if err := unmarshal(KindAnnounce, body, &req); err != nil {
		m.respond(token, nil, err)
		return
	}
	if req.Self.Node == nil || req.Self.Node.ID != req.From || len(req.Self.Ancestors) > maxAnnounced {
		m.respond(token, nil, errWrongNode(req.From, m.self.ID))
		return
	}
	if req.From == m.self.ID {
		m.respond(token, nil, m.twin(&req.envelope))
		return
	}
	m.heardFrom(req.Self.Node.IntraControl.URL)
	m.checked(&req.Self, m.hear)
	r := &announceReply{envelope: m.envelope(), Self: m.ownAnnouncement(), Hint: m.leaderHint()}
	if req.UUID == m.identity.UUID && req.UUID != "" {
		r.Active = m.leads() || m.join.state == joined && m.mayTakePart() && !m.stale()
		for _, id := range slices.Sorted(maps.Keys(m.history.announced)) {
			if a := m.history.announced[id]; id != req.From && req.Know[id] < a.Incarnation {
				r.Others = append(r.Others, a.announcement)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(m.history.elsewhere)) {
			if a := m.history.elsewhere[id]; id != req.From && m.now.Sub(a.at) < elsewhereKept {
				r.Others = append(r.Others, a.announcement)
			}
		}
	}
	m.respond(token, r, nil)
}

// twin is the answer to a process that starts under the id of this one, nil
// error if it is this one.
func (m *machine) twin(e *envelope) error {
	if e.Incarnation == m.incarnation {
		return errWrongNode(e.From, m.self.ID) // an own address
	}
	return errDuplicate(m.self, m.self.IntraControl.URL)
}

// sameHolder tells that a node of the map calls from where the map, or its
// last announcement, says that it is. A process that was replaced by a later
// one while it could not be reached gets an error.
func (m *machine) sameHolder(e *envelope) (known bool, err error) {
	node := m.view().Smap.Node(e.From)
	if node == nil || m.urlOf(node) == e.URL || node.IntraControl.URL == e.URL {
		return node != nil, nil
	}
	if p := m.peer(e.From); p.incarnation > e.Incarnation {
		return false, errDuplicate(node, node.IntraControl.URL)
	}
	return false, nil
}
