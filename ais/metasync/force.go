package metasync

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Calls of a forced restart.
const (
	KindCollect = "collect" // to every node: what do you have
	KindAdopt   = "adopt"   // to those who answered: this lineage goes on
)

const (
	adoptTries = 3
	takingTime = 15 * time.Second // from a node's answer to its adoption of the lineage
)

type collectRequest struct {
	envelope
	Operation string `json:"operation"`
	Of        string `json:"of"` // lineage that is to be replaced
}

// collectReply is all that a node knows of the lineage.
type collectReply struct {
	envelope
	Self  announcement    `json:"self"`
	State json.RawMessage `json:"state,omitempty"` // stateForm: documents, with all of the log applied
	Last  logPlace        `json:"last"`            // where that ends
	Group []byte          `json:"group,omitempty"` // raftpb.ConfState, of a member of the Raft group
	Leads bool            `json:"leads,omitempty"`
}

// logPlace is a place in the log. Of two logs, the one that ends at the later
// place has everything that was ever committed in the other.
type logPlace struct {
	Term  uint64 `json:"term,string"`
	Index uint64 `json:"index,string"`
}

func (p logPlace) before(o logPlace) bool {
	return p.Term < o.Term || p.Term == o.Term && p.Index < o.Index
}

type adoptRequest struct {
	envelope
	Operation string          `json:"operation"`
	View      json.RawMessage `json:"view"`
}

type adoptReply struct{ envelope }

// takingPart is a node's own side: it has answered a forced restart.
type takingPart struct {
	operation string
	until     time.Time
	// newer is a lineage that the node has met meanwhile: that which it is
	// about to adopt or, when the time is over, one that supersedes it.
	newer, toldBy string
}

func (t *takingPart) underWay(now time.Time) bool { return t.operation != "" && now.Before(t.until) }

// forcing is a forced restart under way at this node.
type forcing struct {
	token   uint64
	of      string   // lineage that is replaced
	must    []string // ids of nodes that have to answer
	id      string
	waiting int
	began   time.Time
	until   time.Time
	asked   map[string]bool // by URL
	replies map[string]*collectReply
	result  *wire.ForcedRestart // once the new lineage exists
	view    json.RawMessage
}

func refuseForce(format string, args ...any) error {
	return apierr.New(apierr.StatusConflict, "", "refusing to restart by force: "+format, args...)
}

// forceRestart starts a new lineage from what the reachable nodes have. The
// reply's body is a wire.ForcedRestart in JSON.
func (m *machine) forceRestart(token uint64, lineage string, must []string) {
	fail := func(err error) { m.reply(reply{token: token, err: err}) }
	switch own := m.identity.Lineage; {
	case m.history.force != nil:
		fail(refuseForce("a forced restart is under way at this node"))
		return
	case m.history.foreign != "":
		fail(refuseForce("%s", m.history.foreign))
		return
	case lineage == "" && own == "" && m.self.Role == meta.RoleProxy && m.identity.Want != nil:
		// nothing is left of it: begin anew, if nobody knows better
	case lineage == "":
		fail(apierr.BadRequest("a forced restart names the lineage that it replaces (this node has %q)", own))
		return
	case own != "" && lineage != own && lineage != m.identity.Superseded:
		fail(refuseForce("this node belongs to lineage %q, not to %q", own, lineage))
		return
	case own == "" && m.self.Role != meta.RoleProxy:
		fail(refuseForce("this node has no documents of the cluster; ask one that has, or a proxy"))
		return
	}
	f := &forcing{
		token: token, of: lineage, must: must, id: m.nextID(), began: m.now, until: m.now.Add(m.times.Call + m.times.Tick),
		asked: map[string]bool{}, replies: map[string]*collectReply{},
	}
	if m.identity.Lineage != "" {
		own, err := m.collected()
		if err != nil {
			fail(err)
			return
		}
		f.replies[m.self.ID] = own
	}
	m.history.force = f
	m.log.Warn("a forced restart was asked for", "lineage", lineage, "nodes", must)
	for _, url := range m.askable() {
		m.collectFrom(f, url)
	}
	m.decideForce()
}

