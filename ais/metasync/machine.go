package metasync

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// machine is the control plane of one node, without goroutines, clock and
// I/O. Every input is a method call; after it the driver takes the outputs
// with ready until there are none. Time is what tick and setTime say.
type machine struct {
	self        *meta.Snode
	incarnation uint64
	seeds       []string
	mayFound    bool
	founding    func(now time.Time, raftID uint64) (*meta.View, error) // makes the first view of a new cluster
	times       Timeouts
	limits      limits
	log         *slog.Logger

	now      time.Time
	identity identity
	newID    func() uint64 // makes Raft ids
	out      output
	durable  durability
	mutation mutation // set by tests only
	lastCall uint64   // id of the last outgoing call
	calls    map[uint64]func(body []byte, err error)
	sequence uint64 // of ids that this process makes

	// The Raft group, see raft.go. state is what the log makes of the
	// documents; docs is what pushes made of them, which may be ahead of it,
	// and is all that a node outside the group has.
	raft          *raft.RawNode
	rlog          *raftLog
	replayTo      uint64 // commands up to this raft index are known from before the restart
	state         *state
	docs          *meta.View
	docsSaved     int // pushed commands behind the stored view, see docs.go
	recent        recent
	viewBatch     uint64 // batch of writes with which the view becomes durable; 0: it is
	published     uint64 // index of the view that was handed out last
	publishedDocs bool   // it was docs
	effective     uint64 // index of the view that is in effect
	detached      bool   // the primary says that this node is out of the group

	role        raft.StateType
	leader      uint64 // raft id, 0 if none is known
	leaderSince time.Time
	leaderSeen  time.Time        // when a leader was known last
	pushTerm    uint64           // highest of a leader whose push was taken
	routes      map[uint64]route // by raft id

	proposals map[string]*proposal // by command id
	unplaced  []*proposal          // appended since raft handed out entries
	commits   []*commitWait
	reads     reads
	pushes    []*pushWait // incoming pushes that wait for their index

	peers     map[string]*peer // by node id
	downNodes map[string]struct{}
	arrived   *meta.Smap // noted by noteArrivals
	hint      hint       // best known leader, if this node is not it

	history    history
	origin     Origin
	givenUp    []givenUp // oldest first; a published slice is not changed
	join       joining
	alive      keepaliveState
	admission  admission
	voters     votersPolicy
	caretaker  caretaker
	handoff    *handoff
	departures []*departure
	removals   []time.Time // of targets, by this primary
	smapBusy   bool        // a change of the map by this node is under way
	ownership  ownership
	lease      leaseState
	quiesced   int64 // version of the last transition for which this target has quiesced
	asking     int   // rotation over nodes that are asked for opinions
	lookout    lookout
	trust      trusting
	resting    resting
	leaving    *leaving
	pulling    bool
	pullAgain  time.Time
	pullTo     uint64 // index that is known to be committed

	fenced string // why the cluster that was asked last does not let this node in, see fencedWhy
}

// route is where a member of the Raft group was heard from last.
type route struct {
	node string
	url  string
}

// output is what the driver has to do. Writes go to the storage, batch after
// batch, and the machine hears of it by saved; nothing else waits for them.
type output struct {
	writes   []write // one batch: all of it becomes durable, or nothing
	batch    uint64  // its number, 0 if there are no writes
	messages []outMessage
	calls    []outCall
	replies  []reply
	view     *meta.View // put into effect, then tell the machine with inEffect
	fatal    error      // the node cannot go on
}

type write struct {
	bucket string
	key    uint64
	value  []byte // nil: remove all keys from key up to, not including, end
	end    uint64
}

type outMessage struct {
	url  string
	body []byte
}

type outCall struct {
	id      uint64
	url     string
	kind    string
	body    []byte
	timeout time.Duration
}

// reply answers an incoming call or a request of this node.
type reply struct {
	token uint64
	body  []byte
	stale bool       // of a barrier
	done  bool       // of a commit: it took place
	id    string     // of recall: for the command to be made
	index uint64     // of a commit
	view  *meta.View // of a commit
	err   error
}

// machineOptions is what a machine is made of.
type machineOptions struct {
	self        *meta.Snode
	incarnation uint64        // random, of this start
	newID       func() uint64 // makes random Raft ids, never the same and never even
	seeds       []string
	mayFound    bool
	founding    func(now time.Time, raftID uint64) (*meta.View, error)
	times       Timeouts
	limits      limits // zero: defaultLimits
	log         *slog.Logger
	now         time.Time
	origin      Origin
	signer      Signer
	trust       *trust.Keyring
}

// limits bound what is kept of the past.
type limits struct {
	keepEntries    uint64 // behind a snapshot, in memory, for members that are behind
	compactEntries uint64 // since the last snapshot
	recent         int    // commands, for nodes outside the group that are behind
	pushed         int    // stored behind the stored view of such a node
}

