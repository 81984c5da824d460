package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// fullDisk is a store on a disk of 24 MiB, with a clock that the test moves.
type fullDisk struct {
	*crashMachine
	t     *testing.T
	moved atomic.Int64 // by how much the clock is ahead, ns
	marks fs.Watermarks

	faults *faultfs.System // below the store
}

const fullDiskSize = 24 << 20

func newFullDisk(t *testing.T, marks fs.Watermarks) *fullDisk {
	d := &fullDisk{crashMachine: newCrashMachine(&crashPlan{Disks: 1, Mountpaths: 1}, nil), t: t, marks: marks}
	d.off = true
	d.mutant = func(system fs.System) fs.System {
		d.faults = faultfs.New(system)
		d.faults.Record(false)
		return d.faults
	}
	d.system.SetSize("/disk1", fullDiskSize)
	d.shift = func() time.Duration { return time.Duration(d.moved.Load()) }
	d.space = func() fs.Watermarks { return d.marks }
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *fullDisk) put(name string, size int) error {
	_, err := d.store.Put(context.Background(), d.key(name), strings.NewReader(strings.Repeat("x", size)), PutOptions{Size: int64(size)})
	return err
}

// fill writes until the kernel has no block left, and returns how many objects
// there are.
func (d *fullDisk) fill() int {
	d.t.Helper()
	n := 0
	for size := 1 << 20; size >= 1; size /= 16 {
		for {
			if err := d.put(fmt.Sprintf("fill%d", n), size); err != nil {
				if statusOf(err) != 507 {
					d.t.Fatalf("the disk is filled: %v", err)
				}
				break
			}
			n++
		}
	}
	d.system.SetSize("/disk1", d.system.Used("/disk1")) // not a block is left
	return n
}

func (d *fullDisk) read(name string) (int, error) {
	reader, err := d.store.Open(context.Background(), d.key(name))
	if err != nil {
		return 0, err
	}
	content, err := readWhole(reader)
	return len(content), err
}

// marksOff never refuse: the kernel does.
var marksOff = fs.Watermarks{Cleanup: 97, Low: 98, High: 99, OutOfSpace: 100}

// TestPutOnAFullDisk: 507, the version before is read, nothing is left.
func TestPutOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := newFullDisk(t, marksOff)
	if err := d.put("o", 3000); err != nil {
		t.Fatal(err)
	}
	d.fill()
	count := func() (n int) {
		d.system.Walk("/disk1", func(path string, info fs.FileInfo) {
			if info.Kind == fs.KindFile && strings.Contains(path, "/@") {
				n++
			}
		})
		return n
	}
	files := count()
	for _, size := range []int{1, 3000, 200_000, 3 << 20} {
		for _, name := range []string{"o", "new", "d/new", "a//new"} {
			err := d.put(name, size)
			if statusOf(err) != 507 || !strings.HasPrefix(err.Error(), "out of space") {
				t.Errorf("PUT of %d bytes as %s: %v", size, name, err)
			}
		}
	}
	if n, err := d.read("o"); err != nil || n != 3000 {
		t.Errorf("the version before: %d bytes, %v", n, err)
	}
	for _, name := range []string{"new", "d/new", "a//new"} {
		if _, err := d.read(name); statusOf(err) != 404 {
			t.Errorf("%s is visible: %v", name, err)
		}
	}
	if n := count(); n != files {
		t.Errorf("%d files, before the refused writes %d", n, files)
	}
}

