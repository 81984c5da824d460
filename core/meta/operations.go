package meta

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Operations are the membership operations of operators: the one that is
// under way, and the last ones that ended. A primary that takes over goes on
// where the operation stands. A published Operations is immutable.
type Operations struct {
	Version int64        `json:"version,string"`
	Current *Operation   `json:"current"` // nil: none is under way
	Past    []*Operation `json:"past"`    // newest last
}

// Operation is one membership operation. It is immutable once published.
type Operation struct {
	ID                string   `json:"id"`
	Action            string   `json:"action"` // "start-maintenance", ...
	Nodes             []string `json:"nodes"`  // ids
	SkipRebalance     bool     `json:"skip_rebalance,omitempty"`
	RemoveUserData    bool     `json:"rm_user_data,omitempty"`
	KeepInitialConfig bool     `json:"keep_initial_config,omitempty"`
	NoShutdown        bool     `json:"no_shutdown,omitempty"`
	Force             bool     `json:"force,omitempty"`
	Step              string   `json:"step"`                       // where it stands
	Rebalance         int64    `json:"rebalance,string,omitempty"` // RMD version of its rebalance, 0 if none
	Started           int64    `json:"started,string"`             // ns since the epoch
	Ended             int64    `json:"ended,string,omitempty"`     // ns since the epoch, 0: not yet
	Error             string   `json:"error,omitempty"`            // why it stands still or has failed
	// Identities are the verifying keys of nodes that were decommissioned: one
	// that was not there to be told is known by its key when it comes back.
	Identities map[string][]byte `json:"identities,omitempty"` // by node id
}

// OperationsPatch puts the present state of the current operation; End moves
// it to the past ones.
type OperationsPatch struct {
	Current *Operation `json:"current"`
	End     bool       `json:"end,omitempty"`
}

// maxPast is how many ended operations are kept.
const maxPast = 10

// Kind is KindOperations.
func (o *Operations) Kind() string { return KindOperations }

// Ver is the version; 0 for nil.
func (o *Operations) Ver() int64 {
	if o == nil {
		return 0
	}
	return o.Version
}

// Now returns the operation that is under way, nil if there is none.
func (o *Operations) Now() *Operation {
	if o == nil {
		return nil
	}
	return o.Current
}

// Find returns the operation with an id, under way or past, nil if there is none.
func (o *Operations) Find(id string) *Operation {
	if o == nil {
		return nil
	}
	if o.Current != nil && o.Current.ID == id {
		return o.Current
	}
	for _, op := range o.Past {
		if op.ID == id {
			return op
		}
	}
	return nil
}

// Decommissioned returns the past operation that decommissioned the node with
// an id and a verifying key, nil if there is none. A node that has obeyed has
// another key when it joins again.
func (o *Operations) Decommissioned(nodeID string, verifyingKey []byte) *Operation {
	if o == nil || len(verifyingKey) == 0 {
		return nil
	}
	for _, op := range slices.Backward(o.Past) {
		if bytes.Equal(op.Identities[nodeID], verifyingKey) {
			return op
		}
	}
	return nil
}

// Encode returns the document in JSON.
func (o *Operations) Encode() ([]byte, error) { return json.Marshal(o) }

func applyOperations(v *View, patch []byte, version int64) (*Operations, error) {
	p := new(OperationsPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	if p.Current == nil || p.Current.ID == "" || len(p.Current.Nodes) == 0 {
		return nil, apierr.BadRequest("invalid operation: it has no id or no nodes")
	}
	if now := v.Operations.Now(); now != nil && now.ID != p.Current.ID {
		return nil, apierr.New(apierr.StatusConflict, "ErrBusy", "%s of %v is under way", now.Action, now.Nodes)
	}
	next := &Operations{Version: version, Current: p.Current}
	if v.Operations != nil {
		next.Past = v.Operations.Past
	}
	if p.End {
		next.Current = nil
		past := append(next.Past[:len(next.Past):len(next.Past)], p.Current)
		next.Past = past[max(0, len(past)-maxPast):]
	}
	return next, nil
}
