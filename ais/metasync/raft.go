package metasync

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/core/meta"
)

const (
	maxMessageBytes    = 1 << 20  // of entries in one message
	maxInflight        = 64       // messages to one member
	maxUncommitted     = 64 << 20 // bytes of proposals under way
	compactBytes       = 32 << 20 // since the last snapshot
	heartbeatTicks     = 2
	snapshotRetryAfter = 3 * time.Second
)

// restore builds the log, the state and the Raft node from what was stored.
func (m *machine) restore(st *stored) error {
	m.rlog = newRaftLog()
	m.state = newState(&meta.View{}, nil)
	applied := uint64(0)
	if st.snapshot != nil {
		if err := m.rlog.ApplySnapshot(st.snapshot); err != nil {
			return err
		}
		s, err := decodeState(st.snapshot.GetData())
		if err != nil {
			return err
		}
		m.state = s
		applied = st.snapshot.GetMetadata().GetIndex()
		m.rlog.conf = st.snapshot.GetMetadata().GetConfState()
		m.rlog.applied, m.rlog.appliedTerm = applied, st.snapshot.GetMetadata().GetTerm()
	}
	entries := st.entries
	for len(entries) > 0 && entries[0].GetIndex() <= applied {
		entries = entries[1:]
	}
	for i, entry := range entries {
		if entry.GetIndex() != applied+1+uint64(i) {
			return fmt.Errorf("the stored log has a gap: entry %d follows %d", entry.GetIndex(), applied+uint64(i))
		}
		m.rlog.bytes += len(entry.GetData())
	}
	if err := m.rlog.Append(entries); err != nil {
		return err
	}
	last := applied + uint64(len(entries))
	if st.hard != nil {
		if commit := st.hard.GetCommit(); commit > last || commit < applied {
			return fmt.Errorf("the stored log ends at %d (snapshot at %d), but %d was committed", last, applied, commit)
		}
		m.replayTo = st.hard.GetCommit()
		if err := m.rlog.SetHardState(st.hard); err != nil {
			return err
		}
	}
	if err := m.restoreDocs(st); err != nil {
		return err
	}
	return m.startRaft(applied)
}

// startRaft makes the Raft node from the log.
func (m *machine) startRaft(applied uint64) (err error) {
	m.rlog.encode = func() []byte {
		data, err := m.state.encode()
		if err != nil {
			m.log.Error("cannot encode the cluster state", "err", err)
			return nil
		}
		return data
	}
	m.raft, err = raft.NewRawNode(&raft.Config{
		ID:                        m.identity.RaftID,
		ElectionTick:              m.times.ElectionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   m.rlog,
		Applied:                   applied,
		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  noLimit,
		MaxUncommittedEntriesSize: maxUncommitted,
		MaxInflightMsgs:           maxInflight,
		CheckQuorum:               true,
		PreVote:                   true,
		Logger:                    raftLogger{m.log},
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		AsyncStorageWrites:        true,
	})
	if err != nil {
		return err
	}
	return nil
}

// receive takes messages of the Raft group.
func (m *machine) receive(body []byte) error {
	for len(body) > 0 {
		f, rest, err := nextFrame(body)
		if err != nil {
			return err
		}
		body = rest
		m.step(f)
	}
	return nil
}

func (m *machine) step(f *frame) {
	if m.identity.UUID == "" || f.uuid != m.identity.UUID || f.message.GetTo() != m.identity.RaftID || !m.mayTakePart() {
		return
	}
	if f.lineage != m.identity.Lineage {
		m.investigate(f.url)
		return
	}
	if f.message.GetType() == raftpb.MsgTimeoutNow && m.stalled() {
		return // whoever hands leadership over looks for another heir
	}
	if f.message.GetType() == raftpb.MsgReadIndex && !m.leads() {
		// Raft answers at once where there is one voter, although what that one
		// has committed is not known before an entry of its own term is stored.
		return
	}
	from := f.message.GetFrom()
	m.routes[from] = route{node: f.from, url: f.url}
	m.sign(f.from, from, f.incarnation)
	if err := m.raft.Step(f.message); err != nil {
		m.log.Debug("raft message not taken", "from", f.from, "message", raftMessage(f.message), "err", err)
	}
}

