package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Manager owns the mountpaths of one node: their identity, locks, states and
// set.
type Manager struct {
	options Options
	log     *slog.Logger
	nodeID  string
	run     string // random, one a start: old work files are told by it

	available atomic.Pointer[Set]
	infos     atomic.Pointer[[]MountpathInfo]
	left      atomic.Int64 // see LastLeft
	identity  atomic.Pointer[clusterIdentity]
	capacity  capacityCache
	exports   exporter

	changing sync.Mutex // one change of the state at a time
	state    managerState

	mu     sync.Mutex             // guards faults and checks
	faults map[string]string      // by path: what the last health check found
	checks map[string]*checkState // by path
	due    chan struct{}          // one token: a check is due

	onRetire atomic.Pointer[func(*Mountpath)]

	ctx    context.Context // of the background work
	stop   context.CancelFunc
	trash  chan struct{}
	ending sync.WaitGroup
	closed atomic.Bool
}

// managerState changes under Manager.changing only.
type managerState struct {
	volume   *volumeRecord    // as last written
	unsaved  bool             // volume is not on all disks where it belongs
	disks    map[string]*disk // by path: taken into use, leaving or not
	lost     map[string]error // by path: available, and not to be used
	retiring map[string]chan struct{}
}

// disk is a mountpath that this process has taken.
type disk struct {
	record *idRecord
	lock   File
	mp     *Mountpath
}

// clusterIdentity is what the mountpaths say of the cluster.
type clusterIdentity struct {
	uuid, lineage string
	conflict      error // they do not agree
}

// NodeID is the node's id: the configured one, or as the disks say, or new.
func (m *Manager) NodeID() string { return m.nodeID }

// Available is the set of mountpaths in use; it is never nil.
func (m *Manager) Available() *Set { return m.available.Load() }

// Filesystems are those of the mountpaths in use, leaving ones included.
func (m *Manager) Filesystems() []*Filesystem {
	var list []*Filesystem
	seen := make(map[*Filesystem]struct{})
	for _, mp := range m.Available().All() {
		if _, again := seen[mp.filesystem]; !again {
			seen[mp.filesystem] = struct{}{}
			list = append(list, mp.filesystem)
		}
	}
	return list
}

// System is what all calls on files go through.
func (m *Manager) System() System { return m.options.System }

// Close stops the background work and gives up the locks. Operations of the
// callers must have ended. Calling it again does nothing.
func (m *Manager) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	m.stop()
	// A change and an export under way end; the next ones are refused.
	m.changing.Lock()
	m.exports.close()
	m.changing.Unlock()
	m.ending.Wait()
	return m.releaseFiles()
}

func (m *Manager) releaseFiles() error {
	m.changing.Lock()
	defer m.changing.Unlock()
	var failed []error
	for path, d := range m.state.disks {
		delete(m.state.disks, path)
		failed = append(failed, m.release(d))
	}
	return errors.Join(failed...)
}

// release gives a disk back to whoever wants it: an operator who unmounts it,
// or another node. Nothing may use it any more.
func (m *Manager) release(d *disk) error {
	var failed []error
	if d.mp != nil && !m.sharesFilesystem(d) {
		failed = append(failed, d.mp.filesystem.close())
	}
	if d.lock != nil {
		failed = append(failed, d.lock.Close())
	}
	return errors.Join(failed...)
}

// sharesFilesystem tells whether another disk in use lies on the filesystem.
func (m *Manager) sharesFilesystem(d *disk) bool {
	for _, other := range m.state.disks {
		if other != d && other.mp != nil && other.mp.filesystem == d.mp.filesystem {
			return true
		}
	}
	return false
}

var errClosed = errors.New("mountpaths are closed")

// begin starts a change. Every nil is followed by one changing.Unlock.
func (m *Manager) begin() error {
	m.changing.Lock()
	if m.closed.Load() {
		m.changing.Unlock()
		return errClosed
	}
	return nil
}

// ClusterUUID returns the cluster that the mountpaths belong to and its
// lineage, empty before the first join and when they do not agree.
func (m *Manager) ClusterUUID() (uuid, lineage string) {
	id := m.identity.Load()
	return id.uuid, id.lineage
}

// ClusterIdentity is ClusterUUID with the reason when the mountpaths do not
// agree to which cluster they belong: "storage integrity error sie#20: ...".
func (m *Manager) ClusterIdentity() (uuid, lineage string, err error) {
	id := m.identity.Load()
	return id.uuid, id.lineage, id.conflict
}

// SetClusterUUID writes the cluster and its lineage on every mountpath in use.
// A cluster other than the one on the disks is an error and changes nothing.
// It is durable when it returns nil, and does nothing when nothing changed.
func (m *Manager) SetClusterUUID(uuid, lineage string) error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	switch now := m.identity.Load(); {
	case now.conflict != nil:
		return now.conflict
	case now.uuid != "" && now.uuid != uuid:
		return clusterMismatch(now.uuid, uuid)
	}
	return m.writeCluster(uuid, lineage)
}

// ForgetCluster removes cluster and lineage from every mountpath in use and
// ends a disagreement about them: the node belongs to no cluster. It is durable
// when it returns nil.
func (m *Manager) ForgetCluster() error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	return m.writeCluster("", "")
}

// writeCluster puts a cluster on the disks; what failed is tried again by the
// next call.
func (m *Manager) writeCluster(uuid, lineage string) error {
	m.identity.Store(&clusterIdentity{uuid: uuid, lineage: lineage})
	var failed []error
	for _, d := range m.state.disks {
		if err := m.writeClusterOn(d); err != nil {
			failed = append(failed, err)
		}
	}
	volume := m.state.volume
	if volume.ClusterUUID == uuid && volume.Lineage == lineage && !m.state.unsaved {
		return errors.Join(failed...)
	}
	next := volume.next()
	next.ClusterUUID, next.Lineage = uuid, lineage
	m.state.volume, m.state.unsaved = next, true
	err := m.writeEverywhere(next)
	m.state.unsaved = err != nil
	return errors.Join(append(failed, err)...)
}

// writeClusterOn brings the id record of one disk up to date.
func (m *Manager) writeClusterOn(d *disk) error {
	record := *d.record
	if !m.refresh(&record) {
		return nil
	}
	if err := writeIDRecord(m.options.System, filepath.Join(d.mp.Path, idRecordName), &record); err != nil {
		return fmt.Errorf("cluster id of %s: %w", d.mp.name, err)
	}
	d.record = &record
	return nil
}

// refresh sets the cluster in an id record and tells whether that changed it.
// While the disks disagree it leaves every one as it is.
func (m *Manager) refresh(r *idRecord) bool {
	id := m.identity.Load()
	if id.conflict != nil || r.ClusterUUID == id.uuid && r.Lineage == id.lineage {
		return false
	}
	if r.ClusterUUID != id.uuid {
		r.Lost = 0 // the placement of another cluster has versions of its own
	}
	r.ClusterUUID, r.Lineage = id.uuid, id.lineage
	return true
}
