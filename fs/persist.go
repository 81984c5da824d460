package fs

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// copyOf is a place of the volume record.
type copyOf struct {
	dir string
	// optional: the change does not fail when this copy cannot be written.
	optional bool
}

// copies are the places of the volume record, the configuration folder first.
// A mountpath that the health check found faulty must not keep the operator
// from taking another one out, or it.
func (m *Manager) copies(without string) []copyOf {
	var list []copyOf
	if m.options.ConfDir != "" {
		list = append(list, copyOf{dir: m.options.ConfDir})
	}
	for _, path := range slices.Sorted(maps.Keys(m.state.disks)) {
		if path != without {
			list = append(list, copyOf{dir: path, optional: m.fault(path) != ""})
		}
	}
	return list
}

// writeEverywhere writes a record to all its places and returns what failed.
func (m *Manager) writeEverywhere(r *volumeRecord) error {
	_, failed := m.writeCopies(m.copies(""), r)
	return errors.Join(slices.Collect(maps.Values(failed))...)
}

func (m *Manager) writeCopies(copies []copyOf, r *volumeRecord) (written []copyOf, failed map[string]error) {
	failed = make(map[string]error)
	for _, c := range copies {
		if err := writeVolume(m.options.System, c.dir, r); err != nil {
			failed[c.dir] = fmt.Errorf("volume record %s cannot be written: %w", filepath.Join(c.dir, volumeName), err)
			continue
		}
		written = append(written, c)
		if c.dir == m.options.ConfDir {
			// What an earlier release left there is superseded; if it cannot
			// be removed it is only not looked at.
			_ = m.options.System.Unlink(filepath.Join(c.dir, formerKnownName))
		}
	}
	return written, failed
}

// save makes a record durable, and the state of the manager. If it cannot be
// written where it must be, the record before it is written again under a
// greater version, and nothing has changed. without is a path that gets no
// copy; force is content with one copy, wherever.
func (m *Manager) save(next *volumeRecord, without string, force bool) error {
	if m.state.volume.forgets(next) {
		next.Left = m.options.Clock().UnixNano()
	}
	copies := m.copies(without)
	written, failed := m.writeCopies(copies, next)
	if len(written) > 0 && (force || m.enough(copies, failed)) {
		for dir, err := range failed {
			m.log.Warn("volume record is not on all disks", "dir", dir, "err", err)
		}
		m.state.volume, m.state.unsaved = next, len(failed) > 0
		return nil
	}
	if len(copies) == 0 {
		return apierr.New(apierr.StatusInternalServerError, "", "there is no place for the volume record: neither a mountpath nor a configuration folder")
	}
	back := *m.state.volume
	back.Version = next.Version + 1
	_, left := m.writeCopies(copies, &back)
	m.state.volume, m.state.unsaved = &back, len(left) > 0
	err := errors.Join(slices.Collect(maps.Values(failed))...)
	status := apierr.StatusInternalServerError
	if IsNoSpace(err) {
		status = apierr.StatusInsufficientStorage
	}
	var half []string
	for _, c := range written {
		if left[c.dir] != nil {
			half = append(half, c.dir)
		}
	}
	if len(half) > 0 && len(left) == len(copies) {
		return apierr.Wrap(err, status, "",
			"the change was not made, and could not be undone on %s, so that it may be made by the next start", strings.Join(half, ", "))
	}
	return apierr.Wrap(err, status, "", "the change was not made")
}

// enough tells whether a record was written where it must be. A full disk is
// no reason to refuse, or none could be added to it; the copy in the
// configuration folder stands in.
func (m *Manager) enough(copies []copyOf, failed map[string]error) bool {
	required := 0
	for _, c := range copies {
		err := failed[c.dir]
		switch {
		case err == nil:
			required++
		case c.optional:
		case c.dir != m.options.ConfDir && m.options.ConfDir != "" && IsNoSpace(err):
		default:
			return false
		}
	}
	return required > 0
}
