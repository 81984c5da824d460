package fs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// When a round flushes the whole filesystem instead of its files one by one.
const (
	syncfsMinFiles = 8 // files and directories, or requests for more than one
	syncfsMaxBytes = 64 << 20
)

// ErrFlushFailed is in the chain of every error of a failed round. The kernel
// reports a write-back error once and may drop the data: what the members
// wrote is in an unknown state and must be verified before it is used.
var ErrFlushFailed = errors.New("flush to stable storage failed")

// FlushRequest is what one writer wants on stable storage.
type FlushRequest struct {
	// Files are flushed with their data, size and extended attributes. They
	// must stay open until Flush returns.
	Files []File
	// Dirs are directories in which names were made, renamed or removed.
	// Parents that MakeDirs made on the way are included by themselves.
	Dirs []string
	// Journal is a file whose data and size are flushed, once in a round
	// however many ask for it; nil: none. It must stay open until Flush
	// returns, too.
	Journal File
	// Bytes is how much the files hold that was not flushed yet, roughly.
	Bytes int64
}

// FlushStats counts what the rounds of a filesystem did.
type FlushStats struct {
	Rounds   int64
	Requests int64
	Syncfs   int64 // rounds that flushed the whole filesystem
	Files    int64 // files flushed one by one
	Journals int64 // journals flushed one by one
	Dirs     int64 // directories flushed one by one
	Failed   int64 // rounds
}

// flusher runs rounds one after the other. The first caller leads a round of
// its own; those that come while it runs gather into the next, and one of them
// leads that. A lone writer waits for nobody. Under load a round has about as
// many members as there are writers: before it begins it gives those that a
// round of several has just released a moment to come again (most of them are
// between the flush of their data and that of their name), an eighth of what
// that round took at most. Without it they would all miss every second round.
type flusher struct {
	mu      sync.Mutex
	running bool
	next    *round // gathering; nil when nobody waits

	// Of the last round: when it ended, how many members it released, and for
	// how long they are waited for.
	ended    time.Time
	released int
	patience time.Duration

	stats struct{ rounds, requests, syncfs, files, journals, dirs, failed atomic.Int64 }
}

type round struct {
	members []*flushMember
	lead    chan struct{} // one token: whoever takes it leads
	done    chan struct{} // closed when every member has its error

	expected int           // members with those that the round before released
	patience time.Duration // for how long they are waited for
	complete chan struct{} // closed when they are there; nil: nobody waits
}

type flushMember struct {
	request FlushRequest
	err     error
}

// Flush makes a request durable together with those of other writers. Nil
// means that everything in it is on stable storage. A directory that does not
// exist (its bucket was destroyed meanwhile) fails its own request with
// ENOENT; any other error fails all members of the round with ErrFlushFailed.
//
// A context that ends takes the request out of a round that has not begun; a
// round that has begun is waited for, since its leader uses the files.
func (fsys *Filesystem) Flush(ctx context.Context, request FlushRequest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(request.Files) == 0 && len(request.Dirs) == 0 && request.Journal == nil {
		return nil
	}
	q := &fsys.rounds
	q.stats.requests.Add(1)
	member := &flushMember{request: request}

	q.mu.Lock()
	if !q.running {
		q.running = true
		own := &round{members: []*flushMember{member}}
		if left := q.patience - time.Since(q.ended); q.released > 1 && left > 0 {
			own.lead, own.done = make(chan struct{}, 1), make(chan struct{})
			own.expected, own.patience = q.released, left
			q.next = own
			q.mu.Unlock()
			fsys.leadNext(own)
			return member.err
		}
		q.mu.Unlock()
		fsys.lead(own)
		return member.err
	}
	if q.next == nil {
		q.next = &round{lead: make(chan struct{}, 1), done: make(chan struct{})}
	}
	mine := q.next
	mine.members = append(mine.members, member)
	if mine.complete != nil && len(mine.members) >= mine.expected {
		close(mine.complete)
		mine.complete = nil
	}
	q.mu.Unlock()

	select {
	case <-mine.done:
		return member.err
	case <-mine.lead:
		fsys.leadNext(mine)
		return member.err
	case <-ctx.Done():
	}
	if q.withdraw(mine, member) {
		return ctx.Err()
	}
	<-mine.done
	return member.err
}

// leadNext closes the gathering of a round and runs it.
func (fsys *Filesystem) leadNext(r *round) {
	q := &fsys.rounds
	q.mu.Lock()
	if len(r.members) < r.expected {
		complete := make(chan struct{})
		r.complete = complete
		q.mu.Unlock()
		timer := time.NewTimer(r.patience)
		select {
		case <-complete:
		case <-timer.C:
		}
		timer.Stop()
		q.mu.Lock()
		r.complete = nil
	}
	q.next = nil
	q.mu.Unlock()
	fsys.lead(r)
}

// lead runs a round and hands the lead of the next one over, if one gathered.
func (fsys *Filesystem) lead(r *round) {
	began := time.Now()
	fsys.runRound(r.members)
	q := &fsys.rounds
	q.mu.Lock()
	q.ended = time.Now()
	q.released, q.patience = len(r.members), q.ended.Sub(began)/8
	if q.next != nil {
		q.next.expected, q.next.patience = len(q.next.members)+q.released, q.patience
		q.next.lead <- struct{}{}
	} else {
		q.running = false
	}
	q.mu.Unlock()
	if r.done != nil {
		close(r.done)
	}
}

// withdraw takes a member out of a round that still gathers; false: it has
// begun. The last member to go takes the lead token with it.
func (q *flusher) withdraw(r *round, member *flushMember) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next != r {
		return false
	}
	for i, other := range r.members {
		if other == member {
			r.members = append(r.members[:i], r.members[i+1:]...)
			break
		}
	}
	if len(r.members) == 0 {
		q.next = nil
		select {
		case <-r.lead:
			q.running = false
		default: // the running leader finds nobody waiting
		}
	}
	return true
}

