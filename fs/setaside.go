package fs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A target that was declared lost comes back without what it had: every directory
// of buckets on every mountpath is renamed into one folder of the quarantine, where
// it stays until an operator removes it. That it was done is written in the id
// record of each mountpath; docs/on_disk_layout.md, section 10.1, has the steps.

const (
	// asidePrefix begins the name of such a folder; the version of the placement
	// that declared the target lost follows.
	asidePrefix = "lost."
	// asideNote is the file in it that says what it is.
	asideNote = "why.json"
	maxAside  = 64 << 10 // bytes of that file
)

// Aside is what was on a mountpath when its target was declared lost.
type Aside struct {
	Dir       string `json:"dir"`
	Mountpath string `json:"mountpath"`
	Placement int64  `json:"placement,string"` // version of the placement that declared it
	Time      string `json:"time"`             // RFC 3339, when it was moved there
	// Files and Bytes are counted in the background, once.
	Counted bool  `json:"counted"`
	Files   int64 `json:"files,string"`
	Bytes   int64 `json:"bytes,string"`
}

// IsAside tells the name of a folder of the quarantine that holds a whole
// mountpath, and no single object.
func IsAside(name string) bool { return strings.HasPrefix(name, asidePrefix) }

// SetAsideDue tells whether any mountpath in use has content of before a
// version of the placement, which declared the target lost.
func (m *Manager) SetAsideDue(placement int64) bool {
	if placement == 0 || m.begin() != nil {
		return false
	}
	defer m.changing.Unlock()
	for _, d := range m.state.disks {
		if d.record.Lost < placement {
			return true
		}
	}
	return false
}