func (m *machine) collectFrom(f *forcing, url string) {
	if f.asked[url] || f.result != nil || url == m.self.IntraControl.URL {
		return
	}
	f.asked[url] = true
	f.waiting++
	m.call(url, KindCollect, &collectRequest{envelope: m.envelope(), Operation: f.id, Of: f.of}, m.times.Call, func(body []byte, err error) {
		f.waiting--
		var r collectReply
		if err == nil {
			err = unmarshal(KindCollect, body, &r)
		}
		if err != nil {
			m.log.Info("no answer to the forced restart", "asked", url, "err", err)
		} else {
			m.checked(&r.Self, m.meet)
			if f.result == nil && r.From != m.self.ID {
				f.replies[r.From] = &r
				m.collectAlso(f, &r)
			}
		}
		if m.history.force == f {
			m.decideForce()
		}
	})
}

// collectAlso asks those whom only the map of another node names.
func (m *machine) collectAlso(f *forcing, r *collectReply) {
	if r.Lineage != f.of || r.State == nil {
		return
	}
	s, err := decodeState(r.State)
	if err != nil || s.view.Smap == nil {
		return
	}
	for _, node := range s.view.Smap.Nodes() {
		if node.ID != m.self.ID && f.replies[node.ID] == nil {
			m.collectFrom(f, m.urlOf(node))
		}
	}
}

// collects answers a forced restart at another node. It promises nothing.
func (m *machine) collects(token uint64, body []byte) {
	var req collectRequest
	err := unmarshal(KindCollect, body, &req)
	switch {
	case err != nil:
	case m.identity.UUID == "":
		err = errNotJoined(m.self)
	case req.UUID != "" && req.UUID != m.identity.UUID:
		err = errForeign("cluster UUID", req.UUID, m.identity.UUID)
	}
	var r *collectReply
	if err == nil {
		r, err = m.collected()
	}
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	if m.identity.Lineage == req.Of && !m.superseded() {
		m.history.taking = takingPart{operation: req.Operation, until: m.now.Add(takingTime)}
	}
	m.respond(token, r, nil)
}

// collected is what this node has: its documents with every entry of its log
// applied, committed or not. An entry that some leader has stored at a
// majority may stand here as not committed yet, and is acknowledged.
func (m *machine) collected() (*collectReply, error) {
	r := &collectReply{envelope: m.envelope(), Self: m.ownAnnouncement(), Leads: m.leads()}
	s, last, err := m.whole()
	if err != nil {
		return nil, err
	}
	if r.State, err = s.encode(); err != nil {
		return nil, err
	}
	r.Last = last
	if m.member() {
		r.Group, err = proto.Marshal(m.rlog.conf)
	}
	return r, err
}

// whole is the state at the end of the log, and where that is.
func (m *machine) whole() (*state, logPlace, error) {
	s := newState(m.state.view, slices.Clone(m.state.order))
	last := logPlace{Term: m.rlog.appliedTerm, Index: m.rlog.applied}
	end, err := m.rlog.LastIndex()
	if err != nil {
		return nil, last, err
	}
	if end > m.rlog.applied {
		entries, err := m.rlog.Entries(m.rlog.applied+1, end+1, noLimit)
		if err != nil {
			return nil, last, err
		}
		for _, entry := range entries {
			if err := s.applyEntry(entry); err != nil {
				return nil, last, err
			}
			last = logPlace{Term: entry.GetTerm(), Index: entry.GetIndex()}
		}
	}
	if m.docs != nil {
		if pushed := (logPlace{Term: m.docs.Term, Index: m.docs.Index}); last.before(pushed) {
			return newState(m.docs, s.order), pushed, nil
		}
	}
	return s, last, nil
}

// applyEntry applies the command of an entry, if it has one.
func (s *state) applyEntry(entry *raftpb.Entry) error {
	data := entry.GetData()
	if entry.GetType() != raftpb.EntryNormal {
		change := new(raftpb.ConfChangeV2)
		if err := proto.Unmarshal(data, change); err != nil {
			return err
		}
		data = change.GetContext()
	}
	if len(data) == 0 {
		return nil
	}
	cmd := new(meta.Command)
	if err := json.Unmarshal(data, cmd); err != nil {
		return err
	}
	_, _, _ = s.apply(cmd, entry.GetTerm(), entry.GetIndex()) // refused here as it would be by the group
	return nil
}

