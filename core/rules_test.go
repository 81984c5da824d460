package core

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func sumBytes(b []byte) uint64 { return xxhash.Sum64(b) }

func TestVersions(t *testing.T) {
	t.Parallel()
	source := []KV{{CustomSource, "aws"}}
	for _, c := range []struct {
		name           string
		stored, header string
		skip           bool
		custom         []KV
		want           string
	}{
		{"first write", "", "", false, nil, "1"},
		{"overwrite", "1", "", false, nil, "2"},
		{"carry", "9", "", false, nil, "10"},
		{"header is the base", "3", "77", false, nil, "78"},
		{"header on the first write", "", "77", false, nil, "78"},
		{"header that is no number sticks", "3", "abc", false, nil, "abc"},
		{"stored that is no number sticks", "abc", "", false, nil, "abc"},
		{"negative is no number", "-1", "", false, nil, "-1"},
		{"skip restarts", "5", "", true, nil, "1"},
		{"skip ignores the header", "5", "77", true, nil, "1"},
		{"from a backend", "5", "", false, source, "5"},
		{"huge", "9223372036854775808", "", false, nil, "9223372036854775808"},
	} {
		if got := nextVersion(c.stored, c.header, c.skip, c.custom); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestVersioningDisabled(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: func(p *meta.Bprops) { p.Versioning.Enabled = false }})
	r.put("o", "1")
	if attrs := r.put("o", "2"); attrs.Version != "" {
		t.Fatalf("version %q", attrs.Version)
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	sums := map[string]string{ // of "hello world"
		cksum.XXHash: "45ab6734b21e6968", cksum.XXHash2: "45ab6734b21e6968",
		cksum.MD5: "5eb63bbbe01eeed093cb22bb8f5acdc3", cksum.CRC32C: "c99465aa",
		cksum.SHA256: "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
		cksum.SHA512: "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f",
	}
	bucketTypes := []string{cksum.None}
	for kind := range sums {
		bucketTypes = append(bucketTypes, kind)
	}
	for _, kind := range bucketTypes {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{props: func(p *meta.Bprops) { p.Checksum.Type = kind }})
			attrs := r.put("plain", "hello world")
			if attrs.Checksum.Value != sums[kind] || attrs.Checksum.Type != kind && kind != cksum.None {
				t.Fatalf("stored %v", attrs.Checksum)
			}
			for client, sum := range sums {
				// Both through the buffer and through the work file.
				for _, size := range []int64{11, -1} {
					good := PutOptions{Size: size, Checksum: cksum.Value{Type: client, Value: sum}}
					if _, err := r.tryPut("good-"+client, "hello world", good); err != nil {
						t.Errorf("%s: %v", client, err)
					}
					bad := PutOptions{Size: size, Checksum: cksum.Value{Type: client, Value: "badchecksum"}}
					_, err := r.tryPut("bad-"+client, "hello world", bad)
					if kind == cksum.None {
						if err != nil {
							t.Errorf("%s: a bucket without checksums refuses: %v", client, err)
						}
						continue
					}
					if statusOf(err) != 500 || apierr.CodeOf(err) != wire.CodeBadChecksum ||
						!strings.HasPrefix(err.Error(), "BAD DATA CHECKSUM: "+client+"(badchecksum != "+sum+")") {
						t.Errorf("%s: %v", client, err)
					}
					if _, _, found := r.get("bad-" + client); found {
						t.Errorf("%s: object with a bad checksum is stored", client)
					}
				}
			}
			if left := r.files("/%ob/"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestChecksumOfLongBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	long := strings.Repeat("0123456789abcdef", 100_000)
	for _, kind := range []string{cksum.XXHash, cksum.MD5, cksum.SHA256} {
		sum, err := cksum.Of(kind, []byte(long))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.tryPut("o", long, PutOptions{Size: -1, Checksum: sum}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		sum.Value = strings.ToUpper(sum.Value)
		if _, err := r.tryPut("o", long, PutOptions{Size: int64(len(long)), Checksum: sum}); statusOf(err) != 500 {
			t.Errorf("%s in upper case: %v", kind, err)
		}
	}
	if content, _, _ := r.get("o"); content != long {
		t.Error("content differs")
	}
}

func TestRefusedBeforeAnyData(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	other := r.key("o")
	other.Props = r.props.Clone()
	other.Props.BID++
	remote := Key{Bck: wire.Bck{Name: "nob", Provider: wire.ProviderAIS}, Props: r.props, Name: "o"}
	for _, c := range []struct {
		name   string
		key    Key
		opts   PutOptions
		status int
		text   string
	}{
		{"empty name", r.key(""), PutOptions{}, 400, `invalid object name ""`},
		{"long name", r.key(strings.Repeat("x", 4097)), PutOptions{}, 400, "invalid object name"},
		{"unknown checksum type", r.key("o"), PutOptions{Checksum: cksum.Value{Type: "xxhash64", Value: "1"}}, 400, "xxhash64"},
		{"custom too large", r.key("o"), PutOptions{Custom: []KV{{"k", strings.Repeat("v", 2048)}}}, 400, "custom metadata: total size 2049 exceeds max 2048 bytes"},
		{"custom without key", r.key("o"), PutOptions{Custom: []KV{{"", "v"}}}, 400, "custom metadata: empty key"},
		{"custom with byte 1", r.key("o"), PutOptions{Custom: []KV{{"k", "a\x01"}}}, 400, "custom metadata"},
		{"custom with a line end", r.key("o"), PutOptions{Custom: []KV{{"k", "a\r\nb"}}}, 400, "control bytes"},
		{"custom with DEL in a key", r.key("o"), PutOptions{Custom: []KV{{"k\x7f", "a"}}}, 400, "control bytes"},
		{"custom with the sequence", r.key("o"), PutOptions{Custom: []KV{{"\xe3\x2f\xbd", "a"}}}, 400, "custom metadata"},
		{"other incarnation", other, PutOptions{}, 404, `bucket "ais://b1" does not exist`},
		{"no such bucket", remote, PutOptions{}, 404, `bucket "ais://nob" does not exist`},
	} {
		_, err := r.store.Put(context.Background(), c.key, failingReader{t}, c.opts)
		if statusOf(err) != c.status || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %d %v", c.name, statusOf(err), err)
		}
	}
	if left := r.files(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// An identical PUT to a durable bucket is as durable as any: the object may have
// been stored by a writer that did not have to flush it.
func TestIdenticalPutFlushes(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{system: sys})
	r.put("d/o", "x")
	r.props.Durability = meta.DurabilitySync
	sum, err := cksum.Of(cksum.XXHash2, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	sys.Reset()
	if attrs, err := r.tryPut("d/o", "x", PutOptions{Size: 1, Checksum: sum}); err != nil || attrs.Version != "1" {
		t.Fatalf("%+v, %v", attrs, err)
	}
	if sys.Count(faultfs.OpSync, r.fileOf("d/o")) == 0 && sys.Count(faultfs.OpSyncfs, "") == 0 {
		t.Error("the file was not flushed")
	}
	if sys.Count(faultfs.OpSyncDir, "") == 0 && sys.Count(faultfs.OpSyncfs, "") == 0 {
		t.Error("the directory was not flushed")
	}
	sys.Inject(faultfs.Fault{Op: faultfs.OpSync, Err: unix.EIO})
	defer sys.Heal()
	if _, err := r.tryPut("d/o", "x", PutOptions{Size: 1, Checksum: sum}); statusOf(err) != 500 {
		t.Errorf("the flush failed: %v", err)
	}
}

// failingReader is a body that must not be read.
type failingReader struct{ t *testing.T }

func (r failingReader) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, errors.New("read")
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "old")
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name   string
		body   string
		size   int64
		status int
	}{
		{"short", "abc", 4, 500}, {"empty but announced", "", 1, 500}, {"long", "abc", 2, 400}, {"not announced", "abc", 0, 400},
		{"short stream", long, 1<<20 + 1, 500}, {"long stream", long, 1<<20 - 1, 400}, {"much longer", long, 10, 400},
		{"negative", "abc", -2, 400},
	} {
		if _, err := r.tryPut("o", c.body, PutOptions{Size: c.size}); statusOf(err) != c.status {
			t.Errorf("%s: %d %v", c.name, statusOf(err), err)
		}
	}
	_, err := r.store.Put(context.Background(), r.key("o"), &breakingReader{left: 300_000}, PutOptions{Size: 1 << 20})
	if statusOf(err) != 500 || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("broken body: %v", err)
	}
	if content, attrs, _ := r.get("o"); content != "old" || attrs.Version != "1" {
		t.Errorf("the old object changed: %q %+v", content, attrs)
	}
	if left := r.files("/%ob/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

type breakingReader struct{ left int }

func (r *breakingReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errors.New("connection reset")
	}
	n := min(len(p), r.left)
	r.left -= n
	return n, nil
}

func TestIdenticalPut(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"small": "hello world", "long": strings.Repeat("hello world", 100_000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{props: durable})
			sum, err := cksum.Of(cksum.XXHash, []byte(content))
			if err != nil {
				t.Fatal(err)
			}
			first, err := r.tryPut("o", content, PutOptions{Size: -1, Custom: []KV{{"k", "v"}}})
			if err != nil {
				t.Fatal(err)
			}
			again, err := r.tryPut("o", content, PutOptions{Size: -1, Checksum: sum})
			if err != nil || again.Version != "1" || again.Checksum != first.Checksum || len(again.Custom) != 1 {
				t.Fatalf("identical: %+v, %v", again, err)
			}
			// But for the version it shows as any other PUT, also after a restart.
			if again.Mtime <= first.Mtime || again.Atime < again.Mtime || again.ETag() == first.ETag() || again.Stamp.Compare(first.Stamp) <= 0 {
				t.Errorf("times and tag of the first PUT: %+v, then %+v", first, again)
			}
			for range 2 {
				head, err := r.store.Head(context.Background(), r.key("o"))
				if err != nil || head.Atime != again.Atime || head.Mtime != again.Mtime || head.Version != "1" || head.ETag() != again.ETag() {
					t.Fatalf("HEAD after it: %+v, %v; want %+v", head, err, again)
				}
				r.restart()
			}
			// The body is compared, not believed.
			if _, err := r.tryPut("o", content[1:]+"x", PutOptions{Size: -1, Checksum: sum}); statusOf(err) != 500 {
				t.Fatalf("other body with the stored checksum: %v", err)
			}
			for i, o := range []PutOptions{
				{Size: -1}, // no checksum: not known to be the same
				{Size: -1, Checksum: sum, SkipVC: true},
				{Size: -1, Checksum: sum, Custom: []KV{{"k", "other"}}},
			} {
				attrs, err := r.tryPut("o", content, o)
				if want := []string{"2", "1", "2"}[i]; err != nil || attrs.Version != want {
					t.Fatalf("put %d: version %q, want %q; %v", i, attrs.Version, want, err)
				}
			}
			if left := r.files("/%ob/"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestCustomMerge(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	put := func(o PutOptions) Attrs {
		t.Helper()
		attrs, err := r.tryPut("o", "x", o)
		if err != nil {
			t.Fatal(err)
		}
		return attrs
	}
	put(PutOptions{Size: 1, Custom: []KV{{"b", "1"}, {"a", "1"}}})
	got := put(PutOptions{Size: 1, Custom: []KV{{"b", "2"}, {"c", ""}, {"b", "3"}}}).Custom
	if len(got) != 3 || got[0] != (KV{"a", "1"}) || got[1] != (KV{"b", "3"}) || got[2] != (KV{"c", ""}) {
		t.Fatalf("merged %v", got)
	}
	if got := put(PutOptions{Size: 1, SkipVC: true}).Custom; len(got) != 0 {
		t.Fatalf("after skip_vc: %v", got)
	}
	// Piling up is bounded.
	var err error
	for i := range 40 {
		key := strings.Repeat(string(rune('a'+i%26)), 40) + string(rune('0'+i/26))
		if _, err = r.tryPut("o", "x", PutOptions{Size: 1, Custom: []KV{{key, strings.Repeat("v", 2000)}}}); err != nil {
			break
		}
	}
	if statusOf(err) != 400 || !strings.Contains(err.Error(), "custom metadata: total size") {
		t.Fatalf("unbounded: %v", err)
	}
	if _, attrs, found := r.get("o"); !found || len(attrs.Custom) < 10 {
		t.Fatalf("after the refusal: %v, %d keys", found, len(attrs.Custom))
	}
}

// TestIdenticalPutHeals flips a bit of a stored object: the same content sent
// once more is written, although the record already has its checksum.
func TestIdenticalPutHeals(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*meta.Bprops){"none": nil, "sync": durable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{props: props})
			sum, err := cksum.Of(cksum.XXHash2, []byte("hello world"))
			if err != nil {
				t.Fatal(err)
			}
			r.put("o", "hello world")
			f, err := os.OpenFile(r.fileOf("o"), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("j"), 0); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"2", "2"} { // written; then it is whole
				attrs, err := r.tryPut("o", "hello world", PutOptions{Size: 11, Checksum: sum})
				if err != nil || attrs.Version != want {
					t.Fatalf("version %q, want %s; %v", attrs.Version, want, err)
				}
				if content, _, _ := r.get("o"); content != "hello world" {
					t.Fatalf("%q", content)
				}
			}
		})
	}
}
