package metasync

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

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

// endTaking ends the part in another node's forced restart; a newer lineage
// that was met meanwhile counts from now on.
func (m *machine) endTaking() {
	t := m.history.taking
	m.history.taking = takingPart{}
	if t.newer != "" {
		m.supersede(t.newer, t.toldBy)
	}
}

func (t *takingPart) underWay(now time.Time) bool { return t.operation != "" && now.Before(t.until) }

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
