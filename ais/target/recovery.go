package target

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/fs"
)

// MountpathLoss is a mountpath whose objects are gone, or cannot be read until
// somebody brings its disk back.
type MountpathLoss struct {
	Path   string
	Reason string
}

// MendLosses makes again, from copies, slices, and backends, what lay on mountpaths
// that are lost: it starts the job that does it, and returns. An error means that it could not be started, and has
// it called again later.
type MendLosses func(ctx context.Context, lost []MountpathLoss) error

const (
	// mendFirst is after what time a repair that could not be started is tried
	// again; the time doubles up to mendLongest.
	mendFirst   = 5 * time.Second
	mendLongest = 5 * time.Minute
)

// UseRepair sets who mends what was on mountpaths that are lost: one that failed its health check,
// is missing at the start, or whose content somebody has removed. Losses before that wait.
func (t *Target) UseRepair(mend MendLosses) { t.losses.use(mend) }

// keepDisks keeps an eye on space and on mountpaths until the target is closed.
func (t *Target) keepDisks() {
	for _, info := range t.fs.Mountpaths() {
		if info.Lost != nil {
			t.losses.add(MountpathLoss{Path: info.Path, Reason: info.Lost.Error()})
		} else if info.State == fs.StateDisabled && info.Fault != "" {
			t.losses.add(MountpathLoss{Path: info.Path, Reason: info.Fault})
		}
	}
	t.countAsides()
	t.sweeps.Go(func() { t.space.watch(t.ctx) })
	t.sweeps.Go(func() { t.losses.run(t.ctx) })
}

// diskEvent does what an event of a disk asks for. It does not block.
func (t *Target) diskEvent(e fs.Event) {
	switch e.Kind {
	case fs.EventSpace, fs.EventNoSpace:
		t.space.poke()
	case fs.EventDisabled:
		t.losses.add(MountpathLoss{Path: e.Mountpath, Reason: e.Message})
	}
}

// mendDirectories looks for mountpaths whose content somebody has removed.
func (t *Target) mendDirectories() {
	for _, wiped := range t.store.MendDirectories(t.ctx) {
		reason := fmt.Sprintf("the content of %d buckets was removed by hand", len(wiped.Buckets))
		t.fs.ReportFault(wiped.Mountpath, reason)
		t.losses.add(MountpathLoss{Path: wiped.Mountpath.Path, Reason: reason})
	}
}

// recovery has the losses of mountpaths mended. They wait, each mountpath once, until somebody can.
type recovery struct {
	log  *slog.Logger
	wake chan struct{} // one token: there is work

	mu   sync.Mutex
	lost map[string]MountpathLoss // by path; not given to mend yet
	mend MendLosses
}

func newRecovery(log *slog.Logger) *recovery {
	return &recovery{log: log, wake: make(chan struct{}, 1), lost: map[string]MountpathLoss{}}
}

// add notes a loss. It does not block.
func (r *recovery) add(loss MountpathLoss) {
	r.mu.Lock()
	r.lost[loss.Path] = loss
	r.mu.Unlock()
	r.poke()
}

// forget says that a mountpath is there again, before its loss was mended.
func (r *recovery) forget(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lost, path)
}

// use sets who mends.
func (r *recovery) use(mend MendLosses) {
	r.mu.Lock()
	r.mend = mend
	r.mu.Unlock()
	r.poke()
}

func (r *recovery) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // there is a token
	}
}

// run passes losses on until the context ends.
func (r *recovery) run(ctx context.Context) {
	var again <-chan time.Time
	wait := mendFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-again:
		}
		again = nil
		if r.pass(ctx) {
			wait = mendFirst
			continue
		}
		again = time.After(wait)
		wait = min(2*wait, mendLongest)
	}
}

// pass gives what is lost to mend, and tells whether nothing is left to try again.
func (r *recovery) pass(ctx context.Context) bool {
	r.mu.Lock()
	mend, lost := r.mend, slices.SortedFunc(maps.Values(r.lost), func(a, b MountpathLoss) int { return strings.Compare(a.Path, b.Path) })
	r.mu.Unlock()
	if mend == nil || len(lost) == 0 {
		return true
	}
	if err := mend(ctx, lost); err != nil {
		r.log.Warn("the repair of what lay on lost mountpaths could not be started and is tried again", "mountpaths", len(lost), "err", err)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, loss := range lost {
		if r.lost[loss.Path] == loss { // else it was lost once more
			delete(r.lost, loss.Path)
		}
	}
	return true
}
