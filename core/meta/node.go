package meta

import (
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
)

// Roles of a node.
const (
	RoleProxy  = "proxy"
	RoleTarget = "target"
)

// Flags of a node in the cluster map (wire facts).
const (
	FlagNonElectable    = 1 << 0 // proxy that may not become primary
	FlagIC              = 1 << 1 // proxy, member of the information center
	FlagMaintenance     = 1 << 2
	FlagDecommission    = 1 << 3
	FlagPostMaintenance = 1 << 4 // data was moved off
	flagsInactive       = FlagMaintenance | FlagDecommission
)

// maxNodeID is the greatest length of a node id.
const maxNodeID = 32

// NetInfo is one address of a node. Port is decimal text; URL has a scheme
// and no trailing slash.
type NetInfo struct {
	Host string `json:"node_ip_addr"`
	Port string `json:"daemon_port"`
	URL  string `json:"direct_url"`
}

// Snode is a node as the cluster map shows it. It is immutable once it is
// part of a published Smap.
type Snode struct {
	Public       NetInfo   `json:"public_net"`
	IntraData    NetInfo   `json:"intra_data_net"`
	IntraControl NetInfo   `json:"intra_control_net"`
	Role         string    `json:"daemon_type"`
	ID           string    `json:"daemon_id"`
	PublicExtra  []NetInfo `json:"pub_extra,omitempty"`
	Flags        uint64    `json:"flags"`
	Digest       uint64    `json:"id_digest"` // hrw.Digest(ID)
	VerifyingKey []byte    `json:"verifying_key,omitempty"`
	// Capacity of a target, in proportion to which it owns names; 0: capacities
	// do not count in this cluster.
	Capacity uint64 `json:"capacity,omitempty"`
}

// NewSnode returns a node with its digest.
func NewSnode(id, role string, public, control, data NetInfo) *Snode {
	return &Snode{ID: id, Role: role, Public: public, IntraControl: control, IntraData: data, Digest: hrw.Digest(id)}
}

// Active tells that the node is neither in maintenance nor being decommissioned.
func (n *Snode) Active() bool { return n.Flags&flagsInactive == 0 }

// Electable tells a proxy that may become primary.
func (n *Snode) Electable() bool {
	return n.Role == RoleProxy && n.Flags&FlagNonElectable == 0 && n.Active()
}

// String is the node's name in messages: "p[id]" or "t[id]".
func (n *Snode) String() string { return NodeName(n.Role, n.ID) }

// SameAddresses compares everything that a peer needs to reach the node.
func (n *Snode) SameAddresses(o *Snode) bool {
	return n.Public == o.Public && n.IntraControl == o.IntraControl && n.IntraData == o.IntraData &&
		slices.Equal(n.PublicExtra, o.PublicExtra)
}

// Clone returns a copy that shares nothing with n.
func (n *Snode) Clone() *Snode {
	clone := *n
	clone.PublicExtra = slices.Clone(n.PublicExtra)
	clone.VerifyingKey = slices.Clone(n.VerifyingKey)
	return &clone
}

// validate checks what the cluster map relies on.
func (n *Snode) validate() error {
	switch {
	case n == nil:
		return apierr.BadRequest("invalid node: it is null")
	case n.ID == "" || len(n.ID) > maxNodeID:
		return apierr.BadRequest("invalid node: its id %q must have 1 to %d characters", n.ID, maxNodeID)
	case n.Role != RoleProxy && n.Role != RoleTarget:
		return apierr.BadRequest("invalid node %q: role %q (expecting %q or %q)", n.ID, n.Role, RoleProxy, RoleTarget)
	case n.Digest != hrw.Digest(n.ID):
		return apierr.BadRequest("invalid node %s: its digest %d is not that of its id", n, n.Digest)
	}
	return nil
}

// NodeName is the name of a node in messages: "p[id]" or "t[id]".
func NodeName(role, id string) string {
	if role == RoleProxy {
		return "p[" + id + "]"
	}
	return "t[" + id + "]"
}

// sortedIDs returns the keys of a node map in ascending order.
func sortedIDs(nodes map[string]*Snode) []string { return slices.Sorted(maps.Keys(nodes)) }
