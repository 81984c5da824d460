package metasync

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// sim runs machines over an in-memory network, storage and clock. Everything
// that happens is an event; one seed gives one history.
type sim struct {
	t      testing.TB
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	events eventQueue
	count  uint64
	nodes  []*simNode
	byURL  map[string]*simNode
	cut    map[[2]string]bool // one-way: from, to

	loss, duplicate, crash float64       // probabilities
	late                   float64       // probability that a message takes up to 3 s
	delay                  time.Duration // longest of a message
	applyDelay             time.Duration // longest until a view is in effect
	diskDelay              time.Duration // longest until a write is durable
	mutation               mutation
	onRaft                 func(from *simNode, msg *raftpb.Message) (late time.Duration) // sees every message of the group
	onBytes                func(from *simNode, bytes int)                                // sees the size of every message, call and answer
	slow                   func(outCall) bool                                            // calls that are kept in held, to be delivered by hand
	held                   *[]func()
	limits                 limits
	trust                  *simTrust // nil: everybody is trusted

	documents  map[string]string // kind, version, lineage -> content
	primaries  map[string]string // lineage and term -> node
	acked      map[string]string // buckets whose creation was acknowledged -> lineage
	agreement  agreement
	transcript *transcript
	trace      *bytes.Buffer
	lost       bool // a node lost its state

	writes              map[int][]acknowledged // by name
	attempts, committed int
}

type simNode struct {
	s       *sim
	self    *meta.Snode
	seeds   []string
	found   bool
	origin  Origin
	store   *memStorage
	m       *machine
	life    int // counts starts
	inView  *meta.View
	tokens  uint64
	waiting map[uint64]func(reply)
	dead    error
	blocked bool // puts nothing into effect
	offered int  // views to be put into effect
	taken   int  // number of the last one that was
	disk    simDisk
	checked *meta.View
	simTime
	simKeys
}

