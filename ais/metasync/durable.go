package metasync

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// durability keeps what has to wait for writes. Writes are handed out in
// numbered batches that become durable one after another. What is held back
// for a batch is done once that batch is durable; nothing else ever waits for
// the storage.
type durability struct {
	last    uint64 // batch handed out last
	saved   uint64 // all batches up to this one are durable
	unsaved []pendingBatch
	held    []heldBack
	// silent is the batch with this node's identity: before it is durable,
	// nobody hears from this node, who might forget what it said under it.
	silent uint64
	// failing is why the storage does not take anything at present.
	failing string
}

type pendingBatch struct {
	number uint64
	at     time.Time // when it was handed out
}

type heldBack struct {
	batch uint64
	do    func()
}

// next is the number of the batch that collects writes now.
func (d *durability) next() uint64 { return d.last + 1 }

func (d *durability) has(batch uint64) bool { return batch <= d.saved }

func (d *durability) speechless() bool { return d.silent > d.saved }

// handOut numbers the batch that goes out.
func (d *durability) handOut(writes bool, now time.Time) uint64 {
	if !writes {
		return 0
	}
	d.last++
	d.unsaved = append(d.unsaved, pendingBatch{number: d.last, at: now})
	return d.last
}

// afterWrites does something once all writes so far are durable.
func (m *machine) afterWrites(do func()) {
	d := &m.durable
	batch := d.last
	if len(m.out.writes) > 0 {
		batch = d.next()
	}
	if d.has(batch) {
		do()
		return
	}
	d.held = append(d.held, heldBack{batch: batch, do: do})
}

// saved tells that all batches of writes up to one are durable.
func (m *machine) saved(batch uint64) {
	d := &m.durable
	d.saved, d.failing = max(d.saved, batch), ""
	for len(d.unsaved) > 0 && d.has(d.unsaved[0].number) {
		d.unsaved = d.unsaved[1:]
	}
	for len(d.held) > 0 && d.has(d.held[0].batch) {
		do := d.held[0].do
		d.held[0] = heldBack{}
		d.held = d.held[1:]
		do()
	}
}

// saveFails tells that the storage refuses writes. They are tried again.
func (m *machine) saveFails(why string) { m.durable.failing = why }

// stalled tells that the storage fails, or has not finished anything for
// longer than an election timeout. A node like that must not lead: whatever
// it appended would wait for it.
func (m *machine) stalled() bool {
	d := &m.durable
	return d.failing != "" || len(d.unsaved) > 0 && m.now.Sub(d.unsaved[0].at) > m.times.election()
}

func (m *machine) whyStalled() string {
	if m.durable.failing != "" {
		return m.durable.failing
	}
	return "a write has not ended within " + m.times.election().String()
}

// tickStall hands leadership over while the storage stalls.
func (m *machine) tickStall() {
	if m.role != roleLeader || !m.stalled() || m.raft.BasicStatus().LeadTransferee != 0 {
		return
	}
	heir := m.heir()
	if heir == nil {
		return
	}
	m.log.Warn("the storage of the cluster state stalls, hands leadership over", "to", heir.String(), "why", m.whyStalled())
	m.raft.TransferLeader(m.peer(heir.ID).raftID)
}

// noteStall notes whether another node can store.
func (m *machine) noteStall(e *envelope) {
	if m.view().Smap.Node(e.From) == nil {
		return
	}
	if p := m.peer(e.From); e.Stalled != p.stalled {
		p.stalled, p.stalledSince = e.Stalled, m.now
	}
}

// campaigns tells a message that makes its sender leader, or begins to.
func campaigns(kind raftpb.MessageType) bool {
	return kind == raftpb.MsgPreVote || kind == raftpb.MsgVote || kind == raftpb.MsgTimeoutNow
}
