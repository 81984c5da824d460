package core

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

func (r *rig) copy(from, to string, moves bool) (Attrs, error) {
	return r.store.Copy(context.Background(), r.key(from), r.key(to), moves)
}

func TestCopyTakesOver(t *testing.T) {
	t.Parallel()
	for _, mountpaths := range []int{1, 3} {
		for _, size := range []int{0, 100, streamBuffer, 3 << 20} {
			r := newRig(t, rigOptions{props: durable, mountpaths: mountpaths})
			content := strings.Repeat("x", size)
			r.put("src", "first")
			if _, err := r.tryPut("src", content, PutOptions{Size: int64(size), Custom: []KV{{"k", "v"}}}); err != nil {
				t.Fatal(err)
			}
			for _, to := range []string{"dst", "d//e", "dir/dst"} {
				if _, err := r.tryPut(to, "old", PutOptions{Size: 3, Custom: []KV{{"gone", "x"}}}); err != nil {
					t.Fatal(err)
				}
				source, err := r.copy("src", to, false)
				if err != nil {
					t.Fatal(err)
				}
				got, attrs, _ := r.get(to)
				if got != content || attrs.Version != "2" || !slices.Equal(attrs.Custom, []KV{{"k", "v"}}) || attrs.Checksum != source.Checksum || attrs.Mtime <= source.Mtime {
					t.Errorf("%d bytes to %q: %d bytes %+v", size, to, len(got), attrs)
				}
				if _, err := r.copy("src", to, false); err != nil {
					t.Fatal(err)
				}
				if _, again, _ := r.get(to); again.Stamp != attrs.Stamp {
					t.Errorf("%d bytes to %q: an equal copy was written again", size, to)
				}
			}
			if source, err := r.copy("src", "moved", true); err != nil {
				t.Fatal(err)
			} else if _, attrs, _ := r.get("moved"); attrs.Mtime != source.Mtime || attrs.Version != "2" {
				t.Errorf("moved: %+v", attrs)
			}
			if left := r.files("/%ob/", "/%ox/"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		}
	}
}

// TestCopyComputesAnew: the checksum is of the destination's type, and the
// source's is compared.
func TestCopyComputesAnew(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 1 << 20} {
		r := newRig(t, rigOptions{})
		content := strings.Repeat("y", size)
		r.put("src", content)
		to := r.key("dst")
		to.Props = r.props.Clone()
		to.Props.Checksum.Type = cksum.SHA256
		if _, err := r.store.Copy(context.Background(), r.key("src"), to, false); err != nil {
			t.Fatal(err)
		}
		want, err := cksum.Of(cksum.SHA256, []byte(content))
		if _, attrs, _ := r.get("dst"); err != nil || attrs.Checksum != want {
			t.Errorf("%v", attrs.Checksum)
		}
		f, err := fs.Unix().Open(r.fileOf("src"), unix.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("z"), 50); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"dst", "other"} {
			to.Name = name
			_, err := r.store.Copy(context.Background(), r.key("src"), to, false)
			if name == "dst" && (statusOf(err) != 500 || !strings.HasPrefix(err.Error(), "BAD DATA CHECKSUM")) || name == "other" && statusOf(err) != 404 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, _, _ := r.get("dst"); got != content {
			t.Error("the copy made before is not what it was")
		}
	}
}

// TestDeleteUnchanged leaves alone what was written since.
func TestDeleteUnchanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: durable})
	first := r.put("o", "first")
	second := r.put("o", "second")
	for _, tc := range []struct {
		stamp Stamp
		found bool
	}{{first.Stamp, true}, {second.Stamp, false}, {second.Stamp, false}} {
		if err := r.store.DeleteUnchanged(context.Background(), r.key("o"), tc.stamp); err != nil {
			t.Fatal(err)
		}
		if _, _, found := r.get("o"); found != tc.found {
			t.Errorf("%+v: found %v", tc, found)
		}
	}
}

// TestCopyFaults makes each system call of a copy and of a move fail in turn:
// the destination is old or new, the source is there.
func TestCopyFaults(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 2 << 20} {
		for _, props := range []func(*meta.Bprops){durable, nil} {
			content := strings.Repeat("c", size)
			sys := faultfs.New(nil)
			r := newRig(t, rigOptions{system: sys, props: props, root: memoryDir(t)})
			for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
				for n := 1; ; n++ {
					reset(r)
					r.put("src", content)
					r.put("dst", "old")
					sys.Restart(faultfs.Fault{Nth: n, Err: errno})
					_, err := r.copy("src", "dst", false)
					sys.Heal()
					calls := sys.Calls()
					hit := slices.IndexFunc(calls, func(c faultfs.Call) bool { return errors.Is(c.Err, errno) })
					if hit < 0 {
						if err != nil {
							t.Fatalf("fault %d was not reached, and yet: %v", n, err)
						}
						break
					}
					got, _, found := r.get("dst")
					source, _, present := r.get("src")
					if !found || got != content && (err == nil || got != "old") || !present || source != content {
						t.Fatalf("%v in %s: %v %d bytes, source %v; %v", errno, calls[hit], found, len(got), present, err)
					}
					if err == nil && props != nil && isFlush(calls[hit]) {
						t.Errorf("%v in %s: acknowledged without being durable", errno, calls[hit])
					}
				}
			}
		}
	}
}
