package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
)

// takingOver is a name that goes from one store to another. It is the port of
// the second one.
type takingOver struct {
	t        *testing.T
	from, to *rig
	epoch    uint64
	settled  bool
	out      bool // the first owner cannot be asked, and nobody waits for it
	fails    int  // so many steps of a move work before one fails; negative: none fails
	after    bool // it fails when it has taken effect
	gathered int
}

func newTakingOver(t *testing.T, props func(*meta.Bprops)) *takingOver {
	t.Helper()
	p := &takingOver{t: t, epoch: 2, fails: -1}
	p.from = newRig(t, rigOptions{mountpaths: 3, props: props, store: func(o *Options) { o.NodeID, o.Epoch = "t1", func() uint64 { return 1 } }})
	p.to = newRig(t, rigOptions{mountpaths: 2, props: props, store: func(o *Options) {
		o.NodeID, o.Epoch, o.Ports.Peers = "t2", func() uint64 { return p.epoch }, p
	}})
	return p
}

func (p *takingOver) Placement(uint64) (uint64, bool) { return p.epoch, p.settled }

func (p *takingOver) Earlier(ctx context.Context, key Key, here Stamp, all bool) (e Earlier, err error) {
	if p.out && all {
		return e, apierr.Unavailable(time.Second, "the former owner does not answer")
	}
	if p.out || !here.IsZero() && here.Epoch >= p.epoch {
		return e, nil
	}
	attrs, kind, err := p.from.store.Look(ctx, p.from.key(key.Name))
	if err != nil {
		return e, err
	}
	e.Told = true
	if kind != 0 && attrs.Stamp.Compare(here) > 0 {
		e.Kind, e.Attrs = kind, attrs
	}
	e.Versions, err = p.from.store.KeepsVersions(ctx, p.from.key(key.Name))
	return e, err
}

func (p *takingOver) Supersede(ctx context.Context, key Key, stamp Stamp) (all bool, err error) {
	if p.out {
		return false, nil
	}
	return true, p.from.store.GiveUp(ctx, p.from.key(key.Name), stamp)
}

func (p *takingOver) HandOver(context.Context, Key, *Handover) (Attrs, error) {
	return Attrs{}, ErrNotOwner
}

var errOnTheWay = apierr.Unavailable(time.Second, "broken on the way")

// step does one step of a move, unless it is the one that fails.
func (p *takingOver) step(do func() error) error {
	fails := p.fails == 0
	p.fails--
	if fails && !p.after {
		return errOnTheWay
	}
	err := do()
	if err == nil && fails {
		return errOnTheWay
	}
	return err
}

func (p *takingOver) Gather(ctx context.Context, key Key, here Stamp, must bool) (all bool, err error) {
	p.gathered++
	switch {
	case p.out && must:
		return false, apierr.Unavailable(time.Second, "the former owner does not answer")
	case p.out:
		return false, nil
	case !here.IsZero() && here.Epoch >= p.epoch:
		return true, nil
	}
	d, err := p.from.store.Depart(ctx, p.from.key(key.Name))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, parcel := range d.Parcels() {
		err := p.step(func() error {
			body, err := parcel.Open(ctx)
			if err != nil {
				return err
			}
			_, err = p.to.store.Arrive(ctx, p.to.key(key.Name), parcel.Head, body)
			return errors.Join(err, body.Close())
		})
		if err != nil {
			return false, err
		}
	}
	return true, p.step(func() error {
		_, err := d.Remove(ctx)
		return err
	})
}

