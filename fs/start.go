package fs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/aistore-go/aistore/cmn/hrw"
	"golang.org/x/sys/unix"
)

const (
	maxMountpathLength = 255      // bytes of a path
	minVolumeSize      = 10 << 20 // bytes
	probeXattr         = "user.ais.probe"
)

// candidate is a path on its way to being a mountpath.
type candidate struct {
	path, label string
	entry       *volumeEntry // of the newest volume record, nil: not known
	attached    bool         // it came at run time, see volumeEntry
	info        FileInfo     // of the directory
	record      *idRecord    // nil: none, or not readable
	volume      *volumeRecord
	out         bool  // an operator disabled it: it is not touched
	disabled    error // why it is not used
	isNew       bool
	lock        File
	filesystem  *Filesystem
}

// usable tells that nothing keeps the candidate from being used, so far.
func (c *candidate) usable() bool { return !c.out && c.disabled == nil }

// Open takes the configured mountpaths into use. It decides by the id records
// on them, never by device names; a known mountpath that is missing is left out
// with an event, and the others are used. Errors are one line for an operator.
func Open(opts Options) (*Manager, error) {
	opts.setDefaults()
	m := &Manager{
		options: opts, log: opts.Logger, trash: make(chan struct{}, 1), run: randomHex(4), faults: make(map[string]string),
		state: managerState{
			disks: make(map[string]*disk), lost: make(map[string]error), retiring: make(map[string]chan struct{}),
		},
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.available.Store(&Set{})
	m.infos.Store(&[]MountpathInfo{})
	m.identity.Store(&clusterIdentity{})
	if err := m.open(); err != nil {
		m.stop()
		_ = m.releaseFiles() // the reason of the failure is the one to report
		return nil, err
	}
	m.ending.Add(1)
	go m.emptyTrash(m.ctx)
	m.kickTrash()
	return m, nil
}

func (m *Manager) open() error {
	configured, err := checkPaths(m.options.Mountpaths)
	if err != nil {
		return err
	}
	if err := m.resumeDecommission(configured); err != nil {
		return err
	}
	candidates, volume, err := m.gather(configured)
	if err != nil {
		return err
	}
	if err := m.identify(candidates, volume); err != nil {
		return err
	}
	defer m.dropUnused(candidates)
	for _, c := range candidates {
		if c.usable() {
			if err := m.lockCandidate(c); err != nil {
				return err
			}
		}
	}
	if err := m.attach(candidates); err != nil {
		return err
	}
	if err := m.writeRecords(candidates, volume); err != nil {
		return err
	}
	for _, c := range candidates {
		if c.disabled != nil && !c.out {
			m.log.Error("mountpath is disabled", "mountpath", c.path, "err", c.disabled)
			m.options.OnEvent(Event{Kind: EventDisabled, Mountpath: c.path, Err: c.disabled, Message: c.disabled.Error()})
		}
	}
	if err := m.sweep(); err != nil {
		return err
	}
	m.finishEmpty()
	return nil
}

// dropUnused closes what was opened for candidates that did not become
// mountpaths.
func (m *Manager) dropUnused(candidates []*candidate) {
	for _, c := range candidates {
		if d := m.state.disks[c.path]; d == nil || d.lock != c.lock {
			m.abandon(c)
		}
	}
}

// abandon closes what was opened for a candidate.
func (m *Manager) abandon(c *candidate) {
	if c.filesystem != nil {
		shared := false
		for _, d := range m.state.disks {
			shared = shared || d.mp.filesystem == c.filesystem
		}
		if !shared && c.filesystem.syncfs != nil {
			_ = c.filesystem.syncfs.Close() // nothing was written through it
		}
		c.filesystem = nil
	}
	if c.lock != nil {
		_ = c.lock.Close() // its content is for people
		c.lock = nil
	}
}

// checkPaths applies the rules that need no disk.
func checkPaths(paths map[string]string) ([]*candidate, error) {
	if len(paths) == 0 {
		return nil, errors.New("no mountpaths: a target needs at least one (fspaths or test_fspaths)")
	}
	candidates := make([]*candidate, 0, len(paths))
	for path, label := range paths {
		clean, err := cleanPath(path)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, &candidate{path: clean, label: label})
	}
	sortCandidates(candidates)
	for i, a := range candidates {
		for _, b := range candidates[i+1:] {
			if a.path == b.path {
				return nil, fmt.Errorf("mountpath %q is configured twice", a.path)
			}
			if err := nested(a.path, b.path); err != nil {
				return nil, err
			}
		}
	}
	return candidates, nil
}

