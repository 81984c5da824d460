package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// Manager owns the mountpaths of one node: their identity, locks and set.
type Manager struct {
	options Options
	log     *slog.Logger
	nodeID  string

	available   atomic.Pointer[Set]
	filesystems []*Filesystem
	capacity    capacityCache

	mu    sync.Mutex // guards state after Open
	state managerState

	stop   context.CancelFunc
	trash  chan struct{}
	ending sync.WaitGroup
	closed atomic.Bool
}

// managerState is what the id records hold, and the files that stay open.
type managerState struct {
	uuid, lineage string
	known         []knownMountpath
	knownVersion  uint64
	records       map[string]*idRecord // by path, of the mountpaths in use
	disabled      []string
	filesystemOf  map[string]*Filesystem
	locks         []File
}

// Lists are the paths of mountpaths by state, each sorted and never nil.
type Lists struct {
	Available []string `json:"available"`
	WaitingDD []string `json:"waiting_dd"` // being disabled or detached; always empty so far
	Disabled  []string `json:"disabled"`
}

// NodeID is the node's id: the configured one, or as the disks say, or new.
func (m *Manager) NodeID() string { return m.nodeID }

// Available is the set of mountpaths in use; it is never nil.
func (m *Manager) Available() *Set { return m.available.Load() }

// Filesystems are those of the mountpaths in use.
func (m *Manager) Filesystems() []*Filesystem { return m.filesystems }

// System is what all calls on files go through.
func (m *Manager) System() System { return m.options.System }

// ClusterUUID returns the cluster that the mountpaths belong to and its
// lineage, empty before the first join.
func (m *Manager) ClusterUUID() (uuid, lineage string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.uuid, m.state.lineage
}

// SetClusterUUID writes the cluster and its lineage on every mountpath in use.
// A cluster other than the one on the disks is an error and changes nothing.
// It is durable when it returns nil, and does nothing when nothing changed.
func (m *Manager) SetClusterUUID(uuid, lineage string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return errClosed
	}
	if m.state.uuid != "" && m.state.uuid != uuid {
		return clusterMismatch(m.state.uuid, uuid)
	}
	m.state.uuid, m.state.lineage = uuid, lineage
	var failed []error
	for _, mp := range m.Available().Paths {
		record := *m.state.records[mp.Path]
		if !m.refresh(&record) {
			continue
		}
		if err := writeIDRecord(m.options.System, filepath.Join(mp.Path, idRecordName), &record); err != nil {
			failed = append(failed, fmt.Errorf("cluster id of %s: %w", mp.name, err))
			continue
		}
		m.state.records[mp.Path] = &record
	}
	if err := m.writeConfigCopy(); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Lists returns the paths by state.
func (m *Manager) Lists() Lists {
	lists := Lists{Available: []string{}, WaitingDD: []string{}, Disabled: []string{}}
	for _, mp := range m.Available().Paths {
		lists.Available = append(lists.Available, mp.Path)
	}
	m.mu.Lock()
	lists.Disabled = append(lists.Disabled, m.state.disabled...)
	m.mu.Unlock()
	slices.Sort(lists.Disabled)
	return lists
}

// Close stops the background work and gives up the locks. Operations of the
// callers must have ended. Calling it again does nothing.
func (m *Manager) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	m.stop()
	m.ending.Wait()
	return m.releaseFiles()
}

func (m *Manager) releaseFiles() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var failed []error
	for _, fsys := range m.filesystems {
		if fsys.syncfs != nil {
			failed = append(failed, fsys.syncfs.Close())
		}
	}
	for _, lock := range m.state.locks {
		failed = append(failed, lock.Close())
	}
	m.state.locks = nil
	return errors.Join(failed...)
}

var errClosed = errors.New("mountpaths are closed")
