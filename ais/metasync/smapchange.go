package metasync

import (
	"errors"
	"sort"

	"github.com/aistore-go/aistore/core/meta"
)

// maxIC is how many proxies are members of the information center.
const maxIC = 3

// Actions of changes that leaders make by themselves.
const (
	actionJoin = "join"
	actionOut  = "out"
)

// changeMap commits a change of the cluster map that this leader decided on
// by itself, with changes of other documents that go with it. One is under way
// at a time.
func (m *machine) changeMap(action string, patch *meta.SmapPatch, step int64, then func(error), also ...meta.Change) {
	view := m.view()
	staff(view.Smap, patch)
	change, err := meta.NewChange(view, meta.KindSmap, patch)
	if err != nil {
		then(err)
		return
	}
	change.To = change.From + step
	m.proposeMap(action, append([]meta.Change{change}, also...), then)
}

// proposeMap commits changes that concern the map.
func (m *machine) proposeMap(action string, changes []meta.Change, then func(error)) {
	m.smapBusy = true
	cmd := &meta.Command{ID: m.nextID(), Action: action, Changes: changes}
	m.propose(cmd, func(result meta.Result, err error) {
		m.smapBusy = false
		if err == nil && result.Refused != "" {
			err = errors.New(result.Refused)
		}
		if err != nil {
			m.log.Info("change of the map not committed", "action", action, "err", err)
		}
		then(err)
	})
}

// staff completes a patch so that up to three proxies, always with the
// primary, are members of the information center. Members keep their place.
func staff(smap *meta.Smap, patch *meta.SmapPatch) {
	proxies := map[string]*meta.Snode{}
	primary := ""
	if smap != nil {
		for id, node := range smap.Pmap {
			proxies[id] = node
		}
		if smap.Primary != nil {
			primary = smap.Primary.ID
		}
	}
	for _, id := range patch.Del {
		delete(proxies, id)
	}
	for _, node := range patch.Put {
		if node.Role == meta.RoleProxy {
			proxies[node.ID] = node
		}
	}
	if patch.Primary != "" {
		primary = patch.Primary
	}
	order := make([]*meta.Snode, 0, len(proxies))
	for _, node := range proxies {
		if node.Active() {
			order = append(order, node)
		}
	}
	rank := func(n *meta.Snode) int {
		switch {
		case n.ID == primary:
			return 0
		case n.Flags&meta.FlagIC != 0:
			return 1
		}
		return 2
	}
	sort.Slice(order, func(i, j int) bool {
		a, b := order[i], order[j]
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		}
		if a.Digest != b.Digest {
			return a.Digest > b.Digest
		}
		return a.ID < b.ID
	})
	for i, node := range order {
		if is, should := node.Flags&meta.FlagIC != 0, i < maxIC; is != should {
			changed := *node
			changed.Flags ^= meta.FlagIC
			patch.Put = replaceNode(patch.Put, &changed)
		}
	}
	sort.Slice(patch.Put, func(i, j int) bool { return patch.Put[i].ID < patch.Put[j].ID })
}

func replaceNode(nodes []*meta.Snode, node *meta.Snode) []*meta.Snode {
	for i := range nodes {
		if nodes[i].ID == node.ID {
			nodes[i] = node
			return nodes
		}
	}
	return append(nodes, node)
}
