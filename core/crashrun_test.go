package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// crashMachine is a store on a disk that can lose its power. Every system call
// waits until the schedule lets it go on, so that a seed decides the order of
// all that runs at the same time.
type crashMachine struct {
	plan   *crashPlan
	mutant func(fs.System) fs.System // nil: the engine as it is

	onEvent func(fs.Event)
	space   func() fs.Watermarks // nil: writes are never refused
	shift   func() time.Duration // of the clock, nil: none

	system *crashfs.System
	store  *Store
	fs     *fs.Manager
	bck    wire.Bck
	props  *meta.Bprops
	bmd    *meta.BMD
	model  *crashModel
	serial int
	ticks  atomic.Int64
	boots  int // losses of power
	moving *crashMove
	damage bool // a GET of the last comparison found damage

	mu      sync.Mutex
	waiting []*crashCall
	arrived chan struct{} // there may be one more
	off     bool          // calls do not wait
	calls   []string
	inside  *crashPoint // of calls of index and journal; they do not wait
	after   *crashfs.System
}

// crashMove is a rename under way.
type crashMove struct {
	from, to string
	moved    *crashVersion
}

// crashCall is a system call that waits for its turn.
type crashCall struct {
	key string
	run chan struct{}
}

// crashFailure is what the model does not allow.
type crashFailure struct{ text string }

func (f *crashFailure) Error() string { return f.text }

func failf(format string, args ...any) error { return &crashFailure{fmt.Sprintf(format, args...)} }

// crashSegment is the size of a journal segment, in bytes: a few frames, so that
// there are checkpoints.
const crashSegment = 400

func newCrashMachine(plan *crashPlan, mutant func(fs.System) fs.System) *crashMachine {
	m := &crashMachine{plan: plan, mutant: mutant, model: newCrashModel(), bck: wire.Bck{Name: "b1", Provider: wire.ProviderAIS}}
	m.arrived = make(chan struct{}, 1)
	o := crashfs.Options{Ordered: plan.Ordered}
	for i := range plan.Disks {
		o.Disks = append(o.Disks, crashfs.Disk{Path: fmt.Sprintf("/disk%d", i+1)})
	}
	m.system = crashfs.New(o)
	m.props = &meta.Bprops{Provider: wire.ProviderAIS, BID: 1<<63 | 7, Durability: meta.DurabilitySync}
	m.props.Checksum.Type = cksum.XXHash2
	m.props.Checksum.ValidateWarmGet = plan.Validate
	m.props.Versioning.Enabled = true
	if plan.Chunked {
		m.props.Chunks = config.ChunksConf{MaxMonolithicSize: 4000, ChunkSize: 3000}
	}
	m.setDurable(!plan.Lazy)
	m.bmd = meta.NewBMD("cluster01", 2, meta.BucketEntry{Bck: m.bck, Props: m.props})
	return m
}

// clock goes on with every look at it: the time of a bubble stands still.
func (m *crashMachine) clock() time.Time {
	at := time.Now().Add(time.Duration(m.ticks.Add(1)) * time.Microsecond)
	if m.shift != nil {
		at = at.Add(m.shift())
	}
	return at
}

func (m *crashMachine) setDurable(yes bool) {
	props := m.props.Clone()
	props.Durability = meta.DurabilityNone
	if yes {
		props.Durability = meta.DurabilitySync
	}
	m.props = props
	if m.bmd != nil {
		m.bmd = meta.NewBMD("cluster01", m.bmd.Version+1, meta.BucketEntry{Bck: m.bck, Props: props})
	}
}

func (m *crashMachine) key(name string) Key { return Key{Bck: m.bck, Props: m.props, Name: name} }

