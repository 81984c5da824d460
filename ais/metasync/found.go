package metasync

import (
	"fmt"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
)

// firstView makes the documents of a new cluster of one proxy, which is its
// primary and its only voter.
func firstView(self *meta.Snode, initial *config.Cluster, now time.Time, raftID uint64) (*meta.View, error) {
	node := *self
	node.Digest = hrw.Digest(node.ID)
	smap := &meta.SmapPatch{
		Put: []*meta.Snode{&node}, Primary: node.ID,
		UUID: meta.NewClusterUUID(), Lineage: meta.NewLineage(), Created: now.UTC().Format(meta.TimeLayout),
	}
	staff(nil, smap)
	patches := []struct {
		kind  string
		patch any
	}{
		{meta.KindSmap, smap},
		{meta.KindBMD, &meta.BMDPatch{}},
		{meta.KindConfig, &meta.Config{Cluster: initial}},
		{meta.KindVoters, &meta.VotersPatch{Members: []meta.Member{{NodeID: node.ID, RaftID: raftID}}}},
	}
	cmd := &meta.Command{ID: "found", Action: "found"}
	for _, p := range patches {
		change, err := meta.NewChange(&meta.View{}, p.kind, p.patch)
		if err != nil {
			return nil, err
		}
		change.To = 1
		cmd.Changes = append(cmd.Changes, change)
	}
	view, err := (&meta.View{}).Apply(cmd, 1, 1)
	if err != nil {
		return nil, fmt.Errorf("cannot found a cluster: %w", err)
	}
	return view, nil
}
