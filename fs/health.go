package fs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"golang.org/x/sys/unix"
)

// A mountpath whose operations fail is checked, in the background, and taken
// out of use if the check finds that its disk cannot be relied on. What it
// holds cannot be read then; that is better than a disk which makes each
// request wait or fail.

// HealthPolicy says when a mountpath is checked by itself. The first failed
// operation starts a check. For four minutes after one it takes Errors failures
// within Period to start the next: what a healthy disk shows once in a while
// must not keep it busy. A directory that is gone is no such thing: that is looked
// into at once. The checks of one mountpath never overlap, and begin at least Period
// apart, or goneInterval for a directory that is gone.
type HealthPolicy struct {
	Enabled bool
	CheckOptions
	Errors int
	Period time.Duration
}

// checkState is what is known of the checks of one mountpath; Manager.mu guards
// it.
type checkState struct {
	running bool
	due     bool
	began   time.Time // the last one; zero: none
	errors  int       // failed operations since
	since   time.Time
}

func (c *checkState) begin(now time.Time) { c.running, c.due, c.began, c.errors = true, false, now, 0 }

func (c *checkState) end() { c.running, c.due, c.errors = false, false, 0 }

// goneInterval is the least time between checks of a mountpath whose directory is
// gone: less than Options.LookInterval, so that it is out of use within ten seconds.
const goneInterval = 4 * time.Second

// failed counts a failed operation and tells whether a check is due. gone: what
// failed is a look at the directory.
func (c *checkState) failed(now time.Time, p *HealthPolicy, gone bool) bool {
	if c.running || c.due {
		return false
	}
	if c.began.IsZero() || now.Sub(c.began) >= checkInterval || gone && now.Sub(c.began) >= goneInterval {
		c.due = true
		return true
	}
	if c.errors == 0 || now.Sub(c.since) >= p.Period {
		c.errors, c.since = 0, now
	}
	c.errors++
	c.due = c.errors >= p.Errors && now.Sub(c.began) >= p.Period
	return c.due
}

// checkOf returns the state of a mountpath's checks. Manager.mu is held.
func (m *Manager) checkOf(path string) *checkState {
	c := m.checks[path]
	if c == nil {
		c = new(checkState)
		m.checks[path] = c
	}
	return c
}

// forgetChecks is called when a disk comes into use.
func (m *Manager) forgetChecks(path string) {
	m.mu.Lock()
	delete(m.checks, path)
	m.mu.Unlock()
}

// raise reports an event, and has mountpaths checked if it speaks against them.
func (m *Manager) raise(e Event) {
	m.options.OnEvent(e)
	if e.Kind != EventIOError && e.Kind != EventFlushFailed || !blamesDisk(e.Err) {
		return
	}
	policy := m.options.Health()
	if !policy.Enabled {
		return
	}
	now, due := m.options.Clock(), false
	m.mu.Lock()
	for _, mp := range m.Available().All() {
		// A round of flushes is that of all mountpaths of the filesystem.
		if mp.Path == e.Mountpath || e.Kind == EventFlushFailed && mp.filesystem.root == e.Mountpath {
			due = m.checkOf(mp.Path).failed(now, &policy, errors.Is(e.Err, errRootGone)) || due
		}
	}
	m.mu.Unlock()
	if due {
		select {
		case m.due <- struct{}{}:
		default: // there is a token
		}
	}
}

// errRootGone: the directory of a mountpath is not what it was.
var errRootGone = errors.New("the mountpath's directory is not there")

// blamesDisk tells errors that speak against a disk from those of a full one,
// of a process that has run out of something, and of clients.
func blamesDisk(err error) bool {
	var answer *apierr.Error
	var network *net.OpError
	switch {
	case err == nil, IsNoSpace(err), isShortage(err), errors.As(err, &answer), errors.As(err, &network),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, errRootGone), errors.Is(err, errHangs), errors.Is(err, io.ErrShortWrite):
		return true
	case errors.Is(err, fs.ErrNotExist):
		return false
	}
	var errno unix.Errno
	return errors.As(err, &errno)
}

// isShortage tells that the process, or the machine, has run out of something
// that is not space on a disk.
func isShortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

// watch begins the checks that are due, looks at the mountpaths' roots, and for
// operations that do not end, until the manager is closed.
func (m *Manager) watch() {
	look := time.NewTicker(m.options.LookInterval)
	defer look.Stop()
	ages := time.NewTicker(m.options.HangTime / agesPerHang)
	defer ages.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.due:
			m.beginChecks()
		case <-look.C:
			m.lookAtRoots()
		case now := <-ages.C:
			m.ageAll(now)
		}
	}
}

func (m *Manager) beginChecks() {
	policy, now := m.options.Health(), m.options.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mp := range m.Available().All() {
		c := m.checkOf(mp.Path)
		if !c.due || c.running {
			continue
		}
		if !policy.Enabled {
			c.due = false
			continue
		}
		c.begin(now)
		m.ending.Go(func() { m.checkByItself(mp, policy.CheckOptions) })
	}
}

// checkByItself checks a mountpath, and disables it if it is faulty.
func (m *Manager) checkByItself(mp *Mountpath, o CheckOptions) {
	result, ok := m.runCheck(mp, o)
	took := result.Took.Round(time.Millisecond)
	switch {
	case !ok:
		return
	case result.Fault == "":
		m.log.Info("health check after a failed operation: the mountpath stays in use", "mountpath", mp.Path,
			"errors", result.Errors, "first", result.First, "took", took)
		return
	}
	err := m.leave(mp.Path, departure{how: Disable, fault: result.Fault})
	if err != nil {
		m.log.Error("health check: the disk cannot be relied on and stays in use", "mountpath", mp.Path, "finding", result.Fault, "why", err, "took", took)
		return
	}
	m.log.Error("health check: the disk cannot be relied on, the mountpath is disabled", "mountpath", mp.Path, "finding", result.Fault, "took", took)
	m.raise(Event{Kind: EventDisabled, Mountpath: mp.Path, Err: result.First, Message: result.Fault})
}

// lookAtRoots looks whether the directories of the mountpaths are there: one
// that was unmounted fails no operation, its objects are only missing. A disk
// that hangs keeps one look waiting.
func (m *Manager) lookAtRoots() {
	for _, mp := range m.Available().All() {
		if !mp.looking.CompareAndSwap(false, true) {
			continue
		}
		m.ending.Go(func() {
			defer mp.looking.Store(false)
			if err := mp.checkRoot(); err != nil && m.Available().Has(mp) {
				m.raise(Event{Kind: EventIOError, Mountpath: mp.Path, Err: errors.Join(errRootGone, err), Message: "look at the directory"})
			}
		})
	}
}
