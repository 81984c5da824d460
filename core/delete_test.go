package core

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestDeleteOfAPlainObjectListsNothing: a DELETE looks for chunks, versions and
// the like only if the record, or the bucket, says that there may be any.
func TestDeleteOfAPlainObjectListsNothing(t *testing.T) {
	t.Parallel()
	sys := faultfs.New(nil)
	r := newRig(t, rigOptions{mountpaths: 3, system: sys, root: memoryDir(t), store: walking})
	for _, name := range []string{"first", "p/q", "o"} {
		r.put(name, "content")
	}
	if err := r.store.Delete(context.Background(), r.key("first")); err != nil { // it finds out what the bucket has
		t.Fatal(err)
	}
	for _, name := range []string{"p/q", "o"} {
		sys.Reset()
		sys.Record(true)
		if err := r.store.Delete(context.Background(), r.key(name)); err != nil {
			t.Fatal(err)
		}
		var calls []string
		for _, c := range sys.Calls() {
			calls = append(calls, fmt.Sprint(c.Op))
		}
		sys.Record(false)
		if got := strings.Join(calls, " "); got != "getxattr unlink" {
			t.Errorf("DELETE of %q: %s", name, got)
		}
	}
}
