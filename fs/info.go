package fs

import (
	"cmp"
	"slices"
	"strings"
)

// MountpathInfo is one mountpath that the node knows, in whatever state.
type MountpathInfo struct {
	Path    string
	Label   string
	State   State
	Removal Removal // of a waiting one
	// Lost is why an available mountpath is not in use (its disk is missing,
	// cannot be written, ...), nil otherwise.
	Lost error
	// Fault is what the last health check found, "" if nothing. It stays with
	// a mountpath that was disabled for it, until that is enabled or detached.
	Fault string
}

// InUse tells that names are placed on the mountpath.
func (i *MountpathInfo) InUse() bool { return i.State == StateAvailable && i.Lost == nil }

// Lists are the paths of mountpaths by state, each sorted and never nil.
type Lists struct {
	Available []string `json:"available"`
	WaitingDD []string `json:"waiting_dd"` // being disabled or detached
	Disabled  []string `json:"disabled"`   // by an operator, or because they are lost
}

// Lists returns the paths by state. It does not block.
func (m *Manager) Lists() Lists {
	lists := Lists{Available: []string{}, WaitingDD: []string{}, Disabled: []string{}}
	for _, info := range m.Mountpaths() {
		switch {
		case info.State == StateWaiting && info.Lost == nil:
			lists.WaitingDD = append(lists.WaitingDD, info.Path)
		case info.InUse():
			lists.Available = append(lists.Available, info.Path)
		default:
			lists.Disabled = append(lists.Disabled, info.Path)
		}
	}
	return lists
}

// Mountpaths returns all that the node knows, by path. It does not block. The
// result must not be changed.
func (m *Manager) Mountpaths() []MountpathInfo { return *m.infos.Load() }

// LastLeft is when a mountpath last left that the node does not know any more:
// it was detached, replaced, or is not configured; in nanoseconds since 1970.
func (m *Manager) LastLeft() int64 { return m.left.Load() }

// publish makes the set and the list of the state. It is called under
// changing.
func (m *Manager) publish() {
	volume := m.state.volume
	set := &Set{Unsettled: volume.Unsettled, Unarranged: volume.Unarranged}
	m.left.Store(volume.Left)
	infos := make([]MountpathInfo, 0, len(volume.Mountpaths))
	m.mu.Lock()
	for i := range volume.Mountpaths {
		e := &volume.Mountpaths[i]
		if e.State == StateDetached {
			continue
		}
		info := MountpathInfo{Path: e.Path, Label: e.Label, State: e.State, Removal: e.Removal, Lost: m.state.lost[e.Path], Fault: cmp.Or(m.faults[e.Path], e.Fault)}
		infos = append(infos, info)
		d := m.state.disks[e.Path]
		if d == nil {
			continue
		}
		switch {
		case e.State == StateWaiting:
			set.Leaving = append(set.Leaving, d.mp)
			set.Unsettled, set.Unarranged = true, true
		case e.InUse:
			set.Paths = append(set.Paths, d.mp)
			if volume.weighed() {
				set.capacities = append(set.capacities, max(1, e.Capacity))
			}
			if e.MayBeStale {
				set.stale = append(set.stale, d.mp)
			}
		}
	}
	set.capacities = thatDiffer(set.capacities)
	for path, reason := range m.state.lost {
		if volume.find(path) == nil { // configured, and never used so far
			infos = append(infos, MountpathInfo{Path: path, State: StateAvailable, Lost: reason})
		}
	}
	slices.SortFunc(infos, func(a, b MountpathInfo) int { return strings.Compare(a.Path, b.Path) })
	m.infos.Store(&infos)
	m.mu.Unlock()
	if now := m.available.Load(); now == nil || !now.equal(set) {
		m.available.Store(set)
	}
}

func (s *Set) equal(o *Set) bool {
	return s.Unsettled == o.Unsettled && s.Unarranged == o.Unarranged && slices.Equal(s.Paths, o.Paths) && slices.Equal(s.Leaving, o.Leaving) && slices.Equal(s.stale, o.stale) && slices.Equal(s.capacities, o.capacities)
}

// setFault notes the finding of a health check, "" for none.
func (m *Manager) setFault(path, finding string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if finding == "" {
		delete(m.faults, path)
	} else {
		m.faults[path] = finding
	}
	infos := slices.Clone(*m.infos.Load())
	for i := range infos {
		if infos[i].Path == path {
			infos[i].Fault = finding
		}
	}
	m.infos.Store(&infos)
}

// fault is the finding of the last health check of a path.
func (m *Manager) fault(path string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults[path]
}
