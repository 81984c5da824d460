package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// contentForms are the forms in which the content of a version may lie: in one file, and
// in chunks.
var contentForms = []struct {
	name string
	of   func(tag string) string
}{{"plain", func(tag string) string { return "content of " + tag }}, {"chunks", inChunks}}

// putVersion writes a content that replaces nothing.
func (r *rig) putVersion(name, content string) string {
	r.tb.Helper()
	attrs, err := r.tryPut(name, content, PutOptions{Size: -1, Keep: KeepVersion})
	if err != nil {
		r.tb.Fatalf("%q: %v", name, err)
	}
	return attrs.VersionID()
}

// versionFiles returns the files of a noncurrent version, and of its second chunk if it
// has one: how many of each there are, each on another mountpath.
func (r *rig) versionFiles(name, id string) (files, chunks, manifests []Belonging) {
	r.tb.Helper()
	all, err := r.store.Belongings(context.Background(), r.key(name))
	if err != nil {
		r.tb.Fatal(err)
	}
	upload := ""
	for _, b := range all {
		if b.Kind == BelongsVersion && b.Stamp.fileSuffix() == id {
			files, upload = append(files, b), b.Upload
		}
	}
	for _, b := range all {
		switch {
		case upload == "" || b.Upload != upload:
		case b.Kind == BelongsChunk && b.Number == 2:
			chunks = append(chunks, b)
		case b.Kind == BelongsManifest:
			manifests = append(manifests, b)
		}
	}
	return files, chunks, manifests
}

// wantVersion checks that a noncurrent version has its content and so many files of
// everything that it consists of, on as many mountpaths.
func (r *rig) wantVersion(name, id, content string, want int) {
	r.tb.Helper()
	if got, err := r.readVersion(name, id); err != nil || got != content {
		r.tb.Errorf("%q, version %s: %.30q, %v", name, id, got, err)
	}
	files, chunks, manifests := r.versionFiles(name, id)
	all := [][]Belonging{files}
	if len(content) > 6000 {
		all = append(all, chunks, manifests)
	}
	for _, some := range all {
		var on []string
		for i := range some {
			on = append(on, some[i].Mountpath.ID)
		}
		if slices.Sort(on); len(slices.Compact(on)) != want || len(some) != want {
			r.tb.Errorf("%q, version %s: files %+v, want %d", name, id, some, want)
		}
	}
	if head, err := r.store.HeadVersion(context.Background(), r.key(name), id); err != nil || head.Attrs.Copies != want && r.props.Mirror.Enabled {
		r.tb.Errorf("%q, version %s has %d copies, want %d, %v", name, id, head.Attrs.Copies, want, err)
	}
}

