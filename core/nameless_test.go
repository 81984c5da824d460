package core

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestRecordWithoutANameIsNotInTheEscapedPlace: a write that is sent to the
// escaped place at its last step has a record without its name. Also where nobody
// waits for stable storage, the one with the name is there first: a loss of power
// that kept the other would leave an object that is read, and not listed.
func TestRecordWithoutANameIsNotInTheEscapedPlace(t *testing.T) {
	t.Parallel()
	system := faultfs.New(nil)
	r := newRig(t, rigOptions{system: system, root: memoryDir(t)})
	r.props.Durability = meta.DurabilityNone
	r.put("x", "content")
	var once sync.Once
	system.Before(func(c faultfs.Call) {
		if c.Op == faultfs.OpRename && strings.Contains(c.Path, "/%wk/") {
			once.Do(func() {
				system.Reset()
				if err := os.WriteFile(filepath.Join(r.dirs[0], "@ais/b1/%ob/p"), nil, 0o600); err != nil {
					t.Error(err)
				}
			})
		}
	})
	r.put("p/q", "content")
	var order []faultfs.Op
	for _, c := range system.Calls() {
		work := strings.Contains(c.Path, "/%wk/")
		if work && (c.Op == faultfs.OpSetXattr || c.Op == faultfs.OpSync || c.Op == faultfs.OpRename) {
			order = append(order, c.Op)
		}
	}
	order = slices.Compact(order) // a rename is tried again when its directory was made
	want := []faultfs.Op{faultfs.OpRename, faultfs.OpSetXattr, faultfs.OpSync, faultfs.OpRename}
	if !slices.Equal(order, want) {
		t.Errorf("%v", order)
	}
	if names := r.names(ListOptions{}); !slices.Equal(names, []string{"p/q", "x"}) {
		t.Errorf("%q", names)
	}
}
