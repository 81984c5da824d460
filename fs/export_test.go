package fs

import (
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// CheckInterval is the shortest time between two health checks.
const CheckInterval = checkInterval

// Waiting is how many members gather for the next round.
func (fsys *Filesystem) Waiting() int {
	fsys.rounds.mu.Lock()
	defer fsys.rounds.mu.Unlock()
	if fsys.rounds.next == nil {
		return 0
	}
	return len(fsys.rounds.next.members)
}

// BlockLink is where the kernel tells of the device of a filesystem.
func BlockLink(sys string, dev uint64) string {
	return filepath.Join(sys, "dev/block", strconv.Itoa(int(unix.Major(dev)))+":"+strconv.Itoa(int(unix.Minor(dev))))
}

// WriteFormerRecords makes the id records those of a release without a volume
// record.
func WriteFormerRecords(t *testing.T, paths []string, confDir string) {
	t.Helper()
	var known []knownMountpath
	records := make([]*idRecord, len(paths))
	for i, path := range paths {
		r, err := readIDRecord(Unix(), filepath.Join(path, idRecordName))
		if err != nil {
			t.Fatal(err)
		}
		records[i] = r
		known = append(known, knownMountpath{Path: path, MountpathID: r.MountpathID, PlacementDigest: r.PlacementDigest})
	}
	for i, path := range paths {
		records[i].Known, records[i].KnownVersion = known, 1
		if err := writeIDRecord(Unix(), filepath.Join(path, idRecordName), records[i]); err != nil {
			t.Fatal(err)
		}
	}
	former := &idRecord{NodeID: records[0].NodeID, Known: known, KnownVersion: 1}
	if err := writeIDRecord(Unix(), filepath.Join(confDir, formerKnownName), former); err != nil {
		t.Fatal(err)
	}
}

// Checking tells that a check of a mountpath runs or is due.
func (m *Manager) Checking(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.checkOf(path)
	return c.running || c.due
}
