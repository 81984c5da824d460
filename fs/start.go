package fs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// candidate is a configured path on its way to being a mountpath.
type candidate struct {
	path, label string
	info        FileInfo  // of the directory
	record      *idRecord // nil: none, or not readable
	disabled    error     // why it is not used
	isNew       bool
	lock        File
}

// Open takes the configured mountpaths into use. It decides by the id records
// on them, never by device names; a known mountpath that is missing is left out
// with an event, and the others are used. Errors are one line for an operator.
func Open(opts Options) (*Manager, error) {
	opts.setDefaults()
	m := &Manager{options: opts, log: opts.Logger, trash: make(chan struct{}, 1)}
	m.available.Store(&Set{})
	if err := m.open(); err != nil {
		_ = m.releaseFiles() // the reason of the failure is the one to report
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.ending.Add(1)
	go m.emptyTrash(ctx)
	m.kickTrash()
	return m, nil
}

func (m *Manager) open() error {
	candidates, err := checkPaths(m.options.Mountpaths)
	if err != nil {
		return err
	}
	known, err := m.identify(candidates)
	if err != nil {
		return err
	}
	for _, c := range candidates {
		if c.disabled == nil {
			if err := m.lockCandidate(c); err != nil {
				return err
			}
		}
	}
	if err := m.attach(candidates); err != nil {
		return err
	}
	if err := m.writeRecords(candidates, known); err != nil {
		return err
	}
	for _, c := range candidates {
		if c.disabled != nil {
			m.state.disabled = append(m.state.disabled, c.path)
			m.log.Error("mountpath is disabled", "mountpath", c.path, "err", c.disabled)
			m.options.OnEvent(Event{Kind: EventDisabled, Mountpath: c.path, Err: c.disabled, Message: c.disabled.Error()})
		}
	}
	return m.sweep()
}

// checkPaths applies the rules that need no disk.
func checkPaths(paths map[string]string) ([]*candidate, error) {
	if len(paths) == 0 {
		return nil, errors.New("no mountpaths: a target needs at least one (fspaths or test_fspaths)")
	}
	candidates := make([]*candidate, 0, len(paths))
	for path, label := range paths {
		clean := filepath.Clean(path)
		switch {
		case !filepath.IsAbs(path):
			return nil, fmt.Errorf("mountpath %q is not an absolute path", path)
		case clean == "/":
			return nil, fmt.Errorf("mountpath %q: the root directory cannot be a mountpath", path)
		case len(clean) > maxMountpathLength:
			return nil, fmt.Errorf("mountpath %q is longer than %d bytes", path, maxMountpathLength)
		case strings.IndexByte(clean, 0) >= 0:
			return nil, fmt.Errorf("mountpath %q contains a NUL byte", path)
		}
		candidates = append(candidates, &candidate{path: clean, label: label})
	}
	sort.Slice(candidates, func(i, j int) bool { return candidates[i].path < candidates[j].path })
	for i, a := range candidates {
		for _, b := range candidates[i+1:] {
			switch {
			case a.path == b.path:
				return nil, fmt.Errorf("mountpath %q is configured twice", a.path)
			case strings.HasPrefix(b.path, a.path+"/"):
				return nil, fmt.Errorf("mountpath %q lies inside mountpath %q", b.path, a.path)
			}
		}
	}
	return candidates, nil
}

// identify reads all id records, finds conflicts, settles the node's id, and
// tells new mountpaths from known ones that are missing. It writes nothing but
// the missing directories of new mountpaths in test mode.
func (m *Manager) identify(candidates []*candidate) (*idRecord, error) {
	newest, err := m.knownFromConfig()
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if err := m.look(c); err != nil {
			return nil, err
		}
		if c.record != nil && (newest == nil || c.record.KnownVersion > newest.KnownVersion) {
			newest = c.record
		}
	}
	if err := m.settleIdentity(candidates, newest); err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if c.record != nil || c.disabled != nil {
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
			return nil, fmt.Errorf("storage integrity error sie#60: configured mountpath %s does not exist or is not a directory", c.path)
		}
		if err := makeParents(m.options.System, c.path); err != nil {
			return nil, fmt.Errorf("mountpath %s cannot be created: %w", c.path, err)
		}
		if c.info, err = m.options.System.Stat(c.path); err != nil {
			return nil, fmt.Errorf("mountpath %s: %w", c.path, err)
		}
	}
	return newest, nil
}