// TestCopiesOfVersions: a noncurrent version keeps the copies that it had as the
// object, gets as many as the bucket asks for, is the object with them once more, and
// takes them along when it goes.
func TestCopiesOfVersions(t *testing.T) {
	t.Parallel()
	for _, form := range contentForms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			r := chunkedMirror(t, 4, 3, nil)
			large := []KV{{"k", strings.Repeat("v", 2000)}}
			type version struct{ id, content string }
			all := map[string][]version{}
			put := func(name, tag string) {
				t.Helper()
				o := PutOptions{Size: -1, Keep: KeepVersion}
				if name == "side" {
					o.Custom = large
				}
				attrs, err := r.tryPut(name, form.of(name+tag), o)
				if err != nil {
					t.Fatal(err)
				}
				all[name] = append(all[name], version{attrs.VersionID(), form.of(name + tag)})
			}
			names := []string{"a", "d/e", "x//y", "side"}
			check := func(want int) {
				t.Helper()
				for _, name := range names {
					for _, v := range all[name][:len(all[name])-1] {
						r.wantVersion(name, v.id, v.content, want)
					}
				}
			}
			for _, name := range names {
				put(name, "1")
			}
			r.arrange()
			for _, name := range names {
				put(name, "2")
			}
			check(3) // they are what the object had
			if did := r.arrange(); did.Copied != 2*len(names) {
				t.Errorf("copies of objects were made, and no others: %+v", did)
			}
			for _, name := range names {
				put(name, "3")
				put(name, "4") // version 3 had none
			}
			r.arrange()
			check(3)
			if did := r.arrangeAll(); did != (Arranged{}) {
				t.Errorf("once more: %+v", did)
			}
			for _, copies := range []int{2, 1, 4} {
				props := r.props.Clone()
				props.Mirror.Enabled, props.Mirror.Copies = copies > 1, copies
				bmd := r.bmdWith(props)
				if err := r.store.ApplyBMD(t.Context(), r.bmd, bmd); err != nil {
					t.Fatal(err)
				}
				r.bmd, r.props = bmd, props
				r.arrangeAll()
				check(copies)
			}
			if did, err := r.store.Arrange(t.Context(), r.key("a")); err != nil || did.Versions != 3 || did.Short() != 0 {
				t.Errorf("%+v, %v", did, err)
			}
			for _, name := range names {
				for _, i := range []int{1, 3} { // a noncurrent one, and the current one
					if _, err := r.store.DeleteVersion(t.Context(), r.key(name), all[name][i].id); err != nil {
						t.Fatal(err)
					}
				}
				if files, _, _ := r.versionFiles(name, all[name][1].id); len(files) != 0 {
					t.Errorf("%q: left of a deleted version: %+v", name, files)
				}
				all[name] = []version{all[name][0], all[name][2]}
				if got, _, _ := r.get(name); got != all[name][1].content {
					t.Errorf("%q: %.30q", name, got)
				}
			}
			check(4)
			r.arrange()
			check(4)
			for _, name := range names {
				for _, v := range all[name] {
					if _, err := r.store.DeleteVersion(t.Context(), r.key(name), v.id); err != nil {
						t.Fatal(err)
					}
				}
			}
			if left := r.files("/%ov/"); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestLostMountpathOfVersions: whichever disk is lost, every version can be read at
// once, and has as many copies as before later.
func TestLostMountpathOfVersions(t *testing.T) {
	t.Parallel()
	for lost := range 3 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			t.Parallel()
			r := chunkedMirror(t, 4, 2, nil)
			ids := map[string][]string{}
			content := func(name string, i int) string { return contentForms[i%2].of(fmt.Sprint(name, " ", i)) }
			const n = 6
			for k := range n {
				name := fmt.Sprint("o", k)
				for i := range 4 {
					ids[name] = append(ids[name], r.putVersion(name, content(name, i)))
					if i%3 == 0 {
						r.arrange()
					}
				}
			}
			r.arrange()
			if err := r.fs.Remove(r.dirs[lost], fs.Disable, false); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(r.dirs[lost]); err != nil {
				t.Fatal(err)
			}
			r.dirs = slices.Delete(r.dirs, lost, lost+1)
			for name, all := range ids {
				for i, id := range all {
					if got, err := r.readVersion(name, id); err != nil || got != content(name, i) {
						t.Errorf("%s, version %d: %.30q, %v", name, i, got, err)
					}
				}
			}
			if got := len(r.bucketVersions(7)); got != 4*n {
				t.Errorf("%d versions are listed, want %d", got, 4*n)
			}
			r.arrangeAll()
			for name, all := range ids {
				for i, id := range all[:3] {
					r.wantVersion(name, id, content(name, i), 2)
				}
			}
		})
	}
}

