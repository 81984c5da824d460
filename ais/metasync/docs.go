package metasync

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aistore-go/aistore/core/meta"
)

// restoreDocs rebuilds what pushes had made of the documents.
func (m *machine) restoreDocs(st *stored) error {
	if st.view == nil {
		return nil
	}
	view := st.view
	for i := range st.pushed {
		d := &st.pushed[i]
		if d.Index <= view.Index {
			continue
		}
		next, err := follow(view, d)
		if err != nil {
			return fmt.Errorf("stored command %d: %w", d.Index, err)
		}
		view = next
	}
	m.docs, m.docsSaved = view, len(st.pushed)
	return nil
}

// follow applies a pushed command to the view that it continues.
func follow(view *meta.View, d *delta) (*meta.View, error) {
	if d.Prev != view.Index {
		return nil, fmt.Errorf("it follows command %d, the documents are at %d", d.Prev, view.Index)
	}
	cmd := new(meta.Command)
	if err := json.Unmarshal(d.Command, cmd); err != nil {
		return nil, err
	}
	next, _ := view.Apply(cmd, d.Term, d.Index) // refused here as it was at the primary
	return next, nil
}

// takeDeltas applies those commands that this node does not have yet. It
// reports whether they continue where it is.
func (m *machine) takeDeltas(deltas []delta) bool {
	view := m.view().For(m.self.Role, false)
	for len(deltas) > 0 && deltas[0].Index <= view.Index {
		deltas = deltas[1:]
	}
	if len(deltas) == 0 {
		return true
	}
	if deltas[0].Prev != view.Index {
		return false
	}
	deltas = slices.Clone(deltas)
	for i := range deltas {
		if err := m.ownPart(&deltas[i]); err != nil {
			m.log.Error("pushed command not taken", "index", deltas[i].Index, "err", err)
			return false
		}
		next, err := follow(view, &deltas[i])
		if err != nil {
			m.log.Error("pushed command not taken", "index", deltas[i].Index, "err", err)
			return false
		}
		view = next
	}
	if m.docs == nil || m.docs.Index != deltas[0].Prev || m.docsSaved+len(deltas) > m.limits.pushed {
		m.saveDocs(view)
		return true
	}
	for i := range deltas {
		data, err := json.Marshal(&deltas[i])
		if err != nil {
			m.out.fatal = err
			return false
		}
		m.put(bucketPushed, deltas[i].Index, data)
	}
	m.viewBatch = m.durable.next()
	m.docs, m.docsSaved = view, m.docsSaved+len(deltas)
	return true
}

// ownPart cuts a command down to what a node outside the group gets. One that
// just became a member is sent all of it.
func (m *machine) ownPart(d *delta) error {
	cmd := new(meta.Command)
	if err := json.Unmarshal(d.Command, cmd); err != nil {
		return err
	}
	own := cmd.For(m.self.Role, false)
	if own == cmd {
		return nil
	}
	data, err := marshal(own)
	d.Command = data
	return err
}

// takeView replaces the documents by a whole view that is newer.
func (m *machine) takeView(data []byte) error {
	view, err := meta.DecodeView(data)
	if err != nil {
		return err
	}
	if m.identity.UUID != "" && view.UUID != m.identity.UUID {
		return errForeign("cluster UUID", view.UUID, m.identity.UUID)
	}
	if m.identity.Lineage != "" && view.Lineage != m.identity.Lineage {
		return errForeign("lineage", view.Lineage, m.identity.Lineage)
	}
	if view.Index > m.view().Index {
		m.saveDocs(view)
	}
	return nil
}

// dropDocs forgets what pushes made, once the log has made more of it.
func (m *machine) dropDocs() {
	if m.docs != nil && m.docs.Index <= m.state.view.Index && m.member() {
		m.docs, m.docsSaved = nil, 0
		m.remove(bucketPushed, 0, endOfKeys)
		m.remove(bucketView, 0, 1)
	}
}

// saveDocs stores a whole view, as far as it is for a node outside the group.
func (m *machine) saveDocs(view *meta.View) {
	view = view.For(m.self.Role, false)
	data, err := view.Encode()
	if err != nil {
		m.out.fatal = err
		return
	}
	m.docs, m.docsSaved = view, 0
	m.viewBatch = m.durable.next()
	m.remove(bucketPushed, 0, endOfKeys)
	m.put(bucketView, 0, data)
}
