package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// versionModel is what the model knows of one version.
type versionModel struct {
	patched string
	id      string
	content string
	marker  bool
}

func (g versionModel) null() bool { return g.id == NullVersion }

// putModel is what a write does to the generations of a name, newest first.
func putModel(all []versionModel, next versionModel, keep Keep) []versionModel {
	if len(all) > 0 && (keep == KeepNothing || keep == KeepNull && all[0].null()) {
		all = all[1:]
	}
	if keep != KeepVersion {
		all = slices.DeleteFunc(slices.Clone(all), versionModel.null)
	}
	return append([]versionModel{next}, all...)
}

// readVersion returns the content of a version.
func (r *rig) readVersion(name, id string) (string, error) {
	reader, err := r.store.OpenVersion(context.Background(), r.key(name), id)
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	_, err = io.Copy(&buf, io.NewSectionReader(reader, 0, reader.Size))
	if closed := reader.Close(); err == nil {
		err = closed
	}
	return buf.String(), err
}

// versionsOf is what the store says of a name.
func (r *rig) versionsOf(name string) []versionModel {
	r.tb.Helper()
	all, err := r.store.ListVersions(context.Background(), r.key(name))
	if err != nil {
		r.tb.Fatalf("versions of %q: %v", name, err)
	}
	return r.contents(all)
}

func (r *rig) contents(all []Version) []versionModel {
	r.tb.Helper()
	var found []versionModel
	for i := range all {
		v := &all[i]
		if v.Current && i > 0 && all[i-1].Name == v.Name {
			r.tb.Fatalf("%q: the current version is number %d", v.Name, i)
		}
		g := versionModel{id: v.Attrs.VersionID(), marker: v.Kind == KindDeleteMarker}
		content, err := r.readVersion(v.Name, g.id)
		switch {
		case g.marker && statusOf(err) == 405:
		case err != nil || g.marker:
			r.tb.Fatalf("%q: version %s: %v", v.Name, g.id, err)
		}
		g.content = content
		head, err := r.store.HeadVersion(context.Background(), r.key(v.Name), g.id)
		if err != nil || head.Attrs.Stamp != v.Attrs.Stamp || head.Attrs.Size != int64(len(content)) {
			r.tb.Fatalf("%q: version %s: %+v, %v", v.Name, g.id, head.Attrs, err)
		}
		g.patched, _ = head.Attrs.CustomValue("patched")
		found = append(found, g)
	}
	return found
}

// bucketVersions lists all versions of the bucket, page by page.
func (r *rig) bucketVersions(limit int) []Version {
	r.tb.Helper()
	var all []Version
	o := VersionListOptions{Limit: limit}
	for {
		page, err := r.store.ListBucketVersions(context.Background(), r.bck, r.props, o)
		if err != nil {
			r.tb.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		last := &page[len(page)-1]
		o.After, o.AfterStamp = last.Name, last.Attrs.Stamp
	}
}

// TestRandomVersions runs random writes, deletes and restarts over names with
// versions, and compares the store with a list after each.
func TestRandomVersions(t *testing.T) {
	for _, mode := range []struct {
		name       string
		mountpaths int
		props      func(*meta.Bprops)
	}{{"none", 3, nil}, {"sync", 1, durable}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				r := newRig(t, rigOptions{mountpaths: mode.mountpaths, root: memoryDir(t), props: mode.props})
				defer r.close()
				runVersions(rt, r)
			})
		})
	}
}