// SetAside moves all directories of buckets, on all mountpaths in use that have
// not done so for this version of the placement or a later one, into the
// quarantine, by renames. Nothing may use them meanwhile. renamed is called when they
// are there, before that is noted; after an error, or a crash, the whole is to be
// called again, and nothing is lost: what has come meanwhile goes to another name.
// It returns the folders. It is durable when it returns nil.
func (m *Manager) SetAside(placement int64, renamed func() error) (dirs []string, err error) {
	if err := m.begin(); err != nil {
		return nil, err
	}
	defer m.changing.Unlock()
	var due []*disk
	for _, path := range slices.Sorted(maps.Keys(m.state.disks)) {
		if d := m.state.disks[path]; d.record.Lost < placement {
			due = append(due, d)
		}
	}
	for _, d := range due {
		dir, err := m.setAsideAt(d.mp.Path, placement)
		if err != nil {
			return nil, d.mp.IOError("move what was declared lost into quarantine", err)
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	if err := renamed(); err != nil {
		return nil, err
	}
	for _, d := range due {
		record := *d.record
		record.Lost = placement
		if err := writeIDRecord(m.options.System, filepath.Join(d.mp.Path, idRecordName), &record); err != nil {
			return nil, d.mp.IOError("note that what was declared lost is in quarantine", err)
		}
		d.record = &record
	}
	return dirs, nil
}

// setAsideAt moves the directories of buckets of one mountpath; "": there are none.
func (m *Manager) setAsideAt(path string, placement int64) (dir string, err error) {
	system := m.options.System
	entries, err := readSome(system, path, 100_000)
	if err != nil {
		return "", err
	}
	entries = slices.DeleteFunc(entries, func(e dirEntry) bool { return !strings.HasPrefix(e.name, "@") })
	if len(entries) == 0 {
		return "", nil
	}
	dir = filepath.Join(path, QuarantineDir, asidePrefix+strconv.FormatInt(placement, 10))
	if err := makeParents(system, dir); err != nil {
		return "", err
	}
	if err := m.noteAside(&Aside{Dir: dir, Mountpath: path, Placement: placement, Time: m.options.Clock().UTC().Format(time.RFC3339)}); err != nil {
		return "", err
	}
	// The folder's own name first: what is renamed into a folder that a loss of power
	// takes away would go with it.
	for _, parent := range [...]string{filepath.Dir(dir), path} {
		if err := syncDir(system, parent); err != nil {
			return "", err
		}
	}
	for _, e := range entries {
		target := dir + "/" + e.name
		for n := 2; ; n++ {
			if _, err := system.Stat(target); errors.Is(err, fs.ErrNotExist) {
				break
			} else if err != nil {
				return "", err
			}
			target = dir + "/" + e.name + "." + strconv.Itoa(n)
		}
		if err := system.Rename(path+"/"+e.name, target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	for _, changed := range [...]string{dir, filepath.Dir(dir), path} {
		if err := syncDir(system, changed); err != nil {
			return "", err
		}
	}
	m.log.Warn("what this mountpath held when the target was declared lost is in quarantine, until an operator removes it", "mountpath", path, "dir", dir)
	return dir, nil
}

// noteAside writes what a folder is.
func (m *Manager) noteAside(a *Aside) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writeSmallFile(m.options.System, filepath.Join(a.Dir, asideNote), append(text, '\n'))
}

// lastLost is the greatest version of the placement up to which a mountpath in
// use has done that.
func (m *Manager) lastLost() (placement int64) {
	for _, d := range m.state.disks {
		placement = max(placement, d.record.Lost)
	}
	return placement
}

// catchUp is SetAside for a mountpath that comes into use again, when the others
// have done it.
func (m *Manager) catchUp(c *candidate) error {
	placement := m.lastLost()
	if c.record.Lost >= placement {
		return nil
	}
	if _, err := m.setAsideAt(c.path, placement); err != nil {
		return fmt.Errorf("what mountpath %s held when the target was declared lost cannot be moved into quarantine: %w", c.path, err)
	}
	c.record.Lost = placement
	return writeIDRecord(m.options.System, filepath.Join(c.path, idRecordName), c.record)
}

// Asides are the folders with what was on mountpaths in use when the target was
// declared lost, by mountpath and version.
func (m *Manager) Asides() (all []Aside, err error) {
	var failed []error
	for _, mp := range m.Available().All() {
		here, err := m.asidesOf(mp.Path)
		if err != nil {
			failed = append(failed, mp.IOError("read the quarantine", err))
		}
		all = append(all, here...)
	}
	slices.SortFunc(all, func(a, b Aside) int {
		return cmp.Or(cmp.Compare(a.Mountpath, b.Mountpath), cmp.Compare(a.Placement, b.Placement))
	})
	return all, errors.Join(failed...)
}

func (m *Manager) asidesOf(path string) (all []Aside, err error) {
	entries, err := readSome(m.options.System, filepath.Join(path, QuarantineDir), 100_000)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if !IsAside(e.name) {
			continue
		}
		var a Aside
		dir := filepath.Join(path, QuarantineDir, e.name)
		if text, err := readSmallFile(m.options.System, filepath.Join(dir, asideNote), maxAside); err == nil {
			_ = json.Unmarshal(text, &a) // one that cannot be read says no more than its name
		}
		a.Dir, a.Mountpath = dir, path
		a.Placement, _ = strconv.ParseInt(strings.TrimPrefix(e.name, asidePrefix), 10, 64)
		all = append(all, a)
	}
	return all, err
}

// CountAsides counts files and bytes of what was set aside and not counted yet, and
// notes them. It reads all directories; the context ends it.
func (m *Manager) CountAsides(ctx context.Context) error {
	all, err := m.Asides()
	failed := []error{err}
	for i := range all {
		a := &all[i]
		if a.Counted {
			continue
		}
		if err := m.countBelow(ctx, a.Dir, a); err != nil {
			failed = append(failed, err)
			continue
		}
		a.Files-- // the note itself
		a.Counted = true
		if err := m.noteAside(a); err != nil {
			failed = append(failed, err)
			continue
		}
		m.log.Warn("in quarantine since the target was declared lost", "dir", a.Dir, "files", a.Files, "bytes", a.Bytes)
	}
	return errors.Join(failed...)
}

func (m *Manager) countBelow(ctx context.Context, dir string, a *Aside) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var below []string
	err := m.options.System.ReadDir(dir, func(name []byte, kind EntryKind) error {
		path := dir + "/" + string(name)
		if kind == KindDir {
			below = append(below, path)
			return nil
		}
		info, err := m.options.System.Stat(path)
		switch {
		case err != nil:
			return ignoreMissing(err)
		case info.Kind == KindDir:
			below = append(below, path)
			return nil
		}
		a.Files++
		if path != a.Dir+"/"+asideNote {
			a.Bytes += info.Size
		}
		return nil
	})
	for _, path := range below {
		if err == nil {
			err = m.countBelow(ctx, path, a)
		}
	}
	return ignoreMissing(err)
}