// takeReady takes what raft wants to be stored, sent and applied. Answers to
// others that promise something go out when it is durable; the rest at once.
func (m *machine) takeReady() {
	rd := m.raft.Ready()
	for _, msg := range rd.Messages {
		switch msg.GetTo() {
		case raft.LocalAppendThread:
			m.store(msg)
		case raft.LocalApplyThread:
			m.applyEntries(msg)
		default:
			m.sendRaft(msg)
		}
	}
	for _, rs := range rd.ReadStates {
		m.readState(rs)
	}
	m.followRole()
}

// store takes a part of the log that is to become durable, and holds back
// raft's answers that depend on it.
func (m *machine) store(msg *raftpb.Message) {
	if snapshot := msg.GetSnapshot(); !raft.IsEmptySnap(snapshot) {
		m.installSnapshot(snapshot)
	}
	if entries := msg.GetEntries(); len(entries) > 0 {
		m.storeEntries(entries)
	}
	if hs := (&raftpb.HardState{Term: msg.Term, Vote: msg.Vote, Commit: msg.Commit}); !raft.IsEmptyHardState(hs) {
		m.storeHardState(hs)
	}
	group, responses := m.raft, msg.GetResponses()
	answer := func() {
		if m.raft == group { // else this node has left the group meanwhile
			m.deliver(responses)
		}
	}
	if m.mutation == mutationEagerAnswer {
		answer()
	} else {
		m.afterWrites(answer)
	}
	m.place(msg.GetEntries())
}

// deliver passes on raft's answers, to itself and to others.
func (m *machine) deliver(responses []*raftpb.Message) {
	for _, msg := range responses {
		if msg.GetTo() != m.identity.RaftID {
			m.sendRaft(msg)
		} else if err := m.raft.Step(msg); err != nil {
			m.log.Debug("raft's own message not taken", "message", raftMessage(msg), "err", err)
		}
	}
}

// applyEntries applies what is committed and stored here.
func (m *machine) applyEntries(msg *raftpb.Message) {
	for _, entry := range msg.GetEntries() {
		m.applyEntry(entry)
	}
	m.compact()
	m.dropDocs()
	m.deliver(msg.GetResponses())
	if m.leads() {
		if len(m.departures) > 0 {
			m.tickVoters()
		}
		m.tickPushes()
	}
}

func (m *machine) storeHardState(hs *raftpb.HardState) {
	if m.mutation == mutationForgottenVote {
		hs = &raftpb.HardState{Term: hs.Term, Vote: new(uint64(0)), Commit: hs.Commit}
	}
	if err := m.rlog.SetHardState(hs); err != nil {
		m.out.fatal = err
		return
	}
	m.putProto(bucketHard, 0, hs)
}

func (m *machine) storeEntries(entries []*raftpb.Entry) {
	if err := m.rlog.Append(entries); err != nil {
		m.out.fatal = err
		return
	}
	m.remove(bucketEntries, entries[0].GetIndex(), endOfKeys)
	for _, entry := range entries {
		m.rlog.bytes += len(entry.GetData())
		m.putProto(bucketEntries, entry.GetIndex(), entry)
	}
}

func (m *machine) putProto(bucket string, key uint64, value proto.Message) {
	data, err := proto.Marshal(value)
	if err != nil {
		m.out.fatal = err
		return
	}
	m.put(bucket, key, data)
}

