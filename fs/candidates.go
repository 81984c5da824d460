package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
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
