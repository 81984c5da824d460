package core

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hardNames are names that a path cannot hold, or not beside each other.
var hardNames = []string{
	"p", "p/q", "p/q/r", "p-", "p0", "a//b", "a/b", "a", "/lead", "//x", "x//y", "a/b/c", "a-b", "%ob", "%ob/x",
	"%2F", "имя/файл", "日本語", "\xff\xfe", "sp ace", "q\"uote", "back\\slash", "...", "....", ".hidden", "~x",
	strings.Repeat("l", 255), strings.Repeat("l", 256), strings.Repeat("m", 300) + "/x", "d/" + strings.Repeat("n", 256),
	strings.Repeat("long/", 250) + "end", strings.Repeat("k", 4096),
	"dir/", "dir//", "/", ".", "..", "../up", "a/./b", "a/..", "~/x", "~x/y", "nul\x00", "\x00", "line\nbreak", "del\x7f", strings.Repeat("\x01/", 2048),
}

// modelObject is what the model knows of an object.
type modelObject struct {
	content string
	version int
	custom  map[string]string
}

// TestRandomOperations runs random operations and compares the store with a
// map after each, across restarts and re-creations of the bucket.
func TestRandomOperations(t *testing.T) {
	for _, mode := range []struct {
		name       string
		mountpaths int
		sync       bool
	}{{"one mountpath", 1, false}, {"four mountpaths", 4, false}, {"sync", 2, true}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				o := rigOptions{mountpaths: mode.mountpaths, root: memoryDir(t)}
				if mode.sync {
					o.props = durable
				}
				r := newRig(t, o)
				defer r.close()
				runModel(rt, r)
			})
		})
	}
}

func runModel(rt *rapid.T, r *rig) {
	model := map[string]modelObject{}
	// A few names a run, so that operations meet.
	names := rapid.SliceOfNDistinct(rapid.SampledFrom(hardNames), 3, 8, rapid.ID).Draw(rt, "names")
	name := rapid.SampledFrom(names)
	rt.Repeat(map[string]func(*rapid.T){
		"put": func(rt *rapid.T) {
			n := name.Draw(rt, "name")
			content := strings.Repeat(rapid.StringN(0, 20, 40).Draw(rt, "content"), rapid.SampledFrom([]int{1, 1, 1, 5000, 40000}).Draw(rt, "times"))
			custom := rapid.MapOfN(rapid.SampledFrom([]string{"k1", "k2", "ключ"}), rapid.StringMatching(`[^\x00-\x1f\x7f]{0,10}`), 0, 2).Draw(rt, "custom")
			skip := rapid.Bool().Draw(rt, "skip_vc")
			size := int64(len(content))
			if rapid.Bool().Draw(rt, "unknown size") {
				size = -1
			}
			o := PutOptions{Size: size, SkipVC: skip}
			for _, k := range slices.Sorted(maps.Keys(custom)) {
				o.Custom = append(o.Custom, KV{k, custom[k]})
			}
			old, had := model[n]
			attrs, err := r.tryPut(n, content, o)
			if slices.ContainsFunc(o.Custom, func(kv KV) bool { return strings.Contains(kv.Value, "\x01") }) {
				if statusOf(err) != 400 {
					rt.Fatalf("PUT with a forbidden byte: %v", err)
				}
				return
			}
			if err != nil {
				rt.Fatalf("PUT %q: %v", n, err)
			}
			next := modelObject{content: content, version: 1, custom: map[string]string{}}
			if had && !skip {
				next.version = old.version + 1
				maps.Copy(next.custom, old.custom)
			}
			maps.Copy(next.custom, custom)
			model[n] = next
			compareAttrs(rt, n, attrs, next)
		},
		"delete": func(rt *rapid.T) {
			n := name.Draw(rt, "name")
			err := r.store.Delete(context.Background(), r.key(n))
			if _, had := model[n]; had != (err == nil) {
				rt.Fatalf("DELETE %q: had %v, %v", n, had, err)
			}
			if err != nil && (statusOf(err) != 404 || err.Error() != r.key(n).Cname()+" doesn't exist") {
				rt.Fatalf("DELETE %q: %v", n, err)
			}
			delete(model, n)
		},
		"get": func(rt *rapid.T) {
			n := name.Draw(rt, "name")
			content, attrs, found := r.get(n)
			want, had := model[n]
			if found != had || content != want.content {
				rt.Fatalf("GET %q: found %v, want %v; %d bytes, want %d", n, found, had, len(content), len(want.content))
			}
			if had {
				compareAttrs(rt, n, attrs, want)
			}
		},
		"restart":   func(*rapid.T) { r.restart() },
		"re-create": func(rt *rapid.T) { recreate(rt, r); clear(model) },
		"": func(rt *rapid.T) {
			for n, want := range model {
				attrs, err := r.store.Head(context.Background(), r.key(n))
				if err != nil {
					rt.Fatalf("HEAD %q: %v", n, err)
				}
				compareAttrs(rt, n, attrs, want)
			}
			want := slices.Sorted(maps.Keys(model))
			for _, limit := range []int{1, 2, 7, 1000} {
				if got := r.allNames(ListOptions{Limit: limit}); !slices.Equal(got, want) {
					rt.Fatalf("list by %d: %q, want %q", limit, got, want)
				}
			}
			if left := r.files("/%ob/", "/%ox/", "/%md/", "/.$deleted/"); len(left) > 0 {
				rt.Fatalf("left behind: %q", left)
			}
		},
	})
}

func compareAttrs(rt *rapid.T, name string, attrs Attrs, want modelObject) {
	custom := map[string]string{}
	for _, kv := range attrs.Custom {
		custom[kv.Key] = kv.Value
	}
	sum, err := sumOf("xxhash2", []byte(want.content))
	if err != nil || attrs.Size != int64(len(want.content)) || attrs.Version != strconv.Itoa(want.version) ||
		!maps.Equal(custom, want.custom) || attrs.Checksum != sum {
		rt.Fatalf("%q: attributes %+v, want %s", name, attrs, fmt.Sprint(want.version, len(want.content), want.custom, sum))
	}
}

// recreate destroys the bucket and makes it again.
func recreate(tb interface{ Fatal(...any) }, r *rig) {
	ctx := context.Background()
	without := r.bmdWith()
	if err := r.store.ApplyBMD(ctx, r.bmd, without); err != nil {
		tb.Fatal(err)
	}
	props := r.props.Clone()
	props.BID++
	r.props = props
	r.bmd = r.bmdWith(props)
	if err := r.store.ApplyBMD(ctx, without, r.bmd); err != nil {
		tb.Fatal(err)
	}
}