func defaultLimits() limits {
	return limits{keepEntries: 500, compactEntries: 1000, recent: 1000, pushed: 200}
}

// newMachine makes the control plane of a node from what it has stored.
func newMachine(o machineOptions, st *stored) (*machine, error) {
	m := &machine{
		self: o.self, incarnation: o.incarnation, seeds: o.seeds, mayFound: o.mayFound, founding: o.founding,
		times: o.times, limits: o.limits, log: o.log, now: o.now, newID: o.newID, leaderSeen: o.now,
		calls:     map[uint64]func([]byte, error){},
		routes:    map[uint64]route{},
		proposals: map[string]*proposal{},
		peers:     map[string]*peer{},
		downNodes: map[string]struct{}{},
	}
	if m.limits == (limits{}) {
		m.limits = defaultLimits()
	}
	if st.identity.NodeID != "" && st.identity.NodeID != o.self.ID {
		return nil, fmt.Errorf("the stored state belongs to node %q, this node is %q", st.identity.NodeID, o.self.ID)
	}
	m.trust.keyring = o.trust
	m.identity = st.identity
	if m.identity.RaftID == 0 {
		m.identity.NodeID, m.identity.RaftID = o.self.ID, o.newID()
	}
	m.origin, m.givenUp = o.origin, st.givenUp
	m.begin(&o)
	if err := m.restore(st); err != nil {
		return nil, err
	}
	m.join.start(m)
	m.startMeeting()
	m.alive.start(m)
	m.caretaker.primarySign = m.now
	return m, nil
}

// setTime is called before inputs, so that what they record has the right time.
func (m *machine) setTime(now time.Time) {
	if now.After(m.now) {
		m.now = now
	}
}

// tick is called every times.Tick.
func (m *machine) tick(now time.Time) {
	m.setTime(now)
	m.tickHistory()
	if m.mayTakePart() {
		m.raft.Tick()
	}
	m.followRole()
	m.tickRaft()
	m.tickStall()
	m.tickOpinions()
	m.tickDown()
	m.tickReads()
	m.tickPushWaits()
	m.tickProposals()
	m.tickCommits()
	if m.superseded() {
		return
	}
	m.tickHandoff()
	if m.leaving != nil {
		m.tickLeave()
		m.tickPushes()
		return
	}
	m.tickJoin()
	m.settleGivenUp()
	m.tickKeepalive()
	m.tickPull()
	m.tickLookout()
	if m.leads() {
		m.tickTrust()
		m.tickOwnership()
		m.tickAdmission()
		m.tickCaretaker()
		m.tickOut()
		m.tickVoters()
		m.tickPushes()
	}
}

// hasOutput tells that ready would return something.
func (m *machine) hasOutput() bool {
	o := &m.out
	return m.raft.HasReady() || len(o.writes) > 0 || o.fatal != nil || m.publishable() != nil ||
		!m.durable.speechless() && len(o.messages)+len(o.calls)+len(o.replies) > 0
}

// ready returns what there is to do.
func (m *machine) ready() output {
	if m.raft.HasReady() {
		m.takeReady()
	}
	if view := m.publishable(); view != nil {
		m.published, m.publishedDocs = view.Index, view == m.docs
		m.out.view = view
	}
	out := m.out
	m.out = output{}
	out.batch = m.durable.handOut(len(out.writes) > 0, m.now)
	if m.durable.speechless() {
		m.out.messages, m.out.calls, m.out.replies = out.messages, out.calls, out.replies
		out.messages, out.calls, out.replies = nil, nil, nil
	}
	return out
}

// publishable is the view to be put into effect next, nil if there is none. A
// node that becomes or ceases to be a member of the group has other documents
// at the same index.
func (m *machine) publishable() *meta.View {
	view := m.view()
	if view.Index < m.published || view.Index == m.published && (view.Index == 0 || (view == m.docs) == m.publishedDocs) {
		return nil
	}
	if m.durable.has(m.viewBatch) && m.mayPublish() {
		return view
	}
	return nil
}

// inEffect tells that the view with this index is what the node works with.
func (m *machine) inEffect(index uint64) {
	if index <= m.effective {
		return
	}
	m.effective = index
	m.answerPushes()
	m.answerReads()
	m.tickCommits()
}

// view is the newest state of the documents, never nil.
func (m *machine) view() *meta.View {
	if m.docs != nil && m.docs.Index > m.state.view.Index {
		return m.docs
	}
	return m.state.view
}

// leads tells that this node leads the Raft group and has applied everything
// that was committed before its term.
func (m *machine) leads() bool {
	return m.role == raft.StateLeader && m.rlog.appliedTerm == m.term()
}