// open starts manager and store, as a node does.
func (m *crashMachine) open() error {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	paths := map[string]string{}
	for i := range m.plan.Mountpaths {
		paths[fmt.Sprintf("/disk%d/mp%d", i%m.plan.Disks+1, i+1)] = ""
	}
	var system fs.System = m.system
	if m.mutant != nil {
		system = m.mutant(system)
	}
	space := m.space
	if space == nil {
		space = func() fs.Watermarks { return marksOff }
	}
	manager, err := fs.Open(fs.Options{
		Mountpaths: paths, TestMode: true, NodeID: "t1", ClusterUUID: "cluster01", System: system, Logger: quiet, Sysfs: "/nowhere",
		Clock: m.clock, OnEvent: m.onEvent,
		Space: space,
	})
	if err != nil {
		return err
	}
	store := NewStore(Options{
		FS: manager, NodeID: "t1", Logger: quiet, Clock: m.clock,
		BootID: fmt.Sprint("boot", m.boots), JournalSegment: crashSegment,
	})
	m.fs, m.store = manager, store
	return store.ApplyBMD(context.Background(), nil, m.bmd)
}

// close ends what open started; calls do not wait.
func (m *crashMachine) close() error {
	m.letGo()
	return m.end(false)
}

// abandon ends it after the machine went down.
func (m *crashMachine) abandon() error {
	m.letGo()
	return m.end(true)
}

// letGo lets all calls go on.
func (m *crashMachine) letGo() {
	m.mu.Lock()
	m.off = true
	m.mu.Unlock()
	m.release(len(m.waiting))
}

// end closes store and manager. Of a machine that is down no call succeeds.
func (m *crashMachine) end(down bool) error {
	if m.store == nil {
		return nil
	}
	system := m.system // the machine may go down meanwhile, and have another one
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := m.store.Close(ctx)
	if down {
		err = nil
	}
	if n := m.store.locks.count(); n != 0 {
		err = errors.Join(err, failf("%d name locks are held at the end", n))
	}
	if n := m.store.memory.InUse(); n != 0 {
		err = errors.Join(err, failf("%d bytes of buffers are on loan at the end", n))
	}
	for _, mp := range m.fs.Available().Paths {
		if mp.InFlight() != 0 {
			err = errors.Join(err, failf("%s: %d slots are taken at the end", mp, mp.InFlight()))
		}
	}
	err = errors.Join(err, m.fs.Close())
	if open := system.OpenFiles(); len(open) > 0 {
		err = errors.Join(err, failf("files are open at the end: %q", open))
	}
	m.store, m.fs = nil, nil
	return err
}

// before is the hook of the system: the call waits for its turn. Calls that the
// engine makes under a lock that is not a channel do not: whoever waits for
// such a lock would never be seen to wait.
func (m *crashMachine) before(c faultfs.Call) error {
	if isIndexPath(c.Path) {
		m.countInside()
		return nil
	}
	if c.Op == faultfs.OpStatfs {
		return nil
	}
	call := &crashCall{key: c.String(), run: make(chan struct{})}
	m.mu.Lock()
	if m.off {
		m.mu.Unlock()
		return nil
	}
	m.waiting = append(m.waiting, call)
	m.mu.Unlock()
	m.wake()
	<-call.run
	return nil
}

// isIndexPath knows paths of index and journal; the library asks for files of
// which it names no directory as well.
func isIndexPath(path string) bool {
	return !strings.HasPrefix(path, "/") || strings.Contains(path, "/"+fs.JournalDir) || strings.Contains(path, "/"+fs.IndexDir)
}

func (m *crashMachine) wake() {
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// countInside is a call of index or journal: the machine may go down before it.
func (m *crashMachine) countInside() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inside == nil || m.after != nil {
		return
	}
	if m.inside.Call > 0 {
		m.inside.Call--
		return
	}
	m.after = m.fall(m.inside)
	m.wake()
}

// fall returns what is found after a crash.
func (m *crashMachine) fall(fault *crashPoint) *crashfs.System {
	if fault.Kill {
		return m.system.Kill()
	}
	m.boots++
	return m.system.Crash(fault.Seed)
}

// release lets the first n waiting calls go on, in the order of what they do.
func (m *crashMachine) release(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, call := range m.waiting[:n] {
		close(call.run)
	}
	m.waiting = append(m.waiting[:0:0], m.waiting[n:]...)
}

