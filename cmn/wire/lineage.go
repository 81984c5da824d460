package wire

import "encoding/json"

// Actions of an operator on one node, PUT /v1/daemon.
const (
	ActForceRestart = "force-restart"
	ActRejoin       = "rejoin"
)

// ForceRestartMsg is the value of ActForceRestart.
type ForceRestartMsg struct {
	Lineage string   `json:"lineage"`         // that is given up: the present one of the node
	Nodes   []string `json:"nodes,omitempty"` // ids of nodes that have to take part
}

// ForcedRestart is what a forced restart did.
type ForcedRestart struct {
	Lineage     string   `json:"lineage"`             // the new one
	SmapVersion int64    `json:"smap_version,string"` // of the first map in it
	Adopted     []string `json:"adopted"`             // ids of the nodes that follow it
	Absent      []string `json:"absent"`              // ids of the nodes of the map that do not (yet)
}

// RejoinMsg is the value of ActRejoin: the only cluster that the node may join.
type RejoinMsg struct {
	UUID    string `json:"uuid"`
	Lineage string `json:"lineage"`
}

// Rejoined is what a rejoin did.
type Rejoined struct {
	UUID        string `json:"uuid"`
	Lineage     string `json:"lineage"`
	Joined      bool   `json:"joined"`                // the cluster has admitted the node
	SmapVersion int64  `json:"smap_version,string"`   // 0 before that
	Waiting     string `json:"waiting_for,omitempty"` // what for, before that
	// GivenUp is what the node knew and the cluster it joined does not have;
	// nil if there is no such thing.
	GivenUp *GivenUp `json:"given_up,omitempty"`
}

// GivenUp is a history of a cluster that a node has given up for another one,
// with what is in no other.
type GivenUp struct {
	UUID    string          `json:"uuid"`
	Lineage string          `json:"lineage"`
	Joined  string          `json:"joined"`  // the lineage that the node joined instead
	Buckets []GivenUpBucket `json:"buckets"` // that are not in the lineage joined
}

// GivenUpBucket is a bucket whose objects are on the disks of nodes that gave
// it up, and in no bucket of the cluster.
type GivenUpBucket struct {
	Name  string          `json:"name"`  // e.g. "ais://photos"
	Taken bool            `json:"taken"` // the cluster has another bucket of this name now
	Props json.RawMessage `json:"props"` // as they were
}

// WhatLineage asks a node to which history of its cluster it belongs.
const WhatLineage = "lineage"

// LineageInfo is the answer to WhatLineage.
type LineageInfo struct {
	UUID      string   `json:"uuid"`             // "" before the node belongs to a cluster
	Lineage   string   `json:"lineage"`          //
	Ancestors []string `json:"ancestors"`        // lineages that it has replaced, oldest first
	Voters    []string `json:"voters,omitempty"` // ids of the nodes that vote, as far as this node is told
	Fenced    string   `json:"fenced,omitempty"` // why the node may not serve
	// GivenUp are the histories that the node has given up, oldest first, as
	// far as they have what no other has.
	GivenUp []GivenUp `json:"given_up,omitempty"`
}
