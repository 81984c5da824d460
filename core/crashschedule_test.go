package core

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

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