// history are the generations of a name as its versions are listed, without what
// differs between targets.
func history(r *rig, name string) (lines []string) {
	r.tb.Helper()
	all, err := r.store.ListVersions(context.Background(), r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	for i := range all {
		v := &all[i]
		line := fmt.Sprintf("kind %d current %v versioned %v", v.Kind, v.Current, v.Attrs.Versioned)
		if !v.Kind.IsDeleted() {
			reader, err := r.store.OpenVersion(context.Background(), r.key(name), v.Attrs.VersionID())
			if err != nil {
				r.tb.Fatal(err)
			}
			content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
			if err := errors.Join(err, reader.Close()); err != nil {
				r.tb.Fatal(err)
			}
			line += fmt.Sprintf(" %d %.30q %v", len(content), content, v.Attrs.Custom)
		}
		lines = append(lines, line)
	}
	return lines
}

// pastOf are histories of a name before it is taken over.
var pastOf = map[string]func(r *rig){
	"one version": func(r *rig) { r.keep("first", KeepVersion) },
	"one null":    func(r *rig) { r.keep("first", KeepNothing) },
	"null, versions": func(r *rig) {
		r.keep("first", KeepNothing)
		r.keep("second", KeepVersion)
		r.keep("third", KeepVersion)
	},
	"null on top": func(r *rig) { r.keep("first", KeepVersion); r.keep("second", KeepVersion); r.keep("third", KeepNull) },
	"marker on top": func(r *rig) {
		r.keep("first", KeepVersion)
		if _, err := r.store.PutDeleteMarker(context.Background(), r.key("o"), KeepVersion); err != nil {
			r.tb.Fatal(err)
		}
	},
	"in chunks": func(r *rig) {
		r.keep(strings.Repeat("x", 70_000), KeepVersion)
		r.keep(strings.Repeat("y", 60_000), KeepVersion)
	},
}

func (r *rig) keep(content string, keep Keep) {
	r.tb.Helper()
	if _, err := r.tryPut("o", content, PutOptions{Size: int64(len(content)), Keep: keep, Custom: []KV{{"k", "v"}}}); err != nil {
		r.tb.Fatal(err)
	}
}

// taking are the operations that a name may be taken over with.
var taking = map[string]func(r *rig) error{
	"versioned PUT": func(r *rig) error { _, err := r.tryPut("o", "new", PutOptions{Size: 3, Keep: KeepVersion}); return err },
	"suspended PUT": func(r *rig) error { _, err := r.tryPut("o", "new", PutOptions{Size: 3, Keep: KeepNull}); return err },
	"plain PUT":     func(r *rig) error { _, err := r.tryPut("o", "new", PutOptions{Size: 3}); return err },
	"marker": func(r *rig) error {
		_, err := r.store.PutDeleteMarker(context.Background(), r.key("o"), KeepVersion)
		return err
	},
	"null marker": func(r *rig) error {
		_, err := r.store.PutDeleteMarker(context.Background(), r.key("o"), KeepNull)
		return err
	},
	"delete current": func(r *rig) error { return deleteNth(r, 0) },
	"delete oldest":  func(r *rig) error { return deleteNth(r, -1) },
	"completion": func(r *rig) error {
		ctx := context.Background()
		id, err := r.store.CreateUpload(ctx, r.key("o"), CreateOptions{})
		if err == nil {
			_, err = r.store.PutPart(ctx, r.key("o"), id, 1, strings.NewReader("part"), PartOptions{Size: 4})
		}
		if err == nil {
			_, err = r.store.CompleteUpload(ctx, r.key("o"), id, CompleteOptions{Parts: []CompletePart{{Number: 1}}, Put: PutOptions{Keep: KeepVersion}})
		}
		return err
	},
	"append": func(r *rig) error {
		ctx := context.Background()
		if err := r.store.Gather(ctx, r.key("o")); err != nil { // as the target does before an append begins
			return err
		}
		h, err := r.store.BeginAppend(ctx, r.key("o"), strings.NewReader("more"), 4, 0)
		if err == nil {
			_, err = r.store.FlushAppend(ctx, r.key("o"), h, cksum.Value{})
		}
		return err
	},
	"copy": func(r *rig) error {
		sum, err := cksum.Of(cksum.XXHash2, []byte("copied"))
		if err == nil {
			_, err = r.store.PutCopy(context.Background(), r.key("o"), strings.NewReader("copied"), Origin{Size: 6, Checksum: sum})
		}
		return err
	},
}

// deleteNth deletes a version by its place in the list of those of the former
// owner, or here.
func deleteNth(r *rig, n int) error {
	if err := r.store.Gather(context.Background(), r.key("o")); err != nil { // as whoever looks an id up
		return err
	}
	all, err := r.store.ListVersions(context.Background(), r.key("o"))
	if err != nil {
		return err
	}
	if n < 0 {
		n += len(all)
	}
	_, err = r.store.DeleteVersion(context.Background(), r.key("o"), all[n].Attrs.VersionID())
	return err
}

// TestTakeOverOfVersions: an operation on a name that another target owned before
// leaves what it would have left there, and nothing stays at the other one that a
// later move could bring back.
func TestTakeOverOfVersions(t *testing.T) {
	t.Parallel()
	for past, prepare := range pastOf {
		for name, do := range taking {
			t.Run(past+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := newTakingOver(t, smallChunks)
				alone := newRig(t, rigOptions{mountpaths: 2, props: smallChunks})
				prepare(alone)
				prepare(p.from)
				expected, got := do(alone), do(p.to)
				if statusOf(expected) != statusOf(got) {
					t.Fatalf("%v, want %v", got, expected)
				}
				want := history(alone, "o")
				if have := history(p.to, "o"); !slices.Equal(have, want) {
					t.Errorf("versions\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
				}
				if left := history(p.from, "o"); len(left) > 0 {
					t.Errorf("left at the former owner: %s", left)
				}
				if _, _, err := sendName(p.from, p.to, "o"); err != nil {
					t.Fatal(err)
				}
				if have := history(p.to, "o"); !slices.Equal(have, want) {
					t.Errorf("after a move\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}

// TestTakeOverThatFails: whichever step of bringing the versions fails, before or
// after it has taken effect, nothing is lost, and the same again ends as it should.
func TestTakeOverThatFails(t *testing.T) {
	t.Parallel()
	for past, prepare := range pastOf {
		for name, do := range taking {
			t.Run(past+"/"+name, func(t *testing.T) {
				t.Parallel()
				alone := newRig(t, rigOptions{mountpaths: 2, props: smallChunks})
				prepare(alone)
				before := contents(alone)
				if err := do(alone); err != nil {
					t.Fatal(err)
				}
				want := history(alone, "o")
				for _, after := range []bool{false, true} {
					for step := 0; ; step++ {
						p := newTakingOver(t, smallChunks)
						prepare(p.from)
						p.fails, p.after = step, after
						err := do(p.to)
						failed := p.fails < 0
						if !failed {
							break // there are no more steps
						}
						if err == nil && step < 1 && !after {
							t.Fatalf("step %d: done though nothing was brought", step)
						}
						if err != nil {
							all := append(contents(p.from), contents(p.to)...)
							for _, content := range before {
								if !slices.Contains(all, content) {
									t.Fatalf("step %d: %.30q is lost, there is %.200q", step, content, all)
								}
							}
							if statusOf(err) != 503 {
								t.Errorf("step %d: %v", step, err)
							}
							p.fails = -1
							if err := do(p.to); err != nil {
								t.Fatalf("step %d, again: %v", step, err)
							}
						}
						if have := history(p.to, "o"); !slices.Equal(have, want) {
							t.Errorf("step %d, after %v: versions\n%s\nwant\n%s", step, after, strings.Join(have, "\n"), strings.Join(want, "\n"))
						}
						if left := history(p.from, "o"); len(left) > 0 {
							t.Errorf("step %d: left at the former owner: %s", step, left)
						}
					}
				}
			})
		}
	}
}

// contents are those of all versions.
func contents(r *rig) (all []string) {
	for _, line := range history(r, "o") {
		if _, content, found := strings.Cut(line, `"`); found {
			all = append(all, content)
		}
	}
	return all
}

// TestVersionsOfAnAbsentOwner: who is out holds up a PUT no more than before, and
// what it has when it is back becomes a noncurrent version, whatever was written
// meanwhile; conditions and the removal of a version wait for it.
func TestVersionsOfAnAbsentOwner(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newTakingOver(t, nil)
	p.from.keep("first", KeepVersion)
	p.from.keep("second", KeepVersion)
	all, err := p.from.store.ListVersions(ctx, p.from.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	p.out = true
	p.to.keep("third", KeepVersion)
	if _, err := p.to.tryPut("o", "new", PutOptions{Size: 3, Keep: KeepVersion, Conditions: Conditions{IfNoneMatch: "*"}}); statusOf(err) != 503 {
		t.Errorf("a condition: %v", err)
	}
	if _, err := p.to.store.DeleteVersion(ctx, p.to.key("o"), all[1].Attrs.VersionID()); statusOf(err) != 503 {
		t.Errorf("removal of a version: %v", err)
	}
	p.out = false
	p.to.keep("fourth", KeepNothing) // the third goes: that is what such a PUT asks for
	if _, _, err := sendName(p.from, p.to, "o"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`kind 1 current true versioned false 6 "fourth" [{k v}]`, `kind 1 current false versioned true 6 "second" [{k v}]`,
		`kind 1 current false versioned true 5 "first" [{k v}]`,
	}
	if have := history(p.to, "o"); !slices.Equal(have, want) {
		t.Errorf("%s", strings.Join(have, "\n"))
	}
}

// TestRemovedVersionOnItsWay: a version that was removed does not come back with a
// message that was sent before.
func TestRemovedVersionOnItsWay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newTakingOver(t, nil)
	p.from.keep("first", KeepVersion)
	p.from.keep("second", KeepVersion)
	d, err := p.from.store.Depart(ctx, p.from.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	late := d.Parcels()[0]
	body, err := late.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error)
	go func() { deleted <- deleteNth(p.to, -1) }() // waits for the end of the departure
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if arrival, err := p.to.store.Arrive(ctx, p.to.key("o"), late.Head, strings.NewReader(string(sent))); err != nil || arrival != ArrivalOlder {
		t.Errorf("%v %v", arrival, err)
	}
	if have := contents(p.to); len(have) != 1 || !strings.HasPrefix(have[0], "second") {
		t.Errorf("%q", have)
	}
	// The name goes away and comes back: then it counts.
	p.epoch += 2
	if arrival, err := p.to.store.Arrive(ctx, p.to.key("o"), late.Head, strings.NewReader(string(sent))); err != nil || arrival != ArrivalStored {
		t.Errorf("%v %v", arrival, err)
	}
}

// TestBurialOfVersions: a DELETE of a name with versions leaves a delete marker,
// which stays when the placement is settled.
func TestBurialOfVersions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newTakingOver(t, nil)
	p.from.keep("first", KeepVersion)
	p.from.keep("second", KeepVersion)
	if err := p.to.store.Gather(ctx, p.to.key("o")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.to.store.Bury(ctx, p.to.key("o")); err != nil {
		t.Fatal(err)
	}
	p.settled = true
	if err := p.to.store.RemoveTombstones(ctx, p.to.bmdWith(p.to.props)); err != nil {
		t.Fatal(err)
	}
	if have := history(p.to, "o"); len(have) != 2 || !strings.HasPrefix(have[0], fmt.Sprintf("kind %d current true", KindDeleteMarker)) || !strings.Contains(have[1], "first") {
		t.Errorf("%s", strings.Join(have, "\n"))
	}
}
