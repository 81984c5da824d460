package rebalance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// network connects targets of one process. fails, if set, decides which
// messages are lost: before they have come, or after.
type network struct {
	mu    sync.Mutex
	flows map[string]Receiver // by node and flow
	fails func() (before, after bool)
	sent  atomic.Int64
}

// end is a target's end of a network.
type end struct {
	n  *network
	id string
}

func (e end) Receive(flow string, r Receiver) (func(), error) {
	e.n.mu.Lock()
	defer e.n.mu.Unlock()
	key := e.id + " " + flow
	if e.n.flows[key] != nil {
		return nil, errors.New("there is a receiver")
	}
	var running sync.WaitGroup
	stopped := false
	e.n.flows[key] = func(ctx context.Context, from string, body io.Reader) ([]byte, error) {
		e.n.mu.Lock()
		if stopped {
			e.n.mu.Unlock()
			return nil, errors.New("the receiver has gone")
		}
		running.Add(1)
		e.n.mu.Unlock()
		defer running.Done()
		return r(ctx, from, body)
	}
	return func() {
		e.n.mu.Lock()
		stopped = true
		delete(e.n.flows, key)
		e.n.mu.Unlock()
		running.Wait()
	}, nil
}

func (e end) Open(nodeID, flow string) Stream { return &way{e: e, to: nodeID + " " + flow} }

type way struct {
	e      end
	to     string
	closed atomic.Bool
}

func (w *way) Close() { w.closed.Store(true) }

func (w *way) Send(ctx context.Context, size int64, open func() (io.ReadCloser, error), done func([]byte, error)) error {
	go func() {
		w.e.n.sent.Add(1)
		var before, after bool
		if fails := w.e.n.fails; fails != nil {
			before, after = fails()
		}
		if before {
			done(nil, errors.New("lost"))
			return
		}
		for !w.closed.Load() && ctx.Err() == nil {
			w.e.n.mu.Lock()
			r := w.e.n.flows[w.to]
			w.e.n.mu.Unlock()
			if r == nil {
				time.Sleep(time.Millisecond)
				continue
			}
			body, err := open()
			if err != nil {
				done(nil, err)
				return
			}
			answer, err := r(context.Background(), w.e.id, body)
			if err = errors.Join(err, body.Close()); after && err == nil {
				err = errors.New("lost")
			}
			done(answer, err)
			return
		}
		done(nil, errors.New("the stream was closed"))
	}()
	return nil
}

// cluster is targets t1, t2, ... over one network.
type cluster struct {
	t       *testing.T
	network *network
	rigs    map[string]*xacttest.Rig
	movers  map[string]*Mover
	view    atomic.Pointer[meta.View]
}

func newCluster(t *testing.T, ids ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, network: &network{flows: map[string]Receiver{}}, rigs: map[string]*xacttest.Rig{}, movers: map[string]*Mover{}}
	c.view.Store(&meta.View{})
	for _, id := range ids {
		mover, err := New(end{c.network, id})
		if err != nil {
			t.Fatal(err)
		}
		mover.timing = timing{pause: time.Millisecond, mostPause: 5 * time.Millisecond, tries: 3}
		c.movers[id] = mover
		r := xacttest.New(t, xacttest.Options{Store: func(o *core.Options) {
			o.NodeID, o.Guard = id, guard{c, id}
			o.Epoch = func() uint64 { return c.view.Load().Placement.Epoch() }
		}}, mover.Registration())
		r.Env.NodeID, r.Env.View = id, c.view.Load
		c.rigs[id] = r
	}
	return c
}

// guard lets owners write.
type guard struct {
	c  *cluster
	id string
}

func (g guard) Begin(key core.Key, digest uint64) (core.Ticket, error) {
	if owner, err := g.c.view.Load().Smap.Owner(digest); err == nil && owner.ID != g.id {
		e := apierr.Unavailable(time.Second, "not the owner")
		e.Cause = core.ErrNotOwner
		return 0, e
	}
	return 0, nil
}
func (g guard) End(core.Ticket) error { return nil }