type event struct {
	at    time.Time
	order uint64
	run   func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(e any)   { *q = append(*q, e.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// newSim makes proxies p0, p1, ... and targets t0, t1, ...; p0 may found. None
// is started.
func newSim(t testing.TB, seed uint64, proxies, targets int) *sim {
	t.Helper()
	s := &sim{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_800_000_000, 0),
		byURL: map[string]*simNode{}, cut: map[[2]string]bool{}, delay: 5 * time.Millisecond, diskDelay: 2 * time.Millisecond,
		documents: map[string]string{}, primaries: map[string]string{}, acked: map[string]string{}, trace: &bytes.Buffer{},
	}
	for i := range proxies {
		s.addNode(fmt.Sprintf("proxy%03d", i), meta.RoleProxy, i == 0)
	}
	for i := range targets {
		s.addNode(fmt.Sprintf("targt%03d", i), meta.RoleTarget, false)
	}
	return s
}

func (s *sim) addNode(id, role string, found bool) *simNode {
	n := &simNode{s: s, self: simSnode(id, role, id), found: found, store: newMemStorage()}
	if len(s.nodes) > 0 {
		n.seeds = []string{s.nodes[0].url()}
	}
	s.nodes = append(s.nodes, n)
	s.byURL[n.url()] = n
	return n
}

func simSnode(id, role, host string) *meta.Snode {
	net := func(port string) meta.NetInfo {
		return meta.NetInfo{Host: host, Port: port, URL: "http://" + host + ":" + port}
	}
	return meta.NewSnode(id, role, net("8080"), net("9080"), net("10080"))
}

func (n *simNode) url() string { return n.self.IntraControl.URL }

func (s *sim) after(d time.Duration, run func()) {
	s.count++
	heap.Push(&s.events, event{at: s.now.Add(d), order: s.count, run: run})
}

func (s *sim) random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(s.rng.Int64N(int64(d)))
}

func (s *sim) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// run lets time pass until the condition holds; it fails after limit.
func (s *sim) until(what string, limit time.Duration, condition func() bool) {
	s.t.Helper()
	end := s.now.Add(limit)
	for !condition() {
		if len(s.events) == 0 || s.events[0].at.After(end) {
			s.now = end
			if !condition() {
				s.fatalf("not within %s: %s", limit, what)
			}
			return
		}
		s.step()
	}
}

func (s *sim) pass(d time.Duration) {
	end := s.now.Add(d)
	for len(s.events) > 0 && !s.events[0].at.After(end) {
		s.step()
	}
	s.now = end
}

func (s *sim) step() {
	e := heap.Pop(&s.events).(event)
	s.now = e.at
	e.run()
}

func (s *sim) fatalf(format string, args ...any) {
	s.t.Helper()
	for _, n := range s.nodes {
		s.t.Log(n.describe())
	}
	if os.Getenv("SIM_TRACE") != "" {
		s.t.Log("\n" + s.trace.String())
	}
	s.t.Fatalf("seed %d, at %s: %s", s.seed, s.now.Sub(time.Unix(1_800_000_000, 0)), fmt.Sprintf(format, args...))
}

func (n *simNode) describe() string {
	if n.m == nil {
		return n.self.String() + " off"
	}
	v, m := n.m.view(), n.m
	primary, version := "", int64(0)
	if v.Smap != nil {
		version = v.Smap.Version
		if v.Smap.Primary != nil {
			primary = v.Smap.Primary.ID
		}
	}
	return fmt.Sprintf("%s %s term %d index %d (log %d, effect %d) smap v%d primary %s voter %v leader %x joined %v fenced %q conf %v hint %v",
		n.self, m.role, m.term(), v.Index, m.rlog.applied, m.effective, version, primary, m.rlog.voter(m.identity.RaftID), m.leader,
		m.join.state == joined, m.fenced, m.rlog.conf, m.hint)
}

func (n *simNode) logger() *slog.Logger {
	if n.s.transcript != nil {
		return slog.New(transcriber{n})
	}
	if os.Getenv("SIM_TRACE") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(traceWriter{n}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

type traceWriter struct{ n *simNode }

func (w traceWriter) Write(b []byte) (int, error) {
	fmt.Fprintf(w.n.s.trace, "%8s %s %s", w.n.s.now.Sub(time.Unix(1_800_000_000, 0)).Round(time.Millisecond), w.n.self.ID, b)
	return len(b), nil
}

// start brings a node up with what its storage has.
func (n *simNode) start() {
	s := n.s
	st, err := load(n.store)
	if err != nil {
		s.fatalf("%s: %v", n.self, err)
	}
	initial := config.DefaultCluster()
	n.unlock()
	o := machineOptions{
		self: n.self, incarnation: s.rng.Uint64()>>1 | 1, newID: func() uint64 { return s.rng.Uint64()>>1 | 1 }, seeds: n.seeds, mayFound: n.found,
		founding: func(now time.Time, raftID uint64) (*meta.View, error) {
			return withFirstKey(n.keyring, n.self, initial, now, raftID)
		},
		times: Timeouts{}.withDefaults(), limits: s.limits, log: n.logger(), now: n.now(), origin: n.origin,
	}
	n.trustIn(&o)
	n.m, err = newMachine(o, st)
	if err != nil {
		s.fatalf("%s: %v", n.self, err)
	}
	n.m.installKeys()
	n.m.mutation = s.mutation
	n.life++
	n.writes.wanted, n.writes.reported = 0, 0
	n.inView, n.waiting, n.dead = &meta.View{}, map[uint64]func(reply){}, nil
	n.pump()
	n.scheduleTick(n.life)
}

func (n *simNode) scheduleTick(life int) {
	n.s.after(n.real(95*time.Millisecond+n.s.random(10*time.Millisecond)), func() {
		if n.m != nil && n.life == life && n.stopped(func() { n.scheduleTick(life) }) {
			return
		}
		if n.m != nil && n.life == life {
			n.m.tick(n.now())
			n.pump()
			n.scheduleTick(life)
		}
	})
}

// kill is kill -9.
func (n *simNode) kill() {
	if n.m != nil {
		n.crashDisk()
	}
	n.m = nil
	n.life++
}

func (n *simNode) input(f func(m *machine)) {
	if n.m == nil || n.stopped(func() { n.input(f) }) {
		return
	}
	n.m.setTime(n.now())
	f(n.m)
	n.pump()
}

func (n *simNode) pump() {
	s := n.s
	for n.m != nil && n.m.hasOutput() {
		out := n.m.ready()
		if s.chance(s.crash) {
			n.crashed()
			return
		}
		if out.batch != 0 {
			n.disk.queue = append(n.disk.queue, simBatch{out.batch, out.writes})
			n.flush()
		}
		if out.fatal != nil {
			n.dead = out.fatal
			n.kill()
			return
		}
		n.m.installKeys()
		s.check(n)
		if out.view != nil {
			n.offered++
			view, life, offer := out.view, n.life, n.offered
			s.after(s.random(s.applyDelay), func() {
				if n.life == life && offer > n.taken && (view.Index >= n.inView.Index || view.Lineage != n.inView.Lineage) && !n.blocked {
					n.taken = offer
					n.inEffect(view)
				}
			})
		}
		for _, msg := range out.messages {
			s.send(n, msg)
		}
		for _, c := range out.calls {
			s.call(n, c)
		}
		for _, r := range out.replies {
			if f := n.waiting[r.token]; f != nil {
				delete(n.waiting, r.token)
				s.after(0, func() { f(r) })
			}
		}
	}
}

func (n *simNode) crashed() {
	s := n.s
	fmt.Fprintf(s.trace, "%8s %s CRASH\n", s.now.Sub(time.Unix(1_800_000_000, 0)), n.self.ID)
	n.kill()
	s.after(s.random(8*time.Second), func() {
		if n.m == nil {
			n.start()
		}
	})
}

func (n *simNode) request(f func(m *machine, token uint64), then func(reply)) {
	n.input(func(m *machine) {
		n.tokens++
		n.waiting[n.tokens] = then
		f(m, n.tokens)
	})
}

func (s *sim) reachable(from, to *simNode) bool {
	return to != nil && !s.cut[[2]string{from.self.ID, to.self.ID}]
}

func (s *sim) send(from *simNode, msg outMessage) {
	to := s.byURL[msg.url]
	s.bytes(from, len(msg.body))
	copies := 1
	if s.chance(s.loss) {
		copies = 0
	} else if s.chance(s.duplicate) {
		copies = 2
	}
	var late time.Duration
	if s.onRaft != nil {
		if f, _, err := nextFrame(msg.body); err == nil {
			late = s.onRaft(from, f.message)
		}
	}
	signed, life := from.sign(msg.url, KindRaft, msg.body, false), from.life
	for range copies {
		s.after(late+s.transit(), func() {
			if !s.reachable(from, to) {
				return
			}
			to.hear(signed, KindRaft, msg.body, func(r reply) {
				if !asItself(r.err) || !s.reachable(to, from) || from.life != life {
					return
				}
				again := from.sign(msg.url, KindRaft, msg.body, true)
				s.after(s.transit(), func() {
					if s.reachable(from, to) {
						to.hear(again, KindRaft, msg.body, func(reply) {})
					}
				})
			})
		})
	}
}

var errSimNetwork = errors.New("connection refused")

func (s *sim) call(from *simNode, c outCall) {
	life, done := from.life, false
	finish := func(body []byte, err error) {
		if !done && from.life == life {
			done = true
			from.input(func(m *machine) { m.returned(c.id, body, err) })
		}
	}
	s.after(c.timeout, func() { finish(nil, errors.New("timeout")) })
	s.attempt(from, c, introduces(c.kind), finish)
}

// attempt is one way there and back.
func (s *sim) attempt(from *simNode, c outCall, byIdentity bool, finish func([]byte, error)) {
	s.bytes(from, len(c.body))
	if s.chance(s.loss) {
		return
	}
	to, life := s.byURL[c.url], from.life
	signed := from.sign(c.url, c.kind, c.body, byIdentity)
	deliver := func() {
		switch {
		case !s.reachable(from, to):
		case to.m == nil:
			s.after(s.random(s.delay), func() { finish(nil, errSimNetwork) })
		default:
			to.hear(signed, c.kind, c.body, func(r reply) {
				s.bytes(to, len(r.body))
				if s.chance(s.loss) || !s.reachable(to, from) {
					return
				}
				s.after(s.random(s.delay)+time.Microsecond, func() {
					if asItself(r.err) && !byIdentity && from.life == life {
						s.attempt(from, c, true, finish)
						return
					}
					finish(r.body, r.err)
				})
			})
		}
	}
	if s.slow != nil && s.slow(c) {
		*s.held = append(*s.held, deliver)
		return
	}
	s.after(s.transit(), deliver)
}

// bytes counts what a node sends.
func (s *sim) bytes(from *simNode, n int) {
	if s.onBytes != nil {
		s.onBytes(from, n)
	}
}

// transit is how long a message takes.
func (s *sim) transit() time.Duration {
	if s.chance(s.late) {
		return s.random(3 * time.Second)
	}
	return s.random(s.delay) + time.Microsecond
}

// partition cuts the groups off from each other; nodes in none are with the first.
func (s *sim) partition(groups ...[]*simNode) {
	group := map[string]int{}
	for i, g := range groups {
		for _, n := range g {
			group[n.self.ID] = i
		}
	}
	for _, a := range s.nodes {
		for _, b := range s.nodes {
			s.cut[[2]string{a.self.ID, b.self.ID}] = group[a.self.ID] != group[b.self.ID]
		}
	}
}

func (s *sim) heal() { clear(s.cut) }

// check asserts what must hold at every moment.
func (s *sim) check(n *simNode) {
	m := n.m
	if m.primary() {
		term := fmt.Sprintf("%s %d", m.identity.Lineage, m.term())
		if who, ok := s.primaries[term]; ok && who != n.self.ID {
			s.fatalf("lineage and term %s have two primaries: %s and %s", term, who, n.self.ID)
		}
		s.primaries[term] = n.self.ID
	}
	s.checkAgreement(n)
	before, view := n.checked, m.view()
	if view == before {
		return
	}
	n.checked = view
	s.checkGroup(n)
	s.checkCommitted(n, view)
	for _, kind := range checkKinds() {
		doc := view.Document(kind)
		if doc == nil || before != nil && before.Lineage == view.Lineage && doc == before.Document(kind) {
			continue
		}
		key := fmt.Sprintf("%s %s %d", view.Lineage, kind, doc.Ver())
		data, err := doc.Encode()
		if err != nil {
			s.fatalf("%s: %v", key, err)
		}
		if have, ok := s.documents[key]; ok && have != string(data) {
			s.fatalf("%s has two contents:\n%s\n%s at %s", key, have, data, n.self)
		}
		s.documents[key] = string(data)
	}
}

// primary is the node that is primary with the highest term, nil if there is none.
func (s *sim) primary() *simNode {
	var best *simNode
	for _, n := range s.nodes {
		if n.m != nil && n.m.primary() && (best == nil || n.m.term() > best.m.term()) {
			best = n
		}
	}
	return best
}

func (s *sim) up() []*simNode {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(n *simNode) bool { return n.m == nil })
}

// converged tells that all nodes that are up work with the same documents,
// are members, and that there is a primary.
func (s *sim) converged() bool {
	p := s.primary()
	if p == nil {
		return false
	}
	for _, n := range s.up() {
		if n.m.join.state != joined || n.inView.Index != p.inView.Index || n.inView.Smap == nil || p.inView.Smap.Node(n.self.ID) == nil {
			return false
		}
		if n.m.member() != p.m.rlog.has(n.m.identity.RaftID) || (n.inView.Voters != nil) != n.m.member() {
			return false
		}
	}
	return p.inView.Index == p.m.view().Index
}

func (s *sim) startAll() {
	for _, n := range s.nodes {
		n.start()
	}
	s.until("all nodes join", 20*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == len(s.nodes) })
}

// settleVoters waits until the group has its desired form.
func (s *sim) settleVoters(want int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d voters", want), 30*time.Second, func() bool {
		p := s.primary()
		for _, n := range s.up() {
			if p == nil || len(p.m.rlog.conf.GetVoters()) != want || n.m.member() && (n.m.rlog.joint() || len(n.m.rlog.conf.GetLearners()) != 0) {
				return false
			}
		}
		return s.converged()
	})
}

