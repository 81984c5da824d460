package fs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/hrw"
)

const (
	maxMountpathLength = 255      // bytes of a path
	minVolumeSize      = 10 << 20 // bytes
	probeXattr         = "user.ais.probe"
)

// Open takes the configured mountpaths into use. It decides by the id records
// on them, never by device names; a known mountpath that is missing is left out
// with an event, and the others are used. Errors are one line for an operator.
func Open(opts Options) (*Manager, error) {
	opts.setDefaults()
	m := &Manager{
		options: opts, log: opts.Logger, trash: make(chan struct{}, 1), run: randomHex(4), faults: make(map[string]string),
		checks: make(map[string]*checkState), due: make(chan struct{}, 1),
		state: managerState{
			disks: make(map[string]*disk), lost: make(map[string]error), retiring: make(map[string]chan struct{}),
		},
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.available.Store(&Set{})
	m.infos.Store(&[]MountpathInfo{})
	m.identity.Store(&clusterIdentity{})
	if err := m.open(); err != nil {
		m.stop()
		_ = m.releaseFiles() // the reason of the failure is the one to report
		return nil, err
	}
	for _, mp := range m.Available().All() {
		mp.FillSpares()
	}
	m.ending.Add(1)
	go m.emptyTrash(m.ctx)
	m.kickTrash()
	m.ending.Go(m.watch)
	return m, nil
}

func (m *Manager) open() error {
	configured, err := checkPaths(m.options.Mountpaths)
	if err != nil {
		return err
	}
	if err := m.resumeDecommission(configured); err != nil {
		return err
	}
	candidates, volume, err := m.gather(configured)
	if err != nil {
		return err
	}
	if err := m.identify(candidates, volume); err != nil {
		return err
	}
	defer m.dropUnused(candidates)
	for _, c := range candidates {
		if c.usable() {
			if err := m.lockCandidate(c); err != nil {
				return err
			}
		}
	}
	if err := m.attach(candidates); err != nil {
		return err
	}
	if err := m.writeRecords(candidates, volume); err != nil {
		return err
	}
	for _, c := range candidates {
		if c.disabled != nil && !c.out {
			m.log.Error("mountpath is disabled", "mountpath", c.path, "err", c.disabled)
			m.raise(Event{Kind: EventDisabled, Mountpath: c.path, Err: c.disabled, Message: c.disabled.Error()})
		}
	}
	if err := m.sweep(); err != nil {
		return err
	}
	m.finishEmpty()
	return nil
}

// dropUnused closes what was opened for candidates that did not become
// mountpaths.
func (m *Manager) dropUnused(candidates []*candidate) {
	for _, c := range candidates {
		if d := m.state.disks[c.path]; d == nil || d.lock != c.lock {
			m.abandon(c)
		}
	}
}

// abandon closes what was opened for a candidate.
func (m *Manager) abandon(c *candidate) {
	if c.filesystem != nil {
		shared := false
		for _, d := range m.state.disks {
			shared = shared || d.mp.filesystem == c.filesystem
		}
		if !shared {
			_ = c.filesystem.close() // nothing was written through it
		}
		c.filesystem = nil
	}
	if c.lock != nil {
		_ = c.lock.Close() // its content is for people
		c.lock = nil
	}
}

// lockCandidate takes the exclusive lock and makes sure that the id record is
// still the one that was read without it.
func (m *Manager) lockCandidate(c *candidate) error {
	system, path := m.options.System, filepath.Join(c.path, lockFileName)
	f, err := system.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return m.disableOrFail(c, "cannot be locked", err)
	}
	if err := system.Flock(f); err != nil {
		_ = f.Close() // nothing was written to it
		if errors.Is(err, unix.EWOULDBLOCK) {
			owner := ""
			if pid := lockOwner(system, path); pid != "" {
				owner = " (process " + pid + ")"
			}
			return fmt.Errorf("mountpath %s is in use by another node%s", c.path, owner)
		}
		return m.disableOrFail(c, "cannot be locked", err)
	}
	c.lock = f
	// The process id is for people; a full disk must not stop the start.
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		if err != nil {
			m.log.Debug("process id not written to the lock file", "path", path, "err", err)
		}
	}
	again, err := readIDRecord(system, filepath.Join(c.path, idRecordName))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return m.disableOrFail(c, "id record cannot be read", err)
	case (again == nil) != (c.record == nil), again != nil && again.Checksum != c.record.Checksum:
		return fmt.Errorf("mountpath %s: id record changed during the start; another node was starting on it", c.path)
	}
	return nil
}

// disableOrFail is for a disk that cannot be written at the start: the node
// does without a known one, a new one is an error of the configuration.
func (m *Manager) disableOrFail(c *candidate, what string, err error) error {
	err = fmt.Errorf("mountpath %s %s: %w", c.path, what, err)
	if c.isNew {
		return err
	}
	c.disabled = err
	return nil
}

// newDigest is the placement digest of a path at first attach.
func newDigest(path, mountpathID string, taken map[uint64]struct{}) uint64 {
	digest := hrw.Digest(path)
	if _, yes := taken[digest]; yes || digest == 0 {
		digest = hrw.Digest(path + "#" + mountpathID)
	}
	return digest
}

// makeParents makes a directory and whatever is missing above it.
func makeParents(system System, dir string) error {
	err := system.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && dir != "/" {
		if err = makeParents(system, filepath.Dir(dir)); err == nil {
			err = system.Mkdir(dir, dirMode)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
