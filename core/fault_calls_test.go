package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// callFault is how a system call fails.
type callFault struct {
	name   string
	fault  crashfs.Fault
	status int
	only   faultfs.Op // "": any call
}

var callFaults = []callFault{
	{"EIO", crashfs.Fault{Err: unix.EIO}, 500, ""},
	{"EROFS", crashfs.Fault{Err: unix.EROFS}, 500, ""},
	{"ENOSPC", crashfs.Fault{Err: unix.ENOSPC}, 507, ""},
	{"EDQUOT", crashfs.Fault{Err: unix.EDQUOT}, 507, ""},
	{"EIO although it was done", crashfs.Fault{Err: unix.EIO, Late: true}, 500, ""},
	{"a short write", crashfs.Fault{Err: io.ErrShortWrite, Short: 1}, 500, faultfs.OpWrite},
	{"a short write for lack of space", crashfs.Fault{Err: unix.ENOSPC, Short: 1}, 507, faultfs.OpWrite},
}

// faultyOperation is an operation whose every system call is made to fail. It
// changes one name.
type faultyOperation struct {
	name    string
	plan    crashPlan
	object  string
	before  string // content, "absent" if there is none
	after   string
	prepare func(m *crashMachine) error
	run     func(m *crashMachine) error

	state   func(m *crashMachine) (string, error) // compared with before and after; nil: the content of the object
	unknown string                                // what else it may be when the outcome is open
	next    func(state string) string             // what another run makes of a state; nil: after
	retries bool                                  // it goes on after an error
	either  bool                                  // an error leaves the old or the new, whatever call failed
	once    bool                                  // another run finds nothing to do: 404
}

func faultyOperations() []faultyOperation {
	ctx := context.Background()
	put := func(name, content string, opts PutOptions) func(*crashMachine) error {
		return func(m *crashMachine) error {
			opts := opts
			opts.Size = int64(len(content))
			_, err := m.store.Put(ctx, m.key(name), strings.NewReader(content), opts)
			return err
		}
	}
	remove := func(name string) func(*crashMachine) error {
		return func(m *crashMachine) error { return m.store.Delete(ctx, m.key(name)) }
	}
	large := PutOptions{Custom: []KV{{"k", strings.Repeat("v", 2040)}}}
	keep := PutOptions{Keep: KeepVersion}
	long := strings.Repeat("0123456789abcdef", 1<<16+1) // over 1 MiB: it flushes itself
	chunks := crashPlan{Chunked: true}
	old := put("o", "old", PutOptions{})
	return []faultyOperation{
		{name: "new object in new directories", object: "d/e/f", before: "absent", after: "new", run: put("d/e/f", "new", PutOptions{})},
		{name: "overwrite", object: "o", before: "old", after: "new", prepare: old, run: put("o", "new", PutOptions{})},
		{name: "long body", object: "o", before: "old", after: long, prepare: old, run: put("o", long, PutOptions{})},
		{name: "escaped name", object: "a//b", before: "absent", after: "new", run: put("a//b", "new", PutOptions{})},
		{name: "collision", object: "p/q", before: "absent", after: "new", prepare: put("p", "in the way", PutOptions{}), run: put("p/q", "new", PutOptions{})},
		{name: "sidecar", object: "o", before: "old", after: "new", prepare: put("o", "old", large), run: put("o", "new", large)},
		{name: "delete", object: "o", before: "old", after: "absent", prepare: old, run: remove("o")},
		{name: "delete with a sidecar", object: "o", before: "old", after: "absent", prepare: put("o", "old", large), run: remove("o")},
		{name: "tombstone", object: "o", before: "old", after: "absent", prepare: old, run: func(m *crashMachine) error {
			_, err := m.store.Bury(ctx, m.key("o"))
			return err
		}},
		{name: "kept version", object: "o", before: "old", after: "new", prepare: put("o", "old", keep), run: put("o", "new", keep)},
		{name: "delete marker", object: "o", before: "old", after: "absent", prepare: put("o", "old", keep), run: func(m *crashMachine) error {
			_, err := m.store.PutDeleteMarker(ctx, m.key("o"), KeepVersion)
			return err
		}},
		{name: "chunked body", plan: chunks, object: "o", before: "old", after: strings.Repeat("chunk", 2000), prepare: old, run: put("o", strings.Repeat("chunk", 2000), PutOptions{})},
		{name: "delete of chunks", plan: chunks, object: "o", before: strings.Repeat("chunk", 2000), after: "absent", prepare: put("o", strings.Repeat("chunk", 2000), PutOptions{}), run: remove("o")},
		{name: "multipart upload", object: "o", before: "old", after: "one, two, three", prepare: old, run: func(m *crashMachine) error {
			_, err := m.multipart("o", "one, two, three", PutOptions{})
			return err
		}},
	}
}

