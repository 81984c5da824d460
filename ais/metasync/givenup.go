package metasync

import (
	"encoding/json"
	"slices"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxGivenUp is how many histories that this node has given up are kept.
const maxGivenUp = 8

// givenUp is a history of a cluster that this node has left for another one by
// an operator's command. Its documents stay in the state file, whole; once the
// node has the documents of the history that it joined, what that one lacks is
// named.
type givenUp struct {
	key     uint64 // in the storage
	UUID    string `json:"uuid"`
	Lineage string `json:"lineage"`
	// Documents is the view as it was, encoded.
	Documents json.RawMessage `json:"documents"`
	// Into is the lineage that was joined, "" before its documents are there;
	// Buckets are those of Documents that it does not have.
	Into    string             `json:"into,omitempty"`
	Buckets []meta.BucketEntry `json:"buckets,omitempty"`
}

// keepDocuments keeps the documents that the node is about to forget, in the same
// write in which it forgets them.
func (m *machine) keepDocuments() error {
	view := m.view()
	if view.Smap == nil {
		return nil // there are none, or they are kept already
	}
	documents, err := view.Encode()
	if err != nil {
		return err
	}
	g := givenUp{UUID: view.UUID, Lineage: view.Lineage, Documents: documents}
	kept := m.givenUp
	if n := len(kept); n > 0 {
		g.key = kept[n-1].key + 1
	}
	if len(kept) == maxGivenUp {
		m.remove(bucketGivenUp, 0, kept[0].key+1)
		kept = kept[1:]
	}
	m.givenUp = append(slices.Clip(kept), g)
	return m.saveGivenUp(&g)
}

func (m *machine) saveGivenUp(g *givenUp) error {
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	m.put(bucketGivenUp, g.key, data)
	return nil
}

// settleGivenUp compares what was given up with the first documents of the
// history that was joined. Later would be too late: a bucket that both had,
// and that was destroyed since, is nothing to tell of.
func (m *machine) settleGivenUp() {
	n := len(m.givenUp)
	if n == 0 || m.givenUp[n-1].Into != "" || m.join.state != joined {
		return
	}
	view := m.view()
	if view.Smap == nil || view.BMD == nil {
		return
	}
	g := m.givenUp[n-1]
	old, err := meta.DecodeView(g.Documents)
	if err != nil {
		m.log.Error("the documents that were given up cannot be read", "lineage", g.Lineage, "err", err)
		old = &meta.View{}
	}
	g.Into = view.Lineage
	g.Buckets = old.BMD.Buckets(func(bck wire.Bck, props *meta.Bprops) bool {
		now, ok := view.BMD.Get(bck)
		return !ok || now.BID != props.BID
	})
	m.givenUp = append(slices.Clone(m.givenUp[:n-1]), g)
	for i := range g.Buckets {
		m.log.Warn("the history that this node has given up has a bucket that the one it joined has not: its objects stay on the disks",
			"bucket", g.Buckets[i].Bck.String(), "given up", g.Lineage, "joined", g.Into)
	}
	if err := m.saveGivenUp(&g); err != nil {
		m.log.Error("what was given up is not stored", "lineage", g.Lineage, "err", err)
	}
}

// GivenUp are the histories that this node has given up by an operator's
// command (Rejoin), oldest first, with the buckets that are in none but them;
// those that had no such bucket are left out.
func (a *Agent) GivenUp() []wire.GivenUp {
	var list []wire.GivenUp
	now := a.View().BMD
	for _, g := range a.status.Load().givenUp {
		if len(g.Buckets) == 0 {
			continue
		}
		told := wire.GivenUp{UUID: g.UUID, Lineage: g.Lineage, Joined: g.Into}
		for _, entry := range g.Buckets {
			props, err := json.Marshal(entry.Props)
			if err != nil {
				props = nil
			}
			_, taken := now.Get(entry.Bck)
			told.Buckets = append(told.Buckets, wire.GivenUpBucket{Name: entry.Bck.String(), Taken: taken, Props: props})
		}
		list = append(list, told)
	}
	return list
}