func runVersions(rt *rapid.T, r *rig) {
	ctx := context.Background()
	model := map[string][]versionModel{}
	names := rapid.SliceOfNDistinct(rapid.SampledFrom(hardNames), 2, 4, rapid.ID).Draw(rt, "names")
	name := rapid.SampledFrom(names)
	keep := rapid.SampledFrom([]Keep{KeepNothing, KeepVersion, KeepVersion, KeepNull})
	rt.Repeat(map[string]func(*rapid.T){
		"put": func(rt *rapid.T) {
			n, k := name.Draw(rt, "name"), keep.Draw(rt, "keep")
			content := strings.Repeat(rapid.StringN(0, 10, 20).Draw(rt, "content"), rapid.SampledFrom([]int{1, 1, 20000}).Draw(rt, "times"))
			o := PutOptions{Size: int64(len(content)), Keep: k, SkipVC: true}
			if rapid.Bool().Draw(rt, "sidecar") {
				o.Custom = []KV{{"k", strings.Repeat("v", 2000)}}
			}
			attrs, err := r.tryPut(n, content, o)
			if err != nil {
				rt.Fatalf("PUT %q: %v", n, err)
			}
			model[n] = putModel(model[n], versionModel{id: attrs.VersionID(), content: content}, k)
		},
		"marker": func(rt *rapid.T) {
			n, k := name.Draw(rt, "name"), keep.Draw(rt, "keep")
			attrs, err := r.store.PutDeleteMarker(ctx, r.key(n), k)
			if err != nil {
				rt.Fatalf("delete marker of %q: %v", n, err)
			}
			model[n] = putModel(model[n], versionModel{id: attrs.VersionID(), marker: true}, k)
		},
		"delete": func(rt *rapid.T) {
			n := name.Draw(rt, "name")
			all := model[n]
			err := r.store.Delete(ctx, r.key(n))
			if there := len(all) > 0 && !all[0].marker; there != (err == nil) {
				rt.Fatalf("DELETE %q: there %v, %v", n, there, err)
			}
			if err != nil {
				return
			}
			if all = all[1:]; len(all) > 0 {
				all = putModel(append([]versionModel{{id: "x"}}, all...), versionModel{id: NullVersion, marker: true}, KeepNothing)
			}
			model[n] = all
		},
		"patch": func(rt *rapid.T) {
			n := name.Draw(rt, "name")
			all := slices.Clone(model[n])
			value := strings.Repeat(rapid.StringMatching("[a-z]{1,3}").Draw(rt, "value"), rapid.SampledFrom([]int{1, 600}).Draw(rt, "times"))
			attrs, err := r.patch(n, false, KV{"patched", value})
			if len(all) == 0 || all[0].marker {
				if statusOf(err) != 404 {
					rt.Fatalf("PATCH of nothing, %q: %v", n, err)
				}
				return
			}
			if err != nil || attrs.VersionID() != all[0].id {
				rt.Fatalf("PATCH %q: version %s, was %s: %v", n, attrs.VersionID(), all[0].id, err)
			}
			all[0].patched = value
			model[n] = all
		},
		"delete version": func(rt *rapid.T) {
			n := name.Draw(rt, "name")
			all := model[n]
			if len(all) == 0 {
				if _, err := r.store.DeleteVersion(ctx, r.key(n), NullVersion); statusOf(err) != 404 {
					rt.Fatalf("no version: %v", err)
				}
				return
			}
			i := rapid.IntRange(0, len(all)-1).Draw(rt, "which")
			if _, err := r.store.DeleteVersion(ctx, r.key(n), all[i].id); err != nil {
				rt.Fatalf("delete version %d of %q: %v", i, n, err)
			}
			model[n] = slices.Delete(slices.Clone(all), i, i+1)
		},
		"restart": func(*rapid.T) { r.restart() },
		"": func(rt *rapid.T) {
			var visible []string
			var everything []versionModel
			for _, n := range slices.Sorted(slices.Values(names)) {
				all := model[n]
				if got := r.versionsOf(n); !slices.Equal(got, all) {
					rt.Fatalf("%q has %v, want %v", n, got, all)
				}
				everything = append(everything, all...)
				content, _, found := r.get(n)
				if want := len(all) > 0 && !all[0].marker; found != want || found && content != all[0].content {
					rt.Fatalf("GET %q: %v, want %v", n, found, want)
				}
				if found {
					visible = append(visible, n)
				}
			}
			if got := r.names(ListOptions{}); !slices.Equal(got, visible) && len(got)+len(visible) > 0 {
				rt.Fatalf("listed %q, want %q", got, visible)
			}
			for _, limit := range []int{1, 3, 1000} {
				if got := r.contents(r.bucketVersions(limit)); !slices.Equal(got, everything) {
					rt.Fatalf("versions by %d: %v, want %v", limit, got, everything)
				}
			}
		},
	})
	for n := range model { // nothing is left of a name whose versions are gone
		for _, g := range r.versionsOf(n) {
			if _, err := r.store.DeleteVersion(ctx, r.key(n), g.id); err != nil {
				rt.Fatal(err)
			}
		}
	}
	left := slices.DeleteFunc(r.files("/.$deleted/"), func(path string) bool { return filepath.Base(path) == versionsNameFile })
	if len(left) > 0 {
		rt.Fatalf("left behind: %q", left)
	}
}

