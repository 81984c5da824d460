package metasync

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// raftLog is the log of the group as raft reads it: in memory, a copy of what
// is stored. Unlike raft.MemoryStorage it makes the snapshots that are sent to
// others from the present state, so that they name all present members.
type raftLog struct {
	*raft.MemoryStorage
	conf        *raftpb.ConfState
	applied     uint64 // raft index
	appliedTerm uint64
	bytes       int           // of the entries appended since the last compaction
	encode      func() []byte // data of a snapshot of the present state, nil if there is none now
}

func newRaftLog() *raftLog {
	return &raftLog{MemoryStorage: raft.NewMemoryStorage(), conf: raftpb.EnsureConfState(nil)}
}

// has tells a member: voter, outgoing voter or learner.
func (l *raftLog) has(id uint64) bool {
	return slices.Contains(l.conf.GetVoters(), id) || slices.Contains(l.conf.GetVotersOutgoing(), id) ||
		slices.Contains(l.conf.GetLearners(), id) || slices.Contains(l.conf.GetLearnersNext(), id)
}

func (l *raftLog) voter(id uint64) bool { return slices.Contains(l.conf.GetVoters(), id) }

func (l *raftLog) joint() bool { return len(l.conf.GetVotersOutgoing()) > 0 }

// Snapshot implements raft.Storage.
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	if l.encode == nil || l.applied == 0 {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	data := l.encode()
	if data == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{
		ConfState: l.conf, Index: new(l.applied), Term: new(l.appliedTerm),
	}}, nil
}
