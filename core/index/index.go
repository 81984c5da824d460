package index

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/aistore-go/aistore/core/journal"
	"github.com/aistore-go/aistore/fs"
)

const (
	memTableSize = 2 << 20
	cacheSize    = 16 << 20
	// applyBytes is how much may be published before it is applied without
	// being asked for.
	applyBytes = 64 << 10
	// maxQueued and maxUnflushed bound, in bytes, what is published and not
	// applied, and what is applied and not on the disk: an index that falls
	// behind so far, or whose disk is full for so long, is given up.
	maxQueued    = 16 << 20
	maxUnflushed = 48 << 20
	// maxOldSegments is how many journal segments of earlier processes are
	// replayed; with more it is quicker to walk.
	maxOldSegments = 32
)

// Cache is the memory that all indexes of a node share.
type Cache struct{ blocks *pebble.Cache }

// NewCache returns a cache of the usual size. Close it after the indexes.
func NewCache() *Cache { return &Cache{pebble.NewCache(cacheSize)} }

// Close lets the cache go.
func (c *Cache) Close() { c.blocks.Unref() }

// Options is what an Index needs. All but Logger are required; the directories
// must exist.
type Options struct {
	Dir        string // of the index
	JournalDir string
	System     fs.System
	BootID     string // of the machine's run; "" = not known, as different as can be
	Cache      *Cache
	Logger     *slog.Logger
	Segment    int64 // of the journal, bytes; 0: journal.DefaultSegment
}

// Index is the ordered names of one mountpath. All methods may be called at the
// same time, but for changes of one name, which the caller orders.
//
// An index that fails never fails a change: it is given up (see Failed), and
// the next process makes a new one.
type Index struct {
	options Options
	log     *slog.Logger
	files   *files
	db      *pebble.DB
	journal *journal.Journal
	state   state
	unclean bool // the process before was killed: what it was doing was replayed

	buckets  buckets
	pending  pendingTable
	replayed atomic.Int64 // names of earlier processes that are unsure

	mu       sync.Mutex
	queue    *pebble.Batch // published, not applied
	waiters  []chan struct{}
	applying bool
	ended    bool // no more is taken

	using  sync.RWMutex // held shared by iterators
	closed bool         // under using

	unflushed atomic.Int64 // bytes applied since the last flush, roughly
	untracked atomic.Bool  // a change was not journaled: the state file is gone
	believed  atomic.Bool  // it should be gone, and could not be removed

	completing    sync.Mutex   // whether a bucket is complete changes in the order of the frames
	marking       sync.Mutex   // one new frame of unflushed changes at a time
	checkpointing sync.Mutex   // one checkpoint at a time
	superseded    []*unflushed // under checkpointing
	stating       sync.Mutex   // of the state file

	wake       chan struct{} // of the applier
	checkpoint chan struct{} // of the checkpointer
	failure    atomic.Pointer[error]
	failed     chan struct{} // closed with failure
	failOnce   sync.Once
	ending     chan struct{} // closed by Close
	closeOnce  sync.Once
	workers    sync.WaitGroup
}

// ErrFailed is in the chain of every error of an index that was given up.
var ErrFailed = errors.New("the index was given up")

// Open opens the index of a mountpath, or makes an empty one if there is none
// that can be believed.
func Open(o Options) (*Index, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	x := &Index{
		options: o, log: o.Logger, wake: make(chan struct{}, 1), checkpoint: make(chan struct{}, 1),
		failed: make(chan struct{}), ending: make(chan struct{}),
	}
	x.files = &files{system: o.System, ending: x.ending, failed: x.failed, retry: readRetry, giveUp: x.fail}
	x.buckets.table = make(map[uint64]*bucketState)
	before := readState(o.System, o.JournalDir+"/"+stateName)
	if before != nil {
		x.state = *before
	}
	powerLost := x.state.State == running && (o.BootID == "" || x.state.BootID != o.BootID)
	if x.state.Generation != 0 {
		err := x.open(x.state.State == running, powerLost)
		if err == nil {
			err = x.Err()
		}
		if err != nil {
			x.log.Warn("the index cannot be used: it is made again", "dir", o.Dir, "err", err)
			x.abandon()
			x.state.Generation, powerLost = 0, false
		}
	}
	if x.state.Generation == 0 {
		if err := x.create(before); err != nil {
			x.abandon()
			return nil, fmt.Errorf("index %s: %w", o.Dir, err)
		}
	}
	x.state.State, x.state.BootID = running, o.BootID
	if powerLost && x.journal.OldSegments() > 0 {
		x.state.BootID = "" // what was lost with the power is not made good yet
	}
	if err := writeState(o.System, o.JournalDir, x.state); err != nil {
		x.abandon()
		return nil, fmt.Errorf("index %s: %w", o.Dir, err)
	}
	x.removeGenerations(x.state.Generation)
	x.queue = x.db.NewBatchWithSize(applyBytes)
	x.workers.Go(x.apply)
	x.workers.Go(x.checkpoints)
	return x, nil
}