// versionRig is a rig with what a name held before an operation.
type versionRig struct {
	*rig
	before []versionModel
}

// TestVersionFaultAtEveryCall makes every system call of an operation on
// versions fail in turn: what the name holds is what it held before or what it
// holds after, and each generation that was acknowledged is whole.
func TestVersionFaultAtEveryCall(t *testing.T) {
	ctx := context.Background()
	large := []KV{{"k", strings.Repeat("v", 2040)}}
	put := func(content string, keep Keep) func(*versionRig) error {
		return func(r *versionRig) error {
			_, err := r.tryPut("a//b", content, PutOptions{Size: -1, Keep: keep, SkipVC: true, Custom: large})
			return err
		}
	}
	prepare := func(contents ...string) func(*rig) {
		return func(r *rig) {
			for i, content := range contents {
				keep := KeepVersion
				if i == 0 {
					keep = KeepNothing
				}
				if err := put(content, keep)(&versionRig{r, nil}); err != nil {
					r.tb.Fatal(err)
				}
			}
		}
	}
	deleteVersion := func(i int) func(*versionRig) error {
		return func(r *versionRig) error {
			_, err := r.store.DeleteVersion(ctx, r.key("a//b"), r.before[i].id)
			return err
		}
	}
	for _, op := range []struct {
		name          string
		prepare       func(*rig)
		run           func(*versionRig) error
		before, after []string
	}{
		{"keep the null version", prepare("1"), put("2", KeepVersion), []string{"1"}, []string{"2", "1"}},
		{"keep a version", prepare("1", "2"), put("3", KeepVersion), []string{"2", "1"}, []string{"3", "2", "1"}},
		{"replace", prepare("1", "2"), put("3", KeepNothing), []string{"2", "1"}, []string{"3"}},
		{"replace the null version", prepare("1", "2"), put("3", KeepNull), []string{"2", "1"}, []string{"3", "2"}},
		{"delete marker", prepare("1", "2"), func(r *versionRig) error {
			_, err := r.store.PutDeleteMarker(ctx, r.key("a//b"), KeepVersion)
			return err
		}, []string{"2", "1"}, []string{"-", "2", "1"}},
		{"delete", prepare("1", "2", "3"), func(r *versionRig) error { return r.store.Delete(ctx, r.key("a//b")) }, []string{"3", "2", "1"}, []string{"-", "2"}},
		{"delete a version", prepare("1", "2", "3"), deleteVersion(1), []string{"3", "2", "1"}, []string{"3", "1"}},
		{"delete the current version", prepare("1", "2", "3"), deleteVersion(0), []string{"3", "2", "1"}, []string{"2", "1"}},
		{"delete the last version", prepare("1"), deleteVersion(0), []string{"1"}, nil},
	} {
		for _, mode := range []struct {
			name  string
			props func(*meta.Bprops)
		}{{"sync", durable}, {"none", nil}} {
			t.Run(op.name+"/"+mode.name, func(t *testing.T) {
				t.Parallel()
				sys := faultfs.New(nil)
				r := versionRig{newRig(t, rigOptions{system: sys, props: mode.props, root: memoryDir(t)}), nil}
				for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
					for _, late := range []bool{false, true} {
						for n := 1; ; n++ {
							for _, g := range r.versionsOf("a//b") {
								if _, err := r.store.DeleteVersion(ctx, r.key("a//b"), g.id); err != nil {
									t.Fatal(err)
								}
							}
							op.prepare(r.rig)
							r.before = r.versionsOf("a//b")
							sys.Restart(faultfs.Fault{Nth: n, Err: errno, Late: late})
							err := op.run(&r)
							sys.Heal()
							calls := sys.Calls()
							failed := slices.IndexFunc(calls, func(c faultfs.Call) bool { return errors.Is(c.Err, errno) })
							if failed < 0 {
								if err != nil {
									t.Fatalf("not reached: %v", err)
								}
								break
							}
							where := fmt.Sprintf("%v (late %v) in call %d, %s", errno, late, n, calls[failed])
							for _, restart := range []bool{false, errno == unix.EIO} {
								if restart {
									r.restart()
								}
								var got []string
								for _, g := range r.versionsOf("a//b") {
									if g.marker {
										g.content = "-"
									}
									got = append(got, g.content)
								}
								if !slices.Equal(got, op.after) && (err == nil || !slices.Equal(got, op.before)) {
									t.Fatalf("%s: restarted %v, said %v: %q, want %q or %q", where, restart, err, got, op.before, op.after)
								}
							}
							if r.props.SyncWrites() && err == nil && isFlush(calls[failed]) {
								t.Errorf("%s: acknowledged without being durable", where)
							}
							if err := put("works", KeepVersion)(&r); err != nil {
								t.Fatalf("%s: the next PUT: %v", where, err)
							}
							if content, _, _ := r.get("a//b"); content != "works" {
								t.Fatalf("%s: the next PUT holds %q", where, content)
							}
						}
					}
				}
			})
		}
	}
}

