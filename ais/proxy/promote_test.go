package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
)

// files makes files below a directory; their content is their name.
func files(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestPromote(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := newBulk(t, aistest.Options{Promote: root})
	createBucket(t, b.c, "b")
	promote := func(status int, value string) string {
		t.Helper()
		_, body := expect(t, status, follower, "POST", b.base+"/objects/b", `{"action":"promote","name":"","value":`+value+`}`)
		return body
	}
	tid := b.c.Targets[0].ID()

	// A file, by one target: at once, with an empty answer.
	files(t, root, "one.txt", "two.txt")
	one := `"src":"` + root + `/one.txt","tid":"` + tid + `"`
	for _, as := range []string{"", "name", "dir/"} {
		if id := promote(200, `{`+one+`,"obj":"`+as+`"}`); id != "" {
			t.Errorf("%q: a job %q", as, id)
		}
	}
	if got := b.names("b"); got != "dir/one.txt name one.txt" {
		t.Errorf("names: %s", got)
	}
	// What is there stays, unless it is to be overwritten.
	files(t, root, "x/one.txt")
	again := `"src":"` + root + `/x/one.txt","tid":"` + tid + `","obj":"one.txt"`
	promote(200, `{`+again+`}`)
	if _, body := expect(t, 200, follower, "GET", b.base+"/objects/b/one.txt", ""); body != "content of one.txt" {
		t.Errorf("overwritten: %q", body)
	}
	promote(200, `{`+again+`,"ovw":true,"dls":true}`)
	if _, body := expect(t, 200, follower, "GET", b.base+"/objects/b/one.txt", ""); body != "content of x/one.txt" || exists(t, root+"/x/one.txt") {
		t.Errorf("%q; the source is there: %v", body, exists(t, root+"/x/one.txt"))
	}

	// A directory that all targets see: each promotes what is its own, in a job.
	names := append(numbered("d/%02d.bin", 0, 24), "d/sub/deep/z")
	files(t, root, names...)
	id := promote(200, `{"src":"`+root+`/d","obj":"shared/"}`)
	if o := b.wait(id); o.LocalObjects != 25 || o.OutObjects != 0 || o.err != "" {
		t.Errorf("one level: %+v", o)
	}
	id = promote(200, `{"src":"`+root+`/d","obj":"shared","rcr":true,"dls":true}`)
	if o := b.wait(id); o.LocalObjects != 1 || o.err != "" {
		t.Errorf("recursive: only what is not there yet: %+v", o)
	}
	if exists(t, root+"/d/00.bin") || exists(t, root+"/d/sub/deep/z") {
		t.Error("sources are still there")
	}
	if _, body := expect(t, 200, follower, "GET", b.base+"/objects/b/shared/sub/deep/z", ""); body != "content of d/sub/deep/z" {
		t.Errorf("%q", body)
	}

	// By one target, many: those that others own are sent.
	files(t, root, numbered("e/%02d", 0, 29)...)
	id = promote(200, `{"src":"`+root+`/e","obj":"e","tid":"`+tid+`","ovw":true}`)
	if o := b.wait(id); o.LocalObjects != 30 || o.OutObjects == 0 || o.targets != 1 || o.err != "" {
		t.Errorf("one target: %+v", o)
	}
	if got := b.names("b"); strings.Count(" "+got, " e/") != 30 {
		t.Errorf("names: %s", got)
	}
	// Not shared: every target promotes everything.
	id = promote(200, `{"src":"`+root+`/e","obj":"n/","notshr":true,"ovw":true}`)
	if o := b.wait(id); o.LocalObjects != 90 || o.err != "" {
		t.Errorf("not shared: %+v", o)
	}
}

// TestPromoteWithoutDetection: with the feature that says so, a directory that all targets
// see is not taken for a share: every target promotes all of it.
func TestPromoteWithoutDetection(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files(t, root, numbered("d/%02d.bin", 0, 24)...)
	for features, want := range map[feature.Flags]int64{0: 25, feature.NoAutoDetectFileShare: 75} {
		b := newBulk(t, aistest.Options{Promote: root, Config: func(c *config.Cluster) { c.Features = features }})
		createBucket(t, b.c, "b")
		_, id := expect(t, 200, follower, "POST", b.base+"/objects/b", `{"action":"promote","name":"","value":{"src":"`+root+`/d","obj":"p/","ovw":true}}`)
		if o := b.wait(id); o.LocalObjects != want || o.err != "" {
			t.Errorf("features %v: %+v, want %d objects", features, o, want)
		}
	}
}

// TestPromoteEscapesNothing: no path and no link leads out of the allowed root, or
// to the node's own directories.
func TestPromoteEscapesNothing(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	b := newBulk(t, aistest.Options{Promote: root, Targets: 1})
	createBucket(t, b.c, "b")
	files(t, root, "in/file", "empty/sub/file")
	files(t, outside, "secret")
	for link, to := range map[string]string{
		"link-file": outside + "/secret", "link-dir": outside, "in/link": outside + "/secret", "in/link-dir": outside, "in/link-in": root + "/in/file", "link-up": "..",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, body string
		status     int
		text       string
	}{
		{"outside", `{"action":"promote","name":"` + outside + `/secret"}`, 400, "expected a path below"},
		{"above", `{"action":"promote","name":"` + root + `/../x"}`, 400, "elements . and .."},
		{"dot", `{"action":"promote","name":"` + root + `/./in"}`, 400, "elements . and .."},
		{"relative", `{"action":"promote","name":"in"}`, 400, "absolute path"},
		{"empty", `{"action":"promote","value":{"src":""}}`, 400, "the path is empty"},
		{"sibling", `{"action":"promote","name":"` + root + `x/y"}`, 400, "expected a path below"},
		{"missing", `{"action":"promote","name":"` + root + `/none"}`, 404, "does not exist"},
		{"below a file", `{"action":"promote","name":"` + root + `/in/file/x"}`, 404, "does not exist"},
		{"link to a file", `{"action":"promote","name":"` + root + `/link-file"}`, 400, "symbolic link"},
		{"link to a directory", `{"action":"promote","name":"` + root + `/link-dir"}`, 400, "symbolic link"},
		{"through a link", `{"action":"promote","name":"` + root + `/link-dir/secret"}`, 400, "symbolic link"},
		{"link upwards", `{"action":"promote","name":"` + root + `/link-up"}`, 400, "symbolic link"},
		{"empty directory", `{"action":"promote","name":"` + root + `/empty"}`, 400, "empty directory"},
		{"conflict", `{"action":"promote","name":"` + root + `/in","value":{"src":"` + root + `/x"}}`, 400, "conflicting promote source"},
		{"target", `{"action":"promote","name":"` + root + `/in","value":{"tid":"nobody"}}`, 400, "not present in Smap"},
		{"name", `{"action":"promote","name":"` + root + `/in/file","value":{"obj":"../x"}}`, 400, "invalid object name"},
		{"unknown key", `{"action":"promote","name":"` + root + `/in","value":{"x":1}}`, 400, `"x"`},
	} {
		res, body := expect(t, tc.status, follower, "POST", b.base+"/objects/b", tc.body)
		if e := errorBody(t, res, body); !strings.Contains(e.Message, tc.text) {
			t.Errorf("%s: %q, want %q", tc.name, e.Message, tc.text)
		}
	}
	expect(t, 404, follower, "POST", b.base+"/objects/none", `{"action":"promote","name":"`+root+`/in"}`)
	expect(t, 400, follower, "POST", b.base+"/objects/b/o", `{"action":"promote","name":"`+root+`/in"}`)
	// Links in a directory are left out.
	expect(t, 200, follower, "POST", b.base+"/objects/b", `{"action":"promote","name":"`+root+`/in","value":{"rcr":true}}`)
	if got := b.names("b"); got != "file" {
		t.Errorf("names: %s", got)
	}
	if b2 := newBulk(t, aistest.Options{Targets: 1}); true {
		createBucket(t, b2.c, "b")
		expect(t, 400, follower, "POST", b2.base+"/objects/b", `{"action":"promote","name":"`+root+`/in"}`)
	}
}

// TestPromoteFromAMountpath: what the node keeps is not to be promoted, even below an
// allowed root.
func TestPromoteFromAMountpath(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{Targets: 1, Promote: "/"})
	createBucket(t, b.c, "b")
	b.put("b", "o")
	mp := b.c.Targets[0].Paths[0]
	res, body := expect(t, 400, follower, "POST", b.base+"/objects/b", `{"action":"promote","name":"`+mp+`","value":{"rcr":true}}`)
	if e := errorBody(t, res, body); !strings.Contains(e.Message, "belongs to the node itself") {
		t.Errorf("%q", e.Message)
	}
	files(t, filepath.Dir(mp), "beside")
	expect(t, 200, follower, "POST", b.base+"/objects/b", `{"action":"promote","name":"`+filepath.Dir(mp)+`","value":{"rcr":true,"obj":"p/"}}`)
	if got := b.names("b"); !strings.Contains(got, "p/beside") || strings.Contains(got, "p/mp") {
		t.Errorf("names: %s", got)
	}
}
