package fs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"golang.org/x/sys/unix"
)

const (
	// drainTime is how long a change waits for the operations on a mountpath
	// that leaves. A disk that hangs must not hang the operator too.
	drainTime = 10 * time.Second
	drainStep = time.Millisecond
)

// BeginRemoval takes a mountpath out of placement: no new object comes to lie
// on it, and those that do are read until FinishRemoval. What is wanted is
// durable for this path alone when it returns nil, whatever other mountpaths
// leave or come: a restart finds it waiting as it was. Enable and Attach take
// it back. The later removal of one path counts. One whose directory is gone
// leaves at once.
//
// ErrAlready: it is disabled and is to be. 404: the node does not have it. 400:
// it is the last one in use.
func (m *Manager) BeginRemoval(path string, how Removal) error {
	return m.leave(path, departure{how: how, wait: true})
}

// FinishRemoval disables or detaches a waiting mountpath, as BeginRemoval said.
// 404: it does not wait.
func (m *Manager) FinishRemoval(path string) error {
	clean := filepath.Clean(path)
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	e := m.state.volume.find(clean)
	if e == nil || e.State != StateWaiting {
		return m.errUnknown(path)
	}
	return m.remove(*e, departure{how: e.Removal})
}

// Remove disables or detaches a mountpath at once. What lies on it cannot be
// read until it is back. force lets the last one in use go, after which the
// node serves no object, and is content with one copy of the volume record.
//
// Operations under way on the mountpath end before it returns, or after ten
// seconds by themselves if its disk hangs. Errors are those of BeginRemoval.
func (m *Manager) Remove(path string, how Removal, force bool) error {
	return m.leave(path, departure{how: how, force: force})
}

// isGone tells that there is no directory at the path of a mountpath any more.
func (m *Manager) isGone(path string) bool {
	_, err := m.options.System.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// departure is how a mountpath leaves.
type departure struct {
	how   Removal
	wait  bool   // it is read until its objects have moved
	force bool   // also the last one
	fault string // what the health check found, if that is why
}

func (m *Manager) leave(path string, by departure) error {
	clean := filepath.Clean(path)
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	found := m.state.volume.find(clean)
	if found == nil || found.State == StateDetached {
		return m.errUnknown(path)
	}
	e := *found
	switch {
	case e.State == StateDisabled && by.how == Disable:
		return ErrAlready
	case m.state.disks[clean] == nil: // disabled, or lost: nothing to wait for
		if err := m.remove(e, by); err != nil {
			return err
		}
		if by.how == Disable {
			return ErrAlready
		}
		return nil
	case e.InUse && !by.force && len(m.Available().Paths) == 1:
		return errInvalid("mountpath %q is the last one in use: the target would serve no object (force=true to do it all the same)", clean)
	case e.InUse && len(m.Available().Paths) == 1 && m.options.ConfDir == "":
		return errInvalid("mountpath %q is the last one in use, and there is no configuration folder for the volume record", clean)
	}
	if !by.wait || m.isGone(clean) { // nothing can be moved off it
		return m.remove(e, by)
	}
	e.State, e.Removal, e.InUse = StateWaiting, by.how, false
	if err := m.change(e, "", by.force); err != nil {
		return err
	}
	m.drain(m.state.disks[clean].mp)
	m.log.Info("mountpath gets no new objects", "mountpath", clean, "removal", string(by.how))
	return nil
}

// remove makes a mountpath disabled or detached and lets go of its disk.
func (m *Manager) remove(e volumeEntry, by departure) error {
	how := by.how
	if how == Detach {
		if err := m.exportWithout(e.Path); err != nil && !by.force {
			return apierr.Wrap(err, apierr.StatusInternalServerError, "", "the copies of the cluster's metadata cannot be put elsewhere")
		}
	}
	e.Removal, e.InUse, e.MayBeStale, e.Fault = "", false, false, by.fault
	e.State = StateDisabled
	if how == Detach {
		e.State = StateDetached
	}
	next := m.state.volume.next()
	if how == Detach && !m.isConfigured(e.Path) {
		next.drop(e.Path)
	} else {
		next.put(e)
	}
	if err := m.settle(m.state.volume, next, true); err != nil {
		return apierr.Wrap(err, apierr.StatusInternalServerError, "", "the change was not made")
	}
	if err := m.save(next, e.Path, by.force); err != nil {
		return err
	}
	delete(m.state.lost, e.Path)
	m.setFault(e.Path, by.fault)
	m.publish()
	m.RefreshCapacity()
	m.log.Info("mountpath is out of use", "mountpath", e.Path, "removal", string(how))
	m.retire(e.Path, how)
	m.refreshExports()
	return nil
}

// isConfigured tells whether the local configuration names a path: then it must
// be remembered that it was detached.
func (m *Manager) isConfigured(path string) bool {
	for configured := range m.options.Mountpaths {
		if filepath.Clean(configured) == path {
			return true
		}
	}
	return false
}

// retire lets go of the disk of a mountpath that has left, when its operations
// have ended; it waits for that, within bounds.
func (m *Manager) retire(path string, how Removal) {
	d := m.state.disks[path]
	if d == nil {
		return
	}
	delete(m.state.disks, path)
	shared := m.sharesFilesystem(d)
	done := make(chan struct{})
	m.state.retiring[path] = done
	m.ending.Go(func() {
		defer close(done)
		for !m.drain(d.mp) {
			if m.ctx.Err() != nil {
				break
			}
			m.log.Warn("operations on a mountpath that has left do not end", "mountpath", path, "count", d.mp.InFlight())
		}
		if retired := m.onRetire.Load(); retired != nil {
			(*retired)(d.mp)
		}
		if how == Detach {
			m.forgetDisk(path)
		}
		failed := []error{d.lock.Close()}
		if !shared {
			failed = append(failed, d.mp.filesystem.close())
		}
		if err := errors.Join(failed...); err != nil {
			m.log.Warn("mountpath is not let go cleanly", "mountpath", path, "err", err)
		}
	})
	select {
	case <-done:
		delete(m.state.retiring, path)
	case <-time.After(drainTime + time.Second):
	}
}

// OnRetire sets what is called when a mountpath has left and no operation on it
// is under way, before its disk is let go: to close what is kept open there.
func (m *Manager) OnRetire(fn func(*Mountpath)) { m.onRetire.Store(&fn) }

// waitRetired waits until the disk that was at a path before has been let go.
func (m *Manager) waitRetired(path string) error {
	done := m.state.retiring[path]
	if done == nil {
		return nil
	}
	select {
	case <-done:
		delete(m.state.retiring, path)
		return nil
	case <-time.After(drainTime):
		return apierr.Unavailable(drainTime, "mountpath %q: operations on the disk that was there have not ended", path)
	}
}

// drain waits until nobody holds a slot of a mountpath that is out of the set,
// or of its placement: who takes one later finds the other set. False: not
// within drainTime.
func (m *Manager) drain(mp *Mountpath) bool { return m.drainWithin(mp, drainTime) }

func (m *Manager) drainWithin(mp *Mountpath, limit time.Duration) bool {
	deadline, tick := time.NewTimer(limit), time.NewTicker(drainStep)
	defer deadline.Stop()
	defer tick.Stop()
	for mp.InFlight() > 0 {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-m.ctx.Done():
			return false
		}
	}
	return true
}

