package commands

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/wire"
)

func equal(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	equal(t, f.ok(t, "ls"), "No buckets in the cluster.")
	equal(t, f.ok(t, "create ais://b ais://b2"), "\"ais://b\" created\n\"ais://b2\" created")
	contains(t, f.fails(t, "create ais://b"), `bucket "ais://b" already exists`)
	r := f.run(t, "", "bucket", "create", "ais://b", "--ignore-error")
	if r.code != 0 || !strings.HasPrefix(r.err, `Warning: bucket "ais://b" already exists`) {
		t.Errorf("%+v", r)
	}
	f.ok(t, "create ais://#ns/b")
	equal(t, f.ok(t, "ls"), "NAME\nais://#ns/b\nais://b\nais://b2\nTotal: [AIS buckets: 3] ========")
	equal(t, f.ok(t, "ls ais: --all -H -F"), "ais://#ns/b yes\nais://b yes\nais://b2 yes")
	equal(t, f.ok(t, "ls --regex b2$ -F"), "NAME\nais://b2")
	var list []wire.Bck
	if err := json.Unmarshal([]byte(f.run(t, "", "ls", "--json").out), &list); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	equal(t, f.ok(t, "rmb ais://b ais://b2"), "\"ais://b\" destroyed\n\"ais://b2\" destroyed")
	contains(t, f.fails(t, "rmb ais://b"), `bucket "ais://b" does not exist`)
	if r := f.run(t, "", "rmb", "ais://b", "--ignore-error"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	contains(t, f.fails(t, "create cloud://b"), `invalid backend provider "cloud"`)
	contains(t, f.fails(t, "create ais://b/o"), "unexpected object name")
	contains(t, f.fails(t, "create"), "missing bucket name", "ais create --help")
}

func TestRemoveAllBuckets(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	equal(t, f.ok(t, "rmb --all"), "No AIS buckets to remove")
	f.ok(t, "create ais://b1 ais://b2")
	r := f.run(t, "yes\nno\n", "rmb", "--all", "--yes")
	if r.code != 1 || len(f.buckets) != 2 || !strings.Contains(r.err, "--yes is ignored") || strings.Count(r.out, "DELETE") != 3 {
		t.Errorf("%+v", r)
	}
	r = f.run(t, "DELETE\n", "bucket", "rm", "--all")
	if r.code != 0 || len(f.buckets) != 0 || !strings.Contains(r.out, "\"ais://b1\" destroyed\n\"ais://b2\" destroyed") {
		t.Errorf("%+v", r)
	}
}

func TestBucketProps(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	if r := f.run(t, "", "create", "ais://b", "--props", "checksum.type=md5 durability none"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	equal(t, f.ok(t, "bucket props show ais://b checksum"), `PROPERTY VALUE
checksum.enable_read_range false
checksum.type md5
checksum.validate_cold_get false
checksum.validate_obj_move false
checksum.validate_warm_get false`)
	contains(t, f.ok(t, "show bucket ais://b"), "durability none", "provider ais", "created 2026-01-01")
	contains(t, f.ok(t, "show bucket ais://b --compact"), "checksum enable_read_range=false, type=md5,")
	equal(t, f.ok(t, "bucket props set ais://b checksum.type=sha256 versioning.enabled = false"), `"checksum.type" set to: "sha256" (was: "md5")
"versioning.enabled" set to: "false" (was: "true")

Bucket "ais://b": properties updated`)
	contains(t, f.ok(t, "bucket props set ais://b checksum.type sha256"), "nothing to do")
	contains(t, f.ok(t, "bucket props set ais://b versioning"), "versioning.enabled false")
	f.ok(t, "bucket props set ais://b access ro")
	contains(t, f.ok(t, "show bucket ais://b access"), "GET,HEAD-OBJECT")
	f.ok(t, "bucket props set ais://b features Fsync-PUT")
	contains(t, f.ok(t, "show bucket ais://b features"), "Fsync-PUT")
	const only = "Warning: bucket ais://b has lru.enabled and no backend"
	if r := f.run(t, "", "show", "bucket", "ais://b"); r.code != 0 || strings.Contains(r.err, only) {
		t.Errorf("a bucket that keeps what it has: %+v", r)
	}
	for _, line := range []string{"bucket props set ais://b lru.enabled=true", "show bucket ais://b", "bucket props show ais://b lru"} {
		if r := f.run(t, "", strings.Fields(line)...); r.code != 0 || !strings.Contains(r.err, only) {
			t.Errorf("%s: %+v", line, r)
		}
	}
	contains(t, f.ok(t, "bucket props reset ais://b"), "properties have been reset")
	for line, text := range map[string]string{
		"bucket props set ais://b x=1":                  `unknown property "x"`,
		"bucket props set ais://b provider=aws":         `property "provider" is readonly`,
		"bucket props set ais://b checksum.type=nosuch": "nosuch",
		"bucket props set ais://b {\"x\":1}":            `unknown property "x"`,
		"bucket props set ais://b":                      "expecting a bucket and properties",
		"bucket props set ais://none a=b":               `bucket "ais://none" does not exist`,
		"show bucket ais://none":                        `bucket "ais://none" does not exist`,
	} {
		contains(t, f.fails(t, line), text)
	}
	var props map[string]any
	if err := json.Unmarshal([]byte(f.run(t, "", "show", "bucket", "ais://b", "--json").out), &props); err != nil || props["provider"] != "ais" {
		t.Errorf("%v, %v", props, err)
	}
}

func TestPutGetOneObject(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file.txt")
	if err := os.WriteFile(file, []byte("0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, f.fails(t, "put "+file+" ais://b"), `bucket "ais://b" does not exist`)
	f.ok(t, "create ais://b")
	equal(t, f.ok(t, "put "+file+" ais://b"), `PUT "`+file+`" => ais://b/file.txt`)
	equal(t, f.ok(t, "put "+file+" ais://b/dir/"), `PUT "`+file+`" => ais://b/dir/file.txt`)
	equal(t, f.ok(t, "put "+file+" ais://b/o --compute-checksum"), `PUT "`+file+`" => ais://b/o`)
	equal(t, f.ok(t, "put "+file+" ais://b/o --md5 2d2d2bb0a3e4ee9c7b6ee6e2ebba8d5c --dry-run"), `[DRY RUN] PUT "`+file+`" => ais://b/o`)
	contains(t, f.fails(t, "put "+file+" ais://b/bad --crc32c badchecksum"), "BAD DATA CHECKSUM: crc32c(badchecksum != 0767345f)")
	if r := f.run(t, "from stdin", "put", "-", "ais://b/in"); r.code != 0 || r.out != "PUT (standard input) => ais://b/in\n" {
		t.Errorf("%+v", r)
	}
	contains(t, f.fails(t, "put - ais://b"), "missing object name")
	contains(t, f.fails(t, "put "+file+".none ais://b"), "no such file")
	contains(t, f.fails(t, "put "+file+" ais://b --num-workers -1"), "--num-workers")

	equal(t, f.ok(t, "ls ais://b"), "NAME SIZE\ndir/file.txt 11B\nfile.txt 11B\nin 10B\no 11B")
	equal(t, f.ok(t, "show object ais://b/o --props name,size,checksum"), "PROPERTY VALUE\nchecksum xxhash2[05967d5390ac53b0]\nname ais://b/o\nsize 11B")
	contains(t, f.fails(t, "show object ais://b/none"), `object "none" not found in ais://b`)
	contains(t, f.fails(t, "object show ais://b/o --props nosuch"), `invalid property "nosuch"`)

	out := filepath.Join(dir, "out")
	equal(t, f.ok(t, "get ais://b/o "+out), "GET o from ais://b as "+out+" (11B)")
	equal(t, f.ok(t, "get ais://b/dir/file.txt "+dir+"/sub/ --checksum"), "GET dir/file.txt from ais://b as "+dir+"/sub/file.txt (11B)")
	if r := f.run(t, "", "get", "ais://b/o", "-", "--offset", "2", "--length", "3"); r.out != "234" || r.code != 0 {
		t.Errorf("%+v", r)
	}
	if r := f.run(t, "", "object", "cat", "ais://b/o"); r.out != "0123456789\n" || r.code != 0 {
		t.Errorf("%+v", r)
	}
	contains(t, f.ok(t, "get ais://b/o /dev/null"), "discard")
	contains(t, f.fails(t, "get ais://b/none "+out+".none"), `"ais://b/none" does not exist`)
	contains(t, f.fails(t, "get ais://b/o "+out+" --offset 1"), "--offset and --length")
	if r := f.run(t, "no\n", "get", "ais://b/in", out); r.code != 1 || !strings.Contains(r.out, "already exists") {
		t.Errorf("%+v", r)
	}
	if r := f.run(t, "what\nY\n", "get", "ais://b/in", out); r.code != 0 || strings.Count(r.out, "[Y/N]") != 2 {
		t.Errorf("%+v", r)
	}
	f.ok(t, "get ais://b/o --yes "+out)
	if data, err := os.ReadFile(out); err != nil || string(data) != "0123456789\n" {
		t.Errorf("%q, %v", data, err)
	}
	equal(t, f.ok(t, "get ais://b/o --check-cached"), "ais://b/o is present")
	equal(t, f.ok(t, "get ais://b/none --check-cached"), "ais://b/none is not present")

	equal(t, f.ok(t, "rmo ais://b/o"), `deleted "o" from ais://b`)
	contains(t, f.fails(t, "rmo ais://b/o"), `"ais://b/o" does not exist`)
	contains(t, f.fails(t, "rmo ais://b"), "missing object name")
	equal(t, f.ok(t, "rmo ais://b --list in,file.txt"), "deleted \"in\" from ais://b\ndeleted \"file.txt\" from ais://b")
}

func TestPutGetMany(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	f.ok(t, "create ais://b")
	src := filepath.Join(t.TempDir(), "src")
	files := map[string]string{"a.txt": "1", "b.go": "22", "sub/c.txt": "333", "sub/deep/d e?#%": "4444", "empty": ""}
	for name, content := range files {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := f.run(t, "", "put", src, "ais://b", "-r")
	if r.code != 1 || !strings.Contains(r.out, "PUT 5 files => ais://b? [Y/N]: ") || !strings.Contains(r.err, "use --yes") || len(f.objects[wire.Bck{Provider: "ais", Name: "b"}]) != 0 {
		t.Fatalf("without an answer: %+v", r)
	}
	dry := f.ok(t, "put "+src+" ais://b -r --dry-run")
	contains(t, dry, `[DRY RUN] PUT "`+src+`/a.txt" => ais://b/a.txt`, "[DRY RUN] PUT 5 files => ais://b")
	out := f.ok(t, "put "+src+" ais://b -r --yes --num-workers 3 --compute-checksum")
	contains(t, out, "EXTENSION COUNT SIZE\n- 2 4B\n.go 1 2B\n.txt 2 4B\nTOTAL 5 10B\n", "PUT 5 files => ais://b\n", "PUT 5 objects, 10B in ", " objects/s, ")
	contains(t, f.ok(t, "put "+src+" ais://b/p/ --yes --include-src-dir"), "PUT 3 files => ais://b/p/")
	equal(t, f.ok(t, "ls ais://b --name-only -H"), "a.txt\nb.go\nempty\np/src/a.txt\np/src/b.go\np/src/empty\nsub/c.txt\nsub/deep/d e?#%")
	contains(t, f.ok(t, "put "+src+"/*.go ais://b/q- --yes"), "PUT 1 files => ais://b/q-")
	contains(t, f.ok(t, "put --list "+src+"/a.txt,"+src+"/b.go ais://b/l/ -y"), "PUT 2 files => ais://b/l/")
	contains(t, f.fails(t, "put "+src+"/*.none ais://b --yes"), "there are no files")
	contains(t, f.fails(t, "put "+src+" ais://b -r --yes --md5 abc"), "single file")

	f.ok(t, "rmo ais://b --prefix p/ --yes")
	f.ok(t, "rmo ais://b/q- --yes")
	f.ok(t, "rmo ais://b/l/ --yes")
	dst := filepath.Join(t.TempDir(), "dst")
	r = f.run(t, "", "get", "ais://b", "--prefix", "", "--checksum", "--yes", dst)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	contains(t, r.out, "GET 5 objects from ais://b to "+dst+" (total size 10B)\n", "GET 5 objects, 10B in ")
	for name, content := range files {
		if data, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(data) != content {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if r := f.run(t, "y\n", "get", "ais://b", "--prefix", "sub/", dst); r.code != 0 || !strings.Contains(r.out, "(total size 7B)? [Y/N]: ") {
		t.Errorf("%+v", r)
	}
	contains(t, f.fails(t, "get ais://b --prefix none --yes "+dst), "no objects with prefix")
	contains(t, f.fails(t, "get ais://b"), "--prefix")
}

// What cannot be a file's name is reported and nothing is written outside.
func TestGetManyWithHostileNames(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	f.ok(t, "create ais://b")
	base := t.TempDir()
	objects := f.objects[wire.Bck{Provider: "ais", Name: "b"}]
	for _, name := range []string{"good", "../evil", "a/../../evil", "/etc/evil", "x//y"} {
		objects[name] = []byte("x")
	}
	r := f.run(t, "", "get", "ais://b", "--prefix", "", "--yes", filepath.Join(base, "out"))
	if r.code != 1 || !strings.Contains(r.err, "failed to GET 4 object(s)") {
		t.Fatalf("%+v", r)
	}
	contains(t, r.out, "GET 1 objects, 1B in")
	for _, folder := range []string{base, filepath.Join(base, "out")} {
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
			t.Errorf("%s: %v, %v", folder, entries, err)
		}
	}
	if r := f.run(t, "", "get", "ais://b/a/../../evil", base+"/out/"); r.code == 0 && !strings.Contains(r.out, "as "+base+"/out/evil") {
		t.Errorf("%+v", r)
	}
}

func TestListObjects(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t)
	f.ok(t, "create ais://b")
	objects := f.objects[wire.Bck{Provider: "ais", Name: "b"}]
	for _, name := range []string{"docs/nested/x", "docs/readme.txt", "file1.txt", "file2.txt", "img\x1b[31m"} {
		objects[name] = make([]byte, 2560)
	}
	equal(t, f.ok(t, "ls ais://b --nr"), "NAME SIZE\ndocs/\nfile1.txt 2.50KiB\nfile2.txt 2.50KiB\nimg?[31m 2.50KiB")
	equal(t, f.ok(t, "ls ais://b/docs/ --nr --name-only"), "NAME\ndocs/nested/\ndocs/readme.txt")
	equal(t, f.ok(t, "ls ais://b/file -H"), "file1.txt 2.50KiB\nfile2.txt 2.50KiB")
	equal(t, f.ok(t, "ls ais://b --prefix file --props size,version"), "NAME SIZE VERSION\nfile1.txt 2.50KiB 1\nfile2.txt 2.50KiB 1")
	equal(t, f.ok(t, "ls ais://b --prefix file1 --props all"), "NAME SIZE CHECKSUM ATIME VERSION COPIES CUSTOM LOCATION CHUNKED STATUS\n"+
		"file1.txt 2.50KiB - - 1 1 - t[tgtAAAAA1]:mp[/tmp/mp1] ok")
	contains(t, f.ok(t, "ls ais://b/file1.txt"), "PROPERTY VALUE", "name ais://b/file1.txt", "size 2.50KiB")
	equal(t, f.ok(t, "ls ais://b --limit 2 -H --units raw"), "docs/nested/x 2560\ndocs/readme.txt 2560")
	equal(t, f.ok(t, "ls ais://b --page-size 2 --name-only -H"), "docs/nested/x\ndocs/readme.txt\nfile1.txt\nfile2.txt\nimg?[31m")
	equal(t, f.ok(t, "ls ais://b --page-size 2 --max-pages 1 --name-only -H"), "docs/nested/x\ndocs/readme.txt")
	equal(t, f.ok(t, "ls ais://b --page-size 2 --paged --name-only"), "NAME\ndocs/nested/x\ndocs/readme.txt\nfile1.txt\nfile2.txt\nimg?[31m\nPage 3: 5 names in all")
	equal(t, f.ok(t, "ls ais://b --start-after file1.txt --name-only -H --regex txt$"), "file2.txt")
	equal(t, f.ok(t, "ls ais://b --regex txt$ --limit 2 --name-only -H"), "docs/readme.txt\nfile1.txt")
	if got := f.ok(t, "ls ais://b --count-only"); !strings.HasPrefix(got, "Listed 5 names in ") {
		t.Error(got)
	}
	var entries []wire.LsoEntry
	if err := json.Unmarshal([]byte(f.run(t, "", "ls", "ais://b", "--json").out), &entries); err != nil || len(entries) != 5 || entries[4].Name != "img\x1b[31m" {
		t.Errorf("%v, %v", entries, err)
	}
	contains(t, f.fails(t, "ls ais://none"), `bucket "ais://none" does not exist`)
	contains(t, f.fails(t, "ls ais://b --props nosuch"), `invalid property "nosuch"`)
	contains(t, f.fails(t, "ls ais://b --regex ["), "--regex")
	contains(t, f.fails(t, "ls ais://b --not-cached"), "remote buckets")
	contains(t, f.fails(t, "ls ais://b --limit -1"), "negative")

	contains(t, f.fails(t, "rmo ais://b/docs"), "no answer")
	equal(t, f.ok(t, "rmo ais://b/docs/ --yes"), "deleted \"docs/nested/x\" from ais://b\ndeleted \"docs/readme.txt\" from ais://b")
	objects["file1.txt.bak"] = nil
	contains(t, f.fails(t, "rmo ais://b/file1.txt"), "--nr", "--prefix")
	equal(t, f.ok(t, "rmo ais://b/file1.txt --nr"), `deleted "file1.txt" from ais://b`)
	f.ok(t, "rmo ais://b --all --yes")
	if len(objects) != 0 {
		t.Errorf("left: %v", objects)
	}
}