// TestAFullDiskCanBeEmptied: DELETE, the abort of an upload and the
// destruction of a bucket need no block, and are durable.
func TestAFullDiskCanBeEmptied(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newFullDisk(t, marksOff)
	upload, err := d.store.CreateUpload(ctx, d.key("up"), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for number := 1; number <= 2; number++ {
		part := strings.Repeat("p", 5000)
		if _, err := d.store.PutPart(ctx, d.key("up"), upload, number, strings.NewReader(part), PartOptions{Size: 5000}); err != nil {
			t.Fatal(err)
		}
	}
	large := PutOptions{Size: 3, Custom: []KV{{"k", strings.Repeat("v", 2040)}}}
	if _, err := d.store.Put(ctx, d.key("sidecar"), strings.NewReader("abc"), large); err != nil {
		t.Fatal(err)
	}
	if err := d.put("a//escaped", 10); err != nil {
		t.Fatal(err)
	}
	count := d.fill()
	for _, name := range []string{"fill0", "sidecar", "a//escaped", fmt.Sprintf("fill%d", count-1)} {
		if err := d.store.Delete(ctx, d.key(name)); err != nil {
			t.Errorf("DELETE %s: %v", name, err)
		}
		d.system.SetSize("/disk1", d.system.Used("/disk1")) // what is freed is taken at once
	}
	if err := d.store.AbortUpload(ctx, d.key("up"), upload); err != nil {
		t.Errorf("abort of an upload: %v", err)
	}
	d.system.SetSize("/disk1", d.system.Used("/disk1"))
	before, without := d.bmd, meta.NewBMD("cluster01", d.bmd.Version+1)
	d.recreate()
	if err := d.store.ApplyBMD(ctx, before, without); err != nil {
		t.Errorf("destroying the bucket: %v", err)
	}
	d.system.SetSize("/disk1", fullDiskSize)
	if err := d.store.ApplyBMD(ctx, without, d.bmd); err != nil {
		t.Fatal(err)
	}
	crashed := d.system.Crash(1)
	d.system = crashfs.New(crashfs.Options{})
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	d.system = crashed
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	if page, err := d.store.List(ctx, d.bck, d.props, ListOptions{}); err != nil || len(page) > 0 {
		t.Errorf("after a loss of power the new bucket holds %d objects, %v", len(page), err)
	}
	if err := d.put("fill1", 5); err != nil {
		t.Errorf("a name of before in the new bucket: %v", err)
	}
}

// TestRefusalEndsWithinTenSeconds: over the mark a PUT is refused without
// touching the disk; once there is space again, that is over in 10 s.
func TestRefusalEndsWithinTenSeconds(t *testing.T) {
	t.Parallel()
	d := newFullDisk(t, fs.DefaultWatermarks())
	n := 0
	for ; ; n++ {
		d.moved.Add(int64(10 * time.Second))
		if err := d.put(fmt.Sprint("o", n), 1<<20); err != nil {
			if statusOf(err) != 507 {
				t.Fatal(err)
			}
			break
		}
	}
	if used := d.system.Used("/disk1"); used*100 < fullDiskSize*95 {
		t.Errorf("refused with %d of %d bytes in use", used, fullDiskSize)
	}
	if _, err := d.read("o0"); err != nil {
		t.Errorf("GET while writes are refused: %v", err)
	}
	// what the node must note of itself still has room.
	if err := d.fs.ForgetCluster(); err != nil {
		t.Errorf("the volume record while writes are refused: %v", err)
	}
	if _, err := d.store.Bury(context.Background(), d.key("o1")); err != nil {
		t.Errorf("a tombstone while writes are refused: %v", err)
	}
	for i := 2; i < n/2; i++ {
		if err := d.store.Delete(context.Background(), d.key(fmt.Sprint("o", i))); err != nil {
			t.Errorf("DELETE while writes are refused: %v", err)
		}
	}
	d.moved.Add(int64(10 * time.Second))
	if err := d.put("again", 1<<20); err != nil {
		t.Errorf("10 s after space was freed: %v", err)
	}
	// The same when the kernel was the one to refuse.
	d.marks = marksOff
	d.system.SetSize("/disk1", d.system.Used("/disk1"))
	if err := d.put("more", 1<<20); statusOf(err) != 507 || !errors.Is(err, unix.ENOSPC) && !strings.HasPrefix(err.Error(), "out of space") {
		t.Errorf("without a block: %v", err)
	}
	d.system.SetSize("/disk1", 2*fullDiskSize)
	d.moved.Add(int64(10 * time.Second))
	if err := d.put("more", 1<<20); err != nil {
		t.Errorf("10 s after the disk grew: %v", err)
	}
}

// What a DELETE has to leave behind has room on a full disk: a tombstone, a
// delete marker. A damaged object for which quarantine has none is removed.
func TestDeletesThatLeaveSomethingOnAFullDisk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newFullDisk(t, marksOff)
	var reported atomic.Int64
	d.store.options.OnDamage = func(Damage) { reported.Add(1) }
	fullAgain := func() { d.system.SetSize("/disk1", d.system.Used("/disk1")) } // what is freed is taken at once
	plain := func(name string) string {
		o, err := d.store.resolve(d.key(name))
		if err != nil {
			t.Fatal(err)
		}
		return o.plain
	}
	put := func(name string, opts PutOptions) {
		t.Helper()
		opts.Size = 9000
		if _, err := d.store.Put(ctx, d.key(name), strings.NewReader(strings.Repeat("x", 9000)), opts); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		put(fmt.Sprint("buried", i), PutOptions{})
		put(fmt.Sprint("versions", i), PutOptions{})
		put(fmt.Sprint("versions", i), PutOptions{Keep: KeepVersion})
	}
	for _, name := range []string{"damaged0", "damaged1", "damaged2"} {
		put(name, PutOptions{})
		if err := d.system.SetXattr(plain(name), XattrRecord, []byte("not a record")); err != nil {
			t.Fatal(err)
		}
	}
	d.fill()
	refuse := func() {
		for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpMkdir, faultfs.OpPreallocate} {
			d.faults.Inject(faultfs.Fault{Op: op, Err: unix.ENOSPC, Times: -1})
		}
	}
	refuse()
	for i := range 2 {
		if _, err := d.store.Bury(ctx, d.key(fmt.Sprint("buried", i))); err != nil {
			t.Errorf("tombstone %d: %v", i, err)
		}
		if err := d.store.Delete(ctx, d.key(fmt.Sprint("versions", i))); err != nil {
			t.Errorf("delete marker %d: %v", i, err)
		}
	}
	fullAgain()
	for _, name := range []string{"damaged0", "damaged1"} {
		if err := d.store.Delete(ctx, d.key(name)); err != nil {
			t.Errorf("DELETE of %s: %v", name, err)
		}
		fullAgain()
	}
	// They are made again as soon as there is space.
	d.faults.Heal()
	d.system.SetSize("/disk1", fullDiskSize)
	d.fs.Available().Paths[0].FillSpares()
	refuse()
	if _, err := d.store.Bury(ctx, d.key("damaged2")); err != nil {
		t.Errorf("tombstone over a damaged object: %v", err)
	}
	if err := d.put("buried0", 10); statusOf(err) != 507 {
		t.Errorf("PUT: %v", err)
	}
	if n := reported.Load(); n != 3 {
		t.Errorf("%d reports of damage, want 3", n)
	}
	check := func(when string) {
		t.Helper()
		for i := range 2 {
			if _, kind, err := d.store.Look(ctx, d.key(fmt.Sprint("buried", i))); err != nil || kind != KindTombstone {
				t.Errorf("%s: kind %d in the place of a buried object, %v", when, kind, err)
			}
			if _, kind, err := d.store.Look(ctx, d.key(fmt.Sprint("versions", i))); err != nil || kind != KindDeleteMarker {
				t.Errorf("%s: kind %d in the place of an object with versions, %v", when, kind, err)
			}
		}
		for _, name := range []string{"damaged0", "damaged1", "damaged2", "buried0", "versions0"} {
			if _, err := d.read(name); statusOf(err) != 404 {
				t.Errorf("%s: %s is there: %v", when, name, err)
			}
		}
	}
	check("at once")
	d.system.SetSize("/disk1", fullDiskSize)
	crashed := d.system.Crash(1)
	d.system = crashfs.New(crashfs.Options{})
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	d.system = crashed
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	check("after a loss of power")
	if err := d.put("buried0", 10); err != nil {
		t.Errorf("a new object in the place of a tombstone: %v", err)
	}
}