func bucketChange(view *meta.View, name string) ([]meta.Change, error) {
	bck := wire.Bck{Name: name, Provider: wire.ProviderAIS}
	change, err := meta.NewChange(view, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: bck, Props: meta.DefaultBprops(bck, view.Config.Cluster)}}})
	return []meta.Change{change}, err
}

// create creates a bucket at a node, as Agent.Commit would; then gets the
// outcome of the last attempt. It gives up after 30 attempts.
func (n *simNode) create(name string, then func(view *meta.View, err error)) {
	n.createTry(name, 30, then)
}

func (n *simNode) createTry(name string, tries int, then func(*meta.View, error)) {
	if n.m == nil || n.m.view().Smap == nil {
		then(nil, errSimNetwork)
		return
	}
	changes, err := bucketChange(n.m.view(), name)
	if err != nil {
		n.s.fatalf("%v", err)
	}
	n.request(func(m *machine, token uint64) {
		m.commit(token, &meta.Command{ID: m.nextID(), Action: "create-bck", Changes: changes})
	}, func(r reply) {
		switch {
		case r.err == nil:
			lineage := r.view.Lineage
			n.request(func(m *machine, token uint64) { m.await(token, r.index, r.view) }, func(r reply) {
				if r.err == nil {
					n.s.acked[name] = lineage
				}
				then(r.view, r.err)
			})
		case tries > 0 && (meta.IsStale(r.err) || errors.Is(r.err, errDropped) || errors.Is(r.err, errLost)):
			n.s.after(20*time.Millisecond, func() { n.createTry(name, tries-1, then) })
		default:
			then(nil, r.err)
		}
	})
}