// run runs tasks at the same time, one system call after the other in a random
// order, until they have ended, or until so many calls were made: then the
// machine goes down. It tells whether that happened.
func (m *crashMachine) run(random *rand.Rand, fault *crashPoint, tasks ...func()) (down bool) {
	m.mu.Lock()
	m.off, m.calls, m.inside = false, nil, nil
	if fault != nil && fault.Inside {
		counted := *fault
		m.inside = &counted
	}
	m.mu.Unlock()
	m.system.Before(m.before)
	ended := make(chan struct{})
	go func() {
		var group sync.WaitGroup
		for _, task := range tasks {
			group.Go(task)
		}
		group.Wait()
		close(ended)
	}()
	for calls := 0; ; calls++ {
		synctest.Wait()
		m.mu.Lock()
		fell := m.after != nil
		m.mu.Unlock()
		if fell {
			m.goDown(fault)
			<-ended
			return true
		}
		select {
		case <-ended:
			if fault != nil {
				m.goDown(fault)
			}
			return fault != nil
		default:
		}
		if fault != nil && !fault.Inside && calls == fault.Call {
			m.goDown(fault)
			<-ended
			return true
		}
		m.mu.Lock()
		if len(m.waiting) == 0 {
			m.mu.Unlock()
			select { // something waits for time to pass
			case <-ended:
			case <-m.arrived:
			}
			calls--
			continue
		}
		slices.SortStableFunc(m.waiting, func(a, b *crashCall) int { return strings.Compare(a.key, b.key) })
		i := random.IntN(len(m.waiting))
		m.waiting[0], m.waiting[i] = m.waiting[i], m.waiting[0]
		m.calls = append(m.calls, m.waiting[0].key)
		m.mu.Unlock()
		m.release(1)
	}
}

// goDown is the end of the machine, or of the process. Calls that wait fail.
func (m *crashMachine) goDown(fault *crashPoint) {
	m.mu.Lock()
	m.inside = nil
	after := m.after
	if m.after = nil; after == nil {
		after = m.fall(fault)
	}
	m.off = true
	m.mu.Unlock()
	m.release(len(m.waiting))
	synctest.Wait()
	m.system = after
}

// start opens the store until no crash point is left.
func (m *crashMachine) start(random *rand.Rand, faults []crashPoint) error {
	for i := 0; ; i++ {
		var fault *crashPoint
		if i < len(faults) {
			fault = &faults[i]
		}
		var opened error
		down := m.run(random, fault, func() { opened = m.open() })
		if !down {
			if opened != nil {
				return failf("the store does not start: %v", opened)
			}
			return nil
		}
		after := m.system
		m.system = crashfs.New(crashfs.Options{}) // open files of the machine that is down are none
		if err := m.abandon(); err != nil {
			return err
		}
		m.system = after
	}
}

// perform is one operation; the model is told.
func (m *crashMachine) perform(op crashOp) (func(), func() error) {
	m.serial++
	v := &crashVersion{id: m.serial, size: op.Size, large: op.Large, durable: m.props.SyncWrites()}
	name := m.plan.Names[op.Name]
	var err error
	var attrs Attrs
	var run func()
	opts := PutOptions{Size: int64(v.size)}
	if m.plan.Versions {
		opts.Keep = KeepVersion
	}
	switch op.Kind {
	case "put", "stream":
		opts.Custom = v.custom()
		if op.Kind == "stream" {
			opts.Size = -1
		}
		opts.SkipVC = !v.large // else the custom keys of the former one stay
		run = func() {
			attrs, err = m.store.Put(context.Background(), m.key(name), strings.NewReader(v.content()), opts)
		}
	case "multipart":
		opts.Custom, opts.SkipVC = v.custom(), !v.large
		run = func() { attrs, err = m.multipart(name, v.content(), opts) }
	case "marker":
		v.absent = true
		run = func() { _, err = m.store.PutDeleteMarker(context.Background(), m.key(name), KeepVersion) }
	case "same":
		// The content of the newest version, with its checksum: nothing is
		// to be written.
		versions := m.model.versions(name)
		last := versions[len(versions)-1]
		if last.absent || last.broken {
			return nil, nil
		}
		v.id, v.size, v.large = last.id, last.size, last.large
		v.fixed, v.text, v.customs = last.fixed, last.text, last.customs
		opts.Size = int64(v.size)
		opts.Custom = v.custom()
		possible, _ := m.model.possible(name, false)
		opts.SkipVC = len(possible) > 1 // it may not be there: write it again
		sum, sumErr := sumOf(cksum.XXHash2, []byte(v.content()))
		if sumErr != nil {
			panic(sumErr)
		}
		opts.Checksum = sum
		run = func() {
			attrs, err = m.store.Put(context.Background(), m.key(name), strings.NewReader(v.content()), opts)
		}
	case "delete":
		v.absent = true
		run = func() {
			if err = m.store.Delete(context.Background(), m.key(name)); statusOf(err) == 404 {
				err = nil
			}
		}
	case "bury":
		v.absent = true
		run = func() { _, err = m.store.Bury(context.Background(), m.key(name)) }
	default:
		return m.performOn(&op, name, v)
	}
	m.model.begin(name, v)
	return run, func() error {
		if err != nil {
			return failf("%s %.30q failed without a reason: %v", op.Kind, name, err)
		}
		v.acked, v.version, v.end = true, attrs.Version, m.model.tick()
		if attrs.Versioned && v.durable {
			m.model.kept[name] = append(m.model.kept[name], keptVersion{attrs.VersionID(), v})
		}
		return nil
	}
}

