package core

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

func TestDamageGoesToQuarantine(t *testing.T) {
	t.Parallel()
	system := fs.Unix()
	const content = "the content of an object"
	for _, c := range []struct {
		name   string
		custom []KV
		harm   func(t *testing.T, path string)
	}{
		{"record bit flipped", nil, func(t *testing.T, path string) {
			buf := make([]byte, 4096)
			n, err := system.GetXattr(path, XattrRecord, buf)
			if err != nil {
				t.Fatal(err)
			}
			buf[n/2] ^= 1
			if err := system.SetXattr(path, XattrRecord, buf[:n]); err != nil {
				t.Fatal(err)
			}
		}},
		{"record too long", nil, func(t *testing.T, path string) {
			if err := system.SetXattr(path, XattrRecord, make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
		}},
		{"truncated", nil, func(t *testing.T, path string) {
			if err := os.Truncate(path, 5); err != nil {
				t.Fatal(err)
			}
		}},
		{"grown", nil, func(t *testing.T, path string) {
			if err := os.Truncate(path, 500); err != nil {
				t.Fatal(err)
			}
		}},
		{"content", nil, func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.ToUpper(content)), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"sidecar lost", []KV{{"k", strings.Repeat("v", 2000)}}, func(t *testing.T, path string) {
			root := filepath.Dir(filepath.Dir(path))
			matches, err := filepath.Glob(root + "/%md/*/*")
			if err != nil || len(matches) != 1 {
				t.Fatal(matches, err)
			}
			if err := os.Remove(matches[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{"sidecar flipped", []KV{{"k", strings.Repeat("v", 2000)}}, func(t *testing.T, path string) {
			root := filepath.Dir(filepath.Dir(path))
			matches, err := filepath.Glob(root + "/%md/*/*")
			if err != nil || len(matches) != 1 {
				t.Fatal(matches, err)
			}
			data, err := os.ReadFile(matches[0])
			if err != nil {
				t.Fatal(err)
			}
			data[100] ^= 1
			if err := os.WriteFile(matches[0], data, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var reports []Damage
			r := newRig(t, rigOptions{
				props: func(p *meta.Bprops) { p.Checksum.ValidateWarmGet = true; durable(p) },
				store: func(o *Options) { o.OnDamage = func(d Damage) { reports = append(reports, d) } },
			})
			if _, err := r.tryPut("o", content, PutOptions{Size: -1, Custom: c.custom}); err != nil {
				t.Fatal(err)
			}
			path := r.fileOf("o")
			c.harm(t, path)
			found, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}

			for range 2 { // looking alone changes nothing
				if err := r.store.Verify(context.Background(), r.key("o")); statusOf(err) != 500 {
					t.Fatalf("Verify: %v", err)
				}
			}
			_, _, err = r.tryGet("o")
			if statusOf(err) != 500 || !strings.Contains(err.Error(), "BAD DATA CHECKSUM:") {
				t.Fatalf("first GET: %v", err)
			}
			if _, _, err = r.tryGet("o"); statusOf(err) != 404 {
				t.Fatalf("second GET: %v", err)
			}
			if names := r.names(ListOptions{}); len(names) != 0 {
				t.Fatalf("listed: %q", names)
			}
			if len(reports) != 1 || reports[0].Quarantine == "" {
				t.Fatalf("reports: %+v", reports)
			}
			kept, err := os.ReadFile(filepath.Join(reports[0].Quarantine, "data"))
			if err != nil || string(kept) != string(found) {
				t.Fatalf("quarantined %q, %v; want %q", kept, err, found)
			}
			var text map[string]string
			data, err := os.ReadFile(filepath.Join(reports[0].Quarantine, "why.json"))
			if err = errors.Join(err, json.Unmarshal(data, &text)); err != nil || text["name"] != "o" || text["bucket"] != "ais://b1" || text["path"] != path {
				t.Fatalf("why: %v, %v", text, err)
			}
			if r.put("o", "new").Version != "1" {
				t.Fatal("the name is not usable again")
			}
			if err := r.store.Verify(context.Background(), r.key("o")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// restorer is a mirror that has a copy.
type restorer struct {
	Copies
	restore func(Key) error
}

func (r restorer) Restore(_ context.Context, key Key) error { return r.restore(key) }
func (r restorer) Committed(Key, Attrs)                     {}

func TestDamageIsRestoredFromACopy(t *testing.T) {
	t.Parallel()
	var r *rig
	r = newRig(t, rigOptions{store: func(o *Options) {
		o.Ports.Copies = restorer{restore: func(key Key) error {
			_, err := r.store.Put(context.Background(), key, strings.NewReader("whole"), PutOptions{Size: 5})
			return err
		}}
	}})
	r.put("o", "whole")
	if err := os.Truncate(r.fileOf("o"), 1); err != nil {
		t.Fatal(err)
	}
	if content, _, found := r.get("o"); !found || content != "whole" {
		t.Fatalf("%v %q", found, content)
	}
}

func TestOverwriteAndDeleteOfDamage(t *testing.T) {
	t.Parallel()
	for _, remove := range []bool{false, true} {
		r := newRig(t, rigOptions{})
		r.put("o", "old")
		path := r.fileOf("o")
		if err := fs.Unix().SetXattr(path, XattrRecord, []byte("garbage")); err != nil {
			t.Fatal(err)
		}
		if remove {
			if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
				t.Fatal(err)
			}
			if _, _, found := r.get("o"); found {
				t.Fatal("found after DELETE")
			}
		} else {
			r.put("o", "new")
			if content, attrs, _ := r.get("o"); content != "new" || attrs.Version != "1" {
				t.Fatalf("%q %+v", content, attrs)
			}
		}
		kept, err := filepath.Glob(r.dirs[0] + "/" + fs.QuarantineDir + "/*/data")
		if err != nil || len(kept) != 1 {
			t.Fatalf("quarantine: %q, %v", kept, err)
		}
	}
}

// A file without a record is not an object: no GET, no HEAD, no entry.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("d/o", "x")
	dir := filepath.Dir(r.fileOf("d/o"))
	if err := os.WriteFile(filepath.Join(dir, "foreign"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "o"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d/foreign", "d/link", "d"} {
		if _, _, found := r.get(name); found {
			t.Errorf("%s is found", name)
		}
	}
	if names := r.names(ListOptions{}); len(names) != 1 || names[0] != "d/o" {
		t.Errorf("listed %q", names)
	}
	r.put("d/foreign", "mine")
	if content, _, _ := r.get("d/foreign"); content != "mine" {
		t.Error("not overwritten")
	}
}

// The same name in both places: the greater stamp is the object.
func TestBothPlaces(t *testing.T) {
	t.Parallel()
	for _, escapedWins := range []bool{false, true} {
		r := newRig(t, rigOptions{props: durable, store: walking})
		r.put("p/q", "x")
		r.put("p", "first") // escaped: a directory is in the way
		escaped := r.fileOf("p")
		if !strings.Contains(escaped, "%ox") {
			t.Fatal(escaped)
		}
		plain := filepath.Join(r.dirs[0], "@ais/b1/%ob/p")
		if err := errors.Join(os.RemoveAll(plain), os.Rename(escaped, escaped+".aside")); err != nil {
			t.Fatal(err)
		}
		r.put("p", "second")
		if r.fileOf("p") != plain {
			t.Fatal(r.fileOf("p"))
		}
		if escapedWins {
			// Give the escaped one the later stamp: rewrite its record.
			var rec record
			buf := make([]byte, 4096)
			n, err := fs.Unix().GetXattr(escaped+".aside", XattrRecord, buf)
			if err != nil {
				t.Fatal(err)
			}
			_, content, err := openFrame(buf[:n])
			if err = errors.Join(err, rec.decodeBody(content)); err != nil {
				t.Fatal(err)
			}
			rec.stamp.Clock += 1 << 40
			frame, _ := rec.appendInline(nil)
			if err := fs.Unix().SetXattr(escaped+".aside", XattrRecord, frame); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(escaped+".aside", escaped); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "second", true: "first"}[escapedWins]
		if content, _, _ := r.get("p"); content != want {
			t.Errorf("GET %q, want %q", content, want)
		}
		page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Props: ListSize})
		if err != nil || len(page) != 1 || page[0].Attrs.Size != int64(len(want)) {
			t.Errorf("listed %+v, %v", page, err)
		}
		if err := r.store.Delete(context.Background(), r.key("p")); err != nil {
			t.Fatal(err)
		}
		if content, _, found := r.get("p"); found {
			t.Errorf("after DELETE: %q", content)
		}
	}
}
