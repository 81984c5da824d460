package rename

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
	"github.com/aistore-go/aistore/xact/xacttest"
)

// alone is a cluster of one target.
type alone struct {
	selection.Cluster // what the job has no business with
	store             *core.Store

	mu      sync.Mutex
	calls   []string                                           // what was asked, in order
	fail    func(ctx context.Context, call, name string) error // may be nil
	skipped map[string]bool                                    // names whose copies are lost
}

func (c *alone) called(ctx context.Context, call, name string) error {
	c.mu.Lock()
	c.calls = append(c.calls, call)
	fail := c.fail
	c.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(ctx, call, name)
}

func (c *alone) Quiesce(ctx context.Context) error { return c.called(ctx, "quiesce", "") }

func (c *alone) Copy(ctx context.Context, _ string, from, to core.Key, moves bool) (core.Attrs, bool, error) {
	if err := c.called(ctx, "copy", from.Name); err != nil {
		return core.Attrs{}, false, err
	}
	if !moves {
		return core.Attrs{}, false, errors.New("times are not kept")
	}
	if c.skipped[from.Name] {
		attrs, err := c.store.Head(ctx, from)
		return attrs, true, err
	}
	attrs, err := c.store.Copy(ctx, from, to, moves)
	return attrs, strings.HasSuffix(from.Name, "sent"), err
}