// forgetDisk removes what makes a directory a mountpath of this node, and what
// was kept there for it; its objects stay. The volume record does not name it
// any more, so a failure leaves nothing but files.
func (m *Manager) forgetDisk(path string) {
	for _, dir := range [...]string{IndexDir, JournalDir, SpareDir} {
		if err := removeTree(context.Background(), m.options.System, path+"/"+dir); err != nil {
			m.log.Warn("files of the node stay on a detached mountpath", "mountpath", path, "err", err)
		}
	}
	if err := removeOwn(m.options.System, path, ownFiles); err != nil {
		m.log.Warn("files of the node stay on a detached mountpath", "mountpath", path, "err", err)
	}
}

// ownFiles are the node's files in a mountpath's root, the id last: without it
// the others count for nothing.
var ownFiles = []string{exportBMD, exportBMD + previousSuffix, volumeName, volumeName + ".new", idRecordName + ".new", idRecordName}

// removeOwn removes files durably; those that are not there are no error.
func removeOwn(system System, dir string, names []string) error {
	var failed []error
	for _, name := range names {
		err := system.Unlink(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			failed = append(failed, err)
		}
	}
	err := syncDir(system, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// finishEmpty ends the wait of mountpaths that hold no object (any more), at a
// start: a removal that was cut short before its end.
func (m *Manager) finishEmpty() {
	for _, mp := range m.Available().Leaving {
		holds, err := mp.HoldsObjects()
		if err == nil && !holds {
			err = m.FinishRemoval(mp.Path)
		}
		if err != nil {
			m.log.Warn("mountpath keeps waiting to be removed", "mountpath", mp.Path, "err", err)
		}
	}
}

// HoldsObjects tells whether any bucket has an object, a version, a chunk or a
// manifest on the mountpath, whether or not the cluster knows the bucket.
func (mp *Mountpath) HoldsObjects() (bool, error) { return holdsObjects(mp.system, mp.Path) }

// holdingContents are the directories of a bucket that hold what must not be
// lost. Sidecars go with an object.
var holdingContents = [...]string{ContentObject, ContentEscaped, ContentChunk, ContentManifest, ContentVersion, ContentSlice}

var errFound = errors.New("found")

func holdsObjects(system System, path string) (bool, error) {
	dirs, err := bucketDirs(system, path)
	if err != nil {
		return false, fmt.Errorf("buckets of %s: %w", path, err)
	}
	for _, dir := range dirs {
		if holds, err := holdsIn(system, dir); holds || err != nil {
			return holds, err
		}
	}
	return false, nil
}

// holdsIn is holdsObjects of the directory of one bucket.
func holdsIn(system System, dir string) (bool, error) {
	for _, content := range holdingContents {
		err := findFile(system, dir+"/"+content)
		if errors.Is(err, errFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// findFile returns errFound if there is a file below a directory.
func findFile(system System, dir string) error {
	var below []string
	err := system.ReadDir(dir, func(name []byte, kind EntryKind) error {
		if kind == KindUnknown {
			info, err := system.Stat(dir + "/" + string(name))
			if err != nil {
				return ignoreMissing(err)
			}
			kind = info.Kind
		}
		if kind != KindDir {
			return errFound
		}
		below = append(below, string(name))
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	for _, name := range below {
		if err == nil {
			err = findFile(system, dir+"/"+name)
		}
	}
	return err
}
