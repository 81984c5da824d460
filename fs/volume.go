package fs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	volumeFormat = 1
	volumeName   = ".ais.vmd"
	// formerKnownName is where earlier releases kept what is in the volume
	// record now, in the configuration folder.
	formerKnownName = ".ais.mountpaths"
)

// volumeRecord is the file .ais.vmd: which mountpaths the node has and what
// the operator wants of each. It lies on every mountpath that is in use and in
// the configuration folder; the greatest version counts. A record is never
// changed, only followed by another.
type volumeRecord struct {
	Format      int    `json:"format"`
	NodeID      string `json:"node_id"`
	ClusterUUID string `json:"cluster_uuid"`
	Lineage     string `json:"lineage"`
	Version     uint64 `json:"version,string"`

	// Unsettled: the set of mountpaths in use grew while they held objects,
	// so that an object may lie on another one than that of its name.
	Unsettled bool `json:"unsettled"`
	// Unarranged: the set has changed since everything was last seen to lie where it
	// belongs, with its copies.
	Unarranged bool          `json:"unarranged,omitempty"`
	Mountpaths []volumeEntry `json:"mountpaths"` // sorted by path

	// Left is when a mountpath last left that is not known any more, in
	// nanoseconds since 1970: what was there then may belong to what lies on it.
	Left     int64  `json:"left,string,omitempty"`
	Checksum string `json:"checksum"`
}

// volumeEntry is one mountpath of the node.
type volumeEntry struct {
	Path            string `json:"path"`
	Label           string `json:"label"`
	MountpathID     string `json:"mountpath_id"`
	PlacementDigest uint64 `json:"placement_digest,string"`

	State State `json:"state"`
	// Removal is what a mountpath waits for, State being StateWaiting.
	Removal Removal `json:"removal,omitempty"`
	// Attached: it came at run time; the local configuration need not name it.
	Attached bool `json:"attached,omitempty"`
	// InUse: names are placed on it. An available one that is not in use was
	// missing at the last start.
	InUse bool `json:"in_use"`
	// MayBeStale: it came (back) with objects while others were in use, so
	// that what lies on it may be older than what lies on those.
	MayBeStale bool `json:"may_be_stale,omitempty"`
	// Capacity is how many names are placed on it, in proportion to the others, in any
	// unit; 0: mountpaths are not weighed.
	Capacity uint64 `json:"capacity,string,omitempty"`
	// Fault is what the health check found that has disabled it.
	Fault string `json:"fault,omitempty"`
}

// State is what the operator wants of a mountpath.
type State string

// States of a mountpath in the volume record.
const (
	StateAvailable State = "available"
	StateWaiting   State = "waiting"  // out of placement, still read, until its objects have moved
	StateDisabled  State = "disabled" // not touched until it is enabled
	StateDetached  State = "detached" // forgotten, although the local configuration names it
)

// Removal is how a mountpath leaves.
type Removal string

// Removals.
const (
	Disable Removal = "disable" // it stays known, and may be enabled
	Detach  Removal = "detach"  // it is forgotten, and may be attached
)

func (r *volumeRecord) find(path string) *volumeEntry {
	if r == nil {
		return nil
	}
	for i := range r.Mountpaths {
		if r.Mountpaths[i].Path == path {
			return &r.Mountpaths[i]
		}
	}
	return nil
}

// next is a copy to be changed, one version on.
func (r *volumeRecord) next() *volumeRecord {
	n := *r
	n.Mountpaths = slices.Clone(r.Mountpaths)
	n.Version++
	return &n
}

// put adds or replaces an entry.
func (r *volumeRecord) put(e volumeEntry) {
	r.drop(e.Path)
	r.Mountpaths = append(r.Mountpaths, e)
	slices.SortFunc(r.Mountpaths, func(a, b volumeEntry) int { return cmp.Compare(a.Path, b.Path) })
}

// forgets tells that a mountpath which r knows, with what lies on it, is unknown
// to a later record.
func (r *volumeRecord) forgets(later *volumeRecord) bool {
	if r == nil {
		return true
	}
	for i := range r.Mountpaths {
		e := &r.Mountpaths[i]
		if e.State == StateDetached {
			continue
		}
		if now := later.find(e.Path); now == nil || now.State == StateDetached || now.MountpathID != e.MountpathID {
			return true
		}
	}
	return false
}

func (r *volumeRecord) drop(path string) {
	r.Mountpaths = slices.DeleteFunc(r.Mountpaths, func(e volumeEntry) bool { return e.Path == path })
}