func (c *alone) SendName(ctx context.Context, from, to core.Key) (generations, bytes int64, sent bool, err error) {
	if err := c.called(ctx, "send", from.Name); err != nil {
		return 0, 0, false, err
	}
	d, err := c.store.DepartTo(ctx, from, to.Props.BID)
	if err != nil {
		return 0, 0, false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, p := range d.Parcels() {
		body, err := p.Open(ctx)
		if err == nil {
			_, err = c.store.Arrive(ctx, to, p.Head, body)
			err = errors.Join(err, body.Close())
		}
		if err != nil {
			return 0, 0, false, err
		}
		generations, bytes = generations+1, bytes+p.Content
	}
	return generations, bytes, strings.HasSuffix(from.Name, "sent"), nil
}

func (c *alone) Present(ctx context.Context, bck wire.Bck, props *meta.Bprops, names []string) ([]bool, error) {
	if err := c.called(ctx, "present", ""); err != nil {
		return nil, err
	}
	there := make([]bool, len(names))
	for i, name := range names {
		_, err := c.store.Head(ctx, core.Key{Bck: bck, Props: props, Name: name})
		if there[i] = err == nil; err != nil && !apierr.IsNotFound(err) {
			return nil, err
		}
	}
	return there, nil
}

func (c *alone) Answers(context.Context, core.Key, core.Stamp) (bool, error) { return true, nil }

// renaming is a target whose bucket is being renamed to b2.
type renaming struct {
	*xacttest.Rig
	cluster *alone
	spec    *xact.Spec
	to      core.Key // without a name
}

func newRenaming(t *testing.T, names ...string) *renaming {
	t.Helper()
	return newRenamingOn(t, nil, names...)
}

// newRenamingOn is newRenaming on the disks of a system.
func newRenamingOn(t *testing.T, system fs.System, names ...string) *renaming {
	t.Helper()
	r := &renaming{cluster: &alone{skipped: map[string]bool{}}}
	r.Rig = xacttest.New(t, xacttest.Options{System: system, Props: func(p *meta.Bprops) { p.Versioning.Enabled = true }}, Registration(r.cluster))
	r.cluster.store = r.Store
	r.View.Smap = (&meta.Smap{Version: 1, Tmap: map[string]*meta.Snode{"t1": {ID: "t1", Role: meta.RoleTarget}}, Pmap: map[string]*meta.Snode{}}).Freeze()
	for _, name := range names {
		r.Put(name, "older")
		r.Put(name, "content of "+name)
	}
	r.spec = r.Spec(wire.ActMoveBucket)
	r.to = core.Key{Bck: wire.Bck{Name: "b2", Provider: wire.ProviderAIS}, Props: r.Props.Clone()}
	r.to.Props.BID, r.to.Props.Renamed = r.Props.BID+1, Mark(r.spec.ID, r.Bck)
	r.spec.Bck, r.spec.Source, r.spec.To, r.spec.ToBID = r.to.Bck, r.Bck, r.to.Bck, r.to.Props.BID
	r.apply(t)
	return r
}

// apply puts the properties of both buckets into force.
func (r *renaming) apply(t *testing.T) {
	t.Helper()
	source := r.Props.Clone()
	source.Renamed = wire.ActMoveBucket
	next := meta.NewBMD("cluster01", r.View.BMD.Version+1, meta.BucketEntry{Bck: r.Bck, Props: source}, meta.BucketEntry{Bck: r.to.Bck, Props: r.to.Props})
	if err := r.Store.ApplyBMD(t.Context(), r.View.BMD, next); err != nil {
		t.Fatal(err)
	}
	r.View.BMD = next
}

func TestRename(t *testing.T) {
	t.Parallel()
	r := newRenaming(t, "a", "dir/b", "x//y", "z-sent")
	before, err := r.Store.Head(t.Context(), r.Key("a"))
	if err != nil {
		t.Fatal(err)
	}
	s := r.Run(r.spec)
	bytes := int64(0)
	for _, name := range []string{"a", "dir/b", "x//y", "z-sent"} {
		at := r.to
		at.Name = name
		attrs, err := r.Store.Head(t.Context(), at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		bytes += attrs.Size
		if name == "a" && (attrs.Version != before.Version || attrs.Mtime != before.Mtime || attrs.Checksum != before.Checksum) {
			t.Errorf("%+v, was %+v", attrs, before)
		}
	}
	if s.Aborted || s.Error != "" || s.Stats.LocalObjects != 4 || s.Stats.LocalBytes != bytes || s.Stats.OutObjects != 1 {
		t.Errorf("%+v, %d bytes", s, bytes)
	}
	if want := []string{"quiesce", "copy", "copy", "copy", "copy", "present"}; !slices.Equal(r.cluster.calls, want) {
		t.Errorf("%q", r.cluster.calls)
	}
}

// versions tells what there is of a name, the newest first.
func (r *renaming) versions(t *testing.T, of core.Key) (all []string) {
	t.Helper()
	found, err := r.Store.ListVersions(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		v := &found[i]
		content := "-"
		if v.Kind != core.KindDeleteMarker {
			reader, err := r.Store.OpenVersion(t.Context(), of, v.Attrs.VersionID())
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
			if err = errors.Join(err, reader.Close()); err != nil {
				t.Fatal(err)
			}
			content = string(data)
		}
		all = append(all, fmt.Sprint(v.Attrs.VersionID(), " ", v.Current, " ", v.Attrs.Mtime, " ", v.Attrs.Custom, " ", content))
	}
	return all
}

// TestRenameWithVersions: the new bucket has every version under its id, whether or not
// the name has an object now, also if a part of it was sent before.
func TestRenameWithVersions(t *testing.T) {
	t.Parallel()
	r := newRenaming(t, "plain")
	put := func(name, content string, keep core.Keep) {
		t.Helper()
		opts := core.PutOptions{Size: int64(len(content)), Keep: keep, Custom: []core.KV{{Key: "key", Value: fmt.Sprint("of ", len(content))}}}
		if _, err := r.Store.Put(t.Context(), r.Key(name), strings.NewReader(content), opts); err != nil {
			t.Fatal(err)
		}
	}
	source := r.View.BMD
	// Nothing can be written while it is renamed: as before that.
	names := []string{"one version", "several//", "null and others", "deleted", "z-sent"}
	put("one version", "1", core.KeepVersion)
	for _, name := range names[1:] {
		put(name, "first of "+name, core.KeepNothing)
		for i := range 3 {
			put(name, strings.Repeat(name, 1+i*40_000), core.KeepVersion)
		}
	}
	put("null and others", "null once more", core.KeepNull)
	if _, err := r.Store.PutDeleteMarker(t.Context(), r.Key("deleted"), core.KeepVersion); err != nil {
		t.Fatal(err)
	}
	if r.View.BMD != source {
		t.Fatal("the buckets have changed")
	}
	to := func(name string) core.Key {
		key := r.to
		key.Name = name
		return key
	}
	failed := false
	r.cluster.fail = func(_ context.Context, call, name string) error {
		r.cluster.mu.Lock()
		defer r.cluster.mu.Unlock()
		if call == "send" && name == "several//" && !failed {
			failed = true
			return apierr.Unavailable(time.Second, "in a moment")
		}
		return nil
	}
	if _, _, _, err := r.cluster.SendName(t.Context(), r.Key("null and others"), to("null and others")); err != nil {
		t.Fatal(err)
	}
	s := r.Run(r.spec)
	if s.Aborted || s.Error != "" || s.Stats.LocalObjects != 1+1+4+4+5+4 || s.Stats.OutObjects != 4 {
		t.Errorf("%+v", s)
	}
	for _, name := range append(names, "plain") {
		before, after := r.versions(t, r.Key(name)), r.versions(t, to(name))
		if name == "plain" { // is copied, and has no id
			before, after = before[:1], after[:1]
		}
		if !slices.Equal(before, after) || len(after) == 0 {
			t.Errorf("%s: %.200q, was %.200q", name, after, before)
		}
	}
	if _, err := r.Store.Head(t.Context(), to("deleted")); !apierr.IsNotFound(err) {
		t.Errorf("deleted: %v", err)
	}
}

// TestRenameDuringARebalance: while objects move between targets none is renamed, since
// one that moves may be passed over; nor if they begin to before the end.
func TestRenameDuringARebalance(t *testing.T) {
	t.Parallel()
	moving := &meta.Placement{Version: 2, Sets: []meta.TargetSet{{Epoch: 1, Targets: []string{"t1", "t2"}}, {Epoch: 2, Targets: []string{"t1"}}}}
	moved := &meta.Placement{Version: 3, Sets: moving.Sets[1:]}
	for name, prepare := range map[string]func(*renaming){
		"objects move": func(r *renaming) { r.View.Placement = moving },
		"names with versions move": func(r *renaming) {
			r.View.Placement = moving
			if _, err := r.Store.Put(t.Context(), r.Key("o"), strings.NewReader("x"), core.PutOptions{Size: 1, Keep: core.KeepVersion}); err != nil {
				t.Fatal(err)
			}
		},
		"they begin to": func(r *renaming) { r.atTheEnd(moving) },
		"they moved":    func(r *renaming) { r.atTheEnd(moved) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRenaming(t, "plain")
			prepare(r)
			r.apply(t)
			if s := r.Run(r.spec); !s.Aborted || !strings.Contains(s.AbortError, "when the rebalance has ended") {
				t.Errorf("%+v", s)
			}
			if _, err := r.Store.Head(t.Context(), r.Key("plain")); err != nil {
				t.Errorf("the old bucket: %v", err)
			}
		})
	}
}

// atTheEnd changes the placement when everything has been copied.
func (r *renaming) atTheEnd(p *meta.Placement) {
	r.cluster.fail = func(_ context.Context, call, _ string) error {
		if call == "present" {
			r.View.Placement = p
		}
		return nil
	}
}

// TestRenameGivesUp: any error ends the job on all targets, so that the old bucket stays.
func TestRenameGivesUp(t *testing.T) {
	t.Parallel()
	failing := func(call, name string, err error) func(context.Context, string, string) error {
		return func(_ context.Context, c, n string) error {
			if c == call && n == name {
				return err
			}
			return nil
		}
	}
	for _, tc := range []struct {
		name    string
		prepare func(*renaming)
		text    string
	}{
		{"writes go on", func(r *renaming) { r.cluster.fail = failing("quiesce", "", errors.New("writes go on")) }, "writes go on"},
		{"an object cannot be copied", func(r *renaming) { r.cluster.fail = failing("copy", "dir/b", apierr.New(500, "", "dir/b is damaged")) }, "dir/b is damaged"},
		{"an object that is listed is not there", func(r *renaming) { r.cluster.fail = failing("copy", "dir/b", apierr.ObjectNotFound("dir/b")) }, "is listed, and cannot be read"},
		{"a copy is lost", func(r *renaming) { r.cluster.skipped["dir/b"] = true }, "dir/b was copied, and is not there"},
		{"the look fails", func(r *renaming) { r.cluster.fail = failing("present", "", errors.New("a target fails")) }, "a target fails"},
		{"nothing is being renamed", func(r *renaming) { r.to.Props.Renamed = "" }, "is not being renamed"},
		{"another job renames", func(r *renaming) { r.to.Props.Renamed = Mark("another-1", r.Bck) }, "is not being renamed"},
		{"another bucket is renamed", func(r *renaming) { r.to.Props.Renamed = Mark(r.spec.ID, wire.Bck{Name: "b3", Provider: "ais"}) }, "is not being renamed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRenaming(t, "a", "dir/b")
			tc.prepare(r)
			r.apply(t)
			if s := r.Run(r.spec); !s.Aborted || !strings.Contains(s.AbortError, tc.text) {
				t.Errorf("%+v", s)
			}
			if _, err := r.Store.Head(t.Context(), r.Key("dir/b")); err != nil {
				t.Errorf("the old bucket: %v", err)
			}
		})
	}
}

