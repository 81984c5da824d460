package ec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// cleanUp cleans up one target as if everything were old.
func (c *testCluster) cleanUp(id string, change func(*core.CleanupOptions)) *core.CleanupCounts {
	c.tb.Helper()
	opts := core.CleanupOptions{
		Buckets: []meta.BucketEntry{c.entry}, Whole: true, Age: -time.Hour, Batch: 3, Slices: c.targets[id].engine,
		Confirmed: func() bool { return true },
	}
	if change != nil {
		change(&opts)
	}
	counts := new(core.CleanupCounts)
	if err := c.targets[id].store.Cleanup(context.Background(), opts, counts); err != nil {
		c.tb.Fatal(err)
	}
	return counts
}

func (c *testCluster) cleanUpAll(change func(*core.CleanupOptions)) {
	for _, id := range c.order("") {
		c.cleanUp(id, change)
	}
}

// TestCleanupLeavesWhatProtects: no slice of what is there, or can be rebuilt, goes.
func TestCleanupLeavesWhatProtects(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, nil)
	small, large := randomContent(1, 500), randomContent(2, 50_000)
	attrs := map[string]core.Attrs{"small": c.put("small", small), "large": c.put("large", large), "lost": c.put("lost", large)}
	c.settle()
	before := c.countSlices()
	c.wipe(c.order("lost")[0]) // and what it held of the others
	left := c.countSlices()
	c.cleanUpAll(func(o *core.CleanupOptions) { o.Strangers = true })
	if n := c.countSlices(); n != left {
		t.Errorf("%d of %d files of slices are left", n, left)
	}
	if left >= before {
		t.Errorf("nothing was lost: %d and %d files", before, left)
	}
	c.mustGet("lost", large, attrs["lost"])
	c.recoverAll()
	c.cleanUpAll(nil)
	for name := range attrs {
		c.mustBeWhole(name)
	}
}

// TestCleanupOfSuperseded: an older slice goes when the owner has a newer generation; the
// mark that protects from it stays until it has gone everywhere.
func TestCleanupOfSuperseded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 2, 2, nil)
	order := c.order("o")
	away, marked := order[5], order[6]
	c.set(c.down, order[1], true)
	c.put("o", randomContent(1, 50_000)) // its slices are at 2, 3, 4 and 5
	c.settle()
	c.set(c.down, order[1], false)
	c.set(c.down, away, true)
	content := randomContent(2, 60_000)
	attrs := c.put("o", content)
	c.settle()
	if n := len(c.sliceFiles()[marked]); n != 1 {
		t.Fatalf("%d marks at a target that holds nothing", n)
	}
	if counts := c.cleanUp(marked, nil); counts.Marks.Load() != 0 || counts.KeepSlices.Load() != 1 {
		t.Errorf("while a target does not answer: %s", counts)
	}
	c.set(c.down, away, false)
	if counts := c.cleanUp(marked, nil); counts.Marks.Load() != 0 {
		t.Errorf("while a target holds something older: %s", counts)
	}
	if counts := c.cleanUp(away, func(o *core.CleanupOptions) { o.Age = time.Hour }); counts.Files.Load() != 0 || counts.TooFresh.Load() != 1 {
		t.Errorf("what is young: %s", counts)
	}
	dry := c.cleanUp(away, func(o *core.CleanupOptions) { o.DryRun = true })
	if report := dry.Report(); dry.Slices.Load() != 1 || dry.Slices.Size() < 25_000 || len(report.Examples) != 1 || len(c.sliceFiles()[away]) != 1 {
		t.Errorf("dry run: %s %+v", dry, report)
	}
	if counts := c.cleanUp(away, nil); counts.Slices.Load() != 1 || len(c.sliceFiles()[away]) != 0 {
		t.Errorf("an older slice: %s", counts)
	}
	if counts := c.cleanUp(marked, nil); counts.Marks.Load() != 1 || len(c.sliceFiles()[marked]) != 0 {
		t.Errorf("a mark that protects from nothing: %s", counts)
	}
	c.cleanUpAll(nil)
	if n := c.countSlices(); n != 4 {
		t.Errorf("%d files of slices are left, want 4: %v", n, c.sliceFiles())
	}
	c.mustGet("o", content, attrs)
	c.mustBeWhole("o")
}

// TestCleanupOfDeleted: what others keep of a deleted object goes, and then the marks;
// it never comes back.
func TestCleanupOfDeleted(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 6, 2, 2, nil)
		c.put("o", randomContent(1, size))
		c.settle()
		order := c.order("o")
		c.set(c.down, order[1], true)
		if err := c.owner("o").store.Delete(context.Background(), c.key("o")); err != nil {
			t.Fatal(err)
		}
		c.cleanUpAll(nil)
		if n := c.countSlices() - len(c.sliceFiles()[order[1]]); n == 0 {
			t.Errorf("%d bytes: no mark is left while a target does not answer", size)
		}
		c.set(c.down, order[1], false)
		for range 3 {
			c.cleanUpAll(nil)
		}
		if n := c.countSlices(); n != 0 {
			t.Errorf("%d bytes: %d files are left: %v", size, n, c.sliceFiles())
		}
		c.recoverAll()
		if _, _, err := c.owner("o").get("o"); statusOf(err) != 404 {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestCleanupWithoutErasureCoding: slices go once the owner has read its object and found it
// whole; what may be all that is left of an object stays, or goes to the trash for a day if
// an operator insists.
func TestCleanupWithoutErasureCoding(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, nil)
	content := randomContent(1, 50_000)
	attrs := c.put("whole", content)
	for _, name := range []string{"rotten", "lost"} {
		c.put(name, content)
	}
	c.settle()
	c.entry.Props.EC.Enabled = false
	fileOf := func(name string) string {
		found, err := filepath.Glob(filepath.Join(c.root, c.order(name)[0], "*", "@ais", "b1", fs.ContentObject, name))
		if err != nil || len(found) != 1 {
			t.Fatal(name, found, err)
		}
		return found[0]
	}
	rot, err := os.OpenFile(fileOf("rotten"), os.O_WRONLY, 0)
	if err == nil {
		_, err = rot.WriteAt([]byte("rot"), 17)
		err = errors.Join(err, rot.Close(), os.Remove(fileOf("lost")))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.fail = func(call, _ string) error {
		if call == "judge" {
			return errors.New("I/O error")
		}
		return nil
	}
	before := c.countSlices()
	c.cleanUpAll(nil)
	c.fail = nil
	if n := c.countSlices(); n != before {
		t.Errorf("owners could not be asked: %d of %d files are left", n, before)
	}
	c.cleanUpAll(nil)
	if n := c.countSlices(); n != 8 {
		t.Errorf("%d files of slices are left, want those of the two that cannot be read", n)
	}
	c.mustGet("whole", content, attrs)
	c.cleanUpAll(func(o *core.CleanupOptions) { o.Strangers = true })
	if n := c.countSlices(); n != 4 {
		t.Errorf("%d files of slices are left, want those of the one that is rotten", n)
	}
	retained, err := filepath.Glob(filepath.Join(c.root, "*", "*", fs.TrashDir, "%retained", "*"))
	if err != nil || len(retained) != 4 {
		t.Errorf("%d files are kept in the trash, %v", len(retained), err)
	}
}
