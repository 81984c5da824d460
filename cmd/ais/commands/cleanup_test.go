package commands

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

// TestCleanupDryRun: it says what would go, with sizes and reasons, and leaves it.
func TestCleanupDryRun(t *testing.T) {
	t.Parallel()
	j := &jobCluster{t: t, dir: t.TempDir(), c: aistest.New(t, aistest.Options{Targets: 2})}
	j.expect("create ais://b1", 0)
	j.expect("storage cleanup --dry-run", 0, "Dry run: 0 files of 0B would be removed; nothing was.")
	work := filepath.Join(j.c.Targets[0].Paths[0], "@ais", "b1", "%wk", "put.0123abcd.1.7b")
	if err := os.WriteFile(work, []byte(strings.Repeat("x", 2048)), 0o600); err != nil {
		t.Fatal(err)
	}
	id := j.c.Targets[0].ID()
	row := "t[" + id + "] oldwork 1 2.00KiB work files of earlier processes"
	j.expect("storage cleanup ais://b1 --dry-run", 0, "TARGET CATEGORY FILES SIZE WHY", row, "Dry run: 1 files of 2.00KiB would be removed")
	j.expect("start cleanup --dry-run -v --units raw", 0, "oldwork "+work+" 2048")
	var reports map[string]wire.CleanupReport
	if err := json.Unmarshal([]byte(j.expect("storage cleanup --dry-run --json", 0)), &reports); err != nil || len(reports) != 2 || reports[id].Removals[0].Bytes != 2048 {
		t.Errorf("%+v, %v", reports, err)
	}
	if _, err := os.Stat(work); err != nil {
		t.Fatal(err)
	}
	j.expect("storage cleanup --wait", 0, "Done.")
	if _, err := os.Stat(work); err == nil {
		t.Error("the work file is left")
	}
}
