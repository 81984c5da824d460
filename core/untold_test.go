package core

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
)

// formerOwner is another target that owned names before: the port and the clock
// of a store.
type formerOwner struct {
	*rig
	epoch   uint64
	settled bool
	now     time.Time

	deaf  int  // calls of Supersede that fail
	out   bool // it has left the cluster
	asked int
	told  []Stamp
}

func (p *formerOwner) Placement(uint64) (uint64, bool) { return p.epoch, p.settled }

func (p *formerOwner) Earlier(_ context.Context, _ Key, here Stamp, _ bool) (Earlier, error) {
	if !here.IsZero() && here.Epoch >= p.epoch {
		return Earlier{}, nil
	}
	p.asked++
	return Earlier{Told: true}, nil
}

func (p *formerOwner) Supersede(_ context.Context, _ Key, stamp Stamp) (all bool, err error) {
	p.told = append(p.told, stamp)
	if p.deaf > 0 {
		p.deaf--
		return false, apierr.Unavailable(time.Second, "the former owner does not answer")
	}
	return !p.out, nil
}

func (p *formerOwner) Gather(context.Context, Key, Stamp, bool) (all bool, err error) {
	return !p.out, nil
}

func (p *formerOwner) HandOver(context.Context, Key, *Handover) (Attrs, error) {
	return Attrs{}, ErrNotOwner
}

// newFormerOwner returns a store of an epoch that is settled.
func newFormerOwner(t *testing.T) *formerOwner {
	t.Helper()
	p := &formerOwner{epoch: 1, settled: true, now: time.Now()}
	p.rig = newRig(t, rigOptions{store: func(o *Options) {
		o.Ports.Peers, o.Epoch, o.Clock = p, func() uint64 { return p.epoch }, func() time.Time { return p.now }
	}})
	return p
}

// change begins an epoch that is not settled.
func (p *formerOwner) change() { p.epoch, p.settled = p.epoch+1, false }

// restarts is the end of the process, and another one a second later.
func (p *formerOwner) restarts() {
	p.tb.Helper()
	p.now = p.now.Add(time.Second)
	p.restart()
}

// takeTold returns how often the former owner was told since it was last asked.
func (p *formerOwner) takeTold() int {
	n := len(p.told)
	p.told = nil
	return n
}

// changesOfNames are all kinds of writes that earlier owners are told of. Each
// may be done again and again.
var changesOfNames = map[string]func(p *formerOwner) error{
	"PUT": func(p *formerOwner) error {
		_, err := p.tryPut("o", "new", PutOptions{Size: 3})
		return err
	},
	"PUT of the same": func(p *formerOwner) error {
		sum, err := cksum.Of(cksum.XXHash2, []byte("new"))
		if err != nil {
			return err
		}
		_, err = p.tryPut("o", "new", PutOptions{Size: 3, Checksum: sum})
		return err
	},
	"PUT under a condition": func(p *formerOwner) error {
		_, err := p.tryPut("o", "new", PutOptions{Size: 3, Conditions: Conditions{IfMatch: "*"}})
		return err
	},
	"DELETE": func(p *formerOwner) error {
		buried, err := p.store.Bury(context.Background(), p.key("o"))
		if err == nil && buried.Final {
			err = p.store.Unbury(context.Background(), p.key("o"), buried.Stamp)
		}
		return err
	},
	"copy": func(p *formerOwner) error {
		_, err := p.store.Copy(context.Background(), p.key("source"), p.key("o"), false)
		return err
	},
	"copy from another target": func(p *formerOwner) error {
		_, err := p.store.PutCopy(context.Background(), p.key("o"), strings.NewReader("new"), Origin{Size: 3, Version: "9", Mtime: 5})
		return err
	},
	"append": func(p *formerOwner) error {
		h, err := p.store.BeginAppend(context.Background(), p.key("o"), strings.NewReader("new"), 3, 0)
		if err == nil {
			_, err = p.store.FlushAppend(context.Background(), p.key("o"), h, cksum.Value{})
		}
		return err
	},
	"completion": func(p *formerOwner) error {
		id, err := p.store.CreateUpload(context.Background(), p.key("o"), CreateOptions{})
		if err != nil {
			return err
		}
		if _, err := p.store.PutPart(context.Background(), p.key("o"), id, 1, strings.NewReader("new"), PartOptions{Size: 3}); err != nil {
			return err
		}
		_, err = p.store.CompleteUpload(context.Background(), p.key("o"), id, CompleteOptions{Parts: []CompletePart{{Number: 1}}})
		return err
	},
	"PATCH": func(p *formerOwner) error {
		_, err := p.store.SetCustom(context.Background(), p.key("o"), []KV{{"k", "v"}}, false)
		return err
	},
}

