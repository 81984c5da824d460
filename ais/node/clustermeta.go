package node

import (
	"net/http"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// clusterMeta is the answer to what=smapvote: all that a node knows of its
// cluster, in one.
type clusterMeta struct {
	Smap      *meta.Smap      `json:"smap"`
	BMD       *meta.BMD       `json:"bmd"`
	RMD       *meta.RMD       `json:"rmd"`
	ETL       *meta.Table     `json:"etlMD,omitempty"`
	Config    *config.Cluster `json:"config"`
	Snode     *meta.Snode     `json:"si"`
	PrimeTime int64           `json:"prime_time"` // ns since the epoch, by the primary's clock; 0 if this is not the primary
	Flags     wire.NodeFlags  `json:"flags"`
}

// writeClusterMeta answers what=smapvote.
func (n *Node) writeClusterMeta(w http.ResponseWriter, r *http.Request) error {
	view := n.View()
	cm := &clusterMeta{Smap: view.Smap, BMD: view.BMD, RMD: view.RMD, ETL: view.ETL, Snode: n.self(), Flags: n.flags()}
	if view.Config != nil {
		cm.Config = withoutSecrets(view.Config.Cluster)
	}
	if n.isPrimary() {
		cm.PrimeTime = time.Now().UnixNano()
	}
	return WriteJSON(w, r, cm)
}

// readyToBeJoined tells whether this proxy's cluster could take in another
// one: the question comes with what=smap.
func (n *Node) readyToBeJoined(smap *meta.Smap) error {
	switch {
	case !n.isPrimary():
		return n.errNotPrimary("another cluster can join by way of the primary only")
	case !n.Joined():
		return apierr.BadRequest("%s is not ready: the cluster is starting", n.name)
	case smap.CountTargets() > 1 && n.Config().Rebalance.Enabled:
		return apierr.BadRequest("%s is not ready: rebalance must be disabled (rebalance.enabled) as there are %d targets", n.name, smap.CountTargets())
	}
	return nil
}
