package test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// hostileNames are names that are legal natively and trap somebody on the way.
var hostileNames = []string{
	"a b", "50%", "%41", "a%2Fb", "what?x=1", "a#b", `q"uo'te`, `back\slash`, "a+b", "a&b=c", "\xff\xfe", "é世", "...", "~x", "-rf",
	"a//b", "/x", "p", "p/q", "p/q/r", "p-", "x/y", "x//y", "%ob", "%ob/x", strings.Repeat("c", 255), strings.Repeat("c", 256),
	"d/" + strings.Repeat("e", 255) + "/" + strings.Repeat("f", 256), strings.Repeat("long/", 819) + "z", strings.Repeat("k", 4096),
}

// refusedNames are true names that a native client can reach only in their
// escaped form.
var refusedNames = []string{"dir/", "dir//", "/", "//", ".", "..", "../up", "a/./b", "a/..", "~/home", "~x/y", "nul\x00", "line\nbreak", "del\x7f", "\xff\x01"}

func withoutSome(names []string, drop func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(names), drop)
}

// escapedURL addresses an object whatever its name; the name is in the native
// form.
func escapedURL(base, bucket, name string) string {
	return base + "/v1/objects/" + bucket + "/" + strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
}

// TestHostileNames: every name goes through the Go client and comes back, in a
// listing too, and names that native calls refuse go by their escaped form.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	createBucket(t, c.nodes[0], "names", "")
	ctx := context.Background()
	bck := wire.Bck{Name: "names", Provider: wire.ProviderAIS}
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("client direct=%v", direct), func(t *testing.T) {
			client, err := api.New(api.Options{URL: c.nodes[1].URL(), Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			names := slices.Clone(hostileNames)
			for _, name := range refusedNames {
				names = append(names, naming.Native(name))
			}
			for _, name := range names {
				if _, err := client.PutObject(ctx, bck, name, api.PutArgs{Body: api.Bytes([]byte("content of " + name))}); err != nil {
					t.Fatalf("PUT %.80q: %v", name, err)
				}
			}
			for _, name := range names {
				var body bytes.Buffer
				if _, _, err := client.GetObject(ctx, bck, name, &body, api.GetArgs{Validate: true}); err != nil || body.String() != "content of "+name {
					t.Errorf("GET %.80q: %.80q, %v", name, body.String(), err)
				}
				if attrs, err := client.HeadObject(ctx, bck, name, api.HeadArgs{}); err != nil || attrs.Size != int64(len("content of "+name)) {
					t.Errorf("HEAD %.80q: %+v, %v", name, attrs, err)
				}
			}
			// A listing is in the order of true names, page by page.
			slices.SortFunc(names, func(a, b string) int { return strings.Compare(trueOf(t, a), trueOf(t, b)) })
			for _, size := range []int64{0, 1, 3} {
				var got []string
				for entry, err := range client.Objects(ctx, bck, wire.LsoMsg{PageSize: size}) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, entry.Name)
				}
				if !slices.Equal(got, names) {
					t.Errorf("pages of %d: %s", size, firstDifference(got, names))
				}
			}
			for prefix, want := range map[string][]string{
				"p": {"p", "p-", "p/q", "p/q/r"}, "a//": {"a//b"}, "~x/line%0A": {"~x/line%0Abreak"}, "~x/%2E": {"~x/%2E", "~x/%2E%2E", "~x/%2E%2E/up", "..."},
				"dir/": {"~x/dir%2F", "~x/dir/%2F"}, "\xff": {"~x/\xff%01", "\xff\xfe"}, "~x/%7E": {"~x/%7E/home", "~x", "~x/%7Ex/y"},
			} {
				slices.SortFunc(want, func(a, b string) int { return strings.Compare(trueOf(t, a), trueOf(t, b)) })
				var got []string
				for entry, err := range client.Objects(ctx, bck, wire.LsoMsg{Prefix: naming.Token(trueOfPrefix(t, prefix)), PageSize: 2}) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, entry.Name)
				}
				if !slices.Equal(got, want) {
					t.Errorf("prefix %q: %q, want %q", prefix, got, want)
				}
			}
			for _, name := range names {
				if err := client.DeleteObject(ctx, bck, name); err != nil {
					t.Errorf("DELETE %.80q: %v", name, err)
				}
			}
			if left, err := client.ListObjects(ctx, bck, wire.LsoMsg{}, 0); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
	t.Run("refused natively", func(t *testing.T) {
		for _, name := range append(slices.Clone(refusedNames), "~x/plain", "~x/%0a", "~x/", strings.Repeat("x", 4097)) {
			for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
				checkError(t, call(t, method, escapedURL(c.nodes[0].URL(), "names", name), "x"), http.StatusBadRequest, "invalid object name")
			}
		}
		checkError(t, call(t, http.MethodPut, escapedURL(c.nodes[0].URL(), "names", naming.Native(strings.Repeat("\x01", 4097))), "x"), http.StatusBadRequest, "invalid object name")
		// The object "dir/" is not the directory that HEAD may ask for.
		must(t, http.StatusOK, http.MethodPut, escapedURL(c.nodes[0].URL(), "names", "~x/dir%2F"), "x")
		must(t, http.StatusNotFound, http.MethodHead, escapedURL(c.nodes[0].URL(), "names", "dir/"), "")
		a := must(t, http.StatusOK, http.MethodHead, escapedURL(c.nodes[0].URL(), "names", "~x/dir%2F"), "")
		if got := a.header.Get("Ais-Name"); got != "~x/dir%2F" {
			t.Errorf("it is called %q", got)
		}
		must(t, http.StatusOK, http.MethodDelete, escapedURL(c.nodes[0].URL(), "names", "~x/dir%2F"), "")
	})
	t.Run("directories", func(t *testing.T) {
		createBucket(t, c.nodes[0], "dirs", "")
		for _, name := range []string{"a", "a/b", "../x", "c\x01/d", "c\x01/e/f", "~x/y"} {
			must(t, http.StatusOK, http.MethodPut, escapedURL(c.nodes[0].URL(), "dirs", naming.Native(name)), "x")
		}
		for prefix, want := range map[string][]string{
			"":            {"~x/%2E%2E/", "a", "a/", "~x/c%01/", "~x/%7Ex/"},
			"~x/c%01/":    {"~x/c%01/d", "~x/c%01/e/"},
			"~x/%2E%2E/":  {"~x/%2E%2E/x"},
			"~x/c%01/e/":  {"~x/c%01/e/f"},
			"~x/%7Ex/":    {"~x/%7Ex/y"},
			"~x/a/":       {"a/b"},
			"~x/nothing/": nil,
		} {
			for _, size := range []int{0, 1} {
				var got []string
				message := map[string]any{"prefix": prefix, "pagesize": size, "flags": "2048", "props": "name"}
				for {
					page := listPage(t, c.nodes[1], "dirs", message)
					for _, e := range page.Entries {
						got = append(got, e.Name)
					}
					if page.Token == "" {
						break
					}
					message["continuation_token"] = page.Token
				}
				if !slices.Equal(got, want) {
					t.Errorf("prefix %q, pages of %d: %q, want %q", prefix, size, got, want)
				}
			}
		}
	})
	t.Run("p and p/q at the same time", func(t *testing.T) { collidingNames(t, c) })
	t.Run("ais", func(t *testing.T) { namesThroughTheCLI(t, c) })
}

