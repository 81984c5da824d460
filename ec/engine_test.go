package ec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/memsys"
)

// sizes are those of objects that are replicated and that are sliced, with ends
// of stripes and units among them.
var sizes = []int{0, 1, 999, 1000, 1001, 70_000, 2*core.SliceBlock - 1, 2 * core.SliceBlock, 300_001, 1_200_003}

type stored struct {
	name    string
	content []byte
	attrs   core.Attrs
}

func (c *testCluster) fill(prefix string, n int) (all []stored) {
	c.tb.Helper()
	for i := range n {
		o := stored{name: fmt.Sprintf("%s/%d", prefix, i), content: randomContent(byte(i), sizes[i%len(sizes)])}
		o.attrs = c.put(o.name, o.content)
		all = append(all, o)
	}
	c.settle()
	return all
}

func (c *testCluster) checkAll(all []stored) {
	c.tb.Helper()
	for _, o := range all {
		c.mustGet(o.name, o.content, o.attrs)
	}
}

func (c *testCluster) checkWhole(all []stored) {
	c.tb.Helper()
	for _, o := range all {
		c.mustBeWhole(o.name)
	}
}

// TestEncodedObjects: what is held is what the document says, where it says.
func TestEncodedObjects(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 2, 2, nil)
	want := 0
	for _, o := range c.fill("o", 20) {
		shape := ShapeOf(c.entry.Props, int64(len(o.content)))
		want += shape.Pieces()
		c.mustBeWhole(o.name)
		order := c.order(o.name)
		for i, number := range shape.numbers() {
			held, err := c.targets[order[1+i]].store.LookSlices(context.Background(), c.key(o.name), true)
			if err != nil || len(held) != 1 || held[0].Number != number || held[0].Staged {
				t.Errorf("%s: at the holder %d: %+v, %v", o.name, i, held, err)
			}
		}
		if _, p, err := c.owner(o.name).store.Protection(context.Background(), c.key(o.name)); err != nil || p.Data != shape.Data || p.Parity != 2 {
			t.Errorf("%s: note %+v, %v", o.name, p, err)
		}
	}
	if n := c.countSlices(); n != want {
		t.Errorf("%d files of slices, want %d", n, want)
	}
}

// TestTargetsAreLost: with two targets gone for ever everything is read, and is
// back at full protection after a repair; then a third one loses its disks.
func TestTargetsAreLost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ targets, data, parity int }{{7, 2, 2}, {9, 4, 2}} {
		c := newCluster(t, test.targets, test.data, test.parity, nil)
		all := c.fill("o", 60)
		c.set(c.removed, "t2", true)
		c.set(c.removed, "t5", true)
		c.checkAll(all)
		c.settle()
		c.recoverAll()
		c.checkWhole(all)
		c.wipe("t1")
		c.recoverAll()
		c.checkWhole(all)
		c.checkAll(all)
		want := 0
		for _, o := range all {
			want += ShapeOf(c.entry.Props, int64(len(o.content))).Pieces()
		}
		have := 0
		for id, files := range c.sliceFiles() {
			if !c.removed[id] {
				have += len(files)
			}
		}
		if have != want {
			t.Errorf("%d files of slices, want %d", have, want)
		}
	}
}

// TestRepairWithoutReading: a wiped disk is filled again by the repair alone:
// what the target owned, and what it held for others.
func TestRepairWithoutReading(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 3, 2, nil)
	all := c.fill("o", 40)
	before := c.sliceFiles()
	for id, files := range before {
		for i := range files {
			before[id][i] = strings.TrimPrefix(files[i], c.root)
		}
	}
	owned := 0
	for _, o := range all {
		if c.order(o.name)[0] == "t3" {
			owned++
		}
	}
	c.wipe("t3")
	c.recoverAll()
	c.settle()
	page, err := c.targets["t3"].store.List(context.Background(), c.entry.Bck, c.entry.Props, core.ListOptions{})
	if err != nil || len(page) != owned {
		t.Errorf("%d objects of %d are back, %v", len(page), owned, err)
	}
	for id, files := range c.sliceFiles() { // all at their places of before
		for i := range files {
			files[i] = strings.TrimPrefix(files[i], c.root)
		}
		if id != "t3" && strings.Join(files, "\n") != strings.Join(before[id], "\n") {
			t.Errorf("%s: %d files of slices, had %d", id, len(files), len(before[id]))
		}
	}
	c.checkWhole(all)
	c.checkAll(all)
}