// performOn is an operation whose outcome hangs on what there is: it is left out
// where the model does not know that.
func (m *crashMachine) performOn(op *crashOp, name string, v *crashVersion) (func(), func() error) {
	ctx := context.Background()
	key, from := m.key(name), m.plan.Names[op.From]
	source := name
	if op.Kind == "copy" || op.Kind == "rename" {
		source = from
	}
	base := m.model.only(source)
	switch {
	case base == nil, base.broken, base.absent && op.Kind != "append", op.Kind == "rename" && from == name:
		return nil, nil
	}
	body := v.content()
	v.fixed, v.text, v.customs = true, "", nil
	if !base.absent {
		v.text, v.customs = base.content(), base.custom()
	}
	var attrs Attrs
	var err error
	var run func()
	var gone *crashVersion
	switch op.Kind {
	case "append":
		v.text += body
		run = func() {
			var h AppendHandle
			half := len(body) / 2
			if h, err = m.store.BeginAppend(ctx, key, strings.NewReader(body[:half]), int64(half), 0); err != nil {
				return
			}
			if h, err = m.store.Append(ctx, key, h, strings.NewReader(body[half:]), -1, 0); err == nil {
				attrs, err = m.store.FlushAppend(ctx, key, h, cksum.Value{})
			}
		}
	case "patch":
		v.customs = []KV{{"k", fmt.Sprint(v.id)}} // which a later write replaces
		if op.Large {
			v.customs[0].Value = strings.Repeat(v.customs[0].Value, 2000/len(v.customs[0].Value))
		}
		run = func() { attrs, err = m.store.SetCustom(ctx, key, v.customs, true) }
	case "copy":
		run = func() { _, err = m.store.Copy(ctx, m.key(from), key, false) }
	case "rename":
		gone = &crashVersion{id: v.id, absent: true, durable: v.durable}
		run = func() {
			var moved Attrs
			if moved, err = m.store.Copy(ctx, m.key(from), key, true); err == nil {
				err = m.store.DeleteUnchanged(ctx, m.key(from), moved.Stamp)
			}
		}
		m.moving = &crashMove{from, name, v}
		m.model.begin(from, gone)
	default:
		panic(op.Kind)
	}
	v.size = len(v.text)
	m.model.begin(name, v)
	return run, func() error {
		if err != nil {
			return failf("%s %.30q failed without a reason: %v", op.Kind, name, err)
		}
		v.acked, v.version, v.end = true, attrs.Version, m.model.tick()
		if gone != nil {
			gone.acked, gone.end = true, v.end
		}
		return nil
	}
}

