package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

func bidOf(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// openDB opens the library on the files of a generation.
// made: they must be there.
func (x *Index) openDB(generation uint64, made bool) (*pebble.DB, error) {
	log := logger{x}
	o := &pebble.Options{
		FS:           x.files,
		Cache:        x.options.Cache.blocks,
		DisableWAL:   true, // the commit journal has what a crash takes
		MemTableSize: memTableSize,
		// Nothing ever waits for the disk: how much may wait to be written
		// is bounded here.
		MemTableStopWritesThreshold: 1 << 10,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1 << 20,
		LBaseMaxBytes:               32 << 20,
		MaxOpenFiles:                256,
		FormatMajorVersion:          pebble.FormatColumnarBlocks,
		DisableTableStats:           true,
		ErrorIfNotExists:            made,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		Logger:                      log,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { x.fail(err) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { x.fail(fmt.Errorf("damaged: %w", info.Details)) },
			FlushEnd:        func(info pebble.FlushInfo) { x.flushed(&info) },
		},
	}
	o.Experimental.FileCacheShards = 1
	// One compaction at a time, whatever happens: nothing has to look again and
	// again whether there may be more, in a goroutine that a failed Open leaves
	// behind.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	db, err := pebble.Open(generationDir(x.options.Dir, generation), o)
	if failed := x.Err(); err == nil && failed != nil {
		return nil, errors.Join(failed, db.Close())
	}
	return db, err
}

// flushed notes that everything that was applied so far will soon be, or is, on
// the disk: what is applied between the two is counted twice at most.
func (x *Index) flushed(info *pebble.FlushInfo) {
	if info.Err == nil {
		x.unflushed.Store(0)
	}
}

// Backlog is how many bytes are not on the disk yet, roughly.
func (x *Index) Backlog() int64 { return x.unflushed.Load() }

// logger takes what the library has to say.
type logger struct{ x *Index }

func (l logger) Infof(format string, args ...any) {
	if l.x.log.Enabled(nil, slog.LevelDebug) { //nolint:staticcheck // there is no context
		l.x.log.Debug("index: "+fmt.Sprintf(format, args...), "dir", l.x.options.Dir)
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.x.log.Debug("index: "+fmt.Sprintf(format, args...), "dir", l.x.options.Dir)
}

// Fatalf gives the index up and returns: the library then returns the error, or
// is never used again.
func (l logger) Fatalf(format string, args ...any) { l.x.fail(fmt.Errorf(format, args...)) }
