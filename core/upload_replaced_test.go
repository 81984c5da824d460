package core

import (
	"context"
	"os"
	"strings"
	"testing"
)

// TestUploadWhoseObjectWasReplaced is what a crash leaves of a completion that
// another write of the name overtook: the upload's file, the list of its chunks
// and all chunks but the first. That is no upload, and goes with collections.
func TestUploadWhoseObjectWasReplaced(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]bool{"the client asks": true, "nobody asks": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			r := newRig(t, rigOptions{mountpaths: 2, props: durable})
			id := r.create("o")
			r.part("o", id, 1, "first")
			r.part("o", id, 2, "second")
			left := readAll(t, r.files("/.$deleted/"))
			if _, err := r.tryComplete("o", id, 1, 2); err != nil {
				t.Fatal(err)
			}
			for path, content := range readAll(t, r.files("/.$deleted/", "/%ob/")) {
				left[path] = content
			}
			r.put("o", "replaced")
			for path, content := range left {
				if strings.HasSuffix(path, ".00001") {
					continue
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r.restart()
			if look {
				if parts, err := r.store.ListParts(ctx, r.key("o"), id); statusOf(err) != 404 {
					t.Errorf("%+v, %v", parts, err)
				}
			}
			for range 2 {
				if _, err := r.store.CollectGarbage(ctx, r.bck, r.props, -1e9); err != nil {
					t.Fatal(err)
				}
			}
			if files := r.files("/.$deleted/"); len(files) != 1 {
				t.Errorf("files of an upload that ended: %q", files)
			}
			if content, _, _ := r.get("o"); content != "replaced" {
				t.Errorf("the object is %q", content)
			}
		})
	}
}

func readAll(t *testing.T, paths []string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(content)
	}
	return files
}
