package fs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// decommissionName is the file in the configuration folder that tells a start
// to end what was begun: removing the node from its disks.
const decommissionName = ".ais.decommission"

// decommission is its content.
type decommission struct {
	Paths          []string `json:"paths"`
	RemoveUserData bool     `json:"remove_user_data"`
}

// Decommission makes the node forget its mountpaths: ids, volume record and
// exports go; the objects, with the copies of the bucket metadata, stay or are
// removed. Mountpaths that are disabled are included. The directories stay. No
// mountpath is in use afterwards, whatever the outcome.
//
// It may be called again, and a start ends what a crash cut short: it finds a
// node without an identity. Errors name the mountpaths that could not be
// cleaned; the others are.
func (m *Manager) Decommission(removeUserData bool) error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.changing.Unlock()
	order := decommission{RemoveUserData: removeUserData}
	for _, e := range m.state.volume.Mountpaths {
		if e.State != StateDetached {
			order.Paths = append(order.Paths, e.Path)
		}
	}
	if m.options.ConfDir != "" {
		data, err := json.Marshal(&order)
		if err == nil {
			err = writeSmallFile(m.options.System, m.orderPath(), data)
		}
		if err != nil {
			return fmt.Errorf("decommission was not begun: %w", err)
		}
	}
	m.exports.mu.Lock()
	m.exports.bmd = nil
	m.exports.mu.Unlock()
	m.state.volume = &volumeRecord{NodeID: m.nodeID, Version: m.state.volume.Version + 1}
	m.publish()
	for path, d := range m.state.disks {
		m.drain(d.mp)
		delete(m.state.disks, path)
		// The lock is kept until the directory is clean.
		defer func() {
			if err := m.release(d); err != nil {
				m.log.Warn("mountpath is not let go cleanly", "mountpath", path, "err", err)
			}
		}()
	}
	m.identity.Store(&clusterIdentity{})
	return m.carryOut(&order)
}

func (m *Manager) orderPath() string { return filepath.Join(m.options.ConfDir, decommissionName) }

// resumeDecommission ends at a start what was begun before.
func (m *Manager) resumeDecommission(configured []*candidate) error {
	if m.options.ConfDir == "" {
		return nil
	}
	data, err := readSmallFile(m.options.System, m.orderPath(), maxIDRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var order decommission
	if err == nil {
		err = json.Unmarshal(data, &order)
	}
	if err != nil {
		return fmt.Errorf("order to decommission %s: %w", m.orderPath(), err)
	}
	m.log.Info("ending the decommission that was begun before", "remove_user_data", order.RemoveUserData)
	locked := make(map[string]*candidate)
	defer func() {
		for _, c := range locked {
			m.abandon(c)
		}
	}()
	for _, path := range order.Paths {
		c := &candidate{path: path}
		m.look(c)
		if c.record == nil {
			continue // clean already, or not there
		}
		if err := m.lockCandidate(c); err != nil {
			return err
		}
		locked[path] = c
	}
	err = m.carryOut(&order)
	if err == nil {
		return nil
	}
	// What is left is for people. The order must go all the same: the node
	// starts anew on these disks, and nothing that it gets from now on may be
	// removed by a later start.
	m.log.Error("decommission left something behind", "err", err)
	return removeOwn(m.options.System, m.options.ConfDir, []string{decommissionName})
}

// carryOut cleans the directories, then the configuration folder, and last
// takes the order away. A path that cannot be cleaned stops the last two.
func (m *Manager) carryOut(order *decommission) error {
	var failed []error
	for _, path := range order.Paths {
		if err := m.clean(path, order.RemoveUserData); err != nil {
			failed = append(failed, fmt.Errorf("mountpath %s: %w", path, err))
		}
	}
	if len(failed) > 0 || m.options.ConfDir == "" {
		return errors.Join(failed...)
	}
	return removeOwn(m.options.System, m.options.ConfDir, []string{volumeName, formerKnownName, decommissionName})
}

// clean removes the node from one directory. The id goes last: until then a
// start knows whose disk it is.
func (m *Manager) clean(path string, removeUserData bool) error {
	system := m.options.System
	entries, err := readSome(system, path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	var failed []error
	for _, entry := range entries {
		name := entry.name
		bucket := strings.HasPrefix(name, "@")
		switch {
		case name == idRecordName, name == lockFileName, !bucket && !isOwnName(name):
			continue
		case !removeUserData && (bucket || name == QuarantineDir || strings.HasPrefix(name, exportBMD)):
			continue
		}
		if err := removeTree(context.Background(), system, path+"/"+name); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return removeOwn(system, path, []string{idRecordName, lockFileName})
}
