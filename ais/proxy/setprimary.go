package proxy

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// setPrimary answers PUT /v1/cluster/proxy/<id>[?frc=true][&can=<url>].
func (p *Proxy) setPrimary(w http.ResponseWriter, r *http.Request, items []string) error {
	if len(items) != 1 {
		return apierr.BadRequest("invalid path '%s': expected %s/%s/<node id>", r.URL.Path, wire.PathCluster, wire.ItemProxy)
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	id, smap := items[0], p.control.View().Smap
	next := smap.Pmap[id]
	switch {
	case next == nil && q.Bool(wire.QueryForce) && q.Get(wire.QueryCandidate) != "":
		return apierr.NotImplemented("joining this cluster to the one at %.200q by force is not built yet", q.Get(wire.QueryCandidate))
	case next == nil:
		return membership.ErrUnknownNode(p.node.Name(), "set-primary", id, smap)
	case smap.IsPrimary(id):
		w.WriteHeader(http.StatusOK)
		return nil
	case !next.Active():
		return apierr.BadRequest("%s cannot be made primary: it is in maintenance or being decommissioned", next)
	case !next.Electable():
		return apierr.BadRequest("%s cannot be made primary: it is non-electable", next)
	}
	if err := p.control.SetPrimary(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
