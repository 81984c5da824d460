package metasync

import (
	"fmt"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// newbornPause is how often a cluster of one new node looks for an older one
// at the configured addresses.
const newbornPause = 2 * time.Second

// fencedWhy says in one sentence why this node may not serve, "" if it may.
// What an operator has to do comes first, what heals by itself last.
func (m *machine) fencedWhy() string {
	id := &m.identity
	switch {
	case m.superseded():
		return fmt.Sprintf("the cluster was restarted by force and goes on as lineage %q; this node still belongs to lineage %q: "+
			"it takes part again after the action %q with that lineage", id.Superseded, id.Lineage, "rejoin")
	case m.history.foreign != "":
		return m.history.foreign
	case id.Want != nil && m.join.state != joined:
		return m.wantedWhy()
	}
	return m.fenced
}

// wantedWhy is the reason of a node that lost its state, or gave it up.
func (m *machine) wantedWhy() string {
	want := m.identity.Want
	which := "the cluster"
	if want.UUID != "" {
		which = fmt.Sprintf("cluster %q", want.UUID)
	}
	why := want.Why + "; "
	const most = 4
	switch urls := m.askable(); {
	case len(urls) == 0:
		why += "no address is known where to ask for " + which
	case len(urls) > most:
		why += fmt.Sprintf("asking %s and %d more for %s", strings.Join(urls[:most], ", "), len(urls)-most, which)
	default:
		why += fmt.Sprintf("asking %s for %s", strings.Join(urls, ", "), which)
	}
	if m.fenced != "" {
		why += "; last answer: " + m.fenced
	}
	return why
}

func errFenced(self *meta.Snode, why string) error {
	return apierr.Unavailable(10*time.Second, "%s may not serve: %s", self, why)
}

// newborn tells a cluster that this node founded and that is still worth
// nothing: nobody has joined it, and it has no bucket.
func (m *machine) newborn() bool {
	view := m.view()
	if !m.identity.Founded || m.superseded() || view.Smap == nil || len(view.Smap.Pmap)+len(view.Smap.Tmap) != 1 {
		return false
	}
	return view.BMD == nil || view.BMD.Version <= 1
}

// meetStranger notices a node of another cluster. An established cluster does
// not care; a newborn one gives way to it. Of two newborn ones, that with the
// smaller id gives way.
func (m *machine) meetStranger(saw *announcement) {
	if !m.newborn() || saw.Newborn && saw.UUID < m.identity.UUID {
		return
	}
	m.log.Warn("a cluster exists already; giving up the one just founded", "founded", m.identity.UUID, "exists", saw.UUID, "shown by", saw.id())
	m.giveUp(saw)
}

// giveUp forgets the cluster that this node founded, in one write, and joins
// the other.
func (m *machine) giveUp(saw *announcement) {
	urls := []string{}
	if saw.Node != nil && saw.Node.ID != m.self.ID {
		urls = append(urls, saw.Node.IntraControl.URL)
	}
	next := identity{
		NodeID: m.identity.NodeID, RaftID: m.newID(), Incarnation: m.incarnation, Brought: m.identity.Brought,
		Want: &wanted{
			UUID: saw.UUID, URLs: urls,
			Why: fmt.Sprintf("this node had founded a cluster by itself, but cluster %q exists already (shown by %s)", saw.UUID, saw.id()),
		},
	}
	if err := m.rebirth(&stored{identity: next}, errFenced(m.self, next.Want.Why)); err != nil {
		m.out.fatal = err
	}
}

// tickNewborn looks for a cluster that was there before.
func (m *machine) tickNewborn() {
	if m.now.Before(m.history.nextProbe) || !m.newborn() {
		return
	}
	m.history.nextProbe = m.now.Add(newbornPause)
	for _, url := range m.askable() {
		m.investigate(url)
	}
}

// investigate asks a node who it is, at most one at a time and not too often.
func (m *machine) investigate(url string) {
	if url == "" || url == m.self.IntraControl.URL || m.now.Before(m.history.suspects[url]) {
		return
	}
	if len(m.history.suspects) > maxAnnounced {
		clear(m.history.suspects)
	}
	m.history.suspects[url] = m.now.Add(newbornPause)
	m.call(url, KindWhois, &whoisRequest{m.envelope()}, m.times.Call/2, func(body []byte, err error) {
		var r whoisReply
		if err == nil && unmarshal(KindWhois, body, &r) == nil {
			m.checked(&r.Self, m.meet)
		}
	})
}

// exists ends the search of a node that may found: there is a cluster, or
// somebody who remembers one.
func (m *machine) exists(saw *announcement) {
	m.log.Info("a cluster exists already, joining it", "uuid", saw.UUID, "shown by", saw.id())
	m.join.state, m.join.next = asking, m.now
}

// seesApplicant notices that a node which asks to be admitted belongs, or has
// data that belongs, to another cluster.
func (m *machine) seesApplicant(req *joinRequest) {
	saw := &announcement{Node: req.Node, UUID: req.UUID}
	if saw.UUID == "" && req.Want != nil {
		saw.UUID = req.Want.UUID
	}
	if req.Node != nil && req.Node.ID == req.From && saw.UUID != m.identity.UUID {
		m.meet(saw)
	}
}

// meetCaller notices the lineage of a caller; the call came as one of a node
// of the cluster.
func (m *machine) meetCaller(e *envelope) {
	if newerLineage(e.Lineage, e.Ancestors, m.identity.Lineage, m.ancestors()) {
		m.supersede(e.Lineage, e.From)
	}
}

// isWanted refuses a node without state that may join another cluster only.
func (m *machine) isWanted(want *wanted) error {
	switch {
	case want == nil:
		return nil
	case want.UUID != "" && want.UUID != m.identity.UUID:
		return errForeign("cluster UUID", want.UUID, m.identity.UUID)
	case want.Lineage != "" && want.Lineage != m.identity.Lineage:
		return errForeign("lineage", want.Lineage, m.identity.Lineage)
	}
	return nil
}

// isTheWanted refuses an admission by a cluster that this node may not join.
func (m *machine) isTheWanted(by *envelope) error {
	want := m.identity.Want
	switch {
	case m.identity.UUID != "": // an answer to what this node was before does not count
		return m.sameCluster(by)
	case want == nil:
		return nil
	case want.UUID != "" && want.UUID != by.UUID:
		return errForeign("cluster UUID", by.UUID, want.UUID)
	case want.Lineage != "" && want.Lineage != by.Lineage:
		return errForeign("lineage", by.Lineage, want.Lineage)
	}
	return nil
}