func (s *sim) mustCreate(n *simNode, name string, limit time.Duration) {
	s.t.Helper()
	done := false
	n.create(name, func(_ *meta.View, err error) {
		if err != nil {
			s.fatalf("create %s at %s: %v", name, n.self, err)
		}
		done = true
	})
	s.until("create "+name, limit, func() bool { return done })
}

// soonCreate creates a bucket at the primary, whoever that is by then.
func (s *sim) soonCreate(name string, limit time.Duration) {
	s.t.Helper()
	done, waiting := false, false
	s.until("create "+name, limit, func() bool {
		if p := s.primary(); p != nil && !done && !waiting {
			waiting = true
			p.create(name, func(_ *meta.View, err error) { done, waiting = err == nil, false })
		}
		return done
	})
}

func hasBucket(view *meta.View, name string) bool {
	if view.BMD == nil {
		return false
	}
	_, ok := view.BMD.Get(wire.Bck{Name: name, Provider: wire.ProviderAIS})
	return ok
}

func (s *sim) node(id string) *simNode {
	for _, n := range s.nodes {
		if n.self.ID == id {
			return n
		}
	}
	s.fatalf("no node %s", id)
	return nil
}

// checkEnd asserts what must hold once everything has healed and settled.
func (s *sim) checkEnd() {
	s.t.Helper()
	first := s.primary()
	if last := s.agreement.last[first.inView.Lineage]; first.inView.Index < last {
		s.fatalf("%s is at index %d, and %d was committed", first.self, first.inView.Index, last)
	}
	for _, n := range s.up() {
		// Who is outside the group has the documents of its role and no more.
		want, err := first.inView.For(n.self.Role, n.m.member()).Encode()
		if err != nil {
			s.fatalf("%v", err)
		}
		got, err := n.inView.Encode()
		if err != nil || !bytes.Equal(got, want) {
			s.fatalf("%s differs from %s (%v):\n%s\n%s", n.self, first.self, err, got, want)
		}
	}
	names := make([]string, 0, len(s.acked))
	for name := range s.acked {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		// What a lost majority had alone may be lost by a restart by force.
		if s.acked[name] == first.inView.Lineage && !hasBucket(first.inView, name) {
			s.fatalf("bucket %s was acknowledged and is lost", name)
		}
	}
}