// TestDamagedVersionsAreReadFromCopies: whatever happens to a file of a version,
// reads go on, and it is made again.
func TestDamagedVersionsAreReadFromCopies(t *testing.T) {
	t.Parallel()
	lost := func(path string) error { return os.Remove(path) }
	short := func(path string) error { return os.Truncate(path, 3) }
	flipped := func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o644)
	}
	norecord := func(path string) error { return fs.Unix().SetXattr(path, XattrRecord, []byte("rubbish")) }
	for _, tc := range []struct {
		name string
		kind int // 0: the file; 1: a chunk; 2: the manifest
		harm func(path string) error
		warm bool
	}{
		{"lost", 0, lost, false}, {"short", 0, short, false}, {"flipped", 0, flipped, true}, {"record lost", 0, norecord, false},
		{"chunk lost", 1, lost, false}, {"chunk short", 1, short, false}, {"chunk flipped", 1, flipped, true}, {"manifest lost", 2, lost, false},
	} {
		for _, form := range contentForms {
			for at := range 2 {
				if tc.kind > 0 && form.name == "plain" {
					continue
				}
				t.Run(fmt.Sprint(tc.name, " ", form.name, " ", at), func(t *testing.T) {
					t.Parallel()
					r := chunkedMirror(t, 3, 2, func(p *meta.Bprops) { p.Checksum.ValidateWarmGet = tc.warm })
					id := r.putVersion("o", form.of("first"))
					r.arrange()
					r.putVersion("o", form.of("second"))
					r.arrange()
					r.wantVersion("o", id, form.of("first"), 2)
					files, chunks, manifests := r.versionFiles("o", id)
					if err := tc.harm([][]Belonging{files, chunks, manifests}[tc.kind][at].Path); err != nil {
						t.Fatal(err)
					}
					for range 2 {
						if got, err := r.readVersion("o", id); err != nil || got != form.of("first") {
							t.Errorf("%.30q, %v", got, err)
						}
					}
					if _, err := r.store.VerifyObject(t.Context(), r.key("o"), VerifyOptions{Repair: true}); err != nil {
						t.Error(err)
					}
					r.arrange()
					r.arrangeAll()
					if report := r.verify("o", VerifyOptions{}); report.Damaged() != 0 || report.Versions != 1 {
						t.Errorf("%+v", report)
					}
					r.wantVersion("o", id, form.of("first"), 2)
				})
			}
		}
	}
}

// mirroredVersionsOps are what changes the versions of a name that has two, the
// older one noncurrent; content tells which there are then, the newest first.
var mirroredVersionsOps = []struct {
	name  string
	run   func(r *rig, ids []string, of func(string) string) error
	after []string
}{
	{"keep", func(r *rig, _ []string, of func(string) string) error {
		_, err := r.tryPut("o", of("third"), PutOptions{Size: -1, Keep: KeepVersion})
		return err
	}, []string{"third", "second", "first"}},
	{"replace", func(r *rig, _ []string, of func(string) string) error {
		_, err := r.tryPut("o", of("third"), PutOptions{Size: -1})
		return err
	}, []string{"third", "first"}},
	{"delete a version", func(r *rig, ids []string, _ func(string) string) error {
		_, err := r.store.DeleteVersion(context.Background(), r.key("o"), ids[0])
		return err
	}, []string{"second"}},
	{"delete the current version", func(r *rig, ids []string, _ func(string) string) error {
		_, err := r.store.DeleteVersion(context.Background(), r.key("o"), ids[1])
		return err
	}, []string{"first"}},
	{"arrange", func(r *rig, _ []string, _ func(string) string) error {
		_, err := r.store.Arrange(context.Background(), r.key("o"))
		return err
	}, []string{"second", "first"}},
}

// prepareVersions makes the two, with copies unless they are what is to be made.
func prepareVersions(r *rig, op string, of func(string) string) (ids []string) {
	r.tb.Helper()
	for _, tag := range []string{"first", "second"} {
		ids = append(ids, r.putVersion("o", of(tag)))
		if op != "arrange" {
			r.arrange()
		}
	}
	return ids
}

