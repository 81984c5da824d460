package metasync

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/core/meta"
)

// Buckets of the storage. The keys of entries and of pushed commands are log
// indexes, those of histories that were given up are counted; all other buckets
// have one value under key 0.
const (
	bucketIdentity = "identity"  // identity, JSON
	bucketHard     = "hardstate" // raftpb.HardState
	bucketSnapshot = "snapshot"  // raftpb.Snapshot; its data is a stateForm
	bucketEntries  = "entries"   // raftpb.Entry
	bucketView     = "view"      // meta.View that pushes made, whole
	bucketPushed   = "pushed"    // delta: commands that came after it
	bucketGivenUp  = "givenup"   // givenUp, by an ascending number
)

// identity is what a node is for its cluster, for ever.
type identity struct {
	NodeID  string `json:"node_id"`
	RaftID  uint64 `json:"raft_id,string"`
	UUID    string `json:"uuid,omitempty"`    // of the cluster, once it belongs to one
	Lineage string `json:"lineage,omitempty"` //
	Founded bool   `json:"founded,omitempty"` // this node founded the cluster

	Incarnation uint64   `json:"incarnation,string,omitempty"` // of the last start
	Superseded  string   `json:"superseded,omitempty"`         // lineage that has replaced Lineage: this node is fenced
	Want        *wanted  `json:"want,omitempty"`               // without UUID: the only cluster to join
	Brought     []string `json:"brought,omitempty"`            // UUIDs of other clusters whose data this node may have
}

// stored is everything that a node finds at its start.
type stored struct {
	identity identity
	hard     *raftpb.HardState
	snapshot *raftpb.Snapshot
	entries  []*raftpb.Entry
	view     *meta.View
	pushed   []delta
	givenUp  []givenUp
}

// load reads everything that a node has stored.
func load(storage Storage) (*stored, error) {
	s := &stored{}
	err := storage.Load(func(bucket string, key uint64, value []byte) error {
		if err := s.take(bucket, key, value); err != nil {
			return fmt.Errorf("%s %d: %w", bucket, key, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the stored cluster state cannot be read: %w", err)
	}
	return s, nil
}

func (s *stored) take(bucket string, key uint64, value []byte) error {
	switch bucket {
	case bucketIdentity:
		return json.Unmarshal(value, &s.identity)
	case bucketHard:
		s.hard = new(raftpb.HardState)
		return proto.Unmarshal(value, s.hard)
	case bucketSnapshot:
		s.snapshot = new(raftpb.Snapshot)
		return proto.Unmarshal(value, s.snapshot)
	case bucketEntries:
		entry := new(raftpb.Entry)
		s.entries = append(s.entries, entry)
		return proto.Unmarshal(value, entry)
	case bucketView:
		view, err := meta.DecodeView(append([]byte(nil), value...))
		s.view = view
		return err
	case bucketPushed:
		s.pushed = append(s.pushed, delta{})
		return json.Unmarshal(value, &s.pushed[len(s.pushed)-1])
	case bucketGivenUp:
		s.givenUp = append(s.givenUp, givenUp{key: key})
		return json.Unmarshal(value, &s.givenUp[len(s.givenUp)-1])
	default:
		return fmt.Errorf("unknown bucket (written by a newer version of the program?)")
	}
}

func marshal(v any) ([]byte, error) { return json.Marshal(v) }
