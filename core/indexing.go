package core

import (
	"context"
	"errors"
	iofs "io/fs"
	"maps"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/core/index"
	fsys "github.com/aistore-go/aistore/fs"
)

const (
	// defaultIndexRetry is how long an index that was given up stays closed.
	defaultIndexRetry = time.Minute
	// closeIndexTime bounds the closing of the index of a mountpath that leaves.
	closeIndexTime = 5 * time.Second
)

// indexing is the listing indexes of a store, one for each mountpath. A
// mountpath without one is listed by walking.
type indexing struct {
	s      *Store
	cache  *index.Cache
	bootID string

	table atomic.Pointer[indexTable]
	retry time.Duration // how long an index that was given up stays closed

	// One change of the table at a time.
	changing sync.Mutex
	closed   bool
	closing  map[*fsys.Mountpath]bool // whose index is being closed, to be made again
	retrying bool                     // somebody waits to open those that could not be opened

	// moving is held shared while a name is taken from one mountpath after it
	// was given to another, and exclusively while a listing begins: it sees
	// the name at one of them at least.
	moving sync.RWMutex
	moves  atomic.Uint64 // how often that has begun

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

type indexTable map[*fsys.Mountpath]*mountIndex

// mountIndex is the index of one mountpath with what tends it.
type mountIndex struct {
	mp  *fsys.Mountpath
	ix  *index.Index
	ctx context.Context // ends with the index's use
	end context.CancelFunc

	wake   chan struct{} // there is something to tend
	tended chan struct{} // closed when nobody tends it any more
	verify atomic.Bool   // what it holds is to be compared with the files
	failed int64         // flush rounds of its filesystem, when it was opened

	comparing atomic.Pointer[bucket] // which is being compared, nil: none
	compared  atomic.Int64           // how many of its names have been
}

// bootID identifies the run of the machine, "" if it cannot be told.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func newIndexing(s *Store) *indexing {
	t := &indexing{s: s, bootID: s.options.BootID, retry: s.options.IndexRetry, closing: make(map[*fsys.Mountpath]bool)}
	if t.retry <= 0 {
		t.retry = defaultIndexRetry
	}
	if t.bootID == "" {
		t.bootID = bootID()
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.table.Store(&indexTable{})
	if s.options.WalkOnly {
		t.closed = true
		return t
	}
	t.cache = index.NewCache()
	s.options.FS.OnRetire(t.retired)
	t.refresh(false)
	return t
}

// of returns the index of a mountpath, nil if there is none.
func (t *indexing) of(mp *fsys.Mountpath) *index.Index {
	if m := (*t.table.Load())[mp]; m != nil {
		return m.ix
	}
	return nil
}

// refresh opens the indexes of mountpaths that came and closes those of
// mountpaths that left. changed tells that what lies on one that came may not
// be what its index says.
func (t *indexing) refresh(changed bool) {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.closed {
		return
	}
	set := t.s.options.FS.Available()
	table := maps.Clone(*t.table.Load())
	var came []*mountIndex
	for _, mp := range set.All() {
		if table[mp] != nil || t.closing[mp] {
			continue
		}
		if m := t.open(mp, changed); m != nil {
			table[mp] = m
			came = append(came, m)
		} else {
			t.refreshLater()
		}
	}
	var left []*mountIndex
	for mp, m := range table {
		if !set.Has(mp) {
			left = append(left, m)
			delete(table, mp)
		}
	}
	t.table.Store(&table)
	for _, m := range left {
		t.close(m)
	}
	// From here on all changes reach the new ones: what is looked at now cannot
	// be out of date unnoticed.
	for _, m := range came {
		for _, b := range *t.s.buckets.Load() {
			t.completeEmpty(m, b)
		}
		t.work.Go(func() { t.tend(m) })
	}
}

// refreshLater has indexes that could not be opened tried again after a while.
func (t *indexing) refreshLater() {
	if t.retrying {
		return
	}
	t.retrying = true
	t.work.Go(func() {
		if delay.For(t.ctx, t.retry) != nil {
			return
		}
		t.changing.Lock()
		t.retrying = false
		t.changing.Unlock()
		t.refresh(true)
	})
}

// retired closes the index of a mountpath that has left, before its disk is let
// go.
func (t *indexing) retired(mp *fsys.Mountpath) {
	t.changing.Lock()
	defer t.changing.Unlock()
	m := (*t.table.Load())[mp]
	if m == nil || t.closed {
		return
	}
	table := maps.Clone(*t.table.Load())
	delete(table, mp)
	t.table.Store(&table)
	t.close(m)
}

// open opens the index of a mountpath; nil if that fails. Then nothing that
// changes from now on reaches it, and nobody is to believe it later.
func (t *indexing) open(mp *fsys.Mountpath, changed bool) *mountIndex {
	failed := mp.Filesystem().FailedRounds()
	ix, err := t.openIndex(mp)
	if err != nil {
		err = errors.Join(err, index.Disbelieve(t.s.system, mp.Path+"/"+fsys.JournalDir))
		t.s.log.Error("mountpath is listed without an index", "mountpath", mp.Path, "err", err)
		return nil
	}
	m := &mountIndex{mp: mp, ix: ix, failed: failed, wake: make(chan struct{}, 1), tended: make(chan struct{})}
	m.ctx, m.end = context.WithCancel(t.ctx)
	m.verify.Store(changed || ix.Unclean())
	if changed {
		for _, b := range *t.s.buckets.Load() {
			ix.Doubt(b.bid)
		}
	}
	return m
}

func (t *indexing) openIndex(mp *fsys.Mountpath) (*index.Index, error) {
	o := index.Options{
		Dir: mp.Path + "/" + fsys.IndexDir, JournalDir: mp.Path + "/" + fsys.JournalDir,
		System: t.s.system, BootID: t.bootID, Cache: t.cache, Logger: t.s.log, Segment: t.s.options.JournalSegment,
	}
	for _, dir := range [...]string{o.Dir, o.JournalDir} {
		if err := mp.MakeDirs(dir); err != nil {
			return nil, err
		}
	}
	return index.Open(o)
}

// close ends the use of an index that is not in the table any more.
func (t *indexing) close(m *mountIndex) {
	m.end()
	<-m.tended
	ctx, cancel := context.WithTimeout(context.Background(), closeIndexTime)
	defer cancel()
	if err := m.ix.Close(ctx); err != nil {
		t.s.log.Warn("listing index not closed cleanly: it will be checked", "mountpath", m.mp.Path, "err", err)
	}
}

// replace opens an index anew, empty, in the place of one that was given up or
// that an operator wants made again.
func (t *indexing) replace(m *mountIndex) {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.closed || (*t.table.Load())[m.mp] != m {
		return
	}
	table := maps.Clone(*t.table.Load())
	delete(table, m.mp)
	t.table.Store(&table)
	t.closing[m.mp] = true
	m.end()
	t.work.Go(func() {
		t.close(m)
		t.changing.Lock()
		delete(t.closing, m.mp)
		t.changing.Unlock()
		t.refresh(false)
	})
}

// shutdown closes all indexes.
func (t *indexing) shutdown(ctx context.Context) error {
	t.changing.Lock()
	t.closed = true
	table := *t.table.Load()
	t.table.Store(&indexTable{})
	t.changing.Unlock()
	t.stop()
	t.work.Wait()
	var errs []error
	var mu sync.Mutex
	var closing sync.WaitGroup
	for _, m := range table {
		closing.Go(func() {
			err := m.ix.Close(ctx)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	closing.Wait()
	if t.cache != nil {
		t.cache.Close()
		t.cache = nil
	}
	return errors.Join(errs...)
}

// wakeAll has the indexes look what there is to do.
func (t *indexing) wakeAll() {
	for _, m := range *t.table.Load() {
		m.poke()
	}
}

func (m *mountIndex) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// bucketMade tells that a bucket is there. One without a file is complete as it
// is.
func (t *indexing) bucketMade(b *bucket) {
	for _, m := range *t.table.Load() {
		t.completeEmpty(m, b)
	}
}

func (t *indexing) completeEmpty(m *mountIndex, b *bucket) {
	doubts := m.ix.Doubts(b.bid)
	if m.ix.Completed(b.bid) || !t.isEmpty(m.mp, b) {
		return
	}
	// After a loss of power the index may remember what the files do not.
	if holds, err := m.ix.Holds(m.ctx, b.bid); err == nil && !holds {
		m.ix.Complete(b.bid, doubts)
	}
}

func (t *indexing) isEmpty(mp *fsys.Mountpath, b *bucket) bool {
	found := errors.New("found")
	for _, content := range [...]string{fsys.ContentObject, fsys.ContentEscaped, fsys.ContentVersion} {
		err := t.s.system.ReadDir(mp.BucketDir(b.bck, content), func([]byte, fsys.EntryKind) error { return found })
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return false
		}
	}
	return true
}

// bucketGone tells that a bucket was destroyed.
func (t *indexing) bucketGone(bid uint64) {
	for _, m := range *t.table.Load() {
		m.ix.DropBucket(bid)
	}
}