// look stats a path and reads its id record.
func (m *Manager) look(c *candidate) error {
	info, err := m.options.System.Stat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return nil
	case err != nil:
		c.disabled = fmt.Errorf("mountpath %s cannot be read: %w", c.path, err)
		return nil
	}
	c.info = info
	if info.Kind != KindDir {
		return nil
	}
	record, err := readIDRecord(m.options.System, filepath.Join(c.path, idRecordName))
	switch {
	case err == nil:
		c.record = record
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDamagedID):
		c.disabled = fmt.Errorf("storage integrity error sie#40: mountpath %s: %w", c.path, err)
	default:
		c.disabled = fmt.Errorf("mountpath %s: id record cannot be read: %w", c.path, err)
	}
	return nil
}

// settleIdentity finds the node's id and compares ids, clusters and disks.
func (m *Manager) settleIdentity(candidates []*candidate, newest *idRecord) error {
	var first *candidate
	byID := make(map[string]string)
	uuid, lineage := "", ""
	for _, c := range candidates {
		if c.record == nil {
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
		if c.record.ClusterUUID == "" {
			continue
		}
		if uuid != "" && c.record.ClusterUUID != uuid {
			return fmt.Errorf("storage integrity error sie#20: mountpath %s belongs to cluster %q, others to cluster %q",
				c.path, c.record.ClusterUUID, uuid)
		}
		uuid = c.record.ClusterUUID
		if c.record.KnownVersion == newest.KnownVersion || lineage == "" {
			lineage = c.record.Lineage
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
	if m.options.ClusterUUID != "" {
		if uuid != "" && uuid != m.options.ClusterUUID {
			return clusterMismatch(uuid, m.options.ClusterUUID)
		}
		uuid, lineage = m.options.ClusterUUID, m.options.Lineage
	} else if uuid == "" && newest != nil {
		uuid, lineage = newest.ClusterUUID, newest.Lineage
	}
	m.state.uuid, m.state.lineage = uuid, lineage
	return nil
}

func clusterMismatch(onDisk, wanted string) error {
	return fmt.Errorf("storage integrity error sie#20: mountpaths belong to cluster %q, this node to cluster %q", onDisk, wanted)
}

// isKnown tells whether a path without an id record had a disk that is not
// found elsewhere now.
func isKnown(newest *idRecord, path string, candidates []*candidate) bool {
	if newest == nil {
		return false
	}
	for _, k := range newest.Known {
		if k.Path != path {
			continue
		}
		for _, c := range candidates {
			if c.record != nil && c.record.MountpathID == k.MountpathID {
				return false // it moved; this is another disk
			}
		}
		return true
	}
	return false
}

// knownFromConfig reads the copy in the configuration folder, nil if there is
// none; a damaged one is left to be rewritten from the disks.
func (m *Manager) knownFromConfig() (*idRecord, error) {
	if m.options.ConfDir == "" {
		return nil, nil
	}
	path := filepath.Join(m.options.ConfDir, knownFileName)
	record, err := readIDRecord(m.options.System, path)
	switch {
	case err == nil:
		if m.options.NodeID != "" && record.NodeID != m.options.NodeID {
			return nil, nil // of a node that had this folder before
		}
		return record, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, errDamagedID):
		m.log.Warn("record of known mountpaths is damaged, taking those on the disks", "path", path, "err", err)
		return nil, nil
	}
	return nil, fmt.Errorf("record of known mountpaths %s: %w", path, err)
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
	m.state.locks = append(m.state.locks, f)
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