// faultyRun is one operation with one call that fails.
type faultyRun struct {
	t     *testing.T
	m     *crashMachine
	op    *faultyOperation
	where string

	mu     sync.Mutex
	calls  int
	failed faultfs.Call // the call that failed
	events []fs.Event
	acked  bool // it said so although a call of it failed: then this is to last
}

// TestErrorAtEveryCall makes each system call of each operation fail with each
// of several errors. The operation fails with the right status and leaves the
// old object, or it has succeeded; no work file and no open file is left; a
// flush that failed is reported; the operation works when it is tried again,
// and after a loss of power that is what there is.
func TestErrorAtEveryCall(t *testing.T) {
	for _, op := range slices.Concat(faultyOperations(), faultyChanges(), faultyMoves(), faultyLayouts()) {
		for i, kind := range callFaults {
			t.Run(op.name+"/"+kind.name, func(t *testing.T) {
				t.Parallel()
				first, step := 1, 1
				if underRace { // all errors together reach every call
					step = len(callFaults) - 1
					first += i % step
				}
				for n := first; ; n += step {
					r := &faultyRun{t: t, op: &op}
					reached := r.run(&kind, n)
					if !reached && n < 2 && kind.only == "" {
						t.Fatal("no system call was seen")
					}
					if !reached || t.Failed() {
						return
					}
				}
			})
		}
	}
}

