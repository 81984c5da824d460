package meta

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Smap is the cluster map: all nodes and which proxy is primary. A published
// Smap is immutable. One that was put together by hand answers ActiveTargets,
// CountTargets and Owner only after Freeze.
type Smap struct {
	Pmap    map[string]*Snode // proxies by id
	Tmap    map[string]*Snode // targets by id
	Primary *Snode            // one of Pmap, nil if none is known
	UUID    string            // of the cluster, fixed at its creation
	Created string            // creation time of the cluster, see TimeLayout
	Version int64

	nodes   []*Snode // all nodes as Nodes has them, nil before Freeze
	targets []*Snode // active targets by ascending id
	digests []uint64 // of targets
	// capacities of targets, nil if they make no difference
	capacities []uint64
}

// TimeLayout is the form of Smap.Created, in UTC.
const TimeLayout = "2006-01-02 15:04:05"

// smapJSON is the wire form. The primary is written out in full.
type smapJSON struct {
	Pmap    map[string]*Snode `json:"pmap"`
	Primary *Snode            `json:"proxy_si"`
	Tmap    map[string]*Snode `json:"tmap"`
	UUID    string            `json:"uuid"`
	Created string            `json:"creation_time"`
	Version int64             `json:"version,string"`
}

// Kind is KindSmap.
func (s *Smap) Kind() string { return KindSmap }

// Ver is the version; 0 for nil.
func (s *Smap) Ver() int64 {
	if s == nil {
		return 0
	}
	return s.Version
}

// MarshalJSON writes the wire form.
func (s *Smap) MarshalJSON() ([]byte, error) {
	form := smapJSON{Pmap: s.Pmap, Primary: s.Primary, Tmap: s.Tmap, UUID: s.UUID, Created: s.Created, Version: s.Version}
	if form.Pmap == nil {
		form.Pmap = map[string]*Snode{}
	}
	if form.Tmap == nil {
		form.Tmap = map[string]*Snode{}
	}
	return json.Marshal(&form)
}

// UnmarshalJSON reads the wire form, checks it and freezes the result.
func (s *Smap) UnmarshalJSON(data []byte) error {
	var form smapJSON
	if err := json.Unmarshal(data, &form); err != nil {
		return apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal the cluster map")
	}
	fresh := Smap{Pmap: form.Pmap, Tmap: form.Tmap, UUID: form.UUID, Created: form.Created, Version: form.Version}
	if fresh.Pmap == nil {
		fresh.Pmap = map[string]*Snode{}
	}
	if fresh.Tmap == nil {
		fresh.Tmap = map[string]*Snode{}
	}
	if form.Primary != nil {
		if fresh.Primary = fresh.Pmap[form.Primary.ID]; fresh.Primary == nil {
			return apierr.BadRequest("invalid cluster map: its primary %s is not among the proxies", form.Primary)
		}
	}
	if err := fresh.validate(); err != nil {
		return err
	}
	*s = *fresh.Freeze()
	return nil
}

// Encode returns the wire form.
func (s *Smap) Encode() ([]byte, error) { return json.Marshal(s) }

// validate checks what placement and routing rely on.
func (s *Smap) validate() error {
	if s.Version <= 0 {
		return apierr.BadRequest("invalid cluster map: version %d", s.Version)
	}
	for _, m := range []struct {
		role  string
		nodes map[string]*Snode
	}{{RoleProxy, s.Pmap}, {RoleTarget, s.Tmap}} {
		for id, node := range m.nodes {
			if err := node.validate(); err != nil {
				return err
			}
			if node.ID != id || node.Role != m.role {
				return apierr.BadRequest("invalid cluster map: %s stands among the nodes of role %s under the id %q", node, m.role, id)
			}
		}
	}
	for id := range s.Pmap {
		if s.Tmap[id] != nil {
			return apierr.BadRequest("invalid cluster map: id %q is that of a proxy and of a target", id)
		}
	}
	return nil
}

// Freeze computes what the lookups need and returns s. It is called once,
// before s is published; s and its nodes must not change afterwards.
func (s *Smap) Freeze() *Smap {
	s.targets, s.digests = make([]*Snode, 0, len(s.Tmap)), make([]uint64, 0, len(s.Tmap))
	var capacities []uint64
	for _, id := range sortedIDs(s.Tmap) {
		if node := s.Tmap[id]; node.Active() {
			s.targets = append(s.targets, node)
			s.digests = append(s.digests, node.Digest)
			capacities = append(capacities, max(1, node.Capacity))
		}
	}
	s.capacities = normal(capacities)
	s.nodes = s.inOrder()
	return s
}

// Clone returns a copy with maps of its own. The nodes are shared: replace
// them, do not change them; then Freeze.
func (s *Smap) Clone() *Smap {
	return &Smap{
		Pmap: cloneNodes(s.Pmap), Tmap: cloneNodes(s.Tmap), Primary: s.Primary,
		UUID: s.UUID, Created: s.Created, Version: s.Version,
	}
}

func cloneNodes(nodes map[string]*Snode) map[string]*Snode {
	if nodes == nil {
		return map[string]*Snode{}
	}
	return maps.Clone(nodes)
}

