package fs_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

func TestLayout(t *testing.T) {
	t.Parallel()
	mp := &fs.Mountpath{Path: "/mnt/d1"}
	ns := wire.Bck{Provider: "ais", Ns: wire.Ns{Name: "team"}, Name: "b"}
	remote := wire.Bck{Provider: "ais", Ns: wire.Ns{UUID: "Q9wP67Uiqt", Name: "team"}, Name: "b"}
	for _, tc := range []struct {
		bck     wire.Bck
		content string
		want    string
	}{
		{testBucket, "", "/mnt/d1/@ais/bucket"},
		{testBucket, fs.ContentWork, "/mnt/d1/@ais/bucket/%wk"},
		{wire.Bck{Name: "b"}, fs.ContentObject, "/mnt/d1/@ais/b/%ob"},
		{wire.Bck{Provider: "aws", Name: "b.c"}, fs.ContentObject, "/mnt/d1/@aws/b.c/%ob"},
		{ns, fs.ContentEscaped, "/mnt/d1/@ais/#team/b/%ox"},
		{remote, fs.ContentSidecar, "/mnt/d1/@ais/@Q9wP67Uiqt#team/b/%md"},
	} {
		if got := mp.BucketDir(tc.bck, tc.content); got != tc.want {
			t.Errorf("BucketDir(%v, %q) = %q, want %q", tc.bck, tc.content, got, tc.want)
		}
	}
	const sum = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // SHA-256 of "a"
	if got, want := mp.EscapedPath(testBucket, "a"), "/mnt/d1/@ais/bucket/%ox/ca/"+sum; got != want {
		t.Errorf("EscapedPath = %q, want %q", got, want)
	}
	if got, want := mp.HashedPath(testBucket, fs.ContentSidecar, "a", ".01"), "/mnt/d1/@ais/bucket/%md/ca/"+sum+".01"; got != want {
		t.Errorf("HashedPath = %q, want %q", got, want)
	}
}

func TestPlainNames(t *testing.T) {
	t.Parallel()
	mp := &fs.Mountpath{Path: "/mnt/d1"}
	long := strings.Repeat("x", 255)
	for name, plain := range map[string]bool{
		"a": true, "a/b": true, "...../x": true, ".x": true, "..x/y..": true, "a b/%ob/@#\"": true, "~/x": true, "приветствие": true,
		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "./a": false, "a/.": false, "a/../b": false,
		"a\x00b": false, "a/\x00": false,
		long: true, long + "x": false, long + "/" + long: true, "a/" + long + "x/b": false,
		strings.Repeat("1234567/", 127) + "12345678": true, strings.Repeat("1234567/", 127) + "123456789": false,
	} {
		path, ok := mp.PlainPath(testBucket, name)
		if ok != plain || fs.IsPlainName(name) != plain {
			t.Errorf("%.40q: plain = %v, want %v", name, ok, plain)
		}
		if want := "/mnt/d1/@ais/bucket/%ob/" + name; ok && path != want {
			t.Errorf("PlainPath(%q) = %q", name, path)
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add("ais", "", "", "bucket", "a/../../etc/passwd", "%ob", ".1")
	f.Add("../..", "..", "../x", "..", "/etc/passwd", "../..", "/../x")
	f.Add("", "u", "n/m", ".", "\x00", "", "")
	f.Add("ais", "", "", "b", strings.Repeat("x/", 3000), "%md", strings.Repeat("y", 300))
	mp := &fs.Mountpath{Path: "/mnt/disk"}
	f.Fuzz(func(t *testing.T, provider, uuid, namespace, bucket, name, content, suffix string) {
		b := wire.Bck{Provider: provider, Ns: wire.Ns{UUID: uuid, Name: namespace}, Name: bucket}
		inside := func(path, dir string) {
			t.Helper()
			if filepath.Clean(path) != path || !strings.HasPrefix(path, dir+"/") || strings.IndexByte(path, 0) >= 0 {
				t.Errorf("path %q is not clean and inside %q", path, dir)
			}
			for component := range strings.SplitSeq(path, "/") {
				if len(component) > 255 {
					t.Errorf("path %q has a component of %d bytes", path, len(component))
				}
			}
		}
		root := mp.BucketDir(b, "")
		inside(root, mp.Path)
		if !strings.HasPrefix(root, mp.Path+"/@") {
			t.Errorf("bucket directory %q is not below a provider's", root)
		}
		inside(mp.BucketDir(b, content+"x"), root)
		inside(mp.EscapedPath(b, name), mp.BucketDir(b, fs.ContentEscaped))
		inside(mp.HashedPath(b, fs.ContentSidecar, name, suffix), mp.BucketDir(b, fs.ContentSidecar))
		if path, ok := mp.PlainPath(b, name); ok {
			inside(path, mp.BucketDir(b, fs.ContentObject))
			if !strings.HasSuffix(path, "/"+name) {
				t.Errorf("name %q is at %q", name, path)
			}
		}
	})
}

func BenchmarkPlainPath(b *testing.B) {
	mp := &fs.Mountpath{Path: "/mnt/disk1"}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := mp.PlainPath(testBucket, "images/train/n01440764/n01440764_10026.JPEG"); !ok {
			b.Fatal("not plain")
		}
	}
}
