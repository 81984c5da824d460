package core

import (
	"bytes"
	"context"
	"errors"
	"golang.org/x/sys/unix"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// flipBit changes one bit of a file's content.
func flipBit(tb testing.TB, path string, at int64) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	data[at] ^= 4
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(data[at:at+1], at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// flipRecord changes one bit of a file's record.
func flipRecord(tb testing.TB, path string) {
	tb.Helper()
	buf := make([]byte, 4096)
	n, err := fs.Unix().GetXattr(path, XattrRecord, buf)
	if err == nil {
		buf[n/2] ^= 1
		err = fs.Unix().SetXattr(path, XattrRecord, buf[:n])
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) sidecarOf(path string) string {
	r.tb.Helper()
	o, err := r.store.resolve(r.key("o"))
	if err != nil {
		r.tb.Fatal(err)
	}
	sidecar := r.store.sidecarOf(&o, path)
	if sidecar == "" {
		r.tb.Fatal("no sidecar")
	}
	return sidecar
}

func (r *rig) verify(name string, o VerifyOptions) VerifyReport {
	r.tb.Helper()
	report, err := r.store.VerifyObject(context.Background(), r.key(name), o)
	if err != nil {
		r.tb.Fatalf("verify %q: %v", name, err)
	}
	return report
}

// harm damages an object in one way.
type harm struct {
	name    string
	content bool // only reading the content tells
	do      func(r *rig, path string)
}

func harms() []harm {
	return []harm{
		{"bit of the content", true, func(r *rig, path string) { flipBit(r.tb, path, 1000) }},
		{"bit of the record", false, func(r *rig, path string) { flipRecord(r.tb, path) }},
		{"bit of the sidecar", false, func(r *rig, path string) { flipBit(r.tb, r.sidecarOf(path), 500) }},
		{"sidecar gone", false, func(r *rig, path string) {
			if err := os.Remove(r.sidecarOf(path)); err != nil {
				r.tb.Fatal(err)
			}
		}},
		{"truncated", false, func(r *rig, path string) {
			if err := os.Truncate(path, 999); err != nil {
				r.tb.Fatal(err)
			}
		}},
		{"grown", false, func(r *rig, path string) {
			if err := os.Truncate(path, 1<<20); err != nil {
				r.tb.Fatal(err)
			}
		}},
		{"emptied", false, func(r *rig, path string) {
			if err := os.Truncate(path, 0); err != nil {
				r.tb.Fatal(err)
			}
		}},
	}
}

// TestVerifyFindsDamage: every damage is found, of the current generation and
// of a noncurrent one; without repair nothing is touched, with it what is
// damaged goes to quarantine, or is restored from a copy.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef", 1<<10)
	for _, h := range harms() {
		for _, mode := range []string{"quarantine", "copies", "version"} {
			t.Run(h.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				var r *rig
				r = newRig(t, rigOptions{root: memoryDir(t), props: durable, store: func(o *Options) {
					if mode != "copies" {
						return
					}
					o.Ports.Copies = restorer{restore: func(key Key) error {
						_, err := r.store.Put(context.Background(), key, strings.NewReader(content), PutOptions{Size: int64(len(content))})
						return err
					}}
				}})
				put := func() {
					if _, err := r.tryPut("o", content, PutOptions{Size: -1, Custom: []KV{{"k", strings.Repeat("v", 2000)}}, Keep: KeepVersion}); err != nil {
						t.Fatal(err)
					}
				}
				put()
				path, kind := r.fileOf("o"), BelongsObject
				if mode == "version" {
					put()
					all, err := r.store.ListVersions(context.Background(), r.key("o"))
					if err != nil || len(all) != 2 {
						t.Fatal(all, err)
					}
					path, kind = all[1].path, BelongsVersion
				}
				if report := r.verify("o", VerifyOptions{}); report.Damaged() != 0 || report.Objects != 1 || report.Garbage != 0 ||
					report.Bytes != int64(len(content))*(1+report.Versions) || report.Versions != map[string]int64{"version": 1}[mode] {
					t.Fatalf("whole: %+v", report)
				}
				h.do(r, path)
				if report := r.verify("o", VerifyOptions{SkipContent: true}); (report.Reported == 0) != h.content || report.Bytes != 0 {
					t.Fatalf("without content: %+v", report)
				}
				before := r.files("/.$deleted/")
				for range 2 {
					report := r.verify("o", VerifyOptions{})
					if report.Reported != 1 || report.Damaged() != 1 || len(report.Findings) != 1 {
						t.Fatalf("%+v", report)
					}
					f := report.Findings[0]
					if f.Kind != kind.String() || f.Path != path || f.Bucket != "ais://b1" || f.Name != "o" || f.Problem == "" || f.Action != FindingReported {
						t.Fatalf("%+v", f)
					}
				}
				if after := r.files("/.$deleted/"); !slices.Equal(after, before) {
					t.Fatalf("verification without repair left %q, before %q", after, before)
				}

				report := r.verify("o", VerifyOptions{Repair: true})
				want := FindingQuarantined
				if mode == "copies" {
					want = FindingRepaired
				}
				if report.Damaged() != 1 || report.Findings[0].Action != want {
					t.Fatalf("repair: %+v", report)
				}
				kept, err := r.store.Quarantine(context.Background())
				if err != nil || len(kept) != 1 || kept[0].Name != "o" || kept[0].Bucket != "ais://b1" || kept[0].Path != path || kept[0].Finding == "" {
					t.Fatalf("quarantine: %+v, %v", kept, err)
				}
				if _, err := os.Stat(kept[0].Dir + "/data"); err != nil {
					t.Fatal(err)
				}
				if n, err := r.store.QuarantineCount(); n != 1 || err != nil {
					t.Fatalf("%d in quarantine, %v", n, err)
				}
				if report := r.verify("o", VerifyOptions{}); report.Damaged() != 0 {
					t.Fatalf("afterwards: %+v", report)
				}
				got, _, found := r.get("o")
				if found != (mode != "quarantine") || found && got != content {
					t.Fatalf("GET: %v, %d bytes", found, len(got))
				}
			})
		}
	}
}

// backend is a remote bucket's.
type backend struct {
	Remote
	content string
	fetched int
}

func (b *backend) Fetch(context.Context, Key) (io.ReadCloser, Attrs, error) {
	b.fetched++
	return io.NopCloser(strings.NewReader(b.content)), Attrs{Size: int64(len(b.content))}, nil
}

// A damaged object of a remote bucket is fetched again.
func TestDamageIsFetchedFromTheBackend(t *testing.T) {
	t.Parallel()
	b := &backend{content: "what the backend has"}
	r := newRig(t, rigOptions{store: func(o *Options) { o.Ports.Remote = b }})
	r.bck = wire.Bck{Name: "cloud", Provider: wire.ProviderAWS}
	r.props = r.props.Clone()
	r.props.Provider = wire.ProviderAWS
	r.bmd = meta.NewBMD("cluster01", 3, meta.BucketEntry{Bck: r.bck, Props: r.props})
	if err := r.store.ApplyBMD(context.Background(), nil, r.bmd); err != nil {
		t.Fatal(err)
	}
	o, err := r.store.resolve(r.key("o"))
	if err == nil {
		err = r.store.fetch(context.Background(), &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.fileOf("o"), 3); err != nil {
		t.Fatal(err)
	}
	if content, _, found := r.get("o"); !found || content != b.content || b.fetched != 2 {
		t.Fatalf("%v %q, fetched %d times", found, content, b.fetched)
	}
	flipBit(t, r.fileOf("o"), 0)
	if report := r.verify("o", VerifyOptions{Repair: true}); report.Repaired != 1 {
		t.Fatalf("%+v", report)
	}
}

// TestUnreadableIsFetchedFromTheBackend: an object of a remote bucket that cannot be read when
// its content is to be verified is fetched again.
func TestUnreadableIsFetchedFromTheBackend(t *testing.T) {
	t.Parallel()
	b := &backend{content: "what the backend has"}
	disk := faultfs.New(nil)
	r := newRig(t, rigOptions{system: disk, store: func(o *Options) { o.Ports.Remote = b }})
	r.bck = wire.Bck{Name: "cloud", Provider: wire.ProviderAWS}
	r.props = r.props.Clone()
	r.props.Provider, r.props.Checksum.ValidateWarmGet = wire.ProviderAWS, true
	r.bmd = meta.NewBMD("cluster01", 3, meta.BucketEntry{Bck: r.bck, Props: r.props})
	if err := r.store.ApplyBMD(context.Background(), nil, r.bmd); err != nil {
		t.Fatal(err)
	}
	o, err := r.store.resolve(r.key("o"))
	if err == nil {
		err = r.store.fetch(context.Background(), &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	disk.Inject(faultfs.Fault{Op: faultfs.OpRead, Path: "/%ob/", Err: unix.EIO})
	if content, _, found := r.get("o"); !found || content != b.content || b.fetched != 2 {
		t.Fatalf("%v %q, fetched %d times", found, content, b.fetched)
	}
}

// Every bit of a small object matters, whatever the type of its checksum.
func TestSingleBitFlips(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cksum.XXHash, cksum.XXHash2, cksum.MD5, cksum.CRC32C, cksum.SHA256, cksum.SHA512} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{root: memoryDir(t), props: func(p *meta.Bprops) {
				p.Checksum.Type, p.Checksum.ValidateWarmGet = kind, true
			}})
			for _, at := range []int64{0, 1, 4095, 4096, 1<<18 + 17, 1<<18 + 18} {
				r.put("o", strings.Repeat("x", 1<<18+19))
				flipBit(t, r.fileOf("o"), at)
				if _, _, err := r.tryGet("o"); statusOf(err) != 500 || !strings.Contains(err.Error(), "BAD DATA CHECKSUM: ") {
					t.Fatalf("bit of byte %d: %v", at, err)
				}
				if _, _, found := r.get("o"); found {
					t.Fatal("found again")
				}
			}
		})
	}
}