// TestReadWithoutOwner: any other target reads ranges while the owner is down.
func TestReadWithoutOwner(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 3, 2, nil)
	for _, o := range c.fill("o", 20) {
		order := c.order(o.name)
		c.set(c.down, order[0], true)
		c.set(c.down, order[1], true)
		reader := c.targets[order[len(order)-1]].engine
		content, err := reader.Open(context.Background(), c.key(o.name))
		if err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		if content.Version != o.attrs.Version || content.Checksum != o.attrs.Checksum {
			t.Errorf("%s: %+v", o.name, content.Attrs)
		}
		for _, r := range [][2]int{{0, len(o.content)}, {len(o.content) / 3, len(o.content) / 2}, {max(0, len(o.content)-5), min(5, len(o.content))}} {
			var out bytes.Buffer
			err := content.WriteRange(context.Background(), int64(r[0]), int64(r[1]), &out)
			if err != nil || !bytes.Equal(out.Bytes(), o.content[r[0]:r[0]+r[1]]) {
				t.Errorf("%s: bytes %v: %d, %v", o.name, r, out.Len(), err)
			}
		}
		c.set(c.down, order[0], false)
		c.set(c.down, order[1], false)
	}
}

// TestSlicesAreLostOnTheirWay: what was sent of a slice when its connection breaks is
// made again, from memory or, with ec.disk_only, from the object.
func TestSlicesAreLostOnTheirWay(t *testing.T) {
	t.Parallel()
	for _, diskOnly := range []bool{false, true} {
		c := newCluster(t, 6, 2, 2, func(p *meta.Bprops) { p.EC.DiskOnly = diskOnly })
		c.lose = true
		all := c.fill("o", 2*len(sizes))
		c.checkWhole(all)
		want := 0
		for _, o := range all {
			if shape := ShapeOf(c.entry.Props, int64(len(o.content))); diskOnly || core.SliceLength(int64(len(o.content)), shape.Data) > memsys.MaxSlab {
				want += shape.Pieces()
			}
		}
		if c.streams != want {
			t.Errorf("ec.disk_only=%t: %d slices were not in memory when they were sent, want %d", diskOnly, c.streams, want)
		}
		c.set(c.removed, "t1", true)
		c.set(c.removed, "t2", true)
		c.checkAll(all)
	}
}