// open opens what another process left. replay: it did not end in order;
// powerLost: nor did the machine.
func (x *Index) open(replay, powerLost bool) (err error) {
	if x.db, err = x.openDB(x.state.Generation, true); err != nil {
		return err
	}
	if err := x.loadBuckets(); err != nil {
		return err
	}
	if err := x.loadPending(); err != nil {
		return err
	}
	if !replay {
		if err := x.clearJournal(); err != nil {
			return err
		}
		return x.openJournal()
	}
	if err := x.openJournal(); err != nil {
		return err
	}
	x.unclean = true
	if n := x.journal.OldSegments(); n > maxOldSegments {
		return fmt.Errorf("%d journal segments of earlier processes", n)
	}
	batch := x.db.NewBatch()
	names, buckets := int64(0), make(map[uint64]bool)
	err = x.journal.Replay(func(r journal.Record) error {
		switch r.Op {
		case journal.Bucket:
			if !powerLost { // else what a walk has found may be lost
				x.buckets.setComplete(r.BID, true)
				return batch.Set(appendMark(nil, r.BID), nil, nil)
			}
		case journal.Unflushed:
			buckets[r.BID] = powerLost
		case journal.Doubted:
			x.buckets.setComplete(r.BID, false)
			return batch.Delete(appendMark(nil, r.BID), nil)
		default:
			x.buckets.doubt(r.BID, r.Name, journal.Pin{}, true)
			names++
		}
		return nil
	})
	for bid, lost := range buckets {
		if lost && err == nil {
			x.buckets.setComplete(bid, false)
			err = batch.Delete(appendMark(nil, bid), nil)
		}
	}
	if err == nil {
		err = x.db.Apply(batch, pebble.NoSync)
	}
	if err == nil && powerLost && len(buckets) > 0 {
		err = x.db.Flush() // before the segments that say so can go
	}
	if err != nil {
		return err
	}
	x.replayed.Store(x.buckets.unsure.Load())
	x.log.Info("commit journal read after an unclean end", "dir", x.options.JournalDir, "changes", names, "names", x.replayed.Load())
	if x.replayed.Load() == 0 {
		return x.dropOld()
	}
	return nil
}

// create makes an empty index under a generation that was not used before.
func (x *Index) create(before *state) (err error) {
	if err := removeState(x.options.System, x.options.JournalDir); err != nil {
		return err
	}
	if err := x.clearJournal(); err != nil {
		return err
	}
	x.state = state{Generation: 1}
	if before != nil {
		x.state.Generation = before.Generation + 1
	}
	x.removeGenerations(0)
	x.buckets.table = make(map[uint64]*bucketState)
	x.buckets.unsure.Store(0)
	x.replayed.Store(0)
	x.pending.reset()
	x.unclean = false
	if x.db, err = x.openDB(x.state.Generation, false); err != nil {
		return err
	}
	if err := x.openJournal(); err != nil {
		return err
	}
	// What is found on the disk from now on is on it for good, and so are the
	// files of the index.
	return syncAll(x.options.System, x.options.JournalDir)
}

func (x *Index) openJournal() (err error) {
	x.journal, err = journal.Open(journal.Options{
		Dir: x.options.JournalDir, System: x.options.System, Logger: x.log, Segment: x.options.Segment, OnFull: func() { signal(x.checkpoint) },
	})
	return err
}

// clearJournal removes all segments.
func (x *Index) clearJournal() error {
	names, err := x.files.list(x.options.JournalDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == stateName {
			continue
		}
		if err := removeTree(x.options.System, x.options.JournalDir+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// removeGenerations removes what other generations left, as far as that goes.
func (x *Index) removeGenerations(but uint64) {
	names, err := x.files.list(x.options.Dir)
	for _, name := range names {
		if name != strconv.FormatUint(but, 10) {
			err = errors.Join(err, removeTree(x.options.System, x.options.Dir+"/"+name))
		}
	}
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		x.log.Warn("files of an earlier index stay", "dir", x.options.Dir, "err", err)
	}
}

// abandon closes what a failed Open has opened.
func (x *Index) abandon() {
	var errs []error
	if x.journal != nil {
		errs = append(errs, x.journal.Close(false))
		x.journal = nil
	}
	if x.db != nil {
		errs = append(errs, x.db.Close())
		x.db = nil
	}
	if err := errors.Join(errs...); err != nil {
		x.log.Debug("index not closed cleanly", "dir", x.options.Dir, "err", err)
	}
}

// loadBuckets reads which buckets are complete.
func (x *Index) loadBuckets() (err error) {
	it, err := x.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < bidSize {
			return fmt.Errorf("a key of %d bytes", len(key))
		}
		bid := bidOf(key)
		if bid == pendingBID {
			break
		}
		if isMark(key) {
			x.buckets.setComplete(bid, true)
		}
		ok = it.SeekGE(appendPast(nil, bid, ""))
	}
	return it.Error()
}

// Failed is closed when the index has been given up.
func (x *Index) Failed() <-chan struct{} { return x.failed }

// Err returns why the index was given up, nil if it was not.
func (x *Index) Err() error {
	if err := x.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// GiveUp ends the use of an index that returned an error.
func (x *Index) GiveUp(cause error) { x.fail(cause) }

// fail gives the index up. The state goes first, so that no later process
// believes what is on the disk.
func (x *Index) fail(cause error) {
	x.failOnce.Do(func() {
		err := fmt.Errorf("%w: %w", ErrFailed, cause)
		x.failure.Store(&err)
		x.untrack()
		x.log.Error("listing index given up", "dir", x.options.Dir, "err", cause)
		close(x.failed)
	})
}

// untrack makes sure that the next process does not replay the journal.
func (x *Index) untrack() {
	if x.untracked.Swap(true) {
		return
	}
	x.removeState()
}

// removeState removes what says that the index may be believed. Close tries it
// again: a disk that failed for a while must not leave an index that the next
// process believes.
func (x *Index) removeState() {
	x.stating.Lock()
	defer x.stating.Unlock()
	err := removeState(x.options.System, x.options.JournalDir)
	if x.believed.Store(err != nil); err != nil {
		x.log.Error("the state of the listing index cannot be removed; after a crash, have the index made again",
			"dir", x.options.JournalDir, "err", err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
