package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMovesAgainstAModel: two targets, of which the owner of all names changes,
// write, delete and send to each other what the other one owns; what was sent is
// lost, comes twice, or comes long after. In the end all is at the owner, as it
// was written last, and nothing that was deleted.
func TestMovesAgainstAModel(t *testing.T) {
	t.Parallel()
	for _, versioned := range []bool{false, true} {
		t.Run(fmt.Sprintf("versioned %v", versioned), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) { runMoves(rt, t, versioned) })
		})
	}
}

// moveModel is two targets and what they should hold.
type moveModel struct {
	rigs  [2]*rig
	owner int
	epoch atomic.Uint64
	keep  Keep

	objects map[string][]string // generations, the newest last; "" for a deletion
	late    []lateParcel
	serial  int
}

// lateParcel is something that was sent and has not come yet.
type lateParcel struct {
	name string
	head []byte
	body []byte
}

func runMoves(rt *rapid.T, t *testing.T, versioned bool) {
	m := &moveModel{objects: map[string][]string{}, keep: KeepNothing}
	if versioned {
		m.keep = KeepVersion
	}
	var ticks atomic.Int64
	began := time.Now()
	for i := range m.rigs {
		m.rigs[i] = newRig(t, rigOptions{mountpaths: 1 + i, props: smallChunks, store: func(o *Options) {
			o.NodeID = fmt.Sprintf("t%d", i+1)
			o.Clock = func() time.Time { return began.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
			o.Epoch = m.epoch.Load
		}})
	}
	defer func() {
		for _, r := range m.rigs {
			r.close()
		}
	}()
	names := []string{"p", "p/q", "a//b", strings.Repeat("l", 300)}
	name := rapid.SampledFrom(names)
	rt.Repeat(map[string]func(*rapid.T){
		"put": func(rt *rapid.T) {
			m.put(rt, name.Draw(rt, "name"), rapid.SampledFrom([]int{0, 10, 60_000}).Draw(rt, "size"))
		},
		"delete": func(rt *rapid.T) { m.remove(rt, name.Draw(rt, "name")) },
		"owner": func(*rapid.T) {
			m.owner = 1 - m.owner
			m.epoch.Add(1)
		},
		"send": func(rt *rapid.T) { m.send(rt, name.Draw(rt, "name"), rapid.IntRange(0, 9).Draw(rt, "loss")) },
		"late": func(rt *rapid.T) {
			if len(m.late) == 0 {
				return
			}
			p := m.late[rapid.IntRange(0, len(m.late)-1).Draw(rt, "which")]
			r := m.rigs[m.owner]
			if _, err := r.store.Arrive(context.Background(), r.key(p.name), p.head, strings.NewReader(string(p.body))); err != nil {
				rt.Fatal(err)
			}
		},
	})
	for _, n := range names {
		m.send(rt, n, 0)
		if got := m.rigs[1-m.owner].describe(n); !strings.HasPrefix(got, "look 0 ") {
			rt.Fatalf("%q: %s is left at the former owner", n, got)
		}
		m.compare(rt, n)
	}
}

func (m *moveModel) put(rt *rapid.T, name string, size int) {
	m.serial++
	content := fmt.Sprintf("%d:%s", m.serial, strings.Repeat("x", size))
	if _, err := m.rigs[m.owner].tryPut(name, content, PutOptions{Size: int64(len(content)), Keep: m.keep}); err != nil {
		rt.Fatal(err)
	}
	m.wrote(name, content)
}

func (m *moveModel) remove(rt *rapid.T, name string) {
	r := m.rigs[m.owner]
	var err error
	if m.keep == KeepVersion {
		_, err = r.store.PutDeleteMarker(context.Background(), r.key(name), KeepVersion)
	} else {
		_, err = r.store.Bury(context.Background(), r.key(name))
	}
	if err != nil {
		rt.Fatal(err)
	}
	m.wrote(name, "")
}

func (m *moveModel) wrote(name, content string) {
	if m.keep == KeepNothing {
		m.objects[name] = nil
	}
	m.objects[name] = append(m.objects[name], content)
}

// send sends a name to its owner. loss says what goes wrong: 1 the first parcel
// does not come, 2 all come late, 3 they have come and nobody is told, 4 they
// come and come again later.
func (m *moveModel) send(rt *rapid.T, name string, loss int) {
	ctx := context.Background()
	from, to := m.rigs[1-m.owner], m.rigs[m.owner]
	d, err := from.store.Depart(ctx, from.key(name))
	if err != nil {
		rt.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			rt.Fatal(err)
		}
	}()
	for i, p := range d.Parcels() {
		body, err := p.Open(ctx)
		if err != nil {
			rt.Fatal(err)
		}
		var content strings.Builder
		_, err = io.Copy(&content, body)
		if err := errors.Join(err, body.Close()); err != nil {
			rt.Fatal(err)
		}
		if loss == 2 || loss == 4 {
			m.late = append(m.late, lateParcel{name, p.Head, []byte(content.String())})
		}
		if loss == 2 || loss == 1 && i == 0 {
			continue
		}
		if _, err := to.store.Arrive(ctx, to.key(name), p.Head, strings.NewReader(content.String())); err != nil {
			rt.Fatal(err)
		}
	}
	if loss >= 1 && loss <= 3 {
		return
	}
	if removed, err := d.Remove(ctx); err != nil || !removed {
		rt.Fatalf("%q: removed %v, %v", name, removed, err)
	}
}

// compare compares what the owner holds with the model.
func (m *moveModel) compare(rt *rapid.T, name string) {
	ctx := context.Background()
	r := m.rigs[m.owner]
	want := m.objects[name]
	all, err := r.store.ListVersions(ctx, r.key(name))
	if err != nil {
		rt.Fatal(err)
	}
	var got []string
	for i := range all {
		content := ""
		if !all[i].Kind.IsDeleted() {
			reader, err := r.store.OpenVersion(ctx, r.key(name), all[i].Attrs.VersionID())
			if err != nil {
				rt.Fatal(err)
			}
			data, err := readWhole(reader)
			if err := errors.Join(err, reader.Close()); err != nil {
				rt.Fatal(err)
			}
			content = string(data)
		}
		got = append(got, content)
	}
	slices.Reverse(got)
	if m.keep == KeepNothing {
		want = slices.DeleteFunc(slices.Clone(want), func(s string) bool { return s == "" })
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("%q holds %.20q, want %.20q", name, got, want)
	}
}