// Node returns the node with an id, nil if there is none.
func (s *Smap) Node(id string) *Snode {
	if s == nil {
		return nil
	}
	if node := s.Tmap[id]; node != nil {
		return node
	}
	return s.Pmap[id]
}

// Nodes returns all nodes: proxies, then targets, each by ascending id. The
// slice is the caller's own.
func (s *Smap) Nodes() []*Snode {
	if s.nodes != nil {
		return slices.Clone(s.nodes)
	}
	return s.inOrder()
}

func (s *Smap) inOrder() []*Snode {
	nodes := make([]*Snode, 0, len(s.Pmap)+len(s.Tmap))
	for _, id := range sortedIDs(s.Pmap) {
		nodes = append(nodes, s.Pmap[id])
	}
	for _, id := range sortedIDs(s.Tmap) {
		nodes = append(nodes, s.Tmap[id])
	}
	return nodes
}

// ActiveTargets returns the targets that own objects, by ascending id. The
// slice belongs to the map: do not change it.
func (s *Smap) ActiveTargets() []*Snode {
	if s == nil {
		return nil
	}
	return s.targets
}

// CountTargets is the number of ActiveTargets.
func (s *Smap) CountTargets() int { return len(s.ActiveTargets()) }

// IsPrimary tells whether the node with an id is the primary.
func (s *Smap) IsPrimary(id string) bool { return s != nil && s.Primary != nil && s.Primary.ID == id }

// Owner returns the target that owns the name with a digest (hrw.Digest of
// its uname): the active target of the highest weight; of equal weights the
// one with the lowest id. If the targets have capacities that differ, it is the
// first by hrw.Before. It neither allocates nor locks. Without active
// targets the error is ErrNoNodes, 400.
func (s *Smap) Owner(unameDigest uint64) (*Snode, error) {
	if s == nil || len(s.targets) == 0 {
		return nil, noTargets()
	}
	return s.targets[winner(s.digests, s.capacities, unameDigest)], nil
}

func noTargets() error {
	return apierr.New(apierr.StatusBadRequest, wire.CodeNoNodes, "no active targets in the cluster map")
}

// Successor returns the proxy that becomes primary when the one with the id
// except fails: of all others that are electable, the one with the highest
// digest; nil if there is none.
func (s *Smap) Successor(except string) *Snode {
	if s == nil {
		return nil
	}
	var next *Snode
	for id, node := range s.Pmap {
		if id == except || !node.Electable() {
			continue
		}
		if next == nil || node.Digest > next.Digest || node.Digest == next.Digest && node.ID < next.ID {
			next = node
		}
	}
	return next
}

// SmapPatch changes a cluster map: first Del, then Put, then Primary, then
// capacities. UUID, Lineage and Created found a cluster: they are given with the
// first version and with no other. A primary cannot be deleted without naming
// another. Put changes no capacities: a target that is in the map keeps its own.
type SmapPatch struct {
	Put     []*Snode `json:"put,omitempty"`     // added or replaced, by id
	Del     []string `json:"del,omitempty"`     // ids; unknown ones are ignored
	Primary string   `json:"primary,omitempty"` // id; "" leaves it

	// Capacities of all targets, by id; empty leaves them. Unweighted takes
	// them away.
	Capacities map[string]uint64 `json:"capacities,omitempty"`
	Unweighted bool              `json:"unweighted,omitempty"`

	UUID    string `json:"uuid,omitempty"`
	Lineage string `json:"lineage,omitempty"`
	Created string `json:"created,omitempty"`
}

// apply returns the map that p makes of s (nil: founds it), at a version.
func (p *SmapPatch) apply(s *Smap, version int64) (*Smap, error) {
	if founds := p.UUID != ""; founds != (s == nil) || !founds && (p.Lineage != "" || p.Created != "") {
		return nil, apierr.BadRequest("UUID, lineage and creation time are given with the first cluster map and with no other")
	}
	var next *Smap
	if s == nil {
		next = &Smap{Pmap: map[string]*Snode{}, Tmap: map[string]*Snode{}, UUID: p.UUID, Created: p.Created}
	} else {
		next = s.Clone()
	}
	next.Version = version
	for _, id := range p.Del {
		delete(next.Pmap, id)
		delete(next.Tmap, id)
	}
	for _, node := range p.Put {
		if err := node.validate(); err != nil {
			return nil, err
		}
		if node.Role == RoleProxy {
			next.Pmap[node.ID] = node
		} else {
			next.Tmap[node.ID] = node.withCapacity(p.capacityOf(s, node))
		}
	}
	if err := p.weigh(next); err != nil {
		return nil, err
	}
	primary := p.Primary
	if primary == "" && next.Primary != nil {
		primary = next.Primary.ID
	}
	if primary != "" {
		if next.Primary = next.Pmap[primary]; next.Primary == nil {
			return nil, apierr.BadRequest("%s cannot be primary: it is not among the proxies", NodeName(RoleProxy, primary))
		}
	}
	if err := next.validate(); err != nil {
		return nil, err
	}
	return next.Freeze(), nil
}
