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
	"github.com/aistore-go/aistore/core/journal"
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

// noted is a change of a name on one mountpath, between the moment before it
// touches a file and the moment at which its outcome is known. One of publish
// and gone follows, under the exclusive lock of the name, or neither: then settle
// has the files looked at, or cancel says that nothing was touched.
type noted struct {
	s      *Store
	o      *object
	mp     *fsys.Mountpath // of the object then
	m      *mountIndex     // nil: it has no index
	ticket index.Ticket
	done   bool

	// versions: noncurrent versions may have come or gone, too.
	versions bool
}

// announce writes a frame of the mountpath's journal: a name is about to change. It
// never fails the change. durable: the change will be acknowledged when it is on
// stable storage; then journal is flushed before anything changes.
func (s *Store) announce(o *object, durable bool) noted {
	n := noted{s: s, o: o, mp: o.mp, m: (*s.indexing.table.Load())[o.mp]}
	if n.m != nil {
		n.ticket = n.m.ix.Begin(journal.Commit, o.bucket.bid, o.Name, durable)
		n.trust()
	}
	return n
}

// note is announce, and the flush. The error is that of the flush.
func (s *Store) note(ctx context.Context, o *object, durable bool) (noted, error) {
	n := s.announce(o, durable)
	if file := n.journal(); durable && file != nil {
		if err := o.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Journal: file}); err != nil {
			n.cancel()
			return n, err
		}
		n.trust()
	}
	return n, nil
}

// trust is called after a flush of the journal. If any round of the filesystem
// has failed before, the frame may be lost all the same.
func (n *noted) trust() {
	if n.m != nil && n.m.failed != n.m.mp.Filesystem().FailedRounds() {
		n.m.ix.Distrust()
	}
}

// holds tells that the frame is one for a change of an object now.
func (n *noted) holds(o *object) bool {
	return n.s != nil && !n.done && n.mp == o.mp && n.m == (*n.s.indexing.table.Load())[o.mp]
}

// journal is what has to be flushed before the change, nil if nothing.
func (n *noted) journal() fsys.File { return n.ticket.Journal() }

// cancel ends a change that has touched nothing.
func (n *noted) cancel() {
	if n.s != nil && !n.done && n.m != nil {
		n.m.ix.Cancel(n.ticket)
	}
	n.done = true
}

// publish tells that the name holds an object with a record now.
func (n *noted) publish(rec *record) {
	n.done = true
	var buf [512]byte
	n.end(appendValue(buf[:0], rec, n.o.mp.ID), n.o.bucket.owes(rec, n.o.mp.ID))
}

// gone tells that the name holds nothing any more on its mountpath.
func (n *noted) gone() {
	n.done = true
	n.end(nil, n.o.bucket.owes(nil, ""))
}

// end publishes the outcome in the index of the ticket, and in the one of now:
// it may have been made again meanwhile, and have passed the name.
func (n *noted) end(value []byte, owed owed) {
	ix := n.ticket.Index()
	owed.note(ix, n.o)
	switch {
	case ix == nil:
	case value == nil:
		ix.Remove(n.ticket, n.o.bucket.bid, n.o.Name)
	default:
		ix.Publish(n.ticket, n.o.bucket.bid, n.o.Name, value)
	}
	if now := n.s.indexing.of(n.o.mp); now != nil && now != ix {
		owed.note(now, n.o)
		now.Settle(n.o.bucket.bid, n.o.Name, value)
	}
}

// keep tells that the current generation is what it was.
func (n *noted) keep() {
	n.done = true
	if ix := n.ticket.Index(); ix != nil {
		ix.Keep(n.ticket)
	}
}

// setVersion tells that there is a noncurrent version with a record now. The
// change goes on.
func (n *noted) setVersion(rec *record) {
	var buf [512]byte
	n.version(rec.stamp, appendValue(buf[:0], rec, n.o.mp.ID))
}

// dropVersion tells that there is no noncurrent version with a stamp any more.
func (n *noted) dropVersion(stamp Stamp) { n.version(stamp, nil) }

func (n *noted) version(stamp Stamp, value []byte) {
	v := stamp.indexVersion()
	for _, ix := range n.indexes() {
		if ix != nil {
			ix.SetVersion(n.o.bucket.bid, n.o.Name, &v, value)
		}
	}
}

// indexes are that of the ticket, and that of now if it is another one.
func (n *noted) indexes() [2]*index.Index {
	all := [2]*index.Index{n.ticket.Index(), n.s.indexing.of(n.o.mp)}
	if all[1] == all[0] {
		all[1] = nil
	}
	return all
}

// settle ends the change. If its outcome is not known, the files decide; if
// they cannot be read, they are looked at later, and until then the bucket is
// listed by walking. What they say need not be on stable storage.
func (n *noted) settle() {
	if n.done || n.s == nil {
		return
	}
	if n.m != nil {
		n.m.ix.Unflushed(n.o.bucket.bid)
	}
	n.look()
}

// look is settle where what the files say is on stable storage, or another change
// of the name is under way that tells of it.
func (n *noted) look() {
	if n.done {
		return
	}
	n.done = true
	var err error
	if n.versions {
		for _, ix := range n.indexes() {
			if ix != nil && err == nil {
				_, err = n.s.examineVersions(context.Background(), ix, n.o, false)
			}
		}
		if errors.Is(err, index.ErrFailed) {
			err = nil // it is not believed any more
		}
	}
	var value []byte
	var owed owed
	if err == nil {
		value, owed, err = n.s.examine(n.o)
	}
	if err == nil {
		n.end(value, owed)
		return
	}
	n.s.log.Warn("the outcome of a change is not known to the listing index yet", "object", n.o.Cname(), "err", err)
	for i, ix := range n.indexes() {
		switch {
		case ix == nil:
		case i == 0:
			ix.Abandon(n.ticket, n.o.bucket.bid, n.o.Name)
		default:
			ix.Abandon(index.Ticket{}, n.o.bucket.bid, n.o.Name)
		}
	}
	n.s.indexing.wakeAll()
}

// examine returns the index's value for what an object's mountpath holds of its
// current generation, nil for nothing, and what it owes. It is called under the
// name lock.
func (s *Store) examine(o *object) ([]byte, owed, error) {
	e, err := s.here(o)
	if err != nil {
		return nil, owed{}, err
	}
	if !e.found {
		return nil, o.bucket.owes(nil, ""), nil
	}
	return appendValue(nil, &e.rec, o.mp.ID), o.bucket.owes(&e.rec, o.mp.ID), nil
}
