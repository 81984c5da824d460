package meta

import (
	"encoding/json"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Voters maps the members of the Raft group to nodes. A published Voters is
// immutable.
type Voters struct {
	Version int64    `json:"version,string"`
	Members []Member `json:"members"`
	Next    string   `json:"next,omitempty"` // node that is to become primary, "" if none
}

// Member is one member of the Raft group. Its Raft id is random and never
// reused: a node that lost its state comes back with another one.
type Member struct {
	NodeID  string `json:"node_id"`
	RaftID  uint64 `json:"raft_id,string"`
	Learner bool   `json:"learner,omitempty"` // follows the log, does not vote yet
}

// VotersPatch replaces all members, and who is to become primary; what is nil
// stays.
type VotersPatch struct {
	Members []Member `json:"members,omitempty"`
	Next    *string  `json:"next,omitempty"`
}

// maxMembers bounds a group: five voters, and as many learners while they are
// swapped.
const maxMembers = 10

// Kind is KindVoters.
func (v *Voters) Kind() string { return KindVoters }

// Ver is the version; 0 for nil.
func (v *Voters) Ver() int64 {
	if v == nil {
		return 0
	}
	return v.Version
}

// Encode returns the document in JSON.
func (v *Voters) Encode() ([]byte, error) { return json.Marshal(v) }

// ByNode returns the member that is a node.
func (v *Voters) ByNode(id string) (Member, bool) {
	if v != nil {
		for _, m := range v.Members {
			if m.NodeID == id {
				return m, true
			}
		}
	}
	return Member{}, false
}

// ByRaft returns the member with a Raft id.
func (v *Voters) ByRaft(id uint64) (Member, bool) {
	if v != nil {
		for _, m := range v.Members {
			if m.RaftID == id {
				return m, true
			}
		}
	}
	return Member{}, false
}

func (v *Voters) validate() error {
	if v.Version <= 0 {
		return apierr.BadRequest("invalid voters: version %d", v.Version)
	}
	if len(v.Members) > maxMembers {
		return apierr.BadRequest("invalid voters: %d members (at most %d)", len(v.Members), maxMembers)
	}
	for i, m := range v.Members {
		if m.NodeID == "" || m.RaftID == 0 {
			return apierr.BadRequest("invalid voters: member %d has no node id or no Raft id", i)
		}
		for _, o := range v.Members[:i] {
			if o.NodeID == m.NodeID || o.RaftID == m.RaftID {
				return apierr.BadRequest("invalid voters: node %s with Raft id %d is there twice", m.NodeID, m.RaftID)
			}
		}
	}
	return nil
}

func decodeVoters(data []byte) (*Voters, error) {
	v := new(Voters)
	if err := json.Unmarshal(data, v); err != nil {
		return nil, apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal the voters")
	}
	return v, v.validate()
}

func applyVoters(v *View, patch []byte, version int64) (*Voters, error) {
	p := new(VotersPatch)
	if err := decodePatch(patch, p); err != nil {
		return nil, err
	}
	next := &Voters{Version: version}
	if v.Voters != nil {
		next.Members, next.Next = v.Voters.Members, v.Voters.Next
	}
	if p.Members != nil {
		next.Members = p.Members
	}
	if p.Next != nil {
		next.Next = *p.Next
	}
	return next, next.validate()
}