// active puts a map into force with these targets in service and all others in
// maintenance.
func (c *cluster) active(ids ...string) {
	smap := &meta.Smap{Tmap: map[string]*meta.Snode{}, Pmap: map[string]*meta.Snode{}}
	for id := range c.rigs {
		sn := &meta.Snode{ID: id, Role: meta.RoleTarget, Digest: hrw.Digest(id)}
		if !slices.Contains(ids, id) {
			sn.Flags = meta.FlagMaintenance
		}
		smap.Tmap[id] = sn
	}
	smap.Freeze()
	before := c.view.Load()
	next := &meta.Placement{Version: before.Placement.Ver() + 1}
	c.view.Store(&meta.View{Smap: smap, BMD: c.any().View.BMD, Placement: next})
}

func (c *cluster) any() *xacttest.Rig { return c.rigs["t1"] }

// start starts a rebalance on all targets.
func (c *cluster) start(id string, args Args, change func(*xact.Spec)) map[string]*xact.Xaction {
	c.t.Helper()
	args.Placement = c.view.Load().Placement.Ver()
	data, err := json.Marshal(args)
	if err != nil {
		c.t.Fatal(err)
	}
	spec := &xact.Spec{ID: id, Kind: xact.KindRebalance, Args: data}
	if change != nil {
		change(spec)
	}
	started := map[string]*xact.Xaction{}
	for id, r := range c.rigs {
		started[id] = r.Start(spec)
	}
	return started
}

func (c *cluster) finish(jobs map[string]*xact.Xaction) (all wire.SnapStats) {
	c.t.Helper()
	for id, x := range jobs {
		snap := c.rigs[id].Finish(x)
		if snap.Aborted || snap.Error != "" {
			c.t.Errorf("%s: %s, %s", id, snap.AbortError, snap.Error)
		}
		all.OutObjects += snap.Stats.OutObjects
		all.InObjects += snap.Stats.InObjects
		all.LocalObjects += snap.Stats.LocalObjects
	}
	return all
}

func (c *cluster) owner(name string) string {
	owner, err := c.view.Load().Smap.Owner(hrw.Digest(c.any().Bck.Uname(name)))
	if err != nil {
		c.t.Fatal(err)
	}
	return owner.ID
}

// put stores objects at their owners and returns who that was.
func (c *cluster) put(count int) map[string]string {
	owners := map[string]string{}
	for i := range count {
		name := fmt.Sprintf("dir%d/%04d", i%2, i)
		owners[name] = c.owner(name)
		c.rigs[owners[name]].Put(name, content(name))
	}
	return owners
}

func content(name string) string { return strings.Repeat(name+" ", 1+len(name)%7*40) }

