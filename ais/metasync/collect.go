package metasync

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/core/meta"
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
	if m.identity.Lineage == req.Of && !m.superseded() && m.history.force == nil {
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