// TestRetryTellsAgain: a write of which the former owner could not be told is
// not acknowledged, and neither is the same sent again, or any other of the name,
// until it was; also if the process ends in between.
func TestRetryTellsAgain(t *testing.T) {
	t.Parallel()
	for kind, do := range changesOfNames {
		for _, between := range []string{"nothing", "restart"} {
			t.Run(kind+", "+between, func(t *testing.T) {
				t.Parallel()
				p := newFormerOwner(t)
				p.put("source", "new")
				p.put("o", "old")
				if p.put("o", "older"); p.takeTold() != 0 || p.asked != 0 {
					t.Error("asked or told of a settled placement")
				}
				p.change()
				for try := range 3 {
					p.deaf = 1
					if err := do(p); statusOf(err) != 503 || p.takeTold() != 1 {
						t.Fatalf("try %d: %v", try, err)
					}
					if between == "restart" {
						p.restarts()
					}
				}
				if err := do(p); err != nil || p.takeTold() != 1 {
					t.Errorf("once the former owner answers: %v", err)
				}
				if p.store.untold.any.Load() {
					t.Error("remembered though it was told")
				}
				if kind == "DELETE" {
					if _, kind, err := p.store.Look(t.Context(), p.key("o")); err != nil || kind != 0 {
						t.Errorf("left behind: %d %v", kind, err)
					}
					return
				}
				if between == "restart" { // a copy may have left what the process before has written
					p.put("o", "next")
					p.takeTold()
				}
				if p.put("o", "next"); p.takeTold() != 0 {
					t.Error("told again of a name that is told of")
				}
			})
		}
	}
}

// TestNothingNewTellsAgain: what leaves the content as it is counts as a write.
func TestNothingNewTellsAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PUT of the same", "copy"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newFormerOwner(t)
			p.put("source", "new")
			if err := changesOfNames[kind](p); err != nil {
				t.Fatal(err)
			}
			p.change()
			for range 2 {
				p.deaf = 1
				if err := changesOfNames[kind](p); statusOf(err) != 503 || p.takeTold() != 1 {
					t.Errorf("not told: %v", err)
				}
			}
			if err := changesOfNames[kind](p); err != nil || p.takeTold() != 1 {
				t.Errorf("once the former owner answers: %v", err)
			}
		})
	}
}

// TestAnyWriteTells, not only the same sent again.
func TestAnyWriteTells(t *testing.T) {
	t.Parallel()
	for first := range changesOfNames {
		for second, do := range changesOfNames {
			t.Run(first+", "+second, func(t *testing.T) {
				t.Parallel()
				if first == "DELETE" && (second == "PATCH" || second == "PUT under a condition") {
					return // there is nothing to change
				}
				p := newFormerOwner(t)
				p.put("source", "new")
				p.put("o", "old")
				p.change()
				p.deaf = 1
				if err := changesOfNames[first](p); statusOf(err) != 503 {
					t.Fatal(err)
				}
				if p.takeTold(); do(p) != nil || p.takeTold() != 1 {
					t.Error("acknowledged without telling the former owner")
				}
			})
		}
	}
}

// TestTombstoneOfWhoIsOut stays, and is acknowledged.
func TestTombstoneOfWhoIsOut(t *testing.T) {
	t.Parallel()
	p := newFormerOwner(t)
	p.put("o", "old")
	p.change()
	p.out = true
	if buried, err := p.store.Bury(t.Context(), p.key("o")); err != nil || buried.Final || p.takeTold() != 1 {
		t.Errorf("%+v %v", buried, err)
	}
	// It is told all of it; who does not answer is no reason to refuse.
	p.deaf = 1
	if buried, err := p.store.Bury(t.Context(), p.key("o")); err != nil || buried.Final || p.takeTold() != 1 {
		t.Errorf("%+v %v", buried, err)
	}
	p.out = false
	if buried, err := p.store.Bury(t.Context(), p.key("o")); err != nil || !buried.Final {
		t.Errorf("%+v %v", buried, err)
	}
}

