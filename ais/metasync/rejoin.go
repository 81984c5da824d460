package metasync

import (
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// rejoin makes this node forget its cluster, but neither its id nor its data,
// and join the cluster and lineage that an operator names. It is one write:
// after a crash the node is as it was, or on its way. The documents that it
// forgets are kept aside, see keepDocuments.
func (m *machine) rejoin(token uint64, uuid, lineage string) {
	if err := m.mayRejoin(uuid, lineage); err != nil {
		m.reply(reply{token: token, err: err})
		return
	}
	brought := slices.Clone(m.identity.Brought)
	if m.origin.Conflict != "" {
		brought = append(brought, anyData)
	}
	for _, of := range []string{m.identity.UUID, m.origin.UUID} {
		if of != "" && of != uuid && !slices.Contains(brought, of) {
			brought = append(brought, of)
		}
	}
	next := identity{
		NodeID: m.identity.NodeID, RaftID: m.newID(), Incarnation: m.incarnation, Brought: brought,
		Want: &wanted{UUID: uuid, Lineage: lineage, Why: "an operator has this node rejoin", URLs: m.askable()},
	}
	m.log.Warn("rejoins by an operator's command", "uuid", uuid, "lineage", lineage, "was", m.identity.UUID, "of lineage", m.identity.Lineage)
	if err := m.keepDocuments(); err != nil {
		m.reply(reply{token: token, err: err})
		return
	}
	if err := m.rebirth(&stored{identity: next}, errFenced(m.self, "an operator has this node rejoin")); err != nil {
		m.out.fatal = err
		return
	}
	m.history.foreign = ""
	m.reply(reply{token: token})
}

func (m *machine) mayRejoin(uuid, lineage string) error {
	switch {
	case uuid == "" || lineage == "":
		return apierr.BadRequest("a rejoin names the cluster's uuid and lineage (have %q and %q)", uuid, lineage)
	case m.history.force != nil:
		return apierr.New(apierr.StatusConflict, "", "a forced restart is under way at %s", m.self)
	case m.fencedWhy() == "" && (m.leads() || m.join.state == joined && !m.stale()):
		return apierr.New(apierr.StatusConflict, "", "%s is a member of cluster %q, lineage %q, and in touch with its primary: it has nothing to rejoin",
			m.self, m.identity.UUID, m.identity.Lineage)
	case uuid == m.identity.UUID && lineage == m.identity.Lineage && m.history.foreign == "":
		return apierr.New(apierr.StatusConflict, "", "%s belongs to cluster %q, lineage %q already", m.self, uuid, lineage)
	}
	return nil
}