func trueOf(t *testing.T, native string) string {
	t.Helper()
	name, err := naming.True(native)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func trueOfPrefix(t *testing.T, native string) string {
	t.Helper()
	prefix, err := naming.TruePrefix(native)
	if err != nil {
		t.Fatal(err)
	}
	return prefix
}

// collidingNames writes names of which one is a directory of the other, in both
// orders and at the same time: all are there.
func collidingNames(t *testing.T, c *cluster) {
	createBucket(t, c.nodes[0], "collide", "")
	var all sync.WaitGroup
	var want []string
	for i := range 20 {
		family := []string{fmt.Sprintf("n%02d", i), fmt.Sprintf("n%02d/q", i), fmt.Sprintf("n%02d/q/r", i)}
		want = append(want, family...)
		if i%2 == 1 {
			slices.Reverse(family)
		}
		for _, name := range family {
			put := func() {
				a, err := try(http.DefaultClient, http.MethodPut, objectURL(c.nodes[i%2], "collide", name), "content of "+name)
				if err != nil || a.status != http.StatusOK {
					t.Errorf("PUT %s: %d %s, %v", name, a.status, a.body, err)
				}
			}
			if i < 10 {
				put() // one after the other
			} else {
				all.Go(put)
			}
		}
	}
	all.Wait()
	slices.Sort(want)
	if got := listAll(t, c.proxies(), "collide", "", 7); !slices.Equal(got, want) {
		t.Errorf("%s", firstDifference(got, want))
	}
	for _, name := range want {
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "collide", name), ""); a.body != "content of "+name {
			t.Errorf("%s holds %q", name, a.body)
		}
	}
	for i, name := range want {
		if i%3 == 1 {
			must(t, http.StatusOK, http.MethodDelete, objectURL(c.nodes[0], "collide", name), "")
			must(t, http.StatusNotFound, http.MethodGet, objectURL(c.nodes[0], "collide", name), "")
		} else {
			must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "collide", name), "")
		}
	}
}

// namesThroughTheCLI puts, reads, lists and removes every name with the
// command-line client.
func namesThroughTheCLI(t *testing.T, c *cluster) {
	createBucket(t, c.nodes[0], "cli", "")
	dir := t.TempDir()
	file, read := filepath.Join(dir, "file"), filepath.Join(dir, "read")
	ais := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(programs, "ais"), args...)
		cmd.Env = append(os.Environ(), "AIS_ENDPOINT="+c.nodes[0].URL(), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ais %.120q: %v\n%.500s", args, err, out)
		}
		return string(out)
	}
	names := withoutSome(hostileNames, func(name string) bool { return strings.HasSuffix(name, "/") })
	for _, name := range refusedNames {
		names = append(names, naming.Native(name))
	}
	for _, name := range names {
		if err := os.WriteFile(file, []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
		ais("put", file, "ais://cli/"+name)
		ais("get", "--yes", "ais://cli/"+name, read)
		if got, err := os.ReadFile(read); err != nil || string(got) != "content of "+name {
			t.Errorf("%.80q holds %.80q, %v", name, got, err)
		}
	}
	listed := ais("ls", "ais://cli", "--name-only")
	for _, name := range names {
		if !strings.Contains(listed, name) && utf8.ValidString(name) {
			t.Errorf("%.80q is not listed", name)
		}
		ais("object", "rm", "--yes", "--nr", "ais://cli/"+name)
	}
	if got := listAll(t, c.proxies(), "cli", "", 0); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}