// TestVersionsAcrossMountpaths: versions that lie on a mountpath which is not
// the place of the name any more are found, and promoted there.
func TestVersionsAcrossMountpaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t), props: durable})
	want := map[string][]versionModel{}
	for i := range 20 {
		n := fmt.Sprint("o", i)
		for _, content := range []string{"1", "2", "3"} {
			attrs, err := r.tryPut(n, content, PutOptions{Size: 1, Keep: KeepVersion})
			if err != nil {
				t.Fatal(err)
			}
			want[n] = append([]versionModel{{id: attrs.VersionID(), content: content}}, want[n]...)
		}
	}
	added := filepath.Join(filepath.Dir(r.dirs[0]), "added")
	if err := os.Mkdir(added, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.store.ChangeMountpaths(func(prepare fs.Prepare) error { return r.fs.Attach(added, "", prepare) }); err != nil {
		t.Fatal(err)
	}
	if !r.fs.Available().Unsettled {
		t.Fatal("settled")
	}
	check := func() {
		t.Helper()
		for n, all := range want {
			if got := r.versionsOf(n); !slices.Equal(got, all) {
				t.Fatalf("%s: %v, want %v", n, got, all)
			}
		}
	}
	check()
	for n := range want {
		attrs, err := r.tryPut(n, "4", PutOptions{Size: 1, Keep: KeepVersion})
		if err != nil {
			t.Fatal(err)
		}
		want[n] = append([]versionModel{{id: attrs.VersionID(), content: "4"}}, want[n]...)
	}
	check()
	for range 3 {
		for n, all := range want {
			if _, err := r.store.DeleteVersion(context.Background(), r.key(n), all[0].id); err != nil {
				t.Fatal(err)
			}
			want[n] = all[1:]
		}
		check()
	}
}

func TestVersionErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{})
	r.put("o", "x")
	for _, id := range []string{"", "x", strings.Repeat("0", 47), strings.Repeat("g", 48)} {
		if _, err := r.store.OpenVersion(ctx, r.key("o"), id); statusOf(err) != 400 {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if _, err := r.store.HeadVersion(ctx, r.key("o"), strings.Repeat("0", 48)); statusOf(err) != 404 {
		t.Errorf("no such version: %v", err)
	}
	// A version whose file is damaged goes to quarantine; the others stay.
	for range 2 {
		if _, err := r.tryPut("o", "y", PutOptions{Size: 1, Keep: KeepVersion}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.store.ListVersions(ctx, r.key("o"))
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	if err := os.Truncate(all[1].path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.readVersion("o", all[1].Attrs.VersionID()); statusOf(err) != 500 || !strings.Contains(err.Error(), "BAD DATA CHECKSUM:") {
		t.Errorf("damaged: %v", err)
	}
	if _, err := r.readVersion("o", all[1].Attrs.VersionID()); statusOf(err) != 404 {
		t.Errorf("quarantined: %v", err)
	}
	if got := r.versionsOf("o"); len(got) != 2 {
		t.Errorf("left: %v", got)
	}
}