// tickForce ends the wait for nodes that do not answer, and of this node for
// the lineage that it is to adopt.
func (m *machine) tickForce() {
	if t := m.history.taking; t.operation != "" && !t.underWay(m.now) {
		m.history.taking = takingPart{}
		if t.newer != "" {
			m.supersede(t.newer, t.toldBy)
		}
	}
	if f := m.history.force; f != nil && f.result == nil && !m.now.Before(f.until) {
		f.waiting = 0
		m.decideForce()
	}
}

func (m *machine) endForce(err error) {
	f := m.history.force
	m.history.force = nil
	if err != nil {
		m.log.Warn("no forced restart", "err", err)
		m.reply(reply{token: f.token, err: err})
		return
	}
	body, err := marshal(f.result)
	m.reply(reply{token: f.token, body: body, err: err})
}

// decideForce goes on once everybody has answered or failed.
func (m *machine) decideForce() {
	f := m.history.force
	if f == nil || f.result != nil || f.waiting > 0 {
		return
	}
	if f.of == "" {
		m.endForce(m.foundAnew(f))
		return
	}
	best, err := m.mayForce(f)
	if err == nil {
		err = m.newLineage(f, best)
	}
	if err != nil {
		m.endForce(err)
		return
	}
	m.spread(f)
}

// foundAnew founds a cluster at a proxy that has lost its state, where nobody
// who can be reached has documents of any.
func (m *machine) foundAnew(f *forcing) error {
	for _, id := range slices.Sorted(maps.Keys(f.replies)) {
		r := f.replies[id]
		return refuseForce("%s belongs to cluster %q, lineage %q; have this node rejoin that, or name that lineage to restart it from its documents", r.Self.id(), r.UUID, r.Lineage)
	}
	if len(f.must) > 0 {
		return refuseForce("%s should take part but did not answer", names(f.must))
	}
	m.identity.Want, m.fenced = nil, ""
	m.found()
	if m.out.fatal != nil {
		return m.out.fatal
	}
	f.result = &wire.ForcedRestart{Lineage: m.identity.Lineage, SmapVersion: m.view().Smap.Version, Adopted: []string{m.self.ID}, Absent: []string{}}
	return nil
}

// mayForce refuses where a forced restart would split what can go on, and
// returns the reply with the newest documents.
func (m *machine) mayForce(f *forcing) (best *collectReply, err error) {
	of := map[string]*collectReply{}
	for _, id := range slices.Sorted(maps.Keys(f.replies)) {
		r := f.replies[id]
		switch {
		case r.Lineage == f.of:
			of[id] = r
		case r.UUID == m.identity.UUID && m.identity.Superseded != "" && r.Lineage == m.identity.Superseded:
			return nil, refuseForce("the cluster goes on as lineage %q at %s; rejoin that", r.Lineage, r.Self.id())
		}
	}
	if m.superseded() && f.of != m.identity.Superseded {
		return nil, refuseForce("lineage %q has replaced lineage %q; to go on from this node all the same, name %q, "+
			"which is refused while a node of it answers", m.identity.Superseded, m.identity.Lineage, m.identity.Superseded)
	}
	if m.superseded() { // nobody of the newer lineage answers: what this node has goes on
		of[m.self.ID] = f.replies[m.self.ID]
		for id, r := range f.replies {
			if r.Lineage == m.identity.Lineage {
				of[id] = r
			}
		}
	}
	if len(of) == 0 {
		return nil, refuseForce("no reachable node has documents of lineage %q", f.of)
	}
	var missing []string
	for _, id := range f.must {
		if of[id] == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return nil, refuseForce("%s should take part but did not answer with lineage %q (these did: %s)", names(missing), f.of, names(slices.Sorted(maps.Keys(of))))
	}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		if r := of[id]; best == nil || best.Last.before(r.Last) {
			best = r
		}
	}
	if m.superseded() {
		return best, nil
	}
	return best, m.noMajority(f, of)
}