func (fsys *Filesystem) runRound(members []*flushMember) {
	stats := &fsys.rounds.stats
	stats.rounds.Add(1)
	err := fsys.flushTogether(members)
	if err == nil {
		return
	}
	stats.failed.Add(1)
	for _, m := range members {
		fsys.doubts.add(m.request.Dirs...)
	}
	err = fmt.Errorf("%w (%s): %w", ErrFlushFailed, fsys.root, err)
	for _, m := range members {
		m.err = err
	}
	fsys.onEvent(Event{Kind: EventFlushFailed, Mountpath: fsys.root, Err: err, Message: err.Error()})
}

// flushTogether returns the error of the round; errors that concern one member
// alone are left in it.
func (fsys *Filesystem) flushTogether(members []*flushMember) error {
	files, dirs := 0, make(map[string]struct{}, len(members))
	var bytes int64
	for _, m := range members {
		files += len(m.request.Files)
		bytes += m.request.Bytes
		for _, dir := range m.request.Dirs {
			dirs[dir] = struct{}{}
		}
	}
	stats, now := &fsys.rounds.stats, time.Now()
	doubts := fsys.doubts.mark()
	if things := files + len(dirs); things > 1 && max(things, len(members)) >= syncfsMinFiles && fsys.syncfs != nil && fsys.system.SyncfsReportsErrors() &&
		bytes+fsys.unsaved.total(now) < syncfsMaxBytes && fsys.cost.prefersWhole(things) {
		settled := fsys.fresh.all()
		stats.syncfs.Add(1)
		if err := fsys.system.Syncfs(fsys.syncfs); err != nil {
			return err
		}
		fsys.cost.tookWhole(time.Since(now))
		fsys.unsaved.reset(now)
		fsys.fresh.settle(settled)
		fsys.doubts.settle(dirs, doubts)
		fsys.doubts.settleAll(doubts)
		return nil
	}
	settled := fsys.fresh.expand(dirs)
	missing, err := fsys.flushEach(members, dirs)
	if err != nil {
		return err
	}
	fsys.cost.tookSingles(files+len(dirs), time.Since(now))
	fsys.doubts.settle(dirs, doubts) // one that is missing holds no name
	if missing == nil {
		fsys.fresh.settle(settled)
		return nil
	}
	for _, m := range members {
		for _, dir := range m.request.Dirs {
			if err := missing[dir]; err != nil {
				m.err = err
			}
		}
	}
	return nil
}

// flushEach flushes files, journals and directories one by one, several at a time: the
// filesystem's journal and the disk's cache flushes are shared by those that
// run together. A directory that a member asks for along with files comes after
// all files, so that no name can be durable before its content. Directories
// that do not exist are returned apart.
func (fsys *Filesystem) flushEach(members []*flushMember, dirs map[string]struct{}) (missing map[string]error, err error) {
	var first, second []func() error
	var mu sync.Mutex
	later := make(map[string]struct{})
	var journals []File
	for _, m := range members {
		if j := m.request.Journal; j != nil && !slices.Contains(journals, j) {
			journals = append(journals, j)
			first = append(first, j.Datasync)
		}
		for _, f := range m.request.Files {
			first = append(first, f.Sync)
		}
		if len(m.request.Files) > 0 {
			for _, dir := range m.request.Dirs {
				later[dir] = struct{}{}
			}
		}
	}
	fsys.rounds.stats.journals.Add(int64(len(journals)))
	fsys.rounds.stats.files.Add(int64(len(first) - len(journals)))
	for dir := range dirs {
		flush := func() error {
			err := fsys.flushDir(dir)
			if errors.Is(err, fs.ErrNotExist) {
				mu.Lock()
				defer mu.Unlock()
				if missing == nil {
					missing = make(map[string]error)
				}
				missing[dir] = err
				return nil
			}
			return err
		}
		if _, wait := later[dir]; wait {
			second = append(second, flush)
		} else {
			first = append(first, flush)
		}
	}
	fsys.rounds.stats.dirs.Add(int64(len(dirs)))
	if err := inParallel(first); err != nil {
		return nil, err
	}
	return missing, inParallel(second)
}

// maxParallelFlushes bounds the threads that one round blocks.
const maxParallelFlushes = 16

// inParallel runs calls until all have returned or one has failed; calls that
// were not begun by then are left out.
func inParallel(calls []func() error) error {
	if len(calls) == 0 {
		return nil
	}
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
		group  sync.WaitGroup
	)
	work := func() {
		for failed.Load() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(calls) {
				return
			}
			if err := calls[i](); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}
	}
	for range min(len(calls), maxParallelFlushes) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (fsys *Filesystem) flushDir(dir string) error {
	return syncDir(fsys.system, dir)
}

// AddDirty tells of bytes that were written without a flush (durability none):
// flushing the whole filesystem would have to write them too.
func (fsys *Filesystem) AddDirty(bytes int64) { fsys.unsaved.add(bytes, time.Now()) }

// FailedRounds is how many rounds have failed since the start. After one, what an
// earlier flush of the same file left in memory may be lost as well.
func (fsys *Filesystem) FailedRounds() int64 { return fsys.rounds.stats.failed.Load() }

// FlushStats returns what the rounds did since the start.
func (fsys *Filesystem) FlushStats() FlushStats {
	s := &fsys.rounds.stats
	return FlushStats{
		Rounds: s.rounds.Load(), Requests: s.requests.Load(), Syncfs: s.syncfs.Load(),
		Files: s.files.Load(), Journals: s.journals.Load(), Dirs: s.dirs.Load(), Failed: s.failed.Load(),
	}
}