func (r *faultyRun) run(kind *callFault, n int) (reached bool) {
	plan := r.op.plan
	plan.Disks, plan.Mountpaths, plan.Names = 1, 1, []string{r.op.object}
	m := newCrashMachine(&plan, nil)
	m.off = true // no schedule: calls do not wait
	m.onEvent = func(e fs.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	r.m = m
	if err := m.open(); err != nil {
		r.t.Fatal(err)
	}
	if r.op.prepare != nil {
		if err := r.op.prepare(m); err != nil {
			r.t.Fatal(err)
		}
	}
	files := m.system.OpenFiles()
	m.system.Before(func(c faultfs.Call) error {
		if strings.Contains(c.Path, "/.$deleted") || kind.only != "" && c.Op != kind.only {
			return nil // the trash is emptied in the background
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.calls++; r.calls == n {
			r.failed = c
			return &kind.fault
		}
		return nil
	})
	err := r.op.run(m)
	m.system.Before(nil)
	reached = r.failed.Op != ""
	r.where = fmt.Sprintf("%s in call %d, %v", kind.name, n, r.failed)
	if !reached {
		if err != nil {
			r.t.Errorf("call %d was not reached, and yet: %v", n, err)
		}
	} else {
		r.checkOutcome(kind, err)
		r.acked = err == nil && r.op.retries
		// Files of the index come and go in the background.
		if open := m.system.OpenFiles(); len(slices.DeleteFunc(open, isIndexPath)) != len(slices.DeleteFunc(slices.Clone(files), isIndexPath)) {
			r.t.Errorf("%s: open files %q, before %q", r.where, open, files)
		}
		r.again(uint64(n))
	}
	if err := r.m.close(); err != nil {
		r.t.Errorf("%s: %v", r.where, err)
	}
	return reached
}

// checkOutcome looks at what the operation said and at what it left.
func (r *faultyRun) checkOutcome(kind *callFault, err error) {
	content := r.state()
	reported := slices.ContainsFunc(r.events, func(e fs.Event) bool { return e.Kind == fs.EventFlushFailed })
	flush := isFlush(r.failed)
	unsure := kind.fault.Late || reported || r.failed.Op == faultfs.OpUnlink // open which of the two it is
	switch {
	case err != nil && statusOf(err) != kind.status:
		r.t.Errorf("%s: status %d, want %d: %v", r.where, statusOf(err), kind.status, err)
	case err == nil && flush && !r.op.retries:
		r.t.Errorf("%s: acknowledged without being durable", r.where)
	case err == nil && content != r.op.after:
		r.t.Errorf("%s: acknowledged, and there is %.20q", r.where, content)
	case err != nil && !r.op.mayBe(content, unsure):
		r.t.Errorf("%s: %v, and there is %.20q", r.where, err, content)
	}
	if flush && r.failed.Op != faultfs.OpDatasync && !reported {
		r.t.Errorf("%s: the failed flush was not reported: %v", r.where, r.events)
	}
	if r.failed.Op == faultfs.OpUnlink || r.failed.Op == faultfs.OpCreate && kind.fault.Late {
		return // what could not be removed is removed at the next start
	}
	r.m.system.Walk("/disk1", func(path string, info fs.FileInfo) {
		if info.Kind == fs.KindFile && strings.Contains(path, "/%wk/") {
			r.t.Errorf("%s: a work file is left: %s", r.where, path)
		}
	})
}

// again does the operation again, without a fault, and looks at what is there
// after a loss of power.
func (r *faultyRun) again(seed uint64) {
	want := r.op.after
	switch state := r.state(); {
	case r.acked:
	case r.op.next != nil:
		want = r.op.next(state)
		fallthrough
	default:
		err := r.op.run(r.m)
		if statusOf(err) == 404 && r.op.once && state == r.op.after {
			return // done, and nobody was told
		}
		if err != nil && (r.op.after != "absent" || statusOf(err) != 404) {
			r.t.Errorf("%s: tried again: %v", r.where, err)
		}
	}
	before := r.m
	crashed := before.system.Crash(seed)
	before.system = crashfs.New(crashfs.Options{})
	if err := before.close(); err != nil {
		r.t.Errorf("%s: %v", r.where, err)
	}
	before.system = crashed
	if err := before.open(); err != nil {
		r.t.Fatalf("%s: the start after it: %v", r.where, err)
	}
	if content := r.state(); content != want {
		r.t.Errorf("%s: tried again and acknowledged; after a loss of power there is %.20q", r.where, content)
	}
	if r.op.state != nil {
		return // of no object
	}
	page, err := before.store.List(context.Background(), before.bck, before.props, ListOptions{})
	listed := slices.ContainsFunc(page, func(e Entry) bool { return e.Name == r.op.object })
	if err != nil || listed != (r.op.after != "absent") {
		r.t.Errorf("%s: listed %v, %v", r.where, listed, err)
	}
}

// state is what the operation is about.
func (r *faultyRun) state() string {
	if r.op.state == nil {
		return r.content()
	}
	state, err := r.op.state(r.m)
	if err != nil {
		r.t.Errorf("%s: %v", r.where, err)
	}
	return state
}

func (r *faultyRun) content() string {
	reader, err := r.m.store.Open(context.Background(), r.m.key(r.op.object))
	if statusOf(err) == 404 {
		return "absent"
	}
	if err != nil {
		r.t.Errorf("%s: GET: %v", r.where, err)
		return ""
	}
	content, err := readWhole(reader)
	if err != nil {
		r.t.Errorf("%s: GET: %v", r.where, err)
	}
	return string(content)
}

// TestErrorAtEveryCallOfARead: a read that fails says so, and changes nothing.
func TestErrorAtEveryCallOfARead(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, read := range map[string]func(m *crashMachine) error{
		"GET": func(m *crashMachine) error {
			reader, err := m.store.Open(ctx, m.key("o"))
			if err != nil {
				return err
			}
			_, err = readWhole(reader)
			return err
		},
		"HEAD": func(m *crashMachine) error {
			_, err := m.store.Head(ctx, m.key("o"))
			return err
		},
		"list": func(m *crashMachine) error {
			_, err := m.store.List(ctx, m.bck, m.props, ListOptions{Props: ListSize | ListAtime})
			return err
		},
		"verify": func(m *crashMachine) error { return m.store.Verify(ctx, m.key("o")) },
	} {
		for _, sidecar := range []bool{false, true} {
			m := newCrashMachine(&crashPlan{Disks: 1, Mountpaths: 1}, nil)
			m.off = true
			if err := m.open(); err != nil {
				t.Fatal(err)
			}
			opts := PutOptions{Size: 7}
			if sidecar {
				opts.Custom = []KV{{"k", strings.Repeat("v", 2040)}}
			}
			if _, err := m.store.Put(ctx, m.key("o"), strings.NewReader("content"), opts); err != nil {
				t.Fatal(err)
			}
			files := len(m.system.OpenFiles())
			for n, reached := 1, true; reached; n++ {
				m.store.DropRecords()
				calls := 0
				var failed faultfs.Call
				m.system.Before(func(c faultfs.Call) error {
					if calls++; calls == n {
						failed = c
						return unix.EIO
					}
					return nil
				})
				err := read(m)
				m.system.Before(nil)
				reached = failed.Op != ""
				switch {
				case !reached && (err != nil || n < 2):
					t.Errorf("%s: %d calls, %v", name, n-1, err)
				case reached && failed.Op != faultfs.OpClose && statusOf(err) != 500 && !errors.Is(err, unix.EIO):
					t.Errorf("%s: EIO in %v: %v", name, failed, err)
				}
				if err := read(m); err != nil {
					t.Errorf("%s after EIO in %v: %v", name, failed, err)
				}
				if open := m.system.OpenFiles(); len(open) != files {
					t.Errorf("%s after EIO in %v: open files %q", name, failed, open)
				}
			}
			if err := m.close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestErrorAtEveryCallOfTheBuckets: making and destroying a bucket can be tried
// again after any error, and never shows objects of before.
func TestErrorAtEveryCallOfTheBuckets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EROFS} {
		for n, reached := 1, true; reached; n++ {
			m := newCrashMachine(&crashPlan{Disks: 1, Mountpaths: 2}, nil)
			m.off = true
			if err := m.open(); err != nil {
				t.Fatal(err)
			}
			for i := range 4 {
				if _, err := m.store.Put(ctx, m.key(fmt.Sprint("o", i)), strings.NewReader("old"), PutOptions{Size: 3}); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			calls := 0
			var failed faultfs.Call
			m.system.Before(func(c faultfs.Call) error {
				mu.Lock()
				defer mu.Unlock()
				if calls++; calls == n {
					failed = c
					return errno
				}
				return nil
			})
			before, without := m.bmd, meta.NewBMD("cluster01", m.bmd.Version+1)
			recreate := m.recreate()
			first := recreate()
			m.system.Before(nil)
			mu.Lock()
			reached = failed.Op != ""
			mu.Unlock()
			if first != nil {
				if err := errors.Join(m.store.ApplyBMD(ctx, before, without), m.store.ApplyBMD(ctx, without, m.bmd)); err != nil {
					t.Errorf("%v in %v: tried again: %v", errno, failed, err)
				}
			}
			if page, err := m.store.List(ctx, m.bck, m.props, ListOptions{}); err != nil || len(page) > 0 {
				t.Errorf("%v in %v: %d objects, %v", errno, failed, len(page), err)
			}
			for i := range 4 {
				key := m.key(fmt.Sprint("o", i))
				if _, err := m.store.Open(ctx, key); statusOf(err) != 404 {
					t.Errorf("%v in %v: an object of the destroyed bucket: %v", errno, failed, err)
				}
				if _, err := m.store.Put(ctx, key, strings.NewReader("new"), PutOptions{Size: 3}); err != nil {
					t.Errorf("%v in %v: PUT: %v", errno, failed, err)
				}
			}
			if err := m.close(); err != nil {
				t.Errorf("%v in %v: %v", errno, failed, err)
			}
		}
	}
}