// TestNeverAnOlderGeneration: an overwrite that no slices were made of yet hides
// what was there before, also after the loss of its owner.
func TestNeverAnOlderGeneration(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for i, size := range []int{500, 50_000, 500, 50_000} {
		c := newCluster(t, 7, 2, 2, nil)
		c.known = i >= 2
		c.put("o", randomContent(1, size))
		c.settle()
		order := c.order("o")
		c.set(c.down, order[2], true) // a holder that is not told
		c.put("o", randomContent(2, size))
		c.set(c.down, order[2], false)
		c.set(c.down, order[0], true)
		for _, id := range order[1:] {
			if _, err := c.targets[id].engine.Open(ctx, c.key("o")); statusOf(err) != 503 {
				t.Errorf("%d bytes: %s: %v", size, id, err)
			}
		}
		c.set(c.down, order[0], false)
		c.settle()
		c.recoverAll()
		c.mustBeWhole("o")
		c.set(c.removed, order[0], true)
		if got, _, err := c.owner("o").get("o"); err != nil || !bytes.Equal(got, randomContent(2, size)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// TestOverwrittenWhileNoHolderAnswers: that nobody who holds a generation can be told of the
// next one is remembered by all others, as long as they may come back with it.
func TestOverwrittenWhileNoHolderAnswers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 7, 2, 2, nil)
		c.put("o", randomContent(1, size))
		c.settle()
		order := c.order("o")
		holders := order[1:3]
		if size > 1000 {
			holders = order[1:5]
		}
		for _, id := range holders {
			c.set(c.down, id, true)
		}
		c.put("o", randomContent(2, size)) // acknowledged, and not protected yet
		for _, id := range holders {
			c.set(c.down, id, false)
		}
		c.set(c.down, order[0], true)
		for _, id := range order[1:] {
			if _, err := c.targets[id].engine.Open(ctx, c.key("o")); statusOf(err) != 503 {
				t.Errorf("%d bytes: %s: %v", size, id, err)
			}
		}
		c.set(c.removed, order[0], true)
		if got, _, err := c.owner("o").get("o"); statusOf(err) != 503 {
			t.Errorf("the owner is gone for ever: %d bytes, %v", len(got), err)
		}
		c.set(c.removed, order[0], false)
		c.set(c.down, order[0], false)
		c.settle()
		c.recoverAll()
		c.mustBeWhole("o")
		if got, _, err := c.owner("o").get("o"); err != nil || !bytes.Equal(got, randomContent(2, size)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// TestMessagesOfANewName: who writes a name that is nowhere tells nobody, if that is
// known; slices are staged and committed, and that is all. Every other write tells everybody,
// also of a name that a target out of reach may still hold something of.
func TestMessagesOfANewName(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 2, 2, nil)
	put := func(name string, size int, want map[string]int) {
		t.Helper()
		clear(c.calls)
		c.put(name, randomContent(1, size))
		c.settle()
		if fmt.Sprint(c.calls) != fmt.Sprint(want) {
			t.Errorf("calls between targets for %s of %d bytes: %v, want %v", name, size, c.calls, want)
		}
	}
	others := len(c.targets) - 1
	put("unknown", 50_000, map[string]int{"mark": others, "stage": 4, "commit": 4})
	c.known = true
	put("o", 50_000, map[string]int{"stage": 4, "commit": 4})
	put("small", 500, map[string]int{"stage": 2, "commit": 2})
	put("o", 50_000, map[string]int{"mark": others, "stage": 4, "commit": 4})

	holder := c.order("o")[2]
	c.set(c.down, holder, true)
	if err := c.owner("o").store.Delete(context.Background(), c.key("o")); err != nil {
		t.Fatal(err)
	}
	c.set(c.down, holder, false)
	clear(c.calls)
	c.put("o", randomContent(2, 50_000))
	if c.calls["mark"] != others {
		t.Errorf("a holder was not told of a deletion, and of the next write are %d", c.calls["mark"])
	}
	c.settle()
	c.recoverAll()
	c.mustBeWhole("o")
}

// TestDelete: nothing is left of a deleted object, and a holder that was out of
// reach does not bring it back.
func TestDelete(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 7, 2, 2, nil)
		c.put("gone", randomContent(1, size))
		c.put("o", randomContent(1, size))
		c.settle()
		if err := c.owner("gone").store.Delete(ctx, c.key("gone")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.owner("gone").get("gone"); statusOf(err) != 404 {
			t.Errorf("after DELETE: %v", err)
		}
		order := c.order("o")
		c.set(c.down, order[1], true)
		c.set(c.down, order[2], true)
		if err := c.owner("o").store.Delete(ctx, c.key("o")); err != nil {
			t.Fatal(err)
		}
		c.set(c.down, order[1], false)
		c.set(c.down, order[2], false)
		c.set(c.removed, order[0], true)
		if _, _, err := c.owner("o").get("o"); statusOf(err) != 404 {
			t.Errorf("two holders were not told: %v", err)
		}
		c.set(c.removed, order[0], false)
		c.settle()
		c.recoverAll()
		if n := c.countSlices(); n != 0 {
			t.Errorf("%d bytes: %d files of slices are left: %v", size, n, c.sliceFiles())
		}
		if err := c.owner("o").store.Delete(ctx, c.key("o")); statusOf(err) != 404 {
			t.Errorf("DELETE again: %v", err)
		}
	}
}

// TestDeleteOfALostObject: a DELETE at an owner that has lost the object deletes
// it everywhere.
func TestDeleteOfALostObject(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, nil)
	c.put("o", randomContent(1, 50_000))
	c.settle()
	id := c.order("o")[0]
	c.wipe(id)
	if err := c.owner("o").store.Delete(context.Background(), c.key("o")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.owner("o").get("o"); statusOf(err) != 404 {
		t.Errorf("%v", err)
	}
}

// TestChangedMetadata: a PATCH reaches the slices without the content being sent.
func TestChangedMetadata(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newCluster(t, 6, 2, 2, nil)
	content := randomContent(1, 400_000)
	c.put("o", content)
	c.settle()
	attrs, err := c.owner("o").store.SetCustom(ctx, c.key("o"), []core.KV{{Key: "new", Value: "value"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	c.set(c.removed, c.order("o")[0], true) // before anything else was done
	c.mustGet("o", content, attrs)
	c.settle()
	c.mustBeWhole("o")
}

// TestHoldersFail: an object whose holders fail stays pending, and is protected
// by others or later; too few targets are told by their number.
func TestHoldersFail(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 2, 2, nil)
	order := c.order("o")
	c.fail = func(call, id string) error {
		if id == order[1] && call == "stage" || id == order[2] && call == "commit" {
			return errors.New("I/O error")
		}
		return nil
	}
	attrs := c.put("o", randomContent(1, 50_000))
	owner := c.owner("o")
	if left, err := owner.engine.pass(context.Background(), nil, nil); left != 1 || err != nil {
		t.Error("the object counts as protected")
	}
	if n := owner.store.PendingStats(core.WorkSlices).Count; n != 1 {
		t.Errorf("%d objects are pending", n)
	}
	if names, _ := owner.engine.Troubles.All(); len(names) != 1 || !strings.Contains(names["ais://b1/o"], "I/O error") {
		t.Errorf("%v", names)
	}
	c.fail = nil
	c.settle()
	if n := owner.engine.Troubles.Count(); n != 0 {
		t.Errorf("%d objects are in trouble", n)
	}
	c.recoverAll()
	c.mustBeWhole("o")
	c.mustGet("o", randomContent(1, 50_000), attrs)
	for _, id := range order[3:] {
		c.set(c.removed, id, true)
	}
	if _, err := owner.engine.ProtectObject(context.Background(), c.key("o"), AskAll); statusOf(err) != 503 || !strings.Contains(err.Error(), "2 of 2+2 slices") {
		t.Errorf("three targets for 2+2: %v", err)
	}
}

// TestFailuresAreTriedWithPauses: objects that cannot be protected are tried again after
// growing pauses, however many others are written meanwhile.
func TestFailuresAreTriedWithPauses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1, 1, nil) // there is nobody to hold anything
	engine := c.targets["t1"].engine
	var mu sync.Mutex
	tries := map[string]int{}
	ctx, stop := context.WithCancel(context.Background())
	var worker sync.WaitGroup
	defer worker.Wait()
	defer stop()
	worker.Go(func() {
		engine.Work(ctx, func(key core.Key) func(Outcome, error) {
			mu.Lock()
			defer mu.Unlock()
			tries[key.Name]++
			return func(Outcome, error) {}
		})
	})
	began := time.Now()
	for i := range 60 {
		name := fmt.Sprintf("o%02d", i)
		c.put(name, []byte("content"))
		for deadline := time.Now().Add(time.Minute); ; {
			mu.Lock()
			n := tries[name]
			mu.Unlock()
			if n > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("nobody has tried %s", name)
			}
			time.Sleep(time.Millisecond)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	// After 1, 2, 4, 8, 16, and then each 30 seconds.
	if most := 6 + int(time.Since(began)/maxPause); tries["o00"] > most {
		t.Errorf("the first was tried %d times within %v", tries["o00"], time.Since(began))
	}
}

// TestPendingSurvivesRestart: what was acknowledged and not encoded is encoded by
// the next process.
func TestPendingSurvivesRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 6, 2, 2, func(p *meta.Bprops) { p.Durability = meta.DurabilitySync })
	attrs := c.put("o", randomContent(1, 50_000))
	id := c.order("o")[0]
	c.targets[id].stop()
	c.start(id)
	c.settle()
	c.mustBeWhole("o")
	c.mustGet("o", randomContent(1, 50_000), attrs)
}