func names(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// noMajority refuses while the group could go on by itself: a majority of the
// voters, of both groups in the middle of a change, answers as they are known
// to the newest member.
func (m *machine) noMajority(f *forcing, of map[string]*collectReply) error {
	answers := map[uint64]string{}
	var group *raftpb.ConfState
	var newest logPlace
	var voters *meta.Voters
	for _, id := range slices.Sorted(maps.Keys(of)) {
		r := of[id]
		answers[r.RaftID] = id
		if r.Leads && id != m.self.ID {
			return refuseForce("%s leads the cluster", r.Self.id())
		}
		if len(r.Group) > 0 && (group == nil || newest.before(r.Last)) {
			conf := new(raftpb.ConfState)
			if err := proto.Unmarshal(r.Group, conf); err != nil {
				return err
			}
			group, newest = conf, r.Last
		}
		if s, err := decodeState(r.State); err == nil && s.view.Voters != nil && (voters == nil || voters.Version < s.view.Voters.Version) {
			voters = s.view.Voters
		}
	}
	// Whoever has shown itself meanwhile counts as well.
	for id, a := range m.history.announced {
		if !a.at.Before(f.began) {
			answers[a.RaftID] = id
		}
	}
	var halves [][]uint64
	switch {
	case group != nil:
		halves = [][]uint64{group.GetVoters(), group.GetVotersOutgoing()}
	case voters != nil:
		var ids []uint64
		for _, member := range voters.Members {
			if !member.Learner {
				ids = append(ids, member.RaftID)
			}
		}
		halves = [][]uint64{ids}
	}
	for _, half := range halves {
		var there []string
		for _, id := range half {
			if node, ok := answers[id]; ok {
				there = append(there, node)
			}
		}
		if len(half) > 0 && len(there) <= len(half)/2 {
			return nil
		}
		if len(half) > 0 {
			slices.Sort(there)
			return refuseForce("%d of the %d voters answer (%s), a majority: the cluster can go on by itself", len(there), len(half), names(there))
		}
	}
	return nil
}

// newLineage makes this node the only voter of a new lineage that begins with
// the newest documents, in one write.
func (m *machine) newLineage(f *forcing, best *collectReply) error {
	s, err := decodeState(best.State)
	if err != nil {
		return err
	}
	if s.view, err = completed(s.view, f.replies); err != nil {
		return err
	}
	place := logPlace{Term: m.term(), Index: best.Last.Index}
	for _, r := range f.replies {
		place.Term = max(place.Term, r.Term, r.Last.Term)
		place.Index = max(place.Index, r.Last.Index)
	}
	place = logPlace{Term: place.Term + 1, Index: place.Index + 1}
	next := identity{
		NodeID: m.identity.NodeID, RaftID: m.newID(), UUID: s.view.UUID, Lineage: meta.NewLineage(),
		Incarnation: m.incarnation, Brought: m.identity.Brought,
	}
	view, err := m.firstOfLineage(s.view, f, next, place)
	if err != nil {
		return err
	}
	s.view = view
	data, err := s.encode()
	if err != nil {
		return err
	}
	old := m.identity.Lineage
	st := &stored{
		identity: next,
		snapshot: &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{
			ConfState: &raftpb.ConfState{Voters: []uint64{next.RaftID}, AutoLeave: new(false)},
			Index:     new(place.Index), Term: new(place.Term),
		}},
		hard: &raftpb.HardState{Term: new(place.Term), Vote: new(uint64(0)), Commit: new(place.Index)},
	}
	if err := m.rebirth(st, errFenced(m.self, "the cluster is restarted by force")); err != nil {
		return err
	}
	m.log.Warn("a new lineage begins by force", "lineage", next.Lineage, "replaces", old, "smap", view.Smap.Version, "documents of", best.Self.id())
	f.result = &wire.ForcedRestart{Lineage: next.Lineage, SmapVersion: view.Smap.Version, Adopted: []string{m.self.ID}, Absent: []string{}}
	f.view, err = view.Encode()
	return err
}