// tags tells which versions of the name there are, by their contents.
func (r *rig) tags(of func(string) string) (tags []string) {
	r.tb.Helper()
	for _, g := range r.versionsOf("o") {
		tag := "?"
		for _, one := range []string{"first", "second", "third"} {
			if g.content == of(one) {
				tag = one
			}
		}
		tags = append(tags, tag)
	}
	return tags
}

// TestCrashesOfMirroredVersions: the power goes at each system call of whatever
// changes versions: they are those of before or of after, all whole. Then a disk is
// lost, and they are the same.
func TestCrashesOfMirroredVersions(t *testing.T) {
	t.Parallel()
	for _, form := range contentForms {
		for _, op := range mirroredVersionsOps {
			t.Run(form.name+"/"+op.name, func(t *testing.T) {
				t.Parallel()
				step := 1
				if testing.Short() {
					step = 5
				}
				for n := 1; n < 4000; n += step {
					r := crashRig(t, 3, func(p *meta.Bprops) {
						mirrored(2)(p)
						chunkedProps(p)
					})
					ids := prepareVersions(r, op.name, form.of)
					reached, err := r.crashAt(n, func(r *rig) error { return op.run(r, ids, form.of) })
					before := []string{"second", "first"}
					found := r.tags(form.of)
					if !slices.Equal(found, op.after) && (!reached || !slices.Equal(found, before)) {
						t.Fatalf("call %d: %q after %v", n, found, err)
					}
					r.arrangeAndLoseHome("o")
					if again := r.tags(form.of); !slices.Equal(again, found) {
						t.Fatalf("call %d: %q, and with its disk lost %q", n, found, again)
					}
					r.release()
					if !reached {
						return
					}
				}
				t.Error("it does not end")
			})
		}
	}
}

// TestFaultsOfMirroredVersions: each system call of whatever changes versions fails
// in turn: they are those of before or of after, and get their copies once the disk
// works again.
func TestFaultsOfMirroredVersions(t *testing.T) {
	t.Parallel()
	for _, form := range contentForms {
		for _, op := range mirroredVersionsOps {
			t.Run(form.name+"/"+op.name, func(t *testing.T) {
				t.Parallel()
				sys := faultfs.New(nil)
				var r *rig
				r = newRig(t, rigOptions{system: sys, mountpaths: 3, root: memoryDir(t), props: func(p *meta.Bprops) {
					mirrored(2)(p)
					chunkedProps(p)
				}, store: func(o *Options) { o.Ports.Copies = arranger{func() *Store { return r.store }} }})
				step := 1
				if testing.Short() {
					step = 3
				}
				for _, late := range []bool{false, true} {
					for n := 1; ; n += step {
						for _, g := range r.versionsOf("o") {
							if _, err := r.store.DeleteVersion(t.Context(), r.key("o"), g.id); err != nil {
								t.Fatal(err)
							}
						}
						ids := prepareVersions(r, op.name, form.of)
						sys.Restart(faultfs.Fault{Nth: n, Err: unix.EIO, Late: late})
						err := op.run(r, ids, form.of)
						sys.Heal()
						calls := sys.Calls()
						failed := slices.IndexFunc(calls, func(c faultfs.Call) bool { return errors.Is(c.Err, unix.EIO) })
						where := "no call failed"
						if failed >= 0 {
							where = fmt.Sprintf("late %v, call %d, %s", late, n, calls[failed])
						}
						found := r.tags(form.of)
						if !slices.Equal(found, op.after) && (err == nil || !slices.Equal(found, []string{"second", "first"})) {
							t.Fatalf("%s, said %v: %q", where, err, found)
						}
						r.arrange()
						r.arrangeAll()
						all := r.versionsOf("o")
						for i, g := range all {
							if i > 0 {
								r.wantVersion("o", g.id, g.content, 2)
							}
						}
						if again := r.tags(form.of); !slices.Equal(again, found) || t.Failed() {
							t.Fatalf("%s: %q, and arranged %q", where, found, again)
						}
						if failed < 0 {
							break
						}
					}
				}
			})
		}
	}
}
