package core

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Bounds of what clients leave unfinished.
const (
	// maxAppends is how many appends may be under way on a target.
	maxAppends = 10_000
	// appendGuard is for how long an append that nobody uses is left alone
	// even if there are too many.
	appendGuard = 30 * time.Minute
	// maxAppendShare is which part of a target's capacity unfinished appends
	// may fill: one in so many.
	maxAppendShare = 4
	// retryAppend is when a client should come back that found too many.
	retryAppend = 10 * time.Second
)

// appendTable knows the appends under way by their ids.
type appendTable struct {
	mu  sync.Mutex
	all map[string]*appending
}

func newAppendTable() *appendTable { return &appendTable{all: make(map[string]*appending)} }

// admit tells whether one more append may begin. When there are too many, those
// that nobody has used for a while go.
func (t *appendTable) admit(s *Store) error {
	count, bytes := t.total()
	capacity := s.options.FS.Capacity()
	full := func() bool {
		return count >= maxAppends || uint64(bytes) > (capacity.Used+capacity.Avail)/maxAppendShare
	}
	if !full() {
		return nil
	}
	s.DropAppends(appendGuard)
	if count, bytes = t.total(); full() {
		return apierr.Unavailable(retryAppend, "%s: too much is being appended and not flushed: %d objects, %d bytes", s.nodeName, count, bytes)
	}
	return nil
}

func (t *appendTable) total() (count int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.all {
		if !a.held {
			bytes += a.size
		}
	}
	return len(t.all), bytes
}

// add makes a new append known.
func (t *appendTable) add(a *appending, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.used = now
	t.all[a.id] = a
}

// hold finds the append of a handle for one request, which releases it.
func (t *appendTable) hold(o *object, h AppendHandle) (*appending, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.all[h.Work]
	switch {
	case len(h.State) != appendState:
		return nil, apierr.BadRequest("invalid APPEND handle: the last field has %d bytes", len(h.State))
	case a == nil, a.digest != o.digest, a.Name != o.Name, a.Props.BID != o.Props.BID, a.kind != h.Checksum,
		subtle.ConstantTimeCompare(a.secret[:], h.State[8:]) != 1:
		return nil, errNoAppend(o)
	case a.held:
		return nil, apierr.New(apierr.StatusConflict, wire.CodeBusy, "append to %s: another request uses the handle at the moment", o.Cname())
	case a.sequence != binary.BigEndian.Uint64(h.State):
		return nil, apierr.New(apierr.StatusConflict, wire.CodeBusy, "append to %s: the handle was replaced by a newer one", o.Cname())
	}
	a.held = true
	return a, nil
}

// release ends a request's hold. An append that has no work file any more is
// over.
func (t *appendTable) release(a *appending, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.held, a.used = false, now
	if a.path == "" {
		delete(t.all, a.id)
	}
}

// stale takes out all appends that nobody has used since a time.
func (t *appendTable) stale(since int64) (gone []*appending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, a := range t.all {
		if !a.held && a.used < since {
			delete(t.all, id)
			gone = append(gone, a)
		}
	}
	return gone
}

// errNoAppend is the 404 of a handle that was flushed, dropped, or lost with a
// restart, and of one that never was.
func errNoAppend(o *object) error {
	return apierr.New(apierr.StatusNotFound, wire.CodeNotFound, "append to %s: nothing is being appended under this handle: it was flushed, or is lost; begin again", o.Cname())
}

// DropAppends ends all appends that nobody has used for a time, and removes
// what they have on disk. It returns how many there were.
func (s *Store) DropAppends(idle time.Duration) int {
	gone := s.appends.stale(s.options.Clock().Add(-idle).UnixNano())
	for _, a := range gone {
		s.log.Info("an append that was not flushed is given up", "object", a.Cname(), "bytes", a.size)
		s.removeAppend(a)
	}
	return len(gone)
}

func (s *Store) removeAppend(a *appending) {
	if err := s.system.Unlink(a.path); err != nil && !isNotExist(err) {
		s.log.Warn("work file stays until the next start", "path", a.path, "err", err)
	}
	a.path = ""
}

// errAppendCut: the work file has less than was appended.
var errAppendCut = errors.New("the work file of an append was cut off")

// lostAppend is the error of a request with a handle. If the work file is gone,
// with its mountpath or its bucket, so is the append.
func (s *Store) lostAppend(a *appending, err error) error {
	if isNotExist(err) || errors.Is(err, errLeft) || errors.Is(err, errAppendCut) {
		if a.path != "" {
			s.removeAppend(a)
		}
		return errNoAppend(&a.object)
	}
	return s.appendError(&a.object, err)
}

// appendError turns the failure of a step into what a client sees.
func (s *Store) appendError(o *object, err error) error {
	if isTyped(err) {
		return err
	}
	if isNotExist(err) {
		return apierr.BucketNotFound(o.Bck) // its directories are gone
	}
	return o.mp.IOError("append to "+o.Cname(), err)
}

func isTyped(err error) bool {
	var typed *apierr.Error
	return errors.As(err, &typed)
}
