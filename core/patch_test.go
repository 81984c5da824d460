package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func (r *rig) patch(name string, replace bool, custom ...KV) (Attrs, error) {
	return r.store.SetCustom(context.Background(), r.key(name), custom, replace)
}

func TestSetCustom(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: durable})
	if _, err := r.tryPut("d/o", "content", PutOptions{Size: 7, Custom: []KV{{"a", "1"}, {"b", "2"}}}); err != nil {
		t.Fatal(err)
	}
	_, before, _ := r.get("d/o")
	for _, tc := range []struct {
		name    string
		replace bool
		set     []KV
		want    []KV
	}{
		{"merge", false, []KV{{"c", "=,\xff 3"}, {"a", "one"}}, []KV{{"a", "one"}, {"b", "2"}, {"c", "=,\xff 3"}}},
		{"nothing", false, nil, []KV{{"a", "one"}, {"b", "2"}, {"c", "=,\xff 3"}}},
		{"replace", true, []KV{{"z", ""}}, []KV{{"z", ""}}},
		{"large goes to a sidecar", false, []KV{{"k", strings.Repeat("v", 2047)}}, []KV{{"k", strings.Repeat("v", 2047)}, {"z", ""}}},
		{"and another large one", false, []KV{{"l", strings.Repeat("w", 2047)}}, []KV{{"k", strings.Repeat("v", 2047)}, {"l", strings.Repeat("w", 2047)}, {"z", ""}}},
		{"small again", true, []KV{{"s", "s"}}, []KV{{"s", "s"}}},
		{"nearly too large for one attribute", true, []KV{{"n", strings.Repeat("n", 1800)}}, []KV{{"n", strings.Repeat("n", 1800)}}},
		{"and again", true, []KV{{"m", strings.Repeat("m", 1800)}}, []KV{{"m", strings.Repeat("m", 1800)}}},
		{"clear", true, nil, nil},
	} {
		attrs, err := r.patch("d/o", tc.replace, tc.set...)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		content, now, _ := r.get("d/o")
		if content != "content" || !slices.Equal(now.Custom, tc.want) || !slices.Equal(attrs.Custom, tc.want) {
			t.Errorf("%s: %q %v", tc.name, content, now.Custom)
		}
		if now.Version != before.Version || now.Checksum != before.Checksum || now.Mtime != before.Mtime || now.Size != before.Size {
			t.Errorf("%s: changed more than custom metadata: %+v", tc.name, now)
		}
		if now.Stamp.Compare(before.Stamp) <= 0 {
			t.Errorf("%s: the stamp did not grow", tc.name)
		}
		before.Stamp = now.Stamp
		page, err := r.store.List(context.Background(), r.bck, r.props, ListOptions{Props: ListCustom})
		if err != nil || len(page) != 1 || !slices.Equal(page[0].Attrs.Custom, tc.want) {
			t.Errorf("%s: listed %+v %v", tc.name, page, err)
		}
		r.restart()
		if _, now, _ = r.get("d/o"); !slices.Equal(now.Custom, tc.want) {
			t.Errorf("%s: after a restart %v", tc.name, now.Custom)
		}
	}
	if left := r.files("/%ob/"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestSetCustomKeepsAccessTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "x")
	r.get("o") // an access that only memory knows
	before, err := r.store.Head(context.Background(), r.key("o"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.patch("o", false, KV{"k", "v"}); err != nil {
		t.Fatal(err)
	}
	after, err := r.store.Head(context.Background(), r.key("o"))
	if err != nil || after.Atime != before.Atime {
		t.Errorf("%d, was %d: %v", after.Atime, before.Atime, err)
	}
}

func TestSetCustomRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	r.put("o", "x")
	for _, tc := range []struct {
		name, object string
		custom       []KV
		status       int
		text         string
	}{
		{"missing", "none", []KV{{"k", "v"}}, 404, "ais://b1/none does not exist"},
		{"empty key", "o", []KV{{"", "v"}}, 400, "empty key"},
		{"byte 1", "o", []KV{{"k", "a\x01"}}, 400, "control bytes"},
		{"forbidden sequence", "o", []KV{{"k\xe3\x2f\xbd", "a"}}, 400, "e3 2f bd"},
		{"too much", "o", []KV{{"k", strings.Repeat("v", 2048)}}, 400, "custom metadata: total size 2049 exceeds max 2048 bytes"},
	} {
		if _, err := r.patch(tc.object, false, tc.custom...); statusOf(err) != tc.status || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	// However many requests add keys, there is a bound.
	var err error
	for i := 0; err == nil && i < 20; i++ {
		_, err = r.patch("o", false, KV{fmt.Sprintf("key%02d", i), strings.Repeat("v", 2000)})
	}
	if statusOf(err) != 400 || !strings.Contains(err.Error(), "of the object exceeds max") {
		t.Errorf("%v", err)
	}
}

// TestSetCustomFaults makes each system call of a change fail in turn: the old
// set or the new one, and the next change works.
func TestSetCustomFaults(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("v", 2040)
	for _, tc := range []struct {
		name     string
		old, new string
		props    func(*meta.Bprops)
	}{
		{"small, sync", "old", "new", durable}, {"small, none", "old", "new", nil},
		{"to a sidecar", "old", large, durable}, {"from a sidecar", large, "new", durable}, {"between sidecars", large, large + "x", durable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sys := faultfs.New(nil)
			r := newRig(t, rigOptions{system: sys, props: tc.props, root: memoryDir(t)})
			for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
				for _, late := range []bool{false, true} {
					for n := 1; ; n++ {
						reset(r)
						if _, err := r.tryPut("o", "content", PutOptions{Size: 7, Custom: []KV{{"k", tc.old}}}); err != nil {
							t.Fatal(err)
						}
						sys.Restart(faultfs.Fault{Nth: n, Err: errno, Late: late})
						_, err := r.patch("o", true, KV{"k", tc.new})
						sys.Heal()
						calls := sys.Calls()
						hit := slices.IndexFunc(calls, func(c faultfs.Call) bool { return errors.Is(c.Err, errno) })
						if hit < 0 {
							if err != nil {
								t.Fatalf("fault %d was not reached, and yet: %v", n, err)
							}
							break
						}
						where := fmt.Sprintf("%v (late %v) in call %d, %s", errno, late, n, calls[hit])
						for _, when := range []string{"now", "after a restart"} {
							content, attrs, found := r.get("o")
							value, _ := attrs.CustomValue("k")
							if !found || content != "content" || attrs.Version != "1" || value != tc.new && (err == nil || value != tc.old) {
								t.Fatalf("%s: %s %v %q version %s value %.20q; %v", where, when, found, content, attrs.Version, value, err)
							}
							if when == "now" && errno == unix.EIO {
								r.restart()
							}
						}
						if err == nil && tc.props != nil && isFlush(calls[hit]) {
							t.Errorf("%s: acknowledged without being durable", where)
						}
						if _, err := r.patch("o", false, KV{"again", "x"}); err != nil {
							t.Fatalf("%s: the next change: %v", where, err)
						}
					}
				}
			}
		})
	}
}