// TestManyUntold: with more names than there is room for every write tells,
// until the placement is settled.
func TestManyUntold(t *testing.T) {
	t.Parallel()
	p := newFormerOwner(t)
	p.store.untold.limit = 3
	p.put("told before", "v")
	p.change()
	if p.put("told", "v"); p.takeTold() != 1 {
		t.Error("not told")
	}
	name := func(i int) string { return fmt.Sprint("o", i) }
	p.deaf = 5
	for i := range 5 {
		if _, err := p.tryPut(name(i), "v", PutOptions{Size: 1}); statusOf(err) != 503 {
			t.Fatal(err)
		}
	}
	p.takeTold()
	if n := len(p.store.untold.names); n != 3 {
		t.Errorf("%d names are remembered, room is for 3", n)
	}
	for range 2 {
		for i := range 5 {
			p.put(name(i), "w")
		}
		p.put("told", "w")
		if n := p.takeTold(); n != 6 {
			t.Errorf("told %d times of 6 names", n)
		}
	}
	if n := len(p.store.untold.names); n != 0 {
		t.Errorf("%d names are remembered, of which the former owner knows", n)
	}
	p.settled = true
	if p.put("told", "w"); p.takeTold() != 0 || p.store.untold.any.Load() {
		t.Error("settled, and still remembered")
	}
	p.change()
	p.put("told", "w")
	p.takeTold()
	if p.put("told", "w"); p.takeTold() != 0 {
		t.Error("told twice under one placement")
	}
}

// TestTellingUnderWay: who comes while a former owner is being told tells it too.
func TestTellingUnderWay(t *testing.T) {
	t.Parallel()
	u := untold{limit: 8}
	u.add(1, 4) // by one write
	if !u.has(1) || u.has(2) {
		t.Error("what is under way is not known")
	}
	u.add(1, 5) // by another, under the next placement
	if u.remove(1, 4); !u.has(1) {
		t.Error("forgotten though not all have been told who owned it under the next placement")
	}
	if u.settled(4); !u.has(1) {
		t.Error("forgotten though the placement is a newer one")
	}
	if u.remove(1, 5); u.has(1) || u.any.Load() {
		t.Error("told, and remembered")
	}
	u.add(2, 5)
	if u.settled(6); u.has(2) || u.any.Load() {
		t.Error("settled, and remembered")
	}
}

// TestOwnGenerations: by its stamp a process knows what it has written itself.
func TestOwnGenerations(t *testing.T) {
	t.Parallel()
	p := newFormerOwner(t)
	mine := p.put("o", "v").Stamp
	if !p.store.isOwn(mine) {
		t.Error("its own is not known")
	}
	other, ahead := mine, mine
	other.Node++
	ahead.Clock += 1 << 40 // the clock was set back
	p.restarts()
	later := p.put("o", "v").Stamp
	for _, stamp := range []Stamp{mine, other, ahead} {
		if p.store.isOwn(stamp) {
			t.Errorf("%+v of another process", stamp)
		}
	}
	if !p.store.isOwn(later) {
		t.Error("its own is not known after a restart")
	}
}

// settledWrite returns what a write does about earlier owners while there are
// none.
func settledWrite(tb testing.TB) func() {
	p := &formerOwner{epoch: 1, settled: true}
	r := newRig(tb, rigOptions{store: func(o *Options) { o.Ports.Peers = p }})
	o, err := r.store.resolve(r.key("o"))
	if err != nil {
		tb.Fatal(err)
	}
	w, ctx := &write{s: r.store, object: o}, tb.Context()
	return func() {
		w.earlier = earlierState{}
		err := w.askEarlier(ctx)
		if w.owe(); err == nil {
			err = w.supersede(ctx, Stamp{})
		}
		if err != nil || p.asked+len(p.told) > 0 {
			tb.Fatal(err, p.asked, p.told)
		}
	}
}

func TestSettledPlacementsCostNoMemory(t *testing.T) {
	if n := testing.AllocsPerRun(100, settledWrite(t)); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSettledPlacement(b *testing.B) {
	do := settledWrite(b)
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}