// TestDamage: slices and objects whose bytes have changed are found by their
// checksums, and made again; too few whole ones are an error that names the object.
func TestDamage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 2, 2, nil)
	content := randomContent(1, 900_000)
	attrs := c.put("o", content)
	c.settle()
	flip := func(id string) {
		t.Helper()
		path := c.sliceFiles()[id][0]
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			var b [1]byte
			if _, err = f.ReadAt(b[:], 300_000); err == nil {
				b[0] ^= 1
				_, err = f.WriteAt(b[:], 300_000)
			}
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	order := c.order("o")
	flip(order[1])
	flip(order[3])
	c.wipe(order[0])
	c.mustGet("o", content, attrs) // one is found on the way
	c.recoverAll()                 // and the other by the repair
	c.mustBeWhole("o")
	for _, id := range order[2:5] {
		flip(id)
	}
	c.wipe(order[0])
	for range 2 {
		_, _, err := c.owner("o").get("o")
		if statusOf(err) != 500 || !strings.Contains(err.Error(), "ais://b1/o") {
			t.Errorf("one whole slice: %v", err)
		}
	}
}

// TestDamagedObjectComesBack: an object that a validating read finds damaged, by whatever
// checksum its bucket has, is rebuilt and served.
func TestDamagedObjectComesBack(t *testing.T) {
	t.Parallel()
	for _, sum := range []string{cksum.XXHash, cksum.XXHash2, cksum.MD5, cksum.CRC32C, cksum.SHA256, cksum.SHA512} {
		c := newCluster(t, 6, 2, 2, func(p *meta.Bprops) { p.Checksum.Type, p.Checksum.ValidateWarmGet = sum, true })
		for i, name := range []string{"small", "large"} {
			content := randomContent(1, []int{900, 200_000}[i])
			attrs := c.put(name, content)
			c.settle()
			f, err := os.OpenFile(c.objectFile(name), os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte{content[800] ^ 1}, 800)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			c.mustGet(name, content, attrs)
			c.mustGet(name, content, attrs)
		}
	}
}

