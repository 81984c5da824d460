package fs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Rescan looks again which disks lie under a mountpath. Nil: they are the same
// as before. A 400 names those that were found and those that are lost; the
// next call compares with what this one saw. 400 too: the mountpath is not in
// use.
func (m *Manager) Rescan(path string) error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	mp := m.Available().ByPath(filepath.Clean(path))
	if mp == nil {
		return errInvalid("mountpath %q is not available", path)
	}
	fsys := mp.filesystem
	before := fsys.Disks
	if fsys.rescanned != nil {
		before = *fsys.rescanned
	}
	now := disksOf(m.options.Sysfs, fsys.dev)
	fsys.rescanned = &now
	var changes []string
	if found := without(now, before); len(found) > 0 {
		changes = append(changes, fmt.Sprintf("found new disks %v", found))
	}
	if lost := without(before, now); len(lost) > 0 {
		changes = append(changes, fmt.Sprintf("lost disks %v", lost))
	}
	if len(changes) == 0 {
		return nil
	}
	m.log.Warn("disks under a mountpath have changed", "mountpath", mp.Path, "before", before, "now", now)
	return errInvalid("mountpath %q: %s", mp.Path, strings.Join(changes, ", "))
}

// without is what of a list is not in another.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}
