package fs

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// attach checks the filesystems of the candidates and makes mountpaths of those
// that pass. A new path that fails is an error; a known one is left out.
func (m *Manager) attach(candidates []*candidate) error {
	mounts := readMounts()
	for _, c := range candidates {
		if c.disabled != nil {
			continue
		}
		if err := m.probe(c); err != nil {
			return err
		}
	}
	byDev := make(map[uint64]*Filesystem)
	firstOn := make(map[*Filesystem]*candidate)
	m.state.filesystemOf = make(map[string]*Filesystem)
	for _, c := range candidates {
		if c.disabled != nil {
			continue
		}
		fsys, shared := byDev[c.info.Dev]
		if !shared {
			var err error
			if fsys, err = m.newFilesystem(c, mounts); err != nil {
				if err := m.disableOrFail(c, "cannot be used", err); err != nil {
					return err
				}
				continue
			}
			for other, on := range firstOn {
				if disk := sharedDisk(fsys, other); disk != "" {
					if err := m.sharing(c, on, "disk "+disk); err != nil {
						return err
					}
				}
			}
			byDev[c.info.Dev], firstOn[fsys] = fsys, c
		} else if err := m.sharing(c, firstOn[fsys], "filesystem"); err != nil {
			return err
		}
		m.state.filesystemOf[c.path] = fsys
	}
	return nil
}

// sharing is an error unless either operator's label, or test mode, says that
// it is known.
func (m *Manager) sharing(c, other *candidate, what string) error {
	message := fmt.Sprintf("mountpath %s shares its %s with mountpath %s", c.path, what, other.path)
	switch {
	case m.options.TestMode:
	case c.label != "" && other.label != "":
		m.log.Warn(message)
	default:
		return errors.New(message + " (give both a label if that is intended)")
	}
	return nil
}

func sharedDisk(a, b *Filesystem) string {
	for _, disk := range a.Disks {
		if slices.Contains(b.Disks, disk) {
			return disk
		}
	}
	return ""
}

// probe tries what every write needs: a writable filesystem that keeps user
// attributes and has a sensible size.
func (m *Manager) probe(c *candidate) error {
	system := m.options.System
	info, err := system.Statfs(c.path)
	if err != nil {
		return m.disableOrFail(c, "cannot be asked for its size", err)
	}
	if info.ReadOnly {
		return m.disableOrFail(c, "cannot be used", unix.EROFS)
	}
	if info.Total < minVolumeSize {
		message := fmt.Sprintf("mountpath %s: volume of %s is smaller than %s", c.path, sizeText(info.Total), sizeText(minVolumeSize))
		if !m.options.TestMode {
			return errors.New(message)
		}
		m.log.Warn(message)
	}
	err = system.SetXattr(c.path, probeXattr, []byte("1"))
	switch {
	case err == nil:
		err = system.RemoveXattr(c.path, probeXattr)
		if err != nil {
			return m.disableOrFail(c, "cannot be written", err)
		}
	case IsNoSpace(err): // a full disk is still one to read from
		m.log.Warn("mountpath is full", "mountpath", c.path, "err", err)
	case errors.Is(err, unix.ENOTSUP):
		return fmt.Errorf("mountpath %s: its filesystem does not support user extended attributes: %w", c.path, err)
	default:
		return m.disableOrFail(c, "cannot be written", err)
	}
	return nil
}

func (m *Manager) newFilesystem(c *candidate, mounts []mount) (*Filesystem, error) {
	info, err := m.options.System.Statfs(c.path)
	if err != nil {
		return nil, err
	}
	fsys := &Filesystem{
		FsID: info.ID, root: c.path, system: m.options.System, onEvent: m.options.OnEvent,
		Disks: disksOf("/sys", c.info.Dev),
	}
	resolved, err := filepath.EvalSymlinks(c.path)
	if err != nil {
		resolved = c.path
	}
	if mnt, ok := mountOf(mounts, resolved); ok {
		fsys.Device, fsys.Type = mnt.source, mnt.fsType
		m.adviseMount(c, mnt)
	}
	if len(fsys.Disks) == 0 && !m.options.TestMode {
		m.log.Warn("no disks found under mountpath: no statistics by disk", "mountpath", c.path, "device", fsys.Device)
	}
	if fsys.syncfs, err = m.options.System.Open(c.path, unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		return nil, err
	}
	m.filesystems = append(m.filesystems, fsys)
	return fsys, nil
}

func (m *Manager) adviseMount(c *candidate, mnt mount) {
	if m.options.TestMode {
		return
	}
	if mnt.point == "/" {
		m.log.Warn("mountpath lies on the root filesystem", "mountpath", c.path)
	}
	for option := range strings.SplitSeq(mnt.options, ",") {
		if option == "nobarrier" || option == "barrier=0" {
			m.log.Warn("mount option defeats fsync: acknowledged writes can be lost with the power",
				"mountpath", c.path, "option", option)
		}
	}
}

