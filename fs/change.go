package fs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// maxLabelLength bounds a label, in bytes, as in the local configuration.
const maxLabelLength = 64

// ErrAlready is the error of a change that finds what it asks for.
var ErrAlready = errors.New("nothing to change")

// errInvalid is the 400 of a mountpath with which something cannot be done.
func errInvalid(format string, args ...any) *apierr.Error {
	return apierr.New(apierr.StatusBadRequest, wire.CodeInvalidMountpath, format, args...)
}

// errUnknown is the 404 of a mountpath that the node does not have.
func (m *Manager) errUnknown(path string) *apierr.Error {
	return apierr.New(apierr.StatusNotFound, wire.CodeMountpathNotFound, "t[%s]: mountpath %q is not found", m.nodeID, path)
}

// invalid turns the error of a check into the 400 that an operator gets; a
// failed system call stays what it is.
func invalid(err error) error {
	var typed *apierr.Error
	var errno unix.Errno
	switch {
	case err == nil, errors.As(err, &typed):
		return err
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.ENOTSUP):
	case IsNoSpace(err):
		return apierr.Wrap(err, apierr.StatusInsufficientStorage, "", "the change was not made")
	case errors.As(err, &errno):
		return apierr.Wrap(err, apierr.StatusInternalServerError, "", "the change was not made")
	}
	e := errInvalid("%v", err)
	e.Cause = err
	return e
}

// Prepare makes a mountpath ready for use before names are placed on it; an
// error ends the change.
type Prepare func(*Mountpath) error

// Attach takes a directory into use that the node does not know: it gets an id
// if it has none, and names are placed on it when Attach returns. What is
// found on it is used. A path whose disk was lost may get another one this way,
// and one that is being disabled or detached stays.
//
// It is durable when it returns nil. After any error nothing has changed. 404:
// no such directory. 400: not a path for a mountpath, attached already,
// disabled, nested, a shared filesystem without labels, a disk of another node
// or cluster. 500, 507: the disk, or the volume record, cannot be written.
func (m *Manager) Attach(path, label string, prepare Prepare) error {
	clean, err := cleanPath(path)
	if err != nil {
		return invalid(err)
	}
	if len(label) > maxLabelLength || strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return errInvalid("label %.80q of mountpath %q: at most %d characters without blanks", label, clean, maxLabelLength)
	}
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	e := m.state.volume.find(clean)
	switch {
	case e == nil, e.State == StateDetached:
	case e.State == StateDisabled:
		return errInvalid("mountpath %q is disabled: enable it, or detach it first", clean)
	case e.State == StateWaiting && m.state.disks[clean] != nil:
		return m.stay(*e, prepare)
	case e.InUse:
		return errInvalid("mountpath %q is attached already", clean)
	default: // lost
		if label == "" {
			label = e.Label
		}
	}
	for _, other := range m.state.volume.Mountpaths {
		if other.State == StateDetached {
			continue
		}
		if err := nested(clean, other.Path); err != nil {
			return invalid(err)
		}
	}
	return m.take(&candidate{path: clean, label: label, entry: e, attached: e == nil || e.Attached || e.State == StateDetached}, prepare)
}

// Enable takes a disabled mountpath into use again, or another disk at its
// path, and ends the wait of one that is being disabled or detached.
//
// ErrAlready: it is in use. 404: the node has no such mountpath, or there is no
// directory. Other errors are those of Attach.
func (m *Manager) Enable(path string, prepare Prepare) error {
	clean := filepath.Clean(path)
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	e := m.state.volume.find(clean)
	switch {
	case e == nil && m.state.lost[clean] != nil: // configured, and never used so far
		return m.take(&candidate{path: clean, label: m.options.Mountpaths[path]}, prepare)
	case e == nil, e.State == StateDetached:
		return m.errUnknown(path)
	case e.InUse:
		return ErrAlready
	case e.State == StateWaiting && m.state.disks[clean] != nil:
		return m.stay(*e, prepare)
	}
	return m.take(&candidate{path: clean, label: e.Label, entry: e, attached: e.Attached}, prepare)
}

// stay ends the wait of a mountpath that was to leave. What was written since
// went elsewhere.
func (m *Manager) stay(e volumeEntry, prepare Prepare) error {
	if err := prepareWith(prepare, m.state.disks[e.Path].mp); err != nil {
		return err
	}
	e.State, e.Removal, e.InUse = StateAvailable, "", true
	return m.change(e, "", false)
}

func prepareWith(prepare Prepare, mp *Mountpath) error {
	if prepare == nil {
		return nil
	}
	return prepare(mp)
}

// change replaces one entry of the volume record, durably, and publishes.
func (m *Manager) change(e volumeEntry, without string, force bool) error {
	next := m.state.volume.next()
	next.put(e)
	settled := !m.state.volume.Unsettled
	if err := m.settle(m.state.volume, next, true); err != nil {
		return apierr.Wrap(err, apierr.StatusInternalServerError, "", "the change was not made")
	}
	if err := m.save(next, without, force); err != nil {
		return err
	}
	m.publish()
	m.RefreshCapacity()
	if settled && next.Unsettled {
		m.settleIfEmpty()
	}
	return nil
}