// firstOfLineage is the view that a lineage begins with: this node is the only
// voter and, if it is a proxy, the primary; who answered stands at its present
// addresses, who did not keeps its place.
func (m *machine) firstOfLineage(from *meta.View, f *forcing, next identity, place logPlace) (*meta.View, error) {
	patch := &meta.SmapPatch{}
	put := func(node *meta.Snode) {
		now := from.Smap.Node(node.ID)
		own := *node
		own.Digest = hrw.Digest(own.ID)
		if now != nil {
			own.Flags |= now.Flags &^ meta.FlagNonElectable
		}
		patch.Put = replaceNode(patch.Put, &own)
	}
	for _, id := range slices.Sorted(maps.Keys(f.replies)) {
		if r := f.replies[id]; r.Self.Node != nil && r.Self.Node.ID == id && from.Smap.Node(id) != nil && from.Smap.Node(id).Role == r.Self.Node.Role {
			put(r.Self.Node)
		}
	}
	put(m.self)
	if m.self.Role == meta.RoleProxy {
		patch.Primary = m.self.ID
	}
	staff(from.Smap, patch)
	cmd := &meta.Command{ID: m.nextID(), Action: "force-restart"}
	for kind, p := range map[string]any{meta.KindSmap: patch, meta.KindVoters: &meta.VotersPatch{Members: []meta.Member{{NodeID: m.self.ID, RaftID: next.RaftID}}}} {
		change, err := meta.NewChange(from, kind, p)
		if err != nil {
			return nil, err
		}
		if kind == meta.KindSmap {
			change.To = change.From + versionLeap
		}
		cmd.Changes = append(cmd.Changes, change)
	}
	slices.SortFunc(cmd.Changes, func(a, b meta.Change) int { return strings.Compare(a.Kind, b.Kind) })
	view, err := from.Apply(cmd, place.Term, place.Index)
	if err != nil {
		return nil, err
	}
	view.Ancestors = append(slices.Clone(from.Ancestors), from.Lineage)
	if s := m.identity.Superseded; s != "" {
		view.Ancestors = append(view.Ancestors, s)
	}
	view.Lineage = next.Lineage
	return view, nil
}

// completed adds the kinds of documents that the node with the newest ones
// does not get, from the newest of the others who do.
func completed(view *meta.View, replies map[string]*collectReply) (*meta.View, error) {
	others := slices.Collect(maps.Values(replies))
	slices.SortFunc(others, func(a, b *collectReply) int {
		switch {
		case b.Last.before(a.Last):
			return -1
		case a.Last.before(b.Last):
			return 1
		}
		return strings.Compare(a.From, b.From)
	})
	data, err := view.Encode()
	if err != nil {
		return nil, err
	}
	type form struct {
		Lineage   string                     `json:"lineage"`
		Documents map[string]json.RawMessage `json:"documents"`
	}
	whole := map[string]json.RawMessage{}
	var own form
	if err := errors.Join(json.Unmarshal(data, &whole), json.Unmarshal(data, &own)); err != nil {
		return nil, err
	}
	for _, r := range others {
		var s stateForm
		var other form
		if r.Lineage != own.Lineage || json.Unmarshal(r.State, &s) != nil || json.Unmarshal(s.View, &other) != nil {
			continue
		}
		for kind, doc := range other.Documents {
			if _, ok := own.Documents[kind]; !ok {
				own.Documents[kind] = doc
			}
		}
	}
	if whole["documents"], err = json.Marshal(own.Documents); err != nil {
		return nil, err
	}
	if data, err = json.Marshal(whole); err != nil {
		return nil, err
	}
	return meta.DecodeView(data)
}

// spread has those who took part adopt the lineage, and tells the rest.
func (m *machine) spread(f *forcing) {
	smap := m.view().Smap
	for _, node := range smap.Nodes() {
		if node.ID == m.self.ID {
			continue
		}
		if r := f.replies[node.ID]; r != nil && r.Lineage == f.of {
			f.waiting++
			m.adoptAt(f, node, adoptTries)
			continue
		}
		f.result.Absent = append(f.result.Absent, node.ID)
		m.announceTo(m.urlOf(node), func(*announceReply) {})
	}
	if f.waiting == 0 {
		m.endForce(nil)
	}
}

