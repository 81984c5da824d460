package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
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

	system  *crashfs.System
	store   *Store
	fs      *fs.Manager
	bck     wire.Bck
	props   *meta.Bprops
	bmd     *meta.BMD
	model   *crashModel
	serial  int
	ticks   atomic.Int64
	boots   int // losses of power
	moving  *crashMove
	uploads []*crashUpload // that may go on
	damage  bool           // a GET of the last comparison found damage

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

// crashDisk is the size of a disk, in bytes: the reserve for deletes is a part of
// it, and lies in memory for each state of a disk that is looked at.
const crashDisk = 64 << 20

func newCrashMachine(plan *crashPlan, mutant func(fs.System) fs.System) *crashMachine {
	m := &crashMachine{plan: plan, mutant: mutant, model: newCrashModel(), bck: wire.Bck{Name: "b1", Provider: wire.ProviderAIS}}
	m.arrived = make(chan struct{}, 1)
	o := crashfs.Options{Ordered: plan.Ordered}
	for i := range plan.Disks {
		o.Disks = append(o.Disks, crashfs.Disk{Path: fmt.Sprintf("/disk%d", i+1), Size: crashDisk})
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