// settleIfEmpty looks whether objects can lie on another mountpath than that
// of their name at all, after one was added. Writes that were decided on before
// have to end first. A failure costs a look at each mountpath for a name that
// is not found, nothing else.
func (m *Manager) settleIfEmpty() {
	for _, mp := range m.Available().All() {
		if !m.drainWithin(mp, time.Second) {
			return
		}
		if holds, err := mp.HoldsObjects(); holds || err != nil {
			return
		}
	}
	next := m.state.volume.next()
	next.Unsettled, next.Unarranged = false, false
	if err := m.save(next, "", false); err != nil {
		m.log.Warn("mountpaths stay marked as unsettled", "err", err)
	}
	m.publish()
}

// take makes a mountpath of a directory, in the steps of a start.
func (m *Manager) take(c *candidate, prepare Prepare) (err error) {
	if err := m.waitRetired(c.path); err != nil {
		return err
	}
	entry := c.entry
	c.entry = nil // a disk that cannot be used is an error here, and never an alert
	c.isNew = true
	if err := m.inspect(c); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			delete(m.state.disks, c.path)
			m.abandon(c)
		}
	}()
	if err := m.lockCandidate(c); err != nil {
		return invalid(err)
	}
	if err := m.probe(c); err != nil {
		return invalid(err)
	}
	if err := m.attachOne(c, m.others(), readMounts()); err != nil {
		return invalid(err)
	}
	fresh := c.record == nil
	if err := m.identifyDisk(c, m.digests(c.path)); err != nil {
		return invalid(err)
	}
	defer func() {
		if err != nil && fresh {
			m.takeBackID(c.path)
		}
	}()
	if m.refresh(c.record) {
		if err := m.writeRecord(c); err != nil {
			return invalid(err)
		}
	}
	if err := m.catchUp(c); err != nil {
		return invalid(err)
	}
	d := m.newDisk(c)
	if err := prepareWith(prepare, d.mp); err != nil {
		return err
	}
	lost, wasLost := m.state.lost[c.path]
	delete(m.state.lost, c.path)
	m.state.disks[c.path] = d
	m.setFault(c.path, "")
	m.forgetChecks(c.path)
	e := c.entryNow()
	if entry != nil {
		e.Capacity = entry.Capacity
	}
	if entry != nil && entry.MountpathID != e.MountpathID && entry.State != StateDetached {
		m.log.Warn("another disk takes the place of one that the node knew", "mountpath", c.path, "was", entry.MountpathID, "is", e.MountpathID)
	}
	if err := m.change(e, "", false); err != nil {
		if wasLost {
			m.state.lost[c.path] = lost
		}
		return err
	}
	d.mp.FillSpares()
	m.log.Info("mountpath is in use", "mountpath", c.path, "id", e.MountpathID, "label", c.label)
	m.refreshExports()
	m.kickTrash()
	return nil
}

// inspect looks at the directory and at whose disk it is.
func (m *Manager) inspect(c *candidate) error {
	m.look(c)
	switch {
	case c.disabled != nil:
		return invalid(c.disabled)
	case c.info.Kind == KindUnknown:
		return apierr.New(apierr.StatusNotFound, wire.CodeMountpathNotFound, "t[%s]: mountpath %q does not exist", m.nodeID, c.path)
	case c.info.Kind != KindDir:
		return errInvalid("mountpath %q is not a directory", c.path)
	case c.record == nil:
		return nil
	case c.record.NodeID != m.nodeID:
		return errInvalid("mountpath %q belongs to node %q, this node is %q: detach it there first, or remove %s",
			c.path, c.record.NodeID, m.nodeID, filepath.Join(c.path, idRecordName))
	}
	if id := m.identity.Load(); id.uuid != "" && c.record.ClusterUUID != "" && c.record.ClusterUUID != id.uuid {
		return errInvalid("mountpath %q belongs to cluster %q, this node to cluster %q: remove %s if its objects are not wanted",
			c.path, c.record.ClusterUUID, id.uuid, filepath.Join(c.path, idRecordName))
	}
	for path, d := range m.state.disks {
		if d.record.MountpathID == c.record.MountpathID {
			return errInvalid("mountpaths %q and %q hold the same mountpath id %s", path, c.path, c.record.MountpathID)
		}
	}
	return nil
}

// others are the mountpaths that this process has, as candidates to compare
// with.
func (m *Manager) others() []*candidate {
	var list []*candidate
	for path, d := range m.state.disks {
		list = append(list, &candidate{path: path, label: d.mp.Label, filesystem: d.mp.filesystem})
	}
	sortCandidates(list)
	return list
}

// digests are the placement digests that a mountpath must not get.
func (m *Manager) digests(but string) map[uint64]struct{} {
	taken := make(map[uint64]struct{})
	for _, e := range m.state.volume.Mountpaths {
		if e.Path != but && e.State != StateDetached {
			taken[e.PlacementDigest] = struct{}{}
		}
	}
	return taken
}

// takeBackID removes an id that a change gave and that is in no volume record:
// the directory is as it was found.
func (m *Manager) takeBackID(path string) {
	if err := m.options.System.Unlink(filepath.Join(path, idRecordName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("id record stays on a directory that is not in use", "mountpath", path, "err", err)
	}
}

// Settle tells that every object lies on the mountpath of its name again, and its
// copies on theirs: set is what was in use when the moving began. It does nothing if the set has
// changed since. It is durable when it returns nil.
func (m *Manager) Settle(set *Set) error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	if m.Available() != set || !set.Unsettled && !set.Unarranged {
		return nil
	}
	next := m.state.volume.next()
	next.Unsettled, next.Unarranged = false, false
	for i := range next.Mountpaths {
		next.Mountpaths[i].MayBeStale = false
	}
	if err := m.save(next, "", false); err != nil {
		return err
	}
	m.publish()
	return nil
}
