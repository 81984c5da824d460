package core

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
)

func TestETag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		attrs Attrs
		want  string
	}{
		{"made", Attrs{Checksum: cksum.Value{Type: cksum.XXHash2, Value: "45ab"}, Mtime: 35}, "v1-45ab-z"},
		{"MD5", Attrs{Checksum: cksum.Value{Type: cksum.MD5, Value: "5eb6"}, Mtime: 35}, "5eb6"},
		{"MD5 of parts", Attrs{Checksum: cksum.Value{Type: cksum.MD5, Value: "5eb6"}, Mtime: 36, Chunks: 2}, "v1-5eb6-10"},
		{"none", Attrs{Checksum: cksum.Value{Type: cksum.None}, Mtime: 35}, ""},
		{"custom", Attrs{Checksum: cksum.Value{Type: cksum.MD5, Value: "5eb6"}, Custom: []KV{{CustomETag, "abc-2"}}}, "abc-2"},
		{"custom, quoted", Attrs{Custom: []KV{{CustomETag, `"abc"`}}}, "abc"},
	} {
		if got := c.attrs.ETag(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMatchesTag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list, tag    string
		strong, weak bool
	}{
		{"*", "a", true, true}, {" * ", "", true, true}, {`"a"`, "a", true, true}, {"a", "a", true, true}, {`"b"`, "a", false, false},
		{`"b", "a"`, "a", true, true}, {`W/"a"`, "a", false, true}, {`"b",W/"a"`, "a", false, true}, {`"a,b"`, "a,b", true, true},
		{`"a,b"`, "a", false, false}, {"", "a", false, false}, {`"a"`, "", false, false}, {`""`, "", false, false}, {",,", "a", false, false},
	} {
		if got := matchesTag(c.list, c.tag, true); got != c.strong {
			t.Errorf("strong %q with %q: %v", c.list, c.tag, got)
		}
		if got := matchesTag(c.list, c.tag, false); got != c.weak {
			t.Errorf("weak %q with %q: %v", c.list, c.tag, got)
		}
	}
}

func FuzzMatchesTag(f *testing.F) {
	f.Add(`"a", W/"b"`, "a")
	f.Fuzz(func(t *testing.T, list, tag string) {
		if matchesTag(list, tag, true) && !matchesTag(list, tag, false) {
			t.Errorf("%q has %q strongly and not weakly", list, tag)
		}
		if tag != "" && !strings.ContainsAny(tag, `", `) && strings.TrimSpace(tag) == tag && !strings.HasPrefix(tag, "W/") && !matchesTag(`"`+tag+`"`, tag, true) {
			t.Errorf("%q is not itself", tag)
		}
	})
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*meta.Bprops){"none": nil, "sync": durable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{props: props})
			put := func(content string, c Conditions) (Attrs, error) {
				return r.tryPut("o", content, PutOptions{Size: int64(len(content)), Conditions: c})
			}
			check := func(step string, content string, c Conditions, status int) Attrs {
				t.Helper()
				before, old, _ := r.get("o")
				attrs, err := put(content, c)
				if statusOf(err) != status {
					t.Fatalf("%s: %d, want %d: %v", step, statusOf(err), status, err)
				}
				if now, have, _ := r.get("o"); status != 200 && (now != before || have.Version != old.Version) || status == 200 && now != content {
					t.Fatalf("%s: %q, version %s", step, now, have.Version)
				}
				return attrs
			}
			check("match of nothing", "x", Conditions{IfMatch: "*"}, 412)
			first := check("only if absent", "one", IfAbsent(), 200)
			check("not absent", "two", IfAbsent(), 412)
			check("other tag", "two", Conditions{IfMatch: `"other"`}, 412)
			second := check("own tag", "two", Conditions{IfMatch: `"x", "` + first.ETag() + `"`}, 200)
			check("former tag", "three", Conditions{IfMatch: first.ETag()}, 412)
			check("none of its tags", "three", Conditions{IfNoneMatch: `"` + second.ETag() + `"`}, 412)
			check("none of others", "three", Conditions{IfNoneMatch: `"` + first.ETag() + `"`}, 200)
			check("any", "four", Conditions{IfMatch: "*"}, 200)
			if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
				t.Fatal(err)
			}
			check("absent again", "five", IfAbsent(), 200)
			if _, err := r.store.Bury(context.Background(), r.key("o")); err != nil {
				t.Fatal(err)
			}
			check("match of a tombstone", "six", Conditions{IfMatch: "*"}, 412)
			check("a tombstone is no object", "six", IfAbsent(), 200)
			// Refused before the body is read.
			if _, err := r.store.Put(context.Background(), r.key("o"), failingReader{t}, PutOptions{Size: 3, Conditions: IfAbsent()}); statusOf(err) != 412 {
				t.Errorf("%v", err)
			}
			if left := r.files("/%ob/"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestOneOfManyCreates lets writers race for a name: one makes it, and a chain of
// writers that each replace what they read loses none.
func TestOneOfManyCreates(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*meta.Bprops){"none": nil, "sync": durable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{props: props, root: memoryDir(t)})
			var created, replaced atomic.Int64
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					content := fmt.Sprint(i)
					_, err := r.tryPut("o", content, PutOptions{Size: 1, Conditions: IfAbsent()})
					switch {
					case err == nil:
						created.Add(1)
					case statusOf(err) != 412:
						t.Error(err)
					}
					for done := false; !done; {
						_, attrs, _ := r.get("o")
						_, err := r.tryPut("o", content, PutOptions{Size: 1, Conditions: Conditions{IfMatch: attrs.ETag()}})
						if done = err == nil; done {
							replaced.Add(1)
						} else if statusOf(err) != 412 {
							t.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			if created.Load() != 1 || replaced.Load() != 8 {
				t.Errorf("%d creations, %d replacements", created.Load(), replaced.Load())
			}
			if _, attrs, _ := r.get("o"); attrs.Version != "9" {
				t.Errorf("version %s", attrs.Version)
			}
		})
	}
}