// As many deletes in a row as anybody likes, whatever they leave behind, and
// whoever takes what they free: a record that fits no attribute needs a sidecar,
// the first delete marker of a name directories.
func TestDeletesInARowOnAFullDisk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newFullDisk(t, marksOff)
	long := strings.Repeat("n", 250) + "/" + strings.Repeat(strings.Repeat("m", 200)+"/", 14) // fits no attribute
	const many = 1500
	for i := range many {
		if err := d.put(fmt.Sprint("o", i), 100); err != nil {
			t.Fatal(err)
		}
	}
	const few = 4
	for i := range few {
		for _, name := range []string{fmt.Sprint(long, i), fmt.Sprint("kept", i)} {
			if err := d.put(name, 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.fs.Available().Paths[0].FillSpares()
	d.fill()
	fullAgain := func() { d.system.SetSize("/disk1", d.system.Used("/disk1")) } // what is freed is taken at once
	for i := range few {
		if _, err := d.store.Bury(ctx, d.key(fmt.Sprint(long, i))); err != nil {
			t.Errorf("tombstone %d with a sidecar: %v", i, err)
		}
		fullAgain()
		if i > 1 {
			continue // a delete that frees nothing lives on the reserve alone
		}
		if _, err := d.store.PutDeleteMarker(ctx, d.key(fmt.Sprint("kept", i)), KeepVersion); err != nil {
			t.Errorf("delete marker %d: %v", i, err)
		}
		fullAgain()
	}
	for i := range many {
		var err error
		if name := d.key(fmt.Sprint("o", i)); i%2 == 0 {
			err = d.store.Delete(ctx, name)
		} else {
			_, err = d.store.Bury(ctx, name)
		}
		if err != nil {
			t.Fatalf("delete %d: %v", i, err)
		}
		fullAgain()
	}
	// The reserve is there again when there is space, for the next time.
	d.system.SetSize("/disk1", fullDiskSize)
	if err := d.store.Delete(ctx, d.key("fill0")); err != nil {
		t.Error(err)
	}
	fullAgain()
	if _, err := d.store.PutDeleteMarker(ctx, d.key(fmt.Sprint("kept", few-1)), KeepVersion); err != nil {
		t.Errorf("delete marker after there was space: %v", err)
	}
	if n, err := d.read(fmt.Sprint("kept", 2)); err != nil || n != 100 {
		t.Errorf("an object that was not deleted: %d bytes, %v", n, err)
	}
}