// holders are the targets that hold a name.
func (c *cluster) holders(name string) (ids []string) {
	c.t.Helper()
	for id, r := range c.rigs {
		_, kind, err := r.Store.Look(c.t.Context(), r.Key(name))
		if err != nil {
			c.t.Fatal(err)
		}
		if kind != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// check looks whether every name is at its owner alone, whole.
func (c *cluster) check(names map[string]string) {
	c.t.Helper()
	for name := range names {
		if got := c.holders(name); !slices.Equal(got, []string{c.owner(name)}) {
			c.t.Fatalf("%s is at %v, not at %s alone", name, got, c.owner(name))
		}
		r := c.rigs[c.owner(name)]
		reader, err := r.Store.Open(c.t.Context(), r.Key(name))
		if err != nil {
			c.t.Fatal(err)
		}
		data, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
		if err := errors.Join(err, reader.Close()); err != nil || string(data) != content(name) {
			c.t.Fatalf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

// TestNamesGoToTheirOwners: after targets came and went, each name is at its
// owner; no more is moved than changed owners; a further run moves nothing.
func TestNamesGoToTheirOwners(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2", "t3", "t4")
	c.active("t1", "t2")
	names := c.put(600)
	for i, ids := range [][]string{{"t1", "t2", "t3", "t4"}, {"t2", "t3"}, {"t1", "t2", "t3"}} {
		before := map[string]string{}
		for name := range names {
			before[name] = c.owner(name)
		}
		c.active(ids...)
		changed := int64(0)
		for name := range names {
			if c.owner(name) != before[name] {
				changed++
			}
		}
		stats := c.finish(c.start(fmt.Sprintf("g%d", i+1), Args{}, nil))
		if stats.OutObjects != changed || stats.InObjects != changed || stats.LocalObjects != changed {
			t.Errorf("targets %v: %+v, and %d names changed owners", ids, stats, changed)
		}
		c.check(names)
	}
	if stats := c.finish(c.start("g9", Args{}, nil)); stats != (wire.SnapStats{}) {
		t.Errorf("one more moves %+v", stats)
	}
}

// TestLossesOnTheWay: messages are lost before and after they have come; in the
// end every name is at its owner.
func TestLossesOnTheWay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2", "t3")
	c.active("t1")
	names := c.put(300)
	c.active("t1", "t2", "t3")
	var n atomic.Int64
	c.network.fails = func() (before, after bool) {
		i := n.Add(1)
		return i%5 == 0, i%7 == 0
	}
	c.finish(c.start("g1", Args{}, nil))
	c.check(names)
}

// TestAbortAndAgain: a rebalance is aborted at any moment, again and again, and
// never in the way of the next one; every name is readable all the time, and
// nothing is lost or left behind.
func TestAbortAndAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2", "t3")
	c.active("t1")
	names := c.put(300)
	c.active("t1", "t2", "t3")
	for i := range 20 {
		jobs := c.start(fmt.Sprintf("g%d", i+1), Args{}, nil)
		from := c.network.sent.Load()
		xacttest.Await(t, "something is sent", func() bool {
			return c.network.sent.Load() >= from+int64(i) || !jobs["t1"].Running()
		})
		for _, x := range jobs {
			x.Abort(xact.ErrUserAbort)
		}
		for name := range names {
			if len(c.holders(name)) == 0 {
				t.Fatalf("%s is nowhere after %d rebalances", name, i+1)
			}
		}
		for id, x := range jobs {
			c.rigs[id].Finish(x)
		}
	}
	c.network.mu.Lock()
	for key := range c.network.flows {
		if !strings.HasSuffix(key, " "+progressFlow) {
			t.Errorf("a receiver is left: %s", key)
		}
	}
	c.network.mu.Unlock()
	c.finish(c.start("g100", Args{}, nil))
	c.check(names)
}

// TestDeletedMeanwhileStaysDeleted: a tombstone at the new owner wins over what
// is on its way, and a newer object, too.
func TestDeletedMeanwhileStaysDeleted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2")
	c.active("t1")
	names := c.put(100)
	c.active("t2")
	for name := range names {
		if _, err := c.rigs["t2"].Store.Bury(t.Context(), c.rigs["t2"].Key(name)); err != nil {
			t.Fatal(err)
		}
	}
	c.finish(c.start("g1", Args{}, nil))
	if err := c.rigs["t2"].Store.RemoveTombstones(t.Context(), c.any().View.BMD); err != nil {
		t.Fatal(err)
	}
	for name := range names {
		if got := c.holders(name); len(got) > 0 {
			t.Fatalf("%s is at %v", name, got)
		}
	}
}

// TestScope: with a prefix only what has it moves; a cleanup sends nothing, and
// removes what the owner has.
func TestScope(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2")
	c.active("t1")
	names := c.put(100)
	c.active("t2")
	bucket := func(s *xact.Spec) { s.Bck = c.any().Bck }
	c.finish(c.start("g1", Args{StartArgs: xact.StartArgs{Name: "dir1/"}}, bucket))
	for name := range names {
		want := []string{"t1"}
		if strings.HasPrefix(name, "dir1/") {
			want = []string{"t2"}
		}
		if got := c.holders(name); !slices.Equal(got, want) {
			t.Fatalf("%s is at %v, want %v", name, got, want)
		}
	}
	c.active("t1") // what is at t2 is misplaced now, and nowhere else
	c.rigs["t1"].Put("dir1/both", content("dir1/both"))
	c.active("t2")
	d, err := c.rigs["t1"].Store.Depart(t.Context(), c.rigs["t1"].Key("dir1/both"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.rigs["t2"].Store.Arrive(t.Context(), c.rigs["t2"].Key("dir1/both"), d.Parcels()[0].Head, strings.NewReader(content("dir1/both"))); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	stats := c.finish(c.start("g2", Args{StartArgs: xact.StartArgs{Flags: xact.FlagCleanup}}, nil))
	if stats.OutObjects != 0 || stats.LocalObjects != 1 {
		t.Errorf("a cleanup counts %+v", stats)
	}
	for name := range names {
		if len(c.holders(name)) != 1 {
			t.Fatalf("%s is at %v", name, c.holders(name))
		}
	}
	if got := c.holders("dir1/both"); !slices.Equal(got, []string{"t2"}) {
		t.Errorf("a copy that its owner has stays: %v", got)
	}
}

// TestOwnersChangeMeanwhile: the rebalance of an earlier placement does not end
// as if all were done.
func TestOwnersChangeMeanwhile(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "t1", "t2")
	c.active("t1")
	c.put(10)
	c.active("t2")
	blocked := make(chan struct{})
	c.network.fails = func() (before, after bool) { <-blocked; return false, false }
	jobs := c.start("g1", Args{}, nil)
	c.active("t1", "t2")
	close(blocked)
	for id, x := range jobs {
		if snap := c.rigs[id].Finish(x); !strings.Contains(snap.AbortError, ErrPlacement.Error()) {
			t.Errorf("%s ends with %q", id, snap.AbortError)
		}
	}
}

// TestDescriptions: what is no description is refused.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	s := subject{bck: wire.Bck{Name: "b", Provider: "ais", Ns: wire.Ns{Name: "n", UUID: "u"}}, name: "o/\x00", head: []byte("head")}
	data := s.encode(kindGeneration)
	kind, description, err := readMessage(strings.NewReader(string(data)))
	if err != nil || kind != kindGeneration {
		t.Fatal(kind, err)
	}
	if got, err := decodeSubject(description); err != nil || got.bck != s.bck || got.name != s.name || string(got.head) != "head" {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(data) - 4 {
		if kind, description, err := readMessage(strings.NewReader(string(data[:n]))); err == nil {
			t.Errorf("%d bytes: %d %q", n, kind, description)
		}
	}
	if _, err := decodeSubject([]byte{200, 1, 'x'}); err == nil {
		t.Error("a text that is cut off is read")
	}
}

// TestReceiverThatDoesNotKnowTheBucket: a target whose buckets are of an older version gets
// what is sent to it later, when it knows the bucket; if it never does, the rebalance
// says so, and nothing is lost.
func TestReceiverThatDoesNotKnowTheBucket(t *testing.T) {
	t.Parallel()
	for _, hears := range []bool{true, false} {
		c := newCluster(t, "t1", "t2")
		c.active("t1")
		names := c.put(20)
		c.active("t1", "t2")
		c.any().Config.Rebalance.DestRetryTime = unit.Duration(20 * time.Millisecond)
		if hears {
			c.any().Config.Rebalance.DestRetryTime = unit.Duration(time.Minute)
		}
		var asked atomic.Int64
		c.rigs["t2"].Env.View = func() *meta.View {
			view := *c.view.Load()
			if n := asked.Add(1); !hears || n < 100 {
				view.BMD = meta.NewBMD("cluster01", 1)
			}
			return &view
		}
		jobs := c.start("g1", Args{}, nil)
		if hears {
			c.finish(jobs)
			c.check(names)
			if asked.Load() < 100 {
				t.Errorf("it was asked %d times", asked.Load())
			}
			continue
		}
		if snap := c.any().Finish(jobs["t1"]); !snap.Aborted || !strings.Contains(snap.AbortError+snap.Error, "t[t2] does not know bucket ais://b1 yet") {
			t.Errorf("%+v", snap)
		}
		jobs["t2"].Abort(xact.ErrUserAbort)
		c.rigs["t2"].Finish(jobs["t2"])
		for name := range names {
			if got := c.holders(name); !slices.Equal(got, []string{"t1"}) {
				t.Fatalf("%s is at %v", name, got)
			}
		}
	}
}