func sortCandidates(candidates []*candidate) {
	sort.Slice(candidates, func(i, j int) bool { return candidates[i].path < candidates[j].path })
}

// cleanPath checks and cleans the path of a mountpath.
func cleanPath(path string) (string, error) {
	clean := filepath.Clean(path)
	switch {
	case !filepath.IsAbs(path):
		return "", fmt.Errorf("mountpath %q is not an absolute path", path)
	case clean == "/":
		return "", fmt.Errorf("mountpath %q: the root directory cannot be a mountpath", path)
	case len(clean) > maxMountpathLength:
		return "", fmt.Errorf("mountpath %q is longer than %d bytes", path, maxMountpathLength)
	case strings.IndexByte(clean, 0) >= 0:
		return "", fmt.Errorf("mountpath %q contains a NUL byte", path)
	}
	return clean, nil
}

// nested is an error if one of two paths lies inside the other.
func nested(a, b string) error {
	if len(a) > len(b) {
		a, b = b, a
	}
	if strings.HasPrefix(b, a+"/") {
		return fmt.Errorf("mountpath %q lies inside mountpath %q", b, a)
	}
	return nil
}

// gather finds the newest volume record, in the configuration folder and on
// the disks, and adds the mountpaths that it names and the configuration does
// not to the candidates. Their id records have been read then.
func (m *Manager) gather(configured []*candidate) (candidates []*candidate, newest *volumeRecord, err error) {
	if newest, err = m.volumeFromConfig(); err != nil {
		return nil, nil, err
	}
	seen := make(map[string]*candidate)
	for _, c := range configured {
		seen[c.path] = c
	}
	looked := make(map[string]bool)
	for more := true; more; { // a newer record may name further ones
		more = false
		for _, e := range entriesOf(newest) {
			if e.Attached && e.State != StateDetached && seen[e.Path] == nil {
				seen[e.Path] = &candidate{path: e.Path, label: e.Label, attached: true}
			}
		}
		for _, path := range slices.Sorted(maps.Keys(seen)) {
			c, e := seen[path], newest.find(path)
			if looked[path] || e != nil && (e.State == StateDisabled || e.State == StateDetached) {
				continue // one that is disabled may hang
			}
			looked[path], more = true, true
			m.look(c)
			if c.volume != nil && c.volume.newerThan(newest) {
				newest = c.volume
			}
		}
	}
	if newest == nil {
		newest = formerVolume(configured)
	}
	for path, c := range seen {
		e := newest.find(path)
		switch {
		case e != nil && e.State == StateDetached:
			m.log.Info("mountpath is configured but was detached; attach it to use it again", "mountpath", path)
			continue
		case e == nil && c.attached: // of an older record
			continue
		case e != nil:
			c.entry = e
			c.attached = e.Attached
			if e.Attached {
				c.label = e.Label
			}
			c.out = e.State == StateDisabled
		}
		candidates = append(candidates, c)
	}
	sortCandidates(candidates)
	for i, a := range candidates {
		for _, b := range candidates[i+1:] {
			if err := nested(a.path, b.path); err != nil {
				return nil, nil, err
			}
		}
	}
	return candidates, newest, nil
}

func entriesOf(r *volumeRecord) []volumeEntry {
	if r == nil {
		return nil
	}
	return r.Mountpaths
}

// formerVolume is the newest list of mountpaths in the id records of an
// earlier release, nil if there is none.
func formerVolume(candidates []*candidate) *volumeRecord {
	var newest *idRecord
	for _, c := range candidates {
		if r := c.record; r != nil && len(r.Known) > 0 && (newest == nil || r.KnownVersion > newest.KnownVersion) {
			newest = r
		}
	}
	if newest == nil {
		return nil
	}
	return volumeOf(newest)
}