// multipart uploads a content in three parts, the last one first.
func (m *crashMachine) multipart(name, content string, opts PutOptions) (Attrs, error) {
	ctx := context.Background()
	id, err := m.store.CreateUpload(ctx, m.key(name), CreateOptions{})
	if err != nil {
		return Attrs{}, err
	}
	var complete CompleteOptions
	complete.Put = opts
	for number := 3; number > 0; number-- {
		part := content[(number-1)*len(content)/3 : number*len(content)/3]
		if _, err := m.store.PutPart(ctx, m.key(name), id, number, strings.NewReader(part), PartOptions{Size: int64(len(part))}); err != nil {
			return Attrs{}, err
		}
		complete.Parts = append(complete.Parts, CompletePart{Number: number})
	}
	return m.store.CompleteUpload(ctx, m.key(name), id, complete)
}

// recreate destroys the bucket and makes it again. The node keeps the bucket
// metadata before it applies it.
func (m *crashMachine) recreate() func() error {
	before := m.bmd
	without := meta.NewBMD("cluster01", m.bmd.Version+1)
	props := m.props.Clone()
	props.BID++
	m.props = props
	m.bmd = meta.NewBMD("cluster01", without.Version+1, meta.BucketEntry{Bck: m.bck, Props: props})
	clear(m.model.kept)
	// An object whose record is damaged does not tell of which bucket it is.
	for name, versions := range m.model.names {
		left := []*crashVersion{{absent: true, acked: true, durable: true}}
		for _, v := range versions {
			left[0].durable = left[0].durable && v.durable
		}
		m.model.names[name] = left
	}
	return func() error {
		return errors.Join(m.store.ApplyBMD(context.Background(), before, without), m.store.ApplyBMD(context.Background(), without, m.bmd))
	}
}

// runPlan runs a whole sequence. An error is a *crashFailure, or a mistake of
// the test.
func runPlan(plan *crashPlan, mutant func(fs.System) fs.System) (err error) {
	m := newCrashMachine(plan, mutant)
	defer func() {
		after := m.close()
		if err == nil {
			err = after
		}
	}()
	random := rand.New(rand.NewPCG(plan.Seed, 1))
	if err := m.start(random, nil); err != nil {
		return err
	}
	powerless := false
	for i := range plan.Steps {
		step := &plan.Steps[i]
		where := fmt.Sprintf("step %d", i+1)
		if step.Lazy != nil {
			m.setDurable(!*step.Lazy)
			if err := m.store.ApplyBMD(context.Background(), nil, m.bmd); err != nil {
				return err
			}
		}
		var tasks []func()
		var returned []func() error
		if step.Recreate {
			destroy := m.recreate()
			var failed error
			tasks = append(tasks, func() { failed = destroy() })
			returned = append(returned, func() error {
				if failed != nil {
					return failf("the bucket is not made again: %v", failed)
				}
				return nil
			})
		}
		for _, op := range step.Ops {
			if run, after := m.perform(op); run != nil {
				tasks = append(tasks, run)
				returned = append(returned, after)
			}
		}
		beyond := step.Crash != nil && step.Crash.Call < 0 // after they have ended
		crash := step.Crash
		if beyond || step.Stop {
			crash = nil
		}
		down := m.run(random, crash, tasks...)
		if !down {
			m.moving = nil
			for _, after := range returned {
				if err := after(); err != nil {
					return err
				}
			}
			if step.Stop {
				var stopped error
				during := step.Crash
				if beyond {
					during = nil
				}
				if !m.run(random, during, func() { stopped = m.end(during != nil) }) && stopped != nil {
					return fmt.Errorf("%s: %w", where, stopped)
				}
			}
			if beyond {
				m.goDown(step.Crash)
			}
			down = beyond || step.Stop
		}
		if !down {
			continue
		}
		powerless = powerless || step.Crash != nil && !step.Crash.Kill
		if step.Crash != nil {
			after := m.system
			m.system = crashfs.New(crashfs.Options{}) // open files of the machine that is down are none
			if err := m.abandon(); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			m.system = after
		}
		for j := range step.Restart {
			powerless = powerless || !step.Restart[j].Kill
		}
		if err := m.start(random, step.Restart); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if err := m.check(random, powerless, random.IntN(2) == 0); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		powerless = false
	}
	return m.check(random, false, true)
}

// check compares the store with the model, and takes what it found for what is
// there: a start flushes every filesystem before it serves. whole: it waits
// until the listing indexes are whole, and compares them as well.
func (m *crashMachine) check(random *rand.Rand, powerless, whole bool) (err error) {
	m.run(random, nil, func() {
		if err = m.compare(powerless); err == nil && whole {
			err = m.compareIndex()
		}
	})
	return err
}

