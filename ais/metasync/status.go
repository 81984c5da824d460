package metasync

import "time"

// Status is what a node knows of itself and its cluster at one moment. It is
// immutable.
type Status struct {
	Joined  bool   // accepted by the cluster, and in touch with a primary since the start
	Primary bool   // this node is the primary: leader of the Raft group and primary of the map
	Leader  string // id of the node that leads the Raft group as far as known, "" if none is
	Term    uint64 // of the Raft group as far as known
	Index   uint64 // of the last command in effect on this node
	Voter   bool   // this node has a vote
	// Settled is false while this node leads alone although others could vote:
	// the cluster would not survive it yet.
	Settled bool
	// Stale tells that no primary has answered this node for Timeouts.Down:
	// it should call Pull before it relies on its view.
	Stale bool
	// Fenced says why this node may not serve or cannot join, "" if it may.
	Fenced string
	// Down are the nodes of the map without a sign of life, or that left.
	Down map[string]struct{}
	// Lagging are nodes that have not acknowledged changes; on the primary only.
	Lagging []string
	// Vouched are nodes that are silent to this primary while others reach them:
	// something is wrong between them and the primary.
	Vouched []string
	// Stalled tells that the storage does not finish what it was given.
	Stalled bool
	// NoLeaderSince is since when nobody leads the cluster as far as this node
	// knows, zero if somebody does.
	NoLeaderSince time.Time
	givenUp       []givenUp // see Agent.GivenUp
	// LastContact is when a primary last answered this node.
	LastContact time.Time
}