// identify finds conflicts, settles the node's id, and tells new mountpaths
// from known ones that are missing. It writes nothing but the missing
// directories of new mountpaths in test mode.
func (m *Manager) identify(candidates []*candidate, newest *volumeRecord) error {
	if err := m.settleIdentity(candidates, newest); err != nil {
		return err
	}
	for _, c := range candidates {
		if c.record != nil || !c.usable() {
			continue
		}
		if isKnown(newest, c.path, candidates) {
			if c.info.Kind == KindDir {
				c.disabled = fmt.Errorf("known mountpath %s has no id record: is its disk not mounted?", c.path)
			} else {
				c.disabled = fmt.Errorf("known mountpath %s is missing", c.path)
			}
			continue
		}
		c.isNew = true
		if c.info.Kind == KindDir {
			continue
		}
		if !m.options.TestMode {
			return fmt.Errorf("storage integrity error sie#60: configured mountpath %s does not exist or is not a directory", c.path)
		}
		if err := makeParents(m.options.System, c.path); err != nil {
			return fmt.Errorf("mountpath %s cannot be created: %w", c.path, err)
		}
		var err error
		if c.info, err = m.options.System.Stat(c.path); err != nil {
			return fmt.Errorf("mountpath %s: %w", c.path, err)
		}
	}
	return nil
}

// look stats a path and reads its id record and its copy of the volume record.
func (m *Manager) look(c *candidate) {
	info, err := m.options.System.Stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return
	case err != nil:
		c.disabled = fmt.Errorf("mountpath %s cannot be read: %w", c.path, err)
		return
	}
	c.info = info
	if info.Kind != KindDir {
		return
	}
	record, err := readIDRecord(m.options.System, filepath.Join(c.path, idRecordName))
	switch {
	case err == nil:
		c.record = record
	case errors.Is(err, fs.ErrNotExist):
		return
	case errors.Is(err, errDamagedID):
		c.disabled = fmt.Errorf("storage integrity error sie#40: mountpath %s: %w", c.path, err)
		return
	default:
		c.disabled = fmt.Errorf("mountpath %s: id record cannot be read: %w", c.path, err)
		return
	}
	switch volume, err := readVolume(m.options.System, c.path); {
	case err == nil && volume.NodeID == record.NodeID:
		c.volume = volume
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		m.log.Warn("volume record is not read, the others count", "mountpath", c.path, "err", err)
	}
}

// settleIdentity finds the node's id and compares ids, clusters and disks.
func (m *Manager) settleIdentity(candidates []*candidate, newest *volumeRecord) error {
	var first *candidate
	byID := make(map[string]string)
	var cluster *candidate // the first that belongs to one
	var conflict error
	for _, c := range candidates {
		if c.record == nil || c.out {
			continue
		}
		if first == nil {
			first = c
		}
		if c.record.NodeID != first.record.NodeID {
			return fmt.Errorf("storage integrity error sie#10: mountpath %s belongs to node %q and mountpath %s to node %q",
				first.path, first.record.NodeID, c.path, c.record.NodeID)
		}
		if twin, twice := byID[c.record.MountpathID]; twice {
			return fmt.Errorf("storage integrity error sie#30: mountpaths %s and %s hold the same mountpath id %s",
				twin, c.path, c.record.MountpathID)
		}
		byID[c.record.MountpathID] = c.path
		switch {
		case c.record.ClusterUUID == "":
		case cluster == nil:
			cluster = c
		case c.record.ClusterUUID != cluster.record.ClusterUUID && conflict == nil:
			conflict = fmt.Errorf("storage integrity error sie#20: mountpath %s belongs to cluster %q and mountpath %s to cluster %q",
				cluster.path, cluster.record.ClusterUUID, c.path, c.record.ClusterUUID)
		}
	}
	m.nodeID = m.options.NodeID
	switch {
	case first != nil && m.nodeID != "" && first.record.NodeID != m.nodeID:
		return fmt.Errorf("storage integrity error sie#20: mountpath %s belongs to node %q, this node is %q",
			first.path, first.record.NodeID, m.nodeID)
	case first != nil:
		m.nodeID = first.record.NodeID
	case m.nodeID == "" && newest != nil:
		m.nodeID = newest.NodeID
	case m.nodeID == "" && m.options.NewNodeID != nil:
		m.nodeID = m.options.NewNodeID()
	}
	if m.nodeID == "" {
		return errors.New("no node id: neither the configuration nor a mountpath has one")
	}
	return m.settleCluster(cluster, conflict, newest)
}