// compareIndex waits until all is listed from the indexes, and compares that
// with the files.
func (m *crashMachine) compareIndex() error {
	for began := time.Now(); !m.indexed(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Hour {
			return failf("the listing index is not whole after %v", time.Since(began))
		}
	}
	all := ListOptions{Props: ListSize | ListChecksum | ListVersion | ListCopies | ListCustom | ListLocation | ListMtime | ListETag, Stamps: true, Missing: true}
	indexed, err := m.store.List(context.Background(), m.bck, m.props, all)
	if err != nil {
		return failf("the listing from the index fails: %v", err)
	}
	if !m.indexed() {
		return failf("the listing index was given up by a listing")
	}
	table := m.store.indexing.table.Load()
	m.store.indexing.table.Store(&indexTable{})
	walked, err := m.store.List(context.Background(), m.bck, m.props, all)
	m.store.indexing.table.Store(table)
	if err != nil {
		return failf("the listing from the files fails: %v", err)
	}
	if in, out := fmt.Sprintf("%+v", indexed), fmt.Sprintf("%+v", walked); in != out {
		return failf("listed from the index %.2000s\nfrom the files %.2000s", in, out)
	}
	return nil
}

// indexed tells whether all is listed from the indexes.
func (m *crashMachine) indexed() bool {
	for _, state := range m.store.IndexStates(m.props.BID) {
		if !state.Ready {
			return false
		}
	}
	return true
}

func (m *crashMachine) listNames(limit int) (listed []string, err error) {
	for {
		o := ListOptions{Limit: limit}
		if len(listed) > 0 {
			o.After = listed[len(listed)-1]
		}
		page, err := m.store.List(context.Background(), m.bck, m.props, o)
		if err != nil {
			return nil, failf("the listing fails: %v", err)
		}
		for i := range page {
			listed = append(listed, page[i].Name)
		}
		if len(page) < limit {
			return listed, nil
		}
	}
}

func (m *crashMachine) compare(powerless bool) error {
	var present []string
	broken := false
	m.damage = false
	// What a start lists at once: GET has moved nothing aside yet.
	first, err := m.listNames(1000)
	if err != nil {
		return err
	}
	holds := make(map[string]*crashVersion)
	known := make(map[string]bool) // paths
	for _, name := range m.plan.Names {
		found, err := m.compareName(name, powerless)
		if err != nil {
			return err
		}
		holds[name] = found
		m.model.settle(name, found)
		if err := m.compareVersions(name); err != nil {
			return err
		}
		if !found.absent {
			present = append(present, name)
		}
		broken = broken || found.broken
		o, err := m.store.resolve(m.key(name))
		if err != nil {
			return err
		}
		now, err := m.store.current(&o)
		if err != nil {
			return err
		}
		known[now.path], known[now.older] = true, true
	}
	slices.Sort(present)
	if !broken { // a listing may show an object of which a chunk is lost
		if !m.damage && !slices.Equal(first, present) {
			return failf("listed at first: %q, but GET finds %q", first, present)
		}
		for _, limit := range []int{1, 1000} {
			listed, err := m.listNames(limit)
			if err != nil {
				return err
			}
			if !slices.Equal(listed, present) {
				return failf("listed by %d: %q, but GET finds %q", limit, listed, present)
			}
		}
	}
	if move := m.moving; move != nil && holds[move.from].absent && move.moved.durable {
		if now := holds[move.to]; now.absent || now.content() != move.moved.content() {
			return failf("renamed from %.30q, which is gone, to %.30q, which holds %v", move.from, move.to, now)
		}
	}
	m.moving = nil
	return m.compareFiles(known, powerless)
}