// installSnapshot replaces log and state by what the leader sent.
func (m *machine) installSnapshot(snapshot *raftpb.Snapshot) {
	s, err := decodeState(snapshot.GetData())
	if err == nil {
		err = m.rlog.ApplySnapshot(snapshot)
	}
	if err != nil {
		m.out.fatal = fmt.Errorf("snapshot of the leader: %w", err)
		return
	}
	m.state = s
	m.recent = recent{}
	m.rlog.conf = snapshot.GetMetadata().GetConfState()
	m.rlog.applied, m.rlog.appliedTerm = snapshot.GetMetadata().GetIndex(), snapshot.GetMetadata().GetTerm()
	m.rlog.bytes = 0
	m.remove(bucketEntries, 0, endOfKeys)
	m.putProto(bucketSnapshot, 0, snapshot)
	m.viewBatch = m.durable.next()
	m.detached = false
	m.voters.settled(m)
	m.settleSnapshot()
}

// applyEntry applies a committed entry: a command, a change of the group
// (which carries a command for the voters document), or an empty one.
func (m *machine) applyEntry(entry *raftpb.Entry) {
	index, term := entry.GetIndex(), entry.GetTerm()
	var data []byte
	switch entry.GetType() {
	case raftpb.EntryNormal:
		data = entry.GetData()
	case raftpb.EntryConfChangeV2:
		change := new(raftpb.ConfChangeV2)
		if err := proto.Unmarshal(entry.GetData(), change); err != nil {
			m.out.fatal = fmt.Errorf("log entry %d: %w", index, err)
			return
		}
		m.rlog.applied, m.rlog.appliedTerm = index, term
		m.changeGroup(change, term, index)
		m.settleLost(index, term)
		return
	default:
		m.out.fatal = fmt.Errorf("log entry %d has unknown type %s", index, entry.GetType())
		return
	}
	m.rlog.applied, m.rlog.appliedTerm = index, term
	if len(data) > 0 {
		m.applyCommand(data, term, index)
	}
	m.settleLost(index, term)
}

// changeGroup applies a change of the group with its command, or neither of
// them.
func (m *machine) changeGroup(change *raftpb.ConfChangeV2, term, index uint64) {
	encode := m.rlog.encode
	m.rlog.encode = nil // no snapshot between the two states
	if data := change.GetContext(); len(data) > 0 && !m.applyCommand(data, term, index) {
		change = nil
	}
	if change != nil {
		m.rlog.conf = m.raft.ApplyConfChange(change)
	}
	m.rlog.encode = encode
	m.voters.settled(m)
}

// applyCommand applies a command and tells whether it changed anything.
func (m *machine) applyCommand(data []byte, term, index uint64) bool {
	cmd := new(meta.Command)
	if err := json.Unmarshal(data, cmd); err != nil {
		m.out.fatal = fmt.Errorf("log entry %d: %w", index, err)
		return false
	}
	prev := m.state.view.Index
	result, applied, err := m.state.apply(cmd, term, index)
	if !applied {
		// Nodes that do not get every document could not refuse it.
		cmd = &meta.Command{ID: cmd.ID, Action: cmd.Action}
		empty, failed := marshal(cmd)
		if failed != nil {
			m.out.fatal = failed
			return false
		}
		data = empty
	}
	m.recent.add(delta{Prev: prev, Index: index, Term: term, Command: data, command: cmd}, m.limits.recent)
	if result.Refused != "" {
		m.log.Debug("command refused", "action", cmd.Action, "index", index, "reason", result.Refused)
	} else if index > m.replayTo {
		m.log.Debug("command applied", "action", cmd.Action, "index", index, "term", term)
	}
	m.settle(cmd.ID, result, err)
	return applied
}

