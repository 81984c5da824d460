package fs

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	exportBMD      = ".ais.bmd"
	previousSuffix = ".prev"
	// exportCopies is on how many mountpaths a copy of the metadata lies.
	exportCopies = 2
	maxExport    = 64 << 20 // bytes
)

// exporter keeps copies of the cluster's bucket metadata on the mountpaths, for
// people and tools: the node reads its own state file. They are written in the
// background, the newest only.
type exporter struct {
	mu     sync.Mutex
	bmd    []byte
	asked  bool // a writer is under way or about to begin
	dirty  bool // there is something that it has not seen
	closed bool
	writer sync.Mutex // one writer at a time
}

// ExportBMD has the bucket metadata written to .ais.bmd of two mountpaths, and
// what was there to .ais.bmd.prev. It does not wait for the disks. The data is
// not changed afterwards by the caller.
func (m *Manager) ExportBMD(data []byte) {
	m.exports.mu.Lock()
	m.exports.bmd = data
	m.exports.mu.Unlock()
	m.refreshExports()
}

// refreshExports has the copies written where they are missing.
func (m *Manager) refreshExports() {
	e := &m.exports
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dirty = true; e.asked || e.bmd == nil || e.closed {
		return
	}
	e.asked = true
	m.ending.Go(func() {
		for e.more() && m.ctx.Err() == nil {
			if err := m.exportWithout(""); err != nil {
				m.log.Warn("copies of the bucket metadata are not on the mountpaths", "err", err)
			}
		}
	})
}

// close ends the exports: no writer begins from now on.
func (e *exporter) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
}

// more tells a writer whether there is something new, and ends its turn if not.
func (e *exporter) more() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	again := e.dirty
	e.dirty, e.asked = false, again
	return again
}

// exportWithout writes the copies to the first mountpaths in use that take
// them, but for one that is about to leave. It returns an error if none did.
func (m *Manager) exportWithout(path string) error {
	m.exports.writer.Lock()
	defer m.exports.writer.Unlock()
	m.exports.mu.Lock()
	data := m.exports.bmd
	m.exports.mu.Unlock()
	if data == nil {
		return nil
	}
	var failed []error
	written, candidates := 0, 0
	for _, mp := range m.Available().Paths {
		if mp.Path == path {
			continue
		}
		candidates++
		if written == exportCopies {
			// One that is not needed any more must not be found with old content.
			if err := removeOwnIfThere(m.options.System, mp.Path, exportBMD, exportBMD+previousSuffix); err != nil {
				failed = append(failed, err)
			}
			continue
		}
		if err := m.exportTo(mp.Path, data); err != nil {
			failed = append(failed, err)
			continue
		}
		written++
	}
	if written == 0 && candidates > 0 {
		return errors.Join(failed...)
	}
	for _, err := range failed {
		m.log.Warn("copy of the bucket metadata", "err", err)
	}
	return nil
}

// exportTo writes a copy, keeping the one before.
func (m *Manager) exportTo(dir string, data []byte) error {
	path := filepath.Join(dir, exportBMD)
	before, err := readSmallFile(m.options.System, path, maxExport)
	if err == nil {
		if bytes.Equal(before, data) {
			return nil
		}
		if err := writeSmallFile(m.options.System, path+previousSuffix, before); err != nil {
			return err
		}
	}
	return writeSmallFile(m.options.System, path, data)
}

// removeOwnIfThere is removeOwn without a flush when there is nothing.
func removeOwnIfThere(system System, dir string, names ...string) error {
	there := slices.DeleteFunc(names, func(name string) bool {
		_, err := system.Stat(filepath.Join(dir, name))
		return err != nil
	})
	if len(there) == 0 {
		return nil
	}
	return removeOwn(system, dir, there)
}

// isOwnName tells the node's own files and folders in a mountpath's root.
func isOwnName(name string) bool { return strings.HasPrefix(name, ".ais.") || name == TrashDir }