// TestVerifyWalk verifies a bucket with one damage of each kind on several
// mountpaths, stops after each name and goes on from there.
func TestVerifyWalk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, rigOptions{mountpaths: 3, root: memoryDir(t)})
	large := []KV{{"k", strings.Repeat("v", 2000)}}
	for i := range 600 {
		r.put("many/"+strings.Repeat("x", i), "content")
	}
	for _, name := range []string{"p", "p/q", "content", "escaped//record", "escaped//content", "record", "versions", "only versions"} {
		for range 2 {
			if _, err := r.tryPut(name, strings.Repeat(name, 100), PutOptions{Size: -1, Custom: large, Keep: KeepVersion}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.put("unnamed//record", "x")
	for _, name := range []string{"content", "escaped//content"} {
		flipBit(t, r.fileOf(name), 3)
	}
	for _, name := range []string{"record", "escaped//record", "unnamed//record"} {
		flipRecord(t, r.fileOf(name))
	}
	all, err := r.store.ListVersions(ctx, r.key("versions"))
	if err != nil {
		t.Fatal(err)
	}
	flipRecord(t, all[1].path)
	if err := os.Remove(filepath.Dir(all[1].path) + "/" + versionsNameFile); err != nil {
		t.Fatal(err)
	}
	if all, err = r.store.ListVersions(ctx, r.key("only versions")); err != nil {
		t.Fatal(err)
	}
	flipBit(t, all[1].path, 3)
	if err := os.Remove(all[0].path); err != nil { // a disk lost it
		t.Fatal(err)
	}

	walk := func(o VerifyWalkOptions) VerifyReport {
		t.Helper()
		o.Buckets, o.batch = r.bmd.Buckets(nil), 256
		report, err := r.store.VerifyWalk(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	whole := walk(VerifyWalkOptions{})
	if whole.Reported != 8 || whole.Objects != 600+8 || len(whole.Findings) != 8 {
		t.Fatalf("%+v", whole)
	}
	// In pieces: what they count is what one walk counts.
	stop := errors.New("stop")
	var sum VerifyReport
	var position VerifyPosition
	for pieces := 0; ; pieces++ {
		names := 0
		o := VerifyWalkOptions{From: position, Buckets: r.bmd.Buckets(nil), batch: 256, Progress: func(p VerifyPosition, _ *VerifyReport) error {
			position = p
			if names++; names == 97 {
				return stop
			}
			return nil
		}}
		report, err := r.store.VerifyWalk(ctx, o)
		sum.Objects += report.Objects
		sum.Versions += report.Versions
		sum.Bytes += report.Bytes
		sum.Reported += report.Reported
		if err == nil {
			break
		}
		if !errors.Is(err, stop) || pieces > 100 {
			t.Fatal(pieces, err)
		}
	}
	if sum.Objects != whole.Objects || sum.Versions != whole.Versions || sum.Bytes != whole.Bytes || sum.Reported != whole.Reported {
		t.Errorf("in pieces %+v, at once %+v", sum, whole)
	}
	// A limit of the rate is kept.
	began := time.Now()
	walk(VerifyWalkOptions{BytesPerSecond: whole.Bytes * 5})
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("a fifth of a second of work at this rate took %s", took)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.store.VerifyWalk(cancelled, VerifyWalkOptions{Buckets: r.bmd.Buckets(nil)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	var told []string
	repaired := walk(VerifyWalkOptions{VerifyOptions: VerifyOptions{Repair: true}, OnFinding: func(f Finding) { told = append(told, f.Kind+" "+f.Name) }})
	slices.Sort(told)
	want := []string{"damaged ", "name of versions versions", "object content", "object escaped//content", "object escaped//record", "object record", "version only versions", "version versions"}
	if !slices.Equal(told, want) || repaired.Quarantined != 7 || repaired.Repaired != 1 {
		t.Fatalf("%q, %+v", told, repaired)
	}
	if kept, err := r.store.Quarantine(ctx); err != nil || len(kept) != 7 {
		t.Fatalf("%+v, %v", kept, err)
	}
	if after := walk(VerifyWalkOptions{}); after.Damaged() != 0 {
		t.Fatalf("afterwards: %+v", after)
	}
	r.restart()
	if n, err := r.store.QuarantineCount(); err != nil || n != 7 {
		t.Fatalf("after a restart %d in quarantine, %v", n, err)
	}
	if content, _, found := r.get("p/q"); !found || !bytes.Equal([]byte(content), bytes.Repeat([]byte("p/q"), 100)) {
		t.Fatal("an object that was whole is not")
	}
}

// TestNothingInQuarantineIsNotCounted: a file that could not be moved aside
// leaves no empty entry.
func TestNothingInQuarantineIsNotCounted(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{system: system})
	unnamed := ""
	for _, name := range []string{"plain", "unnamed//record"} {
		r.put(name, "x")
		unnamed = r.fileOf(name)
		flipRecord(t, unnamed)
	}
	system.Inject(faultfs.Fault{Op: faultfs.OpRename, Path: "/" + fs.QuarantineDir + "/", Err: unix.EIO, Times: -1})
	options := VerifyWalkOptions{VerifyOptions: VerifyOptions{Repair: true}, Buckets: r.bmd.Buckets(nil)}
	if _, err := r.store.VerifyWalk(context.Background(), options); err == nil {
		t.Error("what cannot be moved is no error")
	}
	moved, err := r.store.setUnnamedAside(context.Background(), options.Buckets[0], r.fs.Available().Paths[0], unnamed, errRecordDamaged)
	if moved || err == nil {
		t.Errorf("%v, %v", moved, err)
	}
	if n, err := r.store.QuarantineCount(); n != 0 || err != nil {
		t.Errorf("%d in quarantine, %v", n, err)
	}
}