// objectFile is the path of an object's file at its owner.
func (c *testCluster) objectFile(name string) string {
	c.tb.Helper()
	paths, err := filepath.Glob(filepath.Join(c.root, c.order(name)[0], "mp*", "@ais", "b1", "%ob", name))
	if err != nil || len(paths) != 1 {
		c.tb.Fatalf("%q, %v", paths, err)
	}
	return paths[0]
}

// TestReadMakesWhole: a read of an object whose file is gone, and with it slices or replicas
// elsewhere, serves it, and what it lacks is made again without a repair of the bucket.
func TestReadMakesWhole(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 50_000} {
		for lost := range 3 { // beside the object: as many files of the other targets
			c := newCluster(t, 7, 2, 2, nil)
			content := randomContent(byte(lost), size)
			attrs := c.put("o", content)
			c.settle()
			gone := []string{c.objectFile("o")}
			files := c.sliceFiles()
			for _, id := range c.order("o")[1:] {
				if len(gone) <= lost && len(files[id]) > 0 {
					gone = append(gone, files[id][0])
				}
			}
			if size < 1000 && lost == 2 {
				gone = gone[:2] // one replica is left
			}
			for _, path := range gone {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			c.mustGet("o", content, attrs)
			c.settle()
			c.mustBeWhole("o")
			c.mustGet("o", content, attrs)
		}
	}
}