func (m *machine) adoptAt(f *forcing, node *meta.Snode, tries int) {
	req := &adoptRequest{envelope: m.envelope(), Operation: f.id, View: f.view}
	req.To, req.Ancestors = node.ID, m.ancestors()
	m.call(node.IntraControl.URL, KindAdopt, req, m.times.Call, func(body []byte, err error) {
		var r adoptReply
		if err == nil {
			err = unmarshal(KindAdopt, body, &r)
		}
		if err == nil && (r.From != node.ID || r.Lineage != f.result.Lineage) {
			err = fmt.Errorf("answer of %q with lineage %q", r.From, r.Lineage)
		}
		switch {
		case err == nil:
			m.signOf(&r.envelope)
			f.result.Adopted = append(f.result.Adopted, node.ID)
		case tries > 1 && m.identity.Lineage == f.result.Lineage:
			m.adoptAt(f, node, tries-1)
			return
		default:
			m.log.Warn("node did not adopt the new lineage", "node", node.String(), "err", err)
			f.result.Absent = append(f.result.Absent, node.ID)
		}
		if f.waiting--; f.waiting == 0 && m.history.force == f {
			slices.Sort(f.result.Adopted)
			slices.Sort(f.result.Absent)
			m.endForce(nil)
		}
	})
}

// adopt takes the lineage over whose making this node took part in.
func (m *machine) adopt(token uint64, body []byte) {
	var req adoptRequest
	if err := unmarshal(KindAdopt, body, &req); err != nil {
		m.respond(token, nil, err)
		return
	}
	view, err := m.mayAdopt(&req)
	switch {
	case err != nil:
		m.respond(token, nil, err)
		return
	case view == nil: // a repeated call
		m.respond(token, &adoptReply{m.envelope()}, nil)
		return
	}
	next := identity{
		NodeID: m.identity.NodeID, RaftID: m.newID(), UUID: view.UUID, Lineage: view.Lineage,
		Incarnation: m.incarnation, Brought: m.identity.Brought,
	}
	old := m.identity.Lineage
	if err := m.rebirth(&stored{identity: next, view: view}, errFenced(m.self, "the cluster is restarted by force")); err != nil {
		m.out.fatal = err
		return
	}
	m.history.taking = takingPart{}
	m.hint = hint{ID: req.From, URL: req.URL, Term: req.Term}
	m.log.Warn("adopted a new lineage", "lineage", view.Lineage, "replaces", old, "from", req.From)
	m.respond(token, &adoptReply{m.envelope()}, nil)
}

// mayAdopt checks a call to adopt a lineage; a nil view means that it was
// done already.
func (m *machine) mayAdopt(req *adoptRequest) (*meta.View, error) {
	t := &m.history.taking
	switch {
	case req.To != m.self.ID:
		return nil, errWrongNode(req.To, m.self.ID)
	case req.UUID != m.identity.UUID || req.UUID == "":
		return nil, errForeign("cluster UUID", req.UUID, m.identity.UUID)
	case req.Lineage == m.identity.Lineage:
		return nil, nil
	case t.operation != req.Operation || !t.underWay(m.now) || m.superseded():
		return nil, apierr.New(apierr.StatusConflict, codeForeign, "%s takes no part in this forced restart", m.self)
	}
	view, err := meta.DecodeView(req.View)
	switch {
	case err != nil:
		return nil, err
	case view.UUID != req.UUID || view.Lineage != req.Lineage || !slices.Contains(view.Ancestors, m.identity.Lineage):
		return nil, errForeign("lineage", view.Lineage, m.identity.Lineage)
	}
	_, last, err := m.whole()
	if err != nil {
		return nil, err
	}
	if !last.before(logPlace{Term: view.Term, Index: view.Index}) {
		return nil, apierr.New(apierr.StatusConflict, codeForeign, "%s has newer documents (term %d, index %d) than the new lineage begins with", m.self, last.Term, last.Index)
	}
	return view, nil
}