// memStorage is storage in memory; what was saved survives a crash.
type memStorage struct {
	buckets map[string]map[uint64][]byte
}

func newMemStorage() *memStorage { return &memStorage{buckets: map[string]map[uint64][]byte{}} }

func (st *memStorage) apply(writes []write) {
	for _, w := range writes {
		b := st.buckets[w.bucket]
		if b == nil {
			b = map[uint64][]byte{}
			st.buckets[w.bucket] = b
		}
		if w.value != nil {
			b[w.key] = bytes.Clone(w.value)
			continue
		}
		for key := range b {
			if key >= w.key && key < w.end {
				delete(b, key)
			}
		}
	}
}

func (st *memStorage) Load(visit func(string, uint64, []byte) error) error {
	names := make([]string, 0, len(st.buckets))
	for name := range st.buckets {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		keys := make([]uint64, 0, len(st.buckets[name]))
		for key := range st.buckets[name] {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if err := visit(name, key, st.buckets[name][key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *memStorage) Save(fill func(func(string, uint64, []byte) error, func(string, uint64, uint64) error) error) error {
	var writes []write
	err := fill(
		func(bucket string, key uint64, value []byte) error {
			writes = append(writes, write{bucket: bucket, key: key, value: value})
			return nil
		},
		func(bucket string, from, to uint64) error {
			writes = append(writes, write{bucket: bucket, key: from, end: to})
			return nil
		})
	if err == nil {
		st.apply(writes)
	}
	return err
}

func isNotPrimary(err error) bool { return apierr.CodeOf(err) == wire.CodeNotPrimary }

func mentions(err error, part string) bool { return err != nil && strings.Contains(err.Error(), part) }
