package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// fanOutWidth is how many nodes are asked at a time.
const fanOutWidth = 32

// cluster answers /v1/cluster on proxies.
func (n *Node) cluster(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		return n.clusterGet(w, r)
	case http.MethodDelete:
		return apierr.New(http.StatusForbidden, "", "%s: DELETE %s is accepted from other nodes of the cluster only", n.name, wire.PathCluster)
	}
	return n.clusterWrite(w, r)
}

// clusterIntra answers /v1/cluster to other nodes, which may also remove.
func (n *Node) clusterIntra(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodDelete {
		return n.clusterWrite(w, r)
	}
	return n.cluster(w, r)
}

// clusterGet answers a question about the cluster.
func (n *Node) clusterGet(w http.ResponseWriter, r *http.Request) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	what := q.Get(wire.QueryWhat)
	switch what {
	case wire.WhatSnode:
		return WriteJSON(w, r, n.self())
	case wire.WhatClusterConfig:
		return n.writeClusterConfig(w, r)
	case wire.WhatBackends: // no cloud provider is built in
		return WriteJSON(w, r, []string{})
	}
	view := n.View()
	if view.Smap == nil {
		return errStarting
	}
	switch what {
	case wire.WhatSmap:
		return writeDocument(w, r, view.Smap)
	case wire.WhatBMD:
		if view.BMD == nil {
			return errStarting
		}
		return writeDocument(w, r, view.BMD)
	case wire.WhatNodeStats:
		return n.clusterStats(w, r)
	case wire.WhatSysInfo:
		return n.clusterSysInfo(w, r)
	case wire.WhatMountpaths:
		lists, err := n.askTargets(r.Context(), wire.WhatMountpaths)
		if err != nil {
			return err
		}
		return WriteJSON(w, r, map[string]any{"targets": lists})
	case wire.WhatRemote:
		return n.clusterRemotes(w, r)
	case wire.WhatSmapVote:
		return n.writeClusterMeta(w, r)
	case wire.WhatPlacement:
		return n.writePlacement(w, r, view)
	case wire.WhatOperations:
		if view.Operations == nil {
			return WriteJSON(w, r, &meta.Operations{})
		}
		return writeDocument(w, r, view.Operations)
	case wire.WhatTargetIPs:
		return WriteText(w, r, targetHosts(view.Smap))
	case wire.WhatStatus, wire.WhatStatusAll, wire.WhatQueryXactStats, wire.WhatRunningAll:
		return n.jobQuery(w, r, what)
	default:
		return errInvalidWhat(what)
	}
}

// clusterStats answers with the statistics of this proxy and of all active
// targets.
func (n *Node) clusterStats(w http.ResponseWriter, r *http.Request) error {
	targets, err := n.askTargets(r.Context(), wire.WhatNodeStats)
	if err != nil {
		return err
	}
	own := n.stats()
	return WriteJSON(w, r, &struct {
		Proxy  *wire.NodeStats[*meta.Snode] `json:"proxy"`
		Target map[string]json.RawMessage   `json:"target"`
	}{&own, targets})
}

// clusterSysInfo answers with memory and processor of all proxies and active
// targets.
func (n *Node) clusterSysInfo(w http.ResponseWriter, r *http.Request) error {
	targets, err := n.askTargets(r.Context(), wire.WhatSysInfo)
	if err != nil {
		return err
	}
	var others []*meta.Snode
	for _, sn := range n.View().Smap.Pmap {
		if sn.ID != n.id && sn.Active() {
			others = append(others, sn)
		}
	}
	proxies, err := n.ask(r.Context(), others, wire.WhatSysInfo)
	if err != nil {
		return err
	}
	own, err := json.Marshal(n.sys.MemCPU())
	if err != nil {
		return err
	}
	proxies[n.id] = own
	return WriteJSON(w, r, &struct {
		Proxy  map[string]json.RawMessage `json:"proxy"`
		Target map[string]json.RawMessage `json:"target"`
	}{proxies, targets})
}

// targetHosts lists the three host names of every target.
func targetHosts(smap *meta.Smap) string {
	var hosts []string
	for _, sn := range smap.Tmap {
		hosts = append(hosts, sn.Public.Host+","+sn.IntraControl.Host+","+sn.IntraData.Host)
	}
	slices.Sort(hosts)
	return strings.Join(hosts, ",")
}

// askTargets asks all active targets.
func (n *Node) askTargets(ctx context.Context, what string) (map[string]json.RawMessage, error) {
	return n.ask(ctx, n.View().Smap.ActiveTargets(), what)
}

// ask puts one question to several nodes and returns their answers by id. A
// node that answers 404 is left out; any other failure is that of the whole.
func (n *Node) ask(ctx context.Context, nodes []*meta.Snode, what string) (map[string]json.RawMessage, error) {
	patience := n.Config().Timeout.MaxKeepalive.D()
	if patience <= 0 {
		patience = 4 * time.Second
	}
	var mu sync.Mutex
	answers := make(map[string]json.RawMessage, len(nodes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fanOutWidth)
	for _, sn := range nodes {
		group.Go(func() error {
			silent := n.isDown(sn)
			answer, err := n.askOne(ctx, sn, what, patienceWith(silent, patience))
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !silent {
				answer, err = n.askOne(ctx, sn, what, 2*patience)
			}
			var unreachable *rpc.UnreachableError
			switch {
			case apierr.IsNotFound(err):
				return nil
			case errors.As(err, &unreachable):
				return apierr.Unavailable(time.Second, "%s: %s does not answer %s=%s: %v", n.name, sn, wire.QueryWhat, what, err)
			case err != nil:
				return err
			}
			mu.Lock()
			answers[sn.ID] = bytes.TrimSpace(answer)
			mu.Unlock()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return answers, nil
}

// downPatience is how long a node is waited for that has not been heard of.
const downPatience = time.Second

func (n *Node) isDown(sn *meta.Snode) bool {
	cp := n.Control()
	return cp != nil && cp.IsDown(sn.ID)
}

func patienceWith(down bool, otherwise time.Duration) time.Duration {
	if down {
		return min(downPatience, otherwise)
	}
	return otherwise
}

func (n *Node) askOne(ctx context.Context, sn *meta.Snode, what string, patience time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, _, err := n.rpc.Get(ctx, sn.IntraControl.URL, wire.PathDaemon+"?"+wire.QueryWhat+"="+what)
	return answer, err
}