// TestOwnerAndHoldersAreWiped: objects with more losses than parity are an error
// with their name, never old or wrong bytes, and 404 only if nothing was there.
func TestTooManyLosses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 7, 2, 2, nil)
	c.put("o", randomContent(1, 50_000))
	c.settle()
	order := c.order("o")
	for _, id := range order[:4] {
		c.set(c.removed, id, true)
	}
	if _, _, err := c.owner("o").get("o"); statusOf(err) != 500 || !strings.Contains(err.Error(), "ais://b1/o is lost: 1 of its slices are left, and 2 are needed") {
		t.Errorf("%v", err)
	}
	for _, id := range order[1:4] {
		c.set(c.removed, id, false)
		c.set(c.down, id, true)
	}
	if _, _, err := c.targets[order[4]].get("o"); statusOf(err) != 404 {
		t.Errorf("a target that does not own it: %v", err)
	}
	for _, id := range order[1:4] {
		c.set(c.removed, id, true)
	}
	if _, _, err := c.owner("none").get("none"); statusOf(err) != 404 {
		t.Errorf("%v", err)
	}
}

// TestConcurrentWritersAndRepair: while objects are overwritten, deleted and read,
// and repairs run, every read is of the last write or a later one.
func TestConcurrentWritersAndRepair(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("new names are known: %t", known), func(t *testing.T) {
			t.Parallel()
			concurrentWritersAndRepair(t, known)
		})
	}
}

func concurrentWritersAndRepair(t *testing.T, known bool) {
	ctx := context.Background()
	c := newCluster(t, 6, 2, 2, nil)
	c.known = known
	const names, rounds = 6, 25
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var repairs sync.WaitGroup
	for _, target := range c.targets {
		repairs.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = target.engine.pass(ctx, nil, nil) // what changes meanwhile is tried again
				_ = target.engine.RecoverHeld(ctx, c.entry, func(int64, []error) {})
			}
		})
	}
	for n := range names {
		wg.Go(func() {
			name := fmt.Sprint("o", n)
			owner := c.owner(name)
			for i := range rounds {
				content := randomContent(byte(n*rounds+i), 700+(n+i)%5*9000)
				if _, err := owner.store.Put(ctx, c.key(name), bytes.NewReader(content), core.PutOptions{Size: int64(len(content))}); err != nil {
					t.Errorf("PUT %s: %v", name, err)
					return
				}
				if got, _, err := owner.get(name); err != nil || !bytes.Equal(got, content) {
					t.Errorf("GET %s after PUT: %d bytes, %v", name, len(got), err)
				}
				if i%4 != 3 {
					continue
				}
				if err := owner.store.Delete(ctx, c.key(name)); err != nil {
					t.Errorf("DELETE %s: %v", name, err)
				}
				for range 3 {
					if _, _, err := owner.get(name); statusOf(err) != 404 {
						t.Errorf("GET %s after DELETE: %v", name, err)
					}
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	repairs.Wait()
	c.settle()
	c.recoverAll()
	for n := range names {
		c.mustBeWhole(fmt.Sprint("o", n))
	}
	if want := names * 2; c.countSlices() > names*4 || c.countSlices() < want {
		t.Errorf("%d files of slices: %v", c.countSlices(), c.sliceFiles())
	}
}
