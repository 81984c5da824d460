package metasync

import (
	"fmt"
	"slices"

	"github.com/aistore-go/aistore/core/meta"
)

// agreement is what the simulation knows of the group: it asserts that a term
// has one leader, that the group is what the voters document says, without
// nodes that left the map, and that nobody follows an earlier leader again.
type agreement struct {
	leaders map[string]string // lineage and term -> node
	terms   map[string]uint64 // node and life -> highest term of a leader whose push it took

	places map[logPoint]*committed
	last   map[string]uint64 // by lineage: highest index that is committed
}

// logPoint is a place in the log of a lineage.
type logPoint struct {
	lineage string
	index   uint64
}

// committed is what the log makes at one place, by whoever knows.
type committed struct {
	node     string
	term     uint64
	versions map[string]int64 // by kind
}

// checkCommitted asserts that a place in the log is the same at all nodes that
// have applied it: with one term and with the same versions of all documents.
func (s *sim) checkCommitted(n *simNode, view *meta.View) {
	if view.Smap == nil {
		return
	}
	a := &s.agreement
	if a.places == nil {
		a.places, a.last = map[logPoint]*committed{}, map[string]uint64{}
	}
	a.last[view.Lineage] = max(a.last[view.Lineage], view.Index)
	at := logPoint{view.Lineage, view.Index}
	have := a.places[at]
	if have == nil {
		have = &committed{node: n.self.ID, term: view.Term, versions: map[string]int64{}}
		a.places[at] = have
	}
	if have.term != view.Term {
		s.fatalf("index %d of lineage %s has term %d at %s and %d at %s", view.Index, view.Lineage, have.term, have.node, view.Term, n.self.ID)
	}
	for _, kind := range checkKinds() {
		doc := view.Document(kind)
		if doc == nil {
			continue // not for the role of this node, or not there yet
		}
		switch version, ok := have.versions[kind]; {
		case !ok:
			have.versions[kind] = doc.Ver()
		case version != doc.Ver():
			s.fatalf("at index %d of lineage %s, %s has version %d at %s and %d at %s",
				view.Index, view.Lineage, kind, version, have.node, doc.Ver(), n.self.ID)
		}
	}
}

func (s *sim) checkAgreement(n *simNode) {
	m := n.m
	a := &s.agreement
	if a.leaders == nil {
		a.leaders, a.terms = map[string]string{}, map[string]uint64{}
	}
	if m.role == roleLeader {
		term := fmt.Sprintf("%s %d", m.identity.Lineage, m.raft.BasicStatus().GetTerm())
		if who, ok := a.leaders[term]; ok && who != n.self.ID {
			s.fatalf("lineage and term %s have two leaders: %s and %s", term, who, n.self.ID)
		}
		a.leaders[term] = n.self.ID
	}
	life := fmt.Sprintf("%p %d %s", n, n.life, m.identity.Lineage)
	if m.pushTerm < a.terms[life] {
		s.fatalf("%s takes a push of a leader of term %d, it knows of term %d", n.self, m.pushTerm, a.terms[life])
	}
	a.terms[life] = m.pushTerm
}

// checkGroup compares the group with the documents that came with it.
func (s *sim) checkGroup(n *simNode) {
	m := n.m
	view, conf := m.state.view, m.rlog.conf
	if view.Voters == nil || view.Smap == nil {
		return
	}
	var voters, learners []uint64
	for _, member := range view.Voters.Members {
		if view.Smap.Node(member.NodeID) == nil {
			s.fatalf("%s: %s has a vote and is not in the map (version %d)", n.self, member.NodeID, view.Smap.Version)
		}
		if member.Learner {
			learners = append(learners, member.RaftID)
		} else {
			voters = append(voters, member.RaftID)
		}
	}
	// Two are voters while the only one hands leadership over.
	if count := len(conf.GetVoters()); count%2 == 0 && count != 2 {
		s.fatalf("%s: %d voters (version %d)", n.self, count, view.Voters.Version)
	}
	for _, ids := range [][]uint64{voters, learners} {
		slices.Sort(ids)
	}
	group := slices.Sorted(slices.Values(conf.GetVoters()))
	if !slices.Equal(voters, group) {
		// A node that came back with another Raft id is named once.
		for _, id := range group {
			if r, ok := m.route(id); !slices.Contains(voters, id) && ok && view.Smap.Node(r.node) == nil {
				s.fatalf("%s: the group has voters %v, the documents (version %d) %v", n.self, group, view.Voters.Version, voters)
			}
		}
	}
}

// checkKinds are the kinds of documents that must have one content a version.
func checkKinds() []string { return meta.Kinds() }