// primary tells that this node is the primary.
func (m *machine) primary() bool { return m.leads() && m.view().Smap.IsPrimary(m.self.ID) }

// term is the highest term that this node has seen.
func (m *machine) term() uint64 { return max(m.raft.BasicStatus().GetTerm(), m.pushTerm) }

// member tells that this node takes part in the Raft group.
func (m *machine) member() bool { return !m.detached && m.rlog.has(m.identity.RaftID) }

func (m *machine) nextID() string {
	m.sequence++
	return fmt.Sprintf("%s-%x-%d", m.self.ID, m.incarnation, m.sequence)
}

// call sends a request to another node; then is called with its result.
func (m *machine) call(url, kind string, body any, timeout time.Duration, then func(body []byte, err error)) {
	data, err := marshal(body)
	if err != nil {
		then(nil, err)
		return
	}
	m.lastCall++
	m.calls[m.lastCall] = then
	m.out.calls = append(m.out.calls, outCall{id: m.lastCall, url: url, kind: kind, body: data, timeout: timeout})
}

// returned is the result of an outgoing call.
func (m *machine) returned(id uint64, body []byte, err error) {
	if then := m.calls[id]; then != nil {
		delete(m.calls, id)
		then(body, err)
	}
}

func (m *machine) reply(r reply) { m.out.replies = append(m.out.replies, r) }

// respond answers an incoming call.
func (m *machine) respond(token uint64, body any, err error) {
	if err != nil {
		m.reply(reply{token: token, err: err})
		return
	}
	data, err := marshal(body)
	m.reply(reply{token: token, body: data, err: err})
}

func (m *machine) put(bucket string, key uint64, value []byte) {
	m.out.writes = append(m.out.writes, write{bucket: bucket, key: key, value: value})
}

func (m *machine) remove(bucket string, from, to uint64) {
	m.out.writes = append(m.out.writes, write{bucket: bucket, key: from, end: to})
}

func (m *machine) saveIdentity() {
	data, err := marshal(m.identity)
	if err != nil {
		m.out.fatal = err
		return
	}
	m.put(bucketIdentity, 0, data)
	m.durable.silent = m.durable.next()
}

func (m *machine) envelope() envelope {
	return envelope{
		From: m.self.ID, URL: m.self.IntraControl.URL, RaftID: m.identity.RaftID, Incarnation: m.incarnation,
		UUID: m.identity.UUID, Lineage: m.identity.Lineage, Term: m.term(), Index: m.effective, Stalled: m.stalled(), Ancestors: m.ancestors(),
	}
}

// sameCluster refuses a caller of another cluster, or of another history of
// this one.
func (m *machine) sameCluster(e *envelope) error {
	switch {
	case m.identity.UUID == "":
		return errNotJoined(m.self)
	case e.UUID != m.identity.UUID:
		return errForeign("cluster UUID", e.UUID, m.identity.UUID)
	case e.Lineage != m.identity.Lineage:
		m.meetCaller(e)
		return errForeign("lineage", e.Lineage, m.identity.Lineage)
	case m.superseded():
		return errForeign("lineage", e.Lineage, m.identity.Superseded)
	case e.To != "" && e.To != m.self.ID:
		return errWrongNode(e.To, m.self.ID)
	}
	return nil
}

// leaderHint names the leader as this node knows it.
func (m *machine) leaderHint() hint {
	if m.leads() {
		return hint{ID: m.self.ID, URL: m.self.IntraControl.URL, Term: m.term()}
	}
	// A learner that was dropped hears of no newer leader from the group.
	if m.member() && m.leader != 0 && m.leader != m.identity.RaftID && m.hint.Term <= m.term() {
		if r, ok := m.route(m.leader); ok {
			return hint{ID: r.node, URL: r.url, Term: m.term()}
		}
	}
	return m.hint
}

// learnHint remembers who leads, unless something newer is known.
func (m *machine) learnHint(h hint) {
	if h.URL != "" && h.ID != m.self.ID && h.Term >= m.hint.Term {
		m.hint = h
	}
}

// route says where a member of the Raft group can be reached.
func (m *machine) route(raftID uint64) (route, bool) {
	if r, ok := m.routes[raftID]; ok {
		return r, true
	}
	view := m.view()
	if member, ok := view.Voters.ByRaft(raftID); ok {
		if node := view.Smap.Node(member.NodeID); node != nil {
			return route{node: node.ID, url: node.IntraControl.URL}, true
		}
	}
	return route{}, false
}

const endOfKeys = math.MaxUint64

const noLimit = math.MaxUint64

// raftMessage is what the tests' transcripts and the log show of a message.
func raftMessage(msg *raftpb.Message) string {
	return fmt.Sprintf("%s term=%d index=%d", msg.GetType(), msg.GetTerm(), msg.GetIndex())
}
