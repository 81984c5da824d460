package wire

// PlacementInfo is the answer to what=placement: whether everything is where its
// owner is, and whom the cluster waits for.
type PlacementInfo struct {
	Version int64 `json:"version,string"`
	// Settled: no object lies anywhere but with its owner, for a change of the targets.
	Settled bool `json:"settled"`
	// Holders are the targets that may hold anything, Absent those of them that are not
	// in the map, or in it and do not answer. Ids, ascending.
	Holders []string `json:"holders"`
	Absent  []string `json:"absent"`
	// Lost are the targets that were declared lost and have not come back.
	Lost []string `json:"lost"`
}

// DeclareLostMsg is the value of ActDeclareLost. Exactly one of NodeID and NodeIDs is
// given.
type DeclareLostMsg struct {
	NodeID  string   `json:"sid,omitempty"`
	NodeIDs []string `json:"sids,omitempty"`
	// Force must be set: what only these targets hold is given up.
	Force bool `json:"force"`
}
