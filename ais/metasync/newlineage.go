package metasync

import (
	"maps"
	"slices"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

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

// bucketLeap is by how much the version of the bucket metadata grows with a
// new lineage. Bucket ids are made of it (see meta.BMDPatch): the nodes that do
// not take part may have made buckets by ids that are not known here, and so
// may another half of the cluster that is restarted by force. No bucket of one
// history must be taken for one of another.
func bucketLeap(lineage string) int64 {
	return int64(1+hrw.Digest(lineage)&(1<<20-1)) << 20 //nolint:gosec // at most 2^40
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
	if from.BMD != nil {
		change, err := meta.NewChange(from, meta.KindBMD, &meta.BMDPatch{})
		if err != nil {
			return nil, err
		}
		change.To = change.From + bucketLeap(next.Lineage)
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
