package fs

import (
	"errors"
	"fmt"
	"os"
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
		if !c.usable() {
			continue
		}
		if err := m.probe(c); err != nil {
			return err
		}
	}
	var passed []*candidate
	for _, c := range candidates {
		if !c.usable() {
			continue
		}
		if err := m.attachOne(c, passed, mounts); err != nil {
			return err
		}
		if c.usable() {
			passed = append(passed, c)
		}
	}
	return nil
}

// attachOne finds the filesystem of a candidate: that of another one if they
// share it.
func (m *Manager) attachOne(c *candidate, others []*candidate, mounts []mount) error {
	for _, other := range others {
		if other.filesystem.dev == c.info.Dev {
			if err := m.sharing(c, other, "filesystem"); err != nil {
				return err
			}
			c.filesystem = other.filesystem
			return nil
		}
	}
	fsys, err := m.newFilesystem(c, mounts)
	if err != nil {
		return m.disableOrFail(c, "cannot be used", err)
	}
	c.filesystem = fsys
	for _, other := range others {
		if disk := sharedDisk(fsys, other.filesystem); disk != "" {
			if err := m.sharing(c, other, "disk "+disk); err != nil {
				return err
			}
		}
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
		FsID: info.ID, dev: c.info.Dev, root: c.path, system: m.options.System, onEvent: m.raise,
		Disks: disksOf(m.options.Sysfs, c.info.Dev),
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
	if err := fsys.open(c.path); err != nil {
		return nil, err
	}
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
// enters the volume record only when its id is on the disk: else a first start
// that was cut short would look like a lost disk.
func (m *Manager) writeRecords(candidates []*candidate, newest *volumeRecord) error {
	taken := make(map[uint64]struct{})
	for _, c := range candidates {
		if !c.usable() && c.entry != nil {
			taken[c.entry.PlacementDigest] = struct{}{}
		}
	}
	// Those that the node knows keep their digest before newcomers choose.
	inUse := slices.DeleteFunc(slices.Clone(candidates), func(c *candidate) bool { return !c.usable() })
	slices.SortStableFunc(inUse, func(a, b *candidate) int { return a.rank(newest) - b.rank(newest) })
	for _, c := range inUse {
		if err := m.identifyDisk(c, taken); err != nil {
			return err
		}
	}
	for _, c := range inUse {
		if c.usable() && m.refresh(c.record) {
			if err := m.writeRecord(c); err != nil {
				return err
			}
		}
	}
	next, err := m.writeFirstVolume(candidates, newest)
	if err != nil {
		return err
	}
	m.state.volume = next
	for _, c := range candidates {
		switch {
		case c.usable():
			m.state.disks[c.path] = m.newDisk(c)
		case !c.out:
			m.state.lost[c.path] = c.disabled
		}
	}
	m.publish()
	return nil
}

// writeFirstVolume writes the volume record of a start. A disk that cannot
// take it is lost, which makes it another record.
func (m *Manager) writeFirstVolume(candidates []*candidate, newest *volumeRecord) (*volumeRecord, error) {
	before := newest
	for {
		next, err := m.volumeNow(candidates, newest)
		if err != nil {
			return nil, err
		}
		next.Version = 1
		if before != nil {
			next.Version = before.Version
			if !next.sameAs(before) {
				next.Version++
			}
		}
		if err := next.seal(); err != nil {
			return nil, err
		}
		before = next
		lost := false
		for _, c := range candidates {
			if !c.usable() || c.volume != nil && c.volume.Checksum == next.Checksum {
				continue
			}
			err := writeVolume(m.options.System, c.path, next)
			switch {
			case err == nil:
				c.volume = next
			case IsNoSpace(err) && !c.isNew:
				m.log.Warn("volume record not brought up to date: disk is full", "mountpath", c.path, "err", err)
			default:
				if err := m.disableOrFail(c, "cannot write its volume record", err); err != nil {
					return nil, err
				}
				lost = true
			}
		}
		if lost {
			continue
		}
		if m.options.ConfDir == "" {
			return next, nil
		}
		if there, err := readVolume(m.options.System, m.options.ConfDir); err == nil && there.Checksum == next.Checksum {
			return next, nil
		}
		_, failed := m.writeCopies([]copyOf{{dir: m.options.ConfDir}}, next)
		return next, failed[m.options.ConfDir]
	}
}

// volumeNow is the volume record of the candidates as they were found.
func (m *Manager) volumeNow(candidates []*candidate, before *volumeRecord) (*volumeRecord, error) {
	id := m.identity.Load()
	next := &volumeRecord{NodeID: m.nodeID, ClusterUUID: id.uuid, Lineage: id.lineage}
	if before != nil {
		next.Unsettled, next.Unarranged, next.Left = before.Unsettled, before.Unarranged, before.Left
	}
	for path := range m.options.Mountpaths { // what was detached stays so for as long as it is configured
		if e := before.find(filepath.Clean(path)); e != nil && e.State == StateDetached {
			next.put(*e)
		}
	}
	for _, c := range candidates {
		switch {
		case c.out:
			next.put(*c.entry)
		case !c.usable():
			if c.entry == nil {
				continue // never in use: its first start may still come
			}
			e := *c.entry
			e.InUse = false
			next.put(e)
		default:
			next.put(c.entryNow())
		}
	}
	if before.forgets(next) {
		next.Left = m.options.Clock().UnixNano()
	}
	return next, m.settle(before, next, false)
}

// entryNow is the entry of a candidate that is to be used.
func (c *candidate) entryNow() volumeEntry {
	e := volumeEntry{
		Path: c.path, Label: c.label, MountpathID: c.record.MountpathID, PlacementDigest: c.record.PlacementDigest,
		State: StateAvailable, Attached: c.attached, InUse: true,
	}
	if c.entry == nil {
		return e
	}
	e.MayBeStale, e.Capacity = c.entry.MayBeStale, c.entry.Capacity
	if c.entry.State == StateWaiting {
		e.State, e.Removal, e.InUse = StateWaiting, c.entry.Removal, false
	}
	return e
}

// changesSet tells that another set of mountpaths is in use.
func changesSet(before, next *volumeRecord) bool {
	inUse := func(r *volumeRecord) (ids []string) {
		for i := range r.Mountpaths {
			if r.Mountpaths[i].InUse {
				ids = append(ids, r.Mountpaths[i].MountpathID)
			}
		}
		slices.Sort(ids)
		return ids
	}
	return !slices.Equal(inUse(before), inUse(next))
}

// settle finds out what a change of the set in use means for the objects. One
// that leaves takes its names with it, and all others stay where they are. One
// that comes takes over names whose objects lie on the others; and if it brings
// objects, these may be older than those that the others have got meanwhile.
//
// While requests are served nobody can tell that the others hold nothing; see
// settleIfEmpty.
func (m *Manager) settle(before, next *volumeRecord, serving bool) error {
	next.weighComers()
	var stayed, came []*volumeEntry
	for i := range next.Mountpaths {
		e := &next.Mountpaths[i]
		if e.State == StateWaiting {
			stayed = append(stayed, e) // may hold objects of names that are placed elsewhere now
		}
		if !e.InUse {
			continue
		}
		if was := before.find(e.Path); was != nil && was.InUse {
			stayed = append(stayed, e)
		} else {
			came = append(came, e)
		}
	}
	next.Unarranged = next.Unarranged || before != nil && changesSet(before, next)
	switch {
	case len(stayed)+len(came) <= 1: // there is no other place
		next.Unsettled = false
		for i := range next.Mountpaths {
			next.Mountpaths[i].MayBeStale = false
		}
		return nil
	case len(stayed) == 0 || len(came) == 0:
		return nil
	}
	next.Unsettled = next.Unsettled || serving
	for _, e := range came {
		brings, err := holdsObjects(m.options.System, e.Path)
		if err != nil {
			return fmt.Errorf("look for objects on mountpath %s: %w", e.Path, err)
		}
		e.MayBeStale = brings
		next.Unsettled = next.Unsettled || brings
	}
	for _, e := range stayed {
		if next.Unsettled {
			break
		}
		holds, err := holdsObjects(m.options.System, e.Path)
		next.Unsettled = holds || err != nil // what cannot be read may hold something
	}
	return nil
}

// newDisk makes the mountpath of a candidate.
func (m *Manager) newDisk(c *candidate) *disk {
	return &disk{record: c.record, lock: c.lock, mp: &Mountpath{
		Path: c.path, Label: c.label, ID: c.record.MountpathID, Digest: c.record.PlacementDigest,
		manager: m, system: m.options.System, filesystem: c.filesystem, name: mountpathName(c.path, c.filesystem.Disks),
		limit: int64(m.options.Slots), flight: flight{freed: make(chan struct{}, 1)}, workRun: m.run, process: int64(os.Getpid()),
	}}
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
		c.record.Lost = m.lastLost() // there is nothing on it
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

// rank is 0 for a disk that the node knows, 1 for one that comes (back) in, 2
// for a new one.
func (c *candidate) rank(volume *volumeRecord) int {
	if c.record == nil {
		return 2
	}
	for _, e := range entriesOf(volume) {
		if e.MountpathID == c.record.MountpathID && e.State != StateDetached {
			return 0
		}
	}
	return 1
}