// settleCluster finds the cluster of the node. Disks that do not agree are no
// reason not to start: the node stays out of every cluster and says why. The
// lineage is that of the newest volume record: a disk that was away may have
// missed a new one.
func (m *Manager) settleCluster(cluster *candidate, conflict error, newest *volumeRecord) error {
	id := &clusterIdentity{conflict: conflict}
	switch {
	case conflict != nil:
	case cluster != nil && newest != nil && newest.ClusterUUID == cluster.record.ClusterUUID:
		id.uuid, id.lineage = newest.ClusterUUID, newest.Lineage
	case cluster != nil:
		id.uuid, id.lineage = cluster.record.ClusterUUID, cluster.record.Lineage
	case newest != nil:
		id.uuid, id.lineage = newest.ClusterUUID, newest.Lineage
	}
	if want := m.options.ClusterUUID; want != "" {
		if id.uuid != "" && id.uuid != want {
			return clusterMismatch(id.uuid, want)
		}
		if conflict == nil {
			id.uuid, id.lineage = want, m.options.Lineage
		}
	}
	m.identity.Store(id)
	return nil
}

func clusterMismatch(onDisk, wanted string) error {
	return fmt.Errorf("storage integrity error sie#20: mountpaths belong to cluster %q, this node to cluster %q", onDisk, wanted)
}

// isKnown tells whether a path without an id record had a disk that is not
// found elsewhere now.
func isKnown(newest *volumeRecord, path string, candidates []*candidate) bool {
	e := newest.find(path)
	if e == nil {
		return false
	}
	for _, c := range candidates {
		if c.record != nil && c.record.MountpathID == e.MountpathID {
			return false // it moved; this is another disk
		}
	}
	return true
}

// lockCandidate takes the exclusive lock and makes sure that the id record is
// still the one that was read without it.
func (m *Manager) lockCandidate(c *candidate) error {
	system, path := m.options.System, filepath.Join(c.path, lockFileName)
	f, err := system.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return m.disableOrFail(c, "cannot be locked", err)
	}
	if err := system.Flock(f); err != nil {
		_ = f.Close() // nothing was written to it
		if errors.Is(err, unix.EWOULDBLOCK) {
			owner := ""
			if pid := lockOwner(system, path); pid != "" {
				owner = " (process " + pid + ")"
			}
			return fmt.Errorf("mountpath %s is in use by another node%s", c.path, owner)
		}
		return m.disableOrFail(c, "cannot be locked", err)
	}
	c.lock = f
	// The process id is for people; a full disk must not stop the start.
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		if err != nil {
			m.log.Debug("process id not written to the lock file", "path", path, "err", err)
		}
	}
	again, err := readIDRecord(system, filepath.Join(c.path, idRecordName))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return m.disableOrFail(c, "id record cannot be read", err)
	case (again == nil) != (c.record == nil), again != nil && again.Checksum != c.record.Checksum:
		return fmt.Errorf("mountpath %s: id record changed during the start; another node was starting on it", c.path)
	}
	return nil
}

// disableOrFail is for a disk that cannot be written at the start: the node
// does without a known one, a new one is an error of the configuration.
func (m *Manager) disableOrFail(c *candidate, what string, err error) error {
	err = fmt.Errorf("mountpath %s %s: %w", c.path, what, err)
	if c.isNew {
		return err
	}
	c.disabled = err
	return nil
}

// newDigest is the placement digest of a path at first attach.
func newDigest(path, mountpathID string, taken map[uint64]struct{}) uint64 {
	digest := hrw.Digest(path)
	if _, yes := taken[digest]; yes || digest == 0 {
		digest = hrw.Digest(path + "#" + mountpathID)
	}
	return digest
}

// makeParents makes a directory and whatever is missing above it.
func makeParents(system System, dir string) error {
	err := system.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && dir != "/" {
		if err = makeParents(system, filepath.Dir(dir)); err == nil {
			err = system.Mkdir(dir, dirMode)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