// compact makes a snapshot once there are enough entries behind the last one.
func (m *machine) compact() {
	first, err := m.rlog.FirstIndex()
	if err != nil || m.rlog.applied < first || m.out.fatal != nil {
		return
	}
	entries := m.rlog.applied - first
	if entries < m.limits.keepEntries+m.limits.compactEntries && m.rlog.bytes < compactBytes {
		return
	}
	keep := m.limits.keepEntries
	if m.rlog.bytes >= compactBytes {
		keep = min(keep, 10)
	}
	snapshot, err := m.rlog.Snapshot()
	if err != nil {
		return
	}
	if _, err := m.rlog.CreateSnapshot(m.rlog.applied, m.rlog.conf, nil); err != nil {
		m.log.Error("cannot compact the log", "err", err)
		return
	}
	if upto := m.rlog.applied - min(keep, m.rlog.applied); upto >= first {
		if err := m.rlog.Compact(upto); err != nil {
			m.log.Error("cannot compact the log", "err", err)
			return
		}
	}
	m.rlog.bytes = 0
	// Behind the snapshot nothing is read again from storage after a restart.
	m.remove(bucketEntries, 0, m.rlog.applied+1)
	m.putProto(bucketSnapshot, 0, snapshot)
}

func (m *machine) sendRaft(msg *raftpb.Message) {
	if m.superseded() {
		return
	}
	if campaigns(msg.GetType()) && msg.GetType() != raftpb.MsgTimeoutNow && m.stalled() {
		return // it could not keep what it would lead
	}
	r, ok := m.route(msg.GetTo())
	if !ok {
		if msg.GetType() == raftpb.MsgSnap {
			m.raft.ReportSnapshot(msg.GetTo(), raft.SnapshotFailure)
		}
		return
	}
	body, err := appendFrame(nil, &frame{
		uuid: m.identity.UUID, lineage: m.identity.Lineage, from: m.self.ID, url: m.self.IntraControl.URL,
		incarnation: m.incarnation, message: msg,
	})
	if err != nil {
		m.log.Error("raft message not sent", "to", r.node, "message", raftMessage(msg), "err", err)
		return
	}
	m.out.messages = append(m.out.messages, outMessage{url: r.url, body: body})
}

// followRole notices that this node became or ceased to be leader.
func (m *machine) followRole() {
	st := m.raft.BasicStatus()
	was := m.role
	m.role, m.leader = st.RaftState, st.Lead
	switch {
	case m.role == raft.StateLeader && was != raft.StateLeader:
		m.leaderSince = m.now
		m.log.Info("leads the cluster", "term", st.GetTerm())
		m.becomeLeader()
	case m.role != raft.StateLeader && was == raft.StateLeader:
		m.log.Info("no longer leads the cluster", "term", st.GetTerm())
		m.loseLeadership()
	}
}

// tickRaft sends a snapshot again that seems to be lost: raft itself waits
// for ever for word of it.
func (m *machine) tickRaft() {
	if m.role != raft.StateLeader {
		return
	}
	var lost []uint64
	m.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		p := m.voters.progress(id)
		if pr.State != tracker.StateSnapshot {
			p.snapshotSince = time.Time{}
			return
		}
		if p.snapshotSince.IsZero() {
			p.snapshotSince = m.now
		} else if m.now.Sub(p.snapshotSince) > snapshotRetryAfter {
			p.snapshotSince = time.Time{}
			lost = append(lost, id)
		}
	})
	for _, id := range lost {
		m.raft.ReportSnapshot(id, raft.SnapshotFailure)
	}
}

// raftLogger passes raft's own log on, one level lower than it thinks.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) Debug(...any)          {}
func (l raftLogger) Debugf(string, ...any) {}
func (l raftLogger) Info(v ...any)         { l.log.Debug("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Infof(f string, v ...any) {
	l.log.Debug("raft: " + fmt.Sprintf(f, v...))
}
func (l raftLogger) Warning(v ...any)            { l.log.Info("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Warningf(f string, v ...any) { l.log.Info("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Error(v ...any)              { l.log.Warn("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Errorf(f string, v ...any)   { l.log.Warn("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Fatal(v ...any)              { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any)   { panic("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)              { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any)   { panic("raft: " + fmt.Sprintf(f, v...)) }