// TestTornRecordIsReadFromTheSecondAttribute is a loss of power in the middle
// of a change: the attribute is torn, and the new record is beside it.
func TestTornRecordIsReadFromTheSecondAttribute(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"o", "a//b"} {
		sys := faultfs.New(nil)
		r := newRig(t, rigOptions{system: sys, props: durable})
		r.put(name, "content")
		sys.Inject(faultfs.Fault{Op: faultfs.OpRemoveXattr, Err: unix.EIO, Times: -1})
		if _, err := r.patch(name, false, KV{"k", "v"}); err != nil {
			t.Fatal(err)
		}
		sys.Heal()
		path := r.fileOf(name)
		var frame [4096]byte
		n, err := r.sys.GetXattr(path, XattrRecord, frame[:])
		if err != nil {
			t.Fatal(err)
		}
		for i := n / 2; i < n; i++ {
			frame[i] = 0
		}
		if err := r.sys.SetXattr(path, XattrRecord, frame[:n]); err != nil {
			t.Fatal(err)
		}
		content, attrs, found := r.get(name)
		if value, _ := attrs.CustomValue("k"); !found || content != "content" || value != "v" {
			t.Errorf("%q: %v %q %v", name, found, content, attrs.Custom)
		}
		if names := r.names(ListOptions{Props: ListCustom}); !slices.Equal(names, []string{name}) {
			t.Errorf("%q: listed %q", name, names)
		}
		if _, err := r.patch(name, false, KV{"l", "w"}); err != nil {
			t.Fatal(err)
		}
		if _, attrs, _ := r.get(name); len(attrs.Custom) != 2 {
			t.Errorf("%q: %v", name, attrs.Custom)
		}
		if n, err = r.sys.GetXattr(path, XattrRecord, frame[:]); err != nil {
			t.Fatal(err)
		}
		if _, _, err := openFrame(frame[:n]); err != nil {
			t.Errorf("%q: the first attribute was not mended: %v", name, err)
		}
	}
}

// TestSetCustomBesideOthers: readers see whole sets, writers and changes of
// metadata leave one of them, and never a mix.
func TestSetCustomBesideOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{root: memoryDir(t)})
	r.put("o", "content")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				value := fmt.Sprint(i, "-", j, strings.Repeat("x", j*15))
				if _, err := r.patch("o", true, KV{"a", value}, KV{"b", value}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if _, err := r.tryPut("o", "content", PutOptions{Size: 7}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 200 {
				content, attrs, err := r.tryGet("o")
				a, _ := attrs.CustomValue("a")
				b, _ := attrs.CustomValue("b")
				if err != nil || content != "content" || a != b {
					t.Errorf("%v %q %.20q %.20q", err, content, a, b)
				}
			}
		})
	}
	wg.Wait()
}

// TestSidecarLostInAChange: the power goes while a record is changed without a
// flush, and takes the new sidecar along. What the second attribute has is read,
// and listed.
func TestSidecarLostInAChange(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"o", "a//b"} {
		r := newRig(t, rigOptions{store: walking})
		r.put(name, "content")
		path := r.fileOf(name)
		var buf [recordBuffer]byte
		n, err := r.store.system.GetXattr(path, XattrRecord, buf[:])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.patch(name, true, KV{"k", strings.Repeat("v", 2040)}); err != nil {
			t.Fatal(err)
		}
		if err := r.store.system.SetXattr(path, XattrNext, buf[:n]); err != nil {
			t.Fatal(err)
		}
		for _, file := range r.files() {
			if strings.Contains(file, "/%md/") {
				if err := r.store.system.Unlink(file); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.restart()
		for _, props := range []ListProps{0, ListSize} {
			if names := r.names(ListOptions{Props: props}); !slices.Equal(names, []string{name}) {
				t.Errorf("listed: %q, want %q", names, name)
			}
		}
		if content, _, found := r.get(name); !found || content != "content" {
			t.Errorf("%q: found %v, %q", name, found, content)
		}
	}
}