// TestRenameIsPatient: what an owner refuses for a moment is tried again.
func TestRenameIsPatient(t *testing.T) {
	t.Parallel()
	r := newRenaming(t, "a", "b")
	tries := map[string]int{}
	r.cluster.fail = func(_ context.Context, call, name string) error {
		r.cluster.mu.Lock()
		defer r.cluster.mu.Unlock()
		if tries[call+name]++; call != "quiesce" && tries[call+name] == 1 {
			return apierr.Unavailable(time.Second, "in a moment")
		}
		return nil
	}
	if s := r.Run(r.spec); s.Aborted || s.Error != "" || s.Stats.LocalObjects != 2 {
		t.Errorf("%+v", s)
	}
}

func TestRenameIsStopped(t *testing.T) {
	t.Parallel()
	r := newRenaming(t, "a", "b")
	begun := make(chan struct{}, 10)
	r.cluster.fail = func(ctx context.Context, call, _ string) error {
		if call != "copy" {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	x := r.Start(r.spec)
	<-begun
	x.Abort(xact.ErrUserAbort)
	if s := r.Finish(x); s.AbortError != "user abort" || s.Error != "" || s.Stats.LocalObjects != 0 {
		t.Errorf("%+v", s)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	from := wire.Bck{Name: "b1", Provider: "ais"}
	if id, bck, ok := ParseMark(Mark("abcdefghi", from)); !ok || id != "abcdefghi" || bck != from {
		t.Errorf("%q %v %v", id, bck, ok)
	}
	for _, text := range []string{"", wire.ActMoveBucket, "move-bck[", "move-bck[x]", "move-bck[x] ", "copy-bck[x] ais/@#/b1/", "move-bck[x] b1"} {
		if _, _, ok := ParseMark(text); ok {
			t.Errorf("%q", text)
		}
	}
}

func TestBadRenames(t *testing.T) {
	t.Parallel()
	r := newRenaming(t)
	spec := *r.spec
	spec.Source.Name = "none"
	if err := r.Registry.Prepare(&spec); apierr.StatusOf(err) != 404 {
		t.Errorf("no source: %v", err)
	}
	spec = *r.spec
	spec.Targets = []string{"t1", "t2"}
	if err := r.Registry.Prepare(&spec); apierr.StatusOf(err) != 409 {
		t.Errorf("other targets: %v", err)
	}
	spec = *r.spec
	spec.BID++
	if err := r.Registry.Prepare(&spec); apierr.StatusOf(err) != 404 {
		t.Errorf("another incarnation: %v", err)
	}
}