// compareName reads a name and finds the version that it holds.
func (m *crashMachine) compareName(name string, powerless bool) (*crashVersion, error) {
	possible, mayBeDamaged := m.model.possible(name, powerless)
	absent := &crashVersion{absent: true}
	reader, err := m.store.Open(context.Background(), m.key(name))
	if statusOf(err) == 500 && mayBeDamaged && strings.HasPrefix(err.Error(), "BAD DATA CHECKSUM") {
		m.damage = true
		_, again := m.store.Open(context.Background(), m.key(name))
		if strings.Contains(err.Error(), "truncated") && statusOf(again) == 500 {
			return &crashVersion{broken: true}, nil
		}
		if statusOf(again) != 404 {
			return nil, failf("%.30q: damaged, and then: %v", name, again)
		}
		absent.aside = !m.props.SyncWrites()
		return absent, nil
	}
	if statusOf(err) == 404 {
		for _, v := range possible {
			if v.absent {
				return v, nil
			}
		}
		if mayBeDamaged {
			return absent, nil
		}
		return nil, failf("%.30q is not found; it may hold %v", name, possible)
	}
	if err != nil {
		return nil, failf("%.30q: %v; it may hold %v", name, err, possible)
	}
	content, err := readWhole(reader)
	if err != nil {
		if mayBeDamaged && statusOf(err) == 500 && strings.Contains(err.Error(), "truncated") {
			return &crashVersion{broken: true}, nil
		}
		return nil, failf("%.30q: %v", name, err)
	}
	for _, v := range possible {
		if !v.absent && string(content) == v.content() && slices.Equal(reader.Custom, v.custom()) && (!v.acked || v.version == "" || v.version == reader.Version) {
			return v, nil
		}
	}
	return nil, failf("%.30q holds %d bytes %.12q, version %s; it may hold %v", name, len(content), content, reader.Version, possible)
}

// readWhole reads an object, and checks that it is not torn.
func readWhole(reader *Reader) ([]byte, error) {
	chunked := reader.IsChunked()
	err := reader.Prepare(context.Background(), 0, reader.Size)
	if err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
	if err = errors.Join(err, reader.Close()); err != nil {
		return nil, err
	}
	// The checksum of an upload is one of its parts'; the model knows the content.
	sum, err := sumOf(cksum.XXHash2, content)
	if err == nil && !chunked && sum != reader.Checksum {
		err = fmt.Errorf("served torn: %d bytes", len(content))
	}
	return content, err
}

// compareVersions looks for every version that was acknowledged: none is ever
// removed here.
func (m *crashMachine) compareVersions(name string) error {
	for _, kept := range m.model.kept[name] {
		reader, err := m.store.OpenVersion(context.Background(), m.key(name), kept.id)
		if err != nil {
			return failf("%.30q: version of operation %d: %v", name, kept.crashVersion.id, err)
		}
		content, err := readWhole(reader)
		if err != nil || string(content) != kept.content() {
			return failf("%.30q: version of operation %d: %d bytes, %v", name, kept.crashVersion.id, len(content), err)
		}
	}
	return nil
}

// compareFiles looks for files that no name has.
func (m *crashMachine) compareFiles(known map[string]bool, powerless bool) error {
	var files []string
	for i := range m.plan.Disks {
		m.system.Walk(fmt.Sprintf("/disk%d", i+1), func(path string, info fs.FileInfo) {
			if info.Kind == fs.KindFile {
				files = append(files, path)
			}
		})
	}
	var buf [recordBuffer]byte
	for _, path := range files {
		switch {
		case strings.Contains(path, "/.$deleted/"), known[path]:
		case strings.Contains(path, "/%wk/"):
			return failf("a work file was left over: %s", path)
		case strings.Contains(path, "/%ob/"), strings.Contains(path, "/%ox/"):
			n, err := m.system.GetXattr(path, XattrRecord, buf[:])
			if err != nil {
				if powerless || m.plan.lazy() {
					continue // acknowledged before it was on stable storage
				}
				return failf("a file without a record: %s: %v", path, err)
			}
			form, content, err := openFrame(buf[:n])
			if err != nil {
				return failf("a file with a damaged record: %s: %v", path, err)
			}
			if form != formInline {
				continue // whose it is is in its sidecar
			}
			var rec record
			if err := rec.decodeBody(content); err != nil {
				return failf("a file with a damaged record: %s: %v", path, err)
			}
			if rec.bid == m.props.BID {
				return failf("a file of no name: %s", path)
			}
		}
	}
	return nil
}