// sameAs compares everything but version and checksum.
func (r *volumeRecord) sameAs(o *volumeRecord) bool {
	return r.NodeID == o.NodeID && r.ClusterUUID == o.ClusterUUID && r.Lineage == o.Lineage && r.Unsettled == o.Unsettled && r.Unarranged == o.Unarranged && r.Left == o.Left &&
		slices.Equal(r.Mountpaths, o.Mountpaths)
}

// newerThan orders records of one node. Two of one version can only be those
// of disks that were apart, and of a configuration folder that was lost; the
// checksum makes every start choose the same.
func (r *volumeRecord) newerThan(o *volumeRecord) bool {
	return o == nil || r.Version > o.Version || r.Version == o.Version && r.Checksum > o.Checksum
}

func (r *volumeRecord) sum() (string, error) {
	unsigned := *r
	unsigned.Checksum = ""
	data, err := json.Marshal(&unsigned)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%016x", xxhash.Sum64(data)), nil
}

// seal sets format and checksum.
func (r *volumeRecord) seal() (err error) {
	r.Format = volumeFormat
	if r.Mountpaths == nil {
		r.Mountpaths = []volumeEntry{}
	}
	r.Checksum, err = r.sum()
	return err
}

func (r *volumeRecord) encode() ([]byte, error) {
	if err := r.seal(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	return append(data, '\n'), err
}

// errDamagedVolume is in the chain of the error of a volume record that is not
// whole.
var errDamagedVolume = errors.New("volume record is damaged")

func decodeVolume(data []byte) (*volumeRecord, error) {
	var r volumeRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamagedVolume, err)
	}
	if r.Format != volumeFormat {
		return nil, fmt.Errorf("%w: unknown format %d", errDamagedVolume, r.Format)
	}
	want, err := r.sum()
	if err != nil {
		return nil, err
	}
	if r.Checksum != want {
		return nil, fmt.Errorf("%w: wrong checksum", errDamagedVolume)
	}
	for _, e := range r.Mountpaths {
		switch e.State {
		case StateAvailable, StateWaiting, StateDisabled, StateDetached:
		default:
			return nil, fmt.Errorf("%w: state %q of %s", errDamagedVolume, e.State, e.Path)
		}
	}
	return &r, nil
}

// readVolume reads the record of a folder; ENOENT if there is none,
// errDamagedVolume if it is not whole.
func readVolume(system System, dir string) (*volumeRecord, error) {
	data, err := readSmallFile(system, filepath.Join(dir, volumeName), maxIDRecord)
	if err != nil {
		return nil, err
	}
	return decodeVolume(data)
}

func writeVolume(system System, dir string, r *volumeRecord) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	return writeSmallFile(system, filepath.Join(dir, volumeName), data)
}

// volumeOf is the volume record that an id record of an earlier release holds.
func volumeOf(r *idRecord) *volumeRecord {
	v := &volumeRecord{NodeID: r.NodeID, ClusterUUID: r.ClusterUUID, Lineage: r.Lineage, Version: r.KnownVersion}
	for _, k := range r.Known {
		v.put(volumeEntry{
			Path: k.Path, Label: k.Label, MountpathID: k.MountpathID, PlacementDigest: k.PlacementDigest,
			State: StateAvailable, InUse: true,
		})
	}
	return v
}

// volumeFromConfig reads the copy in the configuration folder, nil if there is
// none of this node; a damaged one is left to be rewritten from the disks.
func (m *Manager) volumeFromConfig() (*volumeRecord, error) {
	if m.options.ConfDir == "" {
		return nil, nil
	}
	record, err := readVolume(m.options.System, m.options.ConfDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		record, err = m.formerFromConfig()
	case errors.Is(err, errDamagedVolume):
		m.log.Warn("volume record is damaged, taking those on the disks", "dir", m.options.ConfDir, "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("volume record %s: %w", filepath.Join(m.options.ConfDir, volumeName), err)
	}
	if record != nil && m.options.NodeID != "" && record.NodeID != m.options.NodeID {
		return nil, nil // of a node that had this folder before
	}
	return record, nil
}

// formerFromConfig reads what an earlier release left there, nil if nothing.
func (m *Manager) formerFromConfig() (*volumeRecord, error) {
	former, err := readIDRecord(m.options.System, filepath.Join(m.options.ConfDir, formerKnownName))
	switch {
	case err == nil:
		return volumeOf(former), nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errDamagedID):
		return nil, nil
	}
	return nil, err
}