// writeRecords gives new mountpaths an id and publishes the set. A mountpath
// enters the list of those that the node knows only when its record is on the
// disk: else a first start that was cut short would look like a lost disk.
func (m *Manager) writeRecords(candidates []*candidate, newest *idRecord) error {
	m.state.records = make(map[string]*idRecord)
	taken := make(map[uint64]struct{})
	if newest != nil {
		m.state.known, m.state.knownVersion = newest.Known, newest.KnownVersion
	}
	before := m.state.known
	for _, c := range candidates {
		for _, k := range before {
			if c.disabled != nil && k.Path == c.path {
				taken[k.PlacementDigest] = struct{}{}
			}
		}
	}
	// Those that the node knows keep their digest before newcomers choose.
	inUse := slices.DeleteFunc(slices.Clone(candidates), func(c *candidate) bool { return c.disabled != nil })
	slices.SortStableFunc(inUse, func(a, b *candidate) int { return a.rank(before) - b.rank(before) })
	for _, c := range inUse {
		if err := m.identifyDisk(c, taken); err != nil {
			return err
		}
	}
	known := m.knownNow(candidates, before)
	if !sameKnown(known, before) {
		m.state.known = known
		m.state.knownVersion++
	}
	for _, c := range inUse {
		if c.disabled == nil && m.refresh(c.record) {
			if err := m.writeRecord(c); err != nil {
				return err
			}
		}
		m.state.records[c.path] = c.record
	}
	if err := m.writeConfigCopy(); err != nil {
		return err
	}
	m.publish(inUse)
	return nil
}

// identifyDisk makes the record of a new mountpath, and gives one whose
// placement digest is taken another.
func (m *Manager) identifyDisk(c *candidate, taken map[uint64]struct{}) error {
	changed := c.record == nil
	if changed {
		c.record = &idRecord{
			MountpathID: randomHex(8), NodeID: m.nodeID, Path: c.path,
			Created: m.options.Clock().UTC().Format(time.RFC3339),
		}
		c.record.PlacementDigest = newDigest(c.path, c.record.MountpathID, taken)
		m.refresh(c.record)
	} else if _, yes := taken[c.record.PlacementDigest]; yes {
		changed = true
		c.record.PlacementDigest = newDigest(c.record.Path, c.record.MountpathID, taken)
		m.log.Warn("mountpath had the placement digest of another one and got a new one", "mountpath", c.path)
	}
	taken[c.record.PlacementDigest] = struct{}{}
	if !changed {
		return nil
	}
	return m.writeRecord(c)
}

func (m *Manager) writeRecord(c *candidate) error {
	err := writeIDRecord(m.options.System, filepath.Join(c.path, idRecordName), c.record)
	if err != nil && IsNoSpace(err) && !c.isNew {
		m.log.Warn("id record not brought up to date: disk is full", "mountpath", c.path, "err", err)
		return nil
	}
	if err != nil {
		return m.disableOrFail(c, "cannot write its id record", err)
	}
	return nil
}

// knownNow lists the mountpaths in use, and those that are configured, known,
// and not in use.
func (m *Manager) knownNow(candidates []*candidate, before []knownMountpath) []knownMountpath {
	var known []knownMountpath
	for _, c := range candidates {
		if c.disabled == nil {
			known = append(known, knownMountpath{c.path, c.label, c.record.MountpathID, c.record.PlacementDigest})
			continue
		}
		for _, k := range before {
			if k.Path == c.path {
				known = append(known, k)
			}
		}
	}
	sortKnown(known)
	return known
}

// rank is 0 for a disk that the node knows, 1 for one that comes (back) in, 2
// for a new one.
func (c *candidate) rank(known []knownMountpath) int {
	if c.record == nil {
		return 2
	}
	for _, k := range known {
		if k.MountpathID == c.record.MountpathID {
			return 0
		}
	}
	return 1
}

// refresh brings the shared fields of a record up to date and tells whether
// anything changed.
func (m *Manager) refresh(r *idRecord) bool {
	same := r.KnownVersion == m.state.knownVersion && sameKnown(r.Known, m.state.known) &&
		r.ClusterUUID == m.state.uuid && r.Lineage == m.state.lineage
	r.KnownVersion, r.Known = m.state.knownVersion, m.state.known
	r.ClusterUUID, r.Lineage = m.state.uuid, m.state.lineage
	return !same
}

// writeConfigCopy keeps the second copy of what is known in the configuration
// folder, for the day when no mountpath is there.
func (m *Manager) writeConfigCopy() error {
	if m.options.ConfDir == "" {
		return nil
	}
	path := filepath.Join(m.options.ConfDir, knownFileName)
	record, err := readIDRecord(m.options.System, path)
	if err != nil || record.NodeID != m.nodeID {
		record = &idRecord{NodeID: m.nodeID, KnownVersion: ^uint64(0)}
	}
	if !m.refresh(record) {
		return nil
	}
	if err := writeIDRecord(m.options.System, path, record); err != nil {
		return fmt.Errorf("record of known mountpaths %s cannot be written: %w", path, err)
	}
	return nil
}

// publish makes the set of the candidates in use.
func (m *Manager) publish(inUse []*candidate) {
	set := &Set{}
	run := randomHex(4)
	for _, c := range inUse {
		if c.disabled != nil {
			continue
		}
		fsys := m.state.filesystemOf[c.path]
		set.Paths = append(set.Paths, &Mountpath{
			Path: c.path, Label: c.label, ID: c.record.MountpathID, Digest: c.record.PlacementDigest,
			manager: m, system: m.options.System, filesystem: fsys, name: mountpathName(c.path, fsys.Disks),
			slots: make(chan struct{}, m.options.Slots), workRun: run,
		})
	}
	slices.SortFunc(set.Paths, func(a, b *Mountpath) int { return strings.Compare(a.Path, b.Path) })
	m.available.Store(set)
}
