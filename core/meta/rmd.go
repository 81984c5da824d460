package meta

import (
	"encoding/json"
	"strconv"
)

// RMD is the rebalance metadata: its version is the number of the last
// rebalance that was asked for. A published RMD is immutable.
type RMD struct {
	ClusterID string   `json:"cluster_id"`
	TargetIDs []string `json:"target_ids,omitempty"` // that made the rebalance necessary
	Version   int64    `json:"version"`              // a number, unlike other versions (a wire fact)
	// Partial: the number is that of a rebalance of a part of the names, or of a
	// cleanup, which never counts as one that moves everything.
	Partial bool `json:"partial,omitempty"`
	// Due, of a partial one: when it began, one that moves everything was owed, so
	// that it follows.
	Due bool `json:"due,omitempty"`
}

// RMDPatch asks for the next rebalance.
type RMDPatch struct {
	TargetIDs []string `json:"target_ids,omitempty"`
	Partial   bool     `json:"partial,omitempty"`
	Due       bool     `json:"due,omitempty"`
}

// Kind is KindRMD.
func (r *RMD) Kind() string { return KindRMD }

// Ver is the version; 0 for nil.
func (r *RMD) Ver() int64 {
	if r == nil {
		return 0
	}
	return r.Version
}

// Encode returns the document in JSON.
func (r *RMD) Encode() ([]byte, error) { return json.Marshal(r) }

// RebalanceID is the id of a rebalance as clients see it: "g17".
func RebalanceID(version int64) string { return "g" + strconv.FormatInt(version, 10) }

func applyRMD(v *View, patch []byte, version int64) (*RMD, error) {
	p := new(RMDPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	return &RMD{ClusterID: v.UUID, TargetIDs: p.TargetIDs, Version: version, Partial: p.Partial, Due: p.Due}, nil
}
