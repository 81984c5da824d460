package fs

import (
	"errors"
	"fmt"
)

// identify finds conflicts, settles the node's id, and tells new mountpaths
// from known ones that are missing. It writes nothing but the missing
// directories of new mountpaths in test mode.
func (m *Manager) identify(candidates []*candidate, newest *volumeRecord) error {
	if err := m.settleIdentity(candidates, newest); err != nil {
		return err
	}
	for _, c := range candidates {
		if c.record != nil || !c.usable() {
			continue
		}
		if isKnown(newest, c.path, candidates) {
			if c.info.Kind == KindDir {
				c.disabled = fmt.Errorf("known mountpath %s has no id record: is its disk not mounted?", c.path)
			} else {
				c.disabled = fmt.Errorf("known mountpath %s is missing", c.path)
			}
			continue
		}
		c.isNew = true
		if c.info.Kind == KindDir {
			continue
		}
		if !m.options.TestMode {
			return fmt.Errorf("storage integrity error sie#60: configured mountpath %s does not exist or is not a directory", c.path)
		}
		if err := makeParents(m.options.System, c.path); err != nil {
			return fmt.Errorf("mountpath %s cannot be created: %w", c.path, err)
		}
		var err error
		if c.info, err = m.options.System.Stat(c.path); err != nil {
			return fmt.Errorf("mountpath %s: %w", c.path, err)
		}
	}
	return nil
}

// settleIdentity finds the node's id and compares ids, clusters and disks.
func (m *Manager) settleIdentity(candidates []*candidate, newest *volumeRecord) error {
	var first *candidate
	byID := make(map[string]string)
	var cluster *candidate // the first that belongs to one
	var conflict error
	for _, c := range candidates {
		if c.record == nil || c.out {
			continue
		}
		if first == nil {
			first = c
		}
		if c.record.NodeID != first.record.NodeID {
			return fmt.Errorf("storage integrity error sie#10: mountpath %s belongs to node %q and mountpath %s to node %q",
				first.path, first.record.NodeID, c.path, c.record.NodeID)
		}
		if twin, twice := byID[c.record.MountpathID]; twice {
			return fmt.Errorf("storage integrity error sie#30: mountpaths %s and %s hold the same mountpath id %s",
				twin, c.path, c.record.MountpathID)
		}
		byID[c.record.MountpathID] = c.path
		switch {
		case c.record.ClusterUUID == "":
		case cluster == nil:
			cluster = c
		case c.record.ClusterUUID != cluster.record.ClusterUUID && conflict == nil:
			conflict = fmt.Errorf("storage integrity error sie#20: mountpath %s belongs to cluster %q and mountpath %s to cluster %q",
				cluster.path, cluster.record.ClusterUUID, c.path, c.record.ClusterUUID)
		}
	}
	m.nodeID = m.options.NodeID
	switch {
	case first != nil && m.nodeID != "" && first.record.NodeID != m.nodeID:
		return fmt.Errorf("storage integrity error sie#20: mountpath %s belongs to node %q, this node is %q",
			first.path, first.record.NodeID, m.nodeID)
	case first != nil:
		m.nodeID = first.record.NodeID
	case m.nodeID == "" && newest != nil:
		m.nodeID = newest.NodeID
	case m.nodeID == "" && m.options.NewNodeID != nil:
		m.nodeID = m.options.NewNodeID()
	}
	if m.nodeID == "" {
		return errors.New("no node id: neither the configuration nor a mountpath has one")
	}
	return m.settleCluster(cluster, conflict, newest)
}

// settleCluster finds the cluster of the node. Disks that do not agree are no
// reason not to start: the node stays out of every cluster and says why. The
// lineage is that of the newest volume record: a disk that was away may have
// missed a new one.
func (m *Manager) settleCluster(cluster *candidate, conflict error, newest *volumeRecord) error {
	id := &clusterIdentity{conflict: conflict}
	switch {
	case conflict != nil:
	case cluster != nil && newest != nil && newest.ClusterUUID == cluster.record.ClusterUUID:
		id.uuid, id.lineage = newest.ClusterUUID, newest.Lineage
	case cluster != nil:
		id.uuid, id.lineage = cluster.record.ClusterUUID, cluster.record.Lineage
	case newest != nil:
		id.uuid, id.lineage = newest.ClusterUUID, newest.Lineage
	}
	if want := m.options.ClusterUUID; want != "" {
		if id.uuid != "" && id.uuid != want {
			return clusterMismatch(id.uuid, want)
		}
		if conflict == nil {
			id.uuid, id.lineage = want, m.options.Lineage
		}
	}
	m.identity.Store(id)
	return nil
}

func clusterMismatch(onDisk, wanted string) error {
	return fmt.Errorf("storage integrity error sie#20: mountpaths belong to cluster %q, this node to cluster %q", onDisk, wanted)
}

// isKnown tells whether a path without an id record had a disk that is not
// found elsewhere now.
func isKnown(newest *volumeRecord, path string, candidates []*candidate) bool {
	e := newest.find(path)
	if e == nil {
		return false
	}
	for _, c := range candidates {
		if c.record != nil && c.record.MountpathID == e.MountpathID {
			return false // it moved; this is another disk
		}
	}
	return true
}
