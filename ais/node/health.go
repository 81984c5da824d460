package node

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// probeTimeout bounds a probe that goes on to the primary.
const probeTimeout = 3 * time.Second

// healthPublic answers /v1/health to clients; the method does not matter.
func (n *Node) healthPublic(w http.ResponseWriter, r *http.Request) error {
	return n.health(w, r, true)
}

// healthIntra answers /v1/health to other nodes.
func (n *Node) healthIntra(w http.ResponseWriter, r *http.Request) error {
	return n.health(w, r, false)
}

func (n *Node) health(w http.ResponseWriter, r *http.Request, public bool) error {
	if r.URL.RawQuery == "" { // the probe of every load balancer
		return n.alive(w, public)
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	var (
		prr    = q.Bool(wire.QueryPrimaryReady)
		apr    = q.Bool(wire.QueryAskPrimary)
		cii    = q.Bool(wire.QueryClusterInfo)
		ciiApr = q.Bool(wire.QueryPrimaryInfo)
	)
	if n.role == meta.RoleProxy && (prr && (cii || ciiApr) || ciiApr && (cii || apr)) {
		return apierr.BadRequest("invalid query: %s excludes %s and %s, and %s excludes %s and %s (have %q)",
			wire.QueryPrimaryReady, wire.QueryClusterInfo, wire.QueryPrimaryInfo,
			wire.QueryPrimaryInfo, wire.QueryClusterInfo, wire.QueryAskPrimary, r.URL.RawQuery)
	}
	switch {
	case cii:
		return n.writeHealthInfo(w, r)
	case n.role == meta.RoleProxy && ciiApr:
		if !n.isPrimary() {
			return n.errNotPrimary(wire.QueryPrimaryInfo + " is answered by the primary only")
		}
		return n.writeHealthInfo(w, r)
	case n.role == meta.RoleProxy && prr:
		return n.primaryReady(w, r)
	case n.role == meta.RoleProxy && apr && !public:
		if !n.isPrimary() {
			return n.errNotPrimary(wire.QueryAskPrimary + " is answered by the primary only")
		}
		return n.alive(w, public)
	case n.role == meta.RoleTarget && !public && q.Bool(wire.QueryRebalanceStatus):
		return n.writeRebalanceStatus(w, r)
	case q.Get(wire.QueryReadiness) == "true":
		return n.ready(w, public)
	}
	return n.alive(w, public)
}

// alive answers 200 once the node was started, in the cluster or not.
func (n *Node) alive(w http.ResponseWriter, public bool) error {
	if !n.Started() {
		return errStarting
	}
	if n.role == meta.RoleProxy || !public {
		n.setUptimes(w.Header())
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// ready answers 200 while the node serves: started, joined, not fenced, in
// touch with a primary, in service, not the only one that could lead a cluster
// of several, and as a target allowed to write.
func (n *Node) ready(w http.ResponseWriter, public bool) error {
	switch {
	case n.fenced() != "":
		return apierr.Unavailable(0, "%s may not serve: %s", n.name, n.fenced())
	case n.Joined() && n.Control().Stale():
		return apierr.Unavailable(time.Second, "%s is cut off: no primary that a majority follows has answered it for some time", n.name)
	case !n.Joined() || !n.Control().Settled() || n.Stopping() || n.inMaintenance():
		return errStarting
	case n.role == meta.RoleTarget && !n.Control().LeaseValid():
		return apierr.Unavailable(time.Second, "%s may not write: it has no owner lease of the primary", n.name)
	}
	return n.alive(w, public)
}

// primaryReady answers whether the primary takes control requests; other
// proxies ask it.
func (n *Node) primaryReady(w http.ResponseWriter, r *http.Request) error {
	err := n.onPrimary(w, r, min(probeTimeout, n.limits.ControlTimeout), func(w http.ResponseWriter, _ *http.Request) error {
		if !n.Joined() {
			return n.errClusterStarting()
		}
		return n.alive(w, true)
	})
	if errors.Is(err, errStarting) {
		err = n.errClusterStarting()
	}
	return err
}

func (n *Node) errClusterStarting() error {
	if why := n.fenced(); why != "" {
		return apierr.Unavailable(time.Second, "%s may not serve: %s", n.name, why)
	}
	return apierr.Unavailable(time.Second, "%s: the cluster is starting", n.name)
}

func (n *Node) writeHealthInfo(w http.ResponseWriter, r *http.Request) error {
	n.setUptimes(w.Header())
	return WriteJSON(w, r, n.healthInfo())
}

// setUptimes adds the headers that say for how long node and cluster are up.
func (n *Node) setUptimes(h http.Header) {
	up, cluster := n.uptimes()
	h[wire.HeaderNodeUptime] = []string{strconv.FormatInt(int64(up), 10)}
	h[wire.HeaderClusterUptime] = []string{strconv.FormatInt(int64(cluster), 10)}
}

// rebalanceStatus is what a target tells of its rebalance.
type rebalanceStatus struct {
	Targets     []string       `json:"targets,omitempty"` // that it waits for
	SmapVersion int64          `json:"smap_version,string"`
	Version     int64          `json:"reb_version,string"` // of the map that it was started with
	ID          int64          `json:"reb_id,string"`
	Stats       wire.SnapStats `json:"stats"`
	Stage       int            `json:"stage"` // 0: it does not run
	Aborted     bool           `json:"aborted"`
	Running     bool           `json:"running"`
}

// writeRebalanceStatus answers rbs=true: the last rebalance that was asked
// for. None runs on this node.
func (n *Node) writeRebalanceStatus(w http.ResponseWriter, r *http.Request) error {
	view := n.View()
	if view.Smap == nil {
		return errStarting
	}
	return WriteJSON(w, r, &rebalanceStatus{SmapVersion: view.Smap.Version, Version: view.Smap.Version, ID: view.RMD.Ver()})
}

func (n *Node) isPrimary() bool {
	cp := n.Control()
	return cp != nil && cp.IsPrimary()
}

func (n *Node) fenced() string {
	if cp := n.Control(); cp != nil {
		return cp.Fenced()
	}
	return ""
}
