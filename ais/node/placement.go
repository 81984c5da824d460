package node

import (
	"net/http"
	"slices"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// writePlacement answers what=placement.
func (n *Node) writePlacement(w http.ResponseWriter, r *http.Request, view *meta.View) error {
	return WriteJSON(w, r, placementInfo(view, func(id string) bool {
		cp := n.Control()
		return cp != nil && cp.IsDown(id)
	}))
}

func placementInfo(view *meta.View, down func(id string) bool) *wire.PlacementInfo {
	p := view.Placement
	info := &wire.PlacementInfo{Version: p.Ver(), Settled: p.Settled(), Holders: notNil(p.Holders()), Absent: []string{}, Lost: []string{}}
	for _, id := range info.Holders {
		if view.Smap.Tmap[id] == nil || down(id) {
			info.Absent = append(info.Absent, id)
		}
	}
	if p != nil {
		for id := range p.Lost {
			if p.IsLost(id) {
				info.Lost = append(info.Lost, id)
			}
		}
	}
	slices.Sort(info.Lost)
	return info
}
