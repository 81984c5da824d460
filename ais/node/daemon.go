package node

import (
	"net/http"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// daemonPublic answers /v1/daemon to clients. A target only answers
// questions: changes come from the cluster.
func (n *Node) daemonPublic(w http.ResponseWriter, r *http.Request) error {
	if n.role == meta.RoleTarget && r.Method != http.MethodGet {
		if n.maySave(r) {
			return n.daemonSave(w, r)
		}
		return n.errNodesOnly(r)
	}
	return n.daemon(w, r, ItemsBelow(r, wire.PathDaemon))
}

// daemonIntra answers /v1/daemon to other nodes.
func (n *Node) daemonIntra(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && n.Caller(r) == nil {
		return n.errUnknownCaller(r)
	}
	return n.daemon(w, r, ItemsBelow(r, wire.PathDaemon))
}

// daemon answers a call about this node; items are the path below /v1/daemon.
func (n *Node) daemon(w http.ResponseWriter, r *http.Request, items []string) error {
	if r.Method == http.MethodGet && !n.answersGet(r, items) {
		return n.daemonGet(w, r)
	}
	return n.daemonWrite(w, r, items)
}

// answersGet tells that an item of /v1/daemon answers GET itself; to the others,
// and with ?what=, a GET is a question about the node.
func (n *Node) answersGet(r *http.Request, items []string) bool {
	if len(items) < 2 || r.URL.RawQuery != "" {
		return false
	}
	it, ok := find(&n.actions, &n.actions.daemonItems, items[0])
	return ok && slices.Contains(it.methods, http.MethodGet)
}

// daemonGet answers a question about this node.
func (n *Node) daemonGet(w http.ResponseWriter, r *http.Request) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	switch what := q.Get(wire.QueryWhat); what {
	case wire.WhatSmap:
		smap, err := n.awaitSmap(r)
		if err != nil {
			return err
		}
		if n.role == meta.RoleProxy && len(r.Header[wire.HeaderReadyToJoin]) > 0 {
			if err := n.readyToBeJoined(smap); err != nil {
				return err
			}
		}
		return writeDocument(w, r, smap)
	case wire.WhatBMD:
		if bmd := n.View().BMD; bmd != nil {
			return writeDocument(w, r, bmd)
		}
		return errStarting
	case wire.WhatLineage:
		return n.writeLineage(w, r)
	case wire.WhatConfig:
		return n.writeConfig(w, r)
	case wire.WhatClusterConfig:
		return n.writeClusterConfig(w, r)
	case wire.WhatSnode:
		return WriteJSON(w, r, n.self())
	case wire.WhatNodeStats:
		stats := n.stats()
		return WriteJSON(w, r, &stats)
	case wire.WhatNodeStatus:
		return WriteJSON(w, r, n.nodeStatus())
	case wire.WhatMetrics:
		return WriteJSON(w, r, n.metrics.Kinds())
	case wire.WhatSysInfo:
		if n.role == meta.RoleTarget {
			return WriteJSON(w, r, n.targetSysInfo())
		}
		info := n.sys.MemCPU()
		return WriteJSON(w, r, &info)
	case wire.WhatLog:
		return n.writeLog(w, r, q)
	case wire.WhatSoftwareVersion:
		return WriteText(w, r, n.version.Software())
	case wire.WhatTLS:
		return n.writeCertificate(w, r)
	case wire.WhatSmapVote:
		return n.writeClusterMeta(w, r)
	case wire.WhatMountpaths, wire.WhatDisk, wire.WhatRemote:
		if n.role == meta.RoleTarget {
			return n.targetGet(w, r, what, q.Bool(wire.QueryClusterInfo))
		}
		return errInvalidWhat(what)
	default:
		return errInvalidWhat(what)
	}
}

// errInvalidWhat is the 400 of a question that this node does not answer.
func errInvalidWhat(what string) error {
	return apierr.BadRequest("invalid query parameter %s=%q", wire.QueryWhat, what)
}

// targetGet answers the questions that only targets are asked. With contact,
// remote clusters are asked themselves.
func (n *Node) targetGet(w http.ResponseWriter, r *http.Request, what string, contact bool) error {
	if what == wire.WhatRemote {
		return n.writeRemotes(w, r, contact)
	}
	source := n.status.Load()
	if source == nil {
		return errStarting
	}
	if what == wire.WhatMountpaths {
		list := (*source).Mountpaths()
		list.Available, list.Waiting, list.Disabled = notNil(list.Available), notNil(list.Waiting), notNil(list.Disabled)
		return WriteJSON(w, r, &list)
	}
	answer := wire.DiskStatsCap{AllDiskStats: (*source).Disks(), Capacity: (*source).Capacity()}
	if aside, ok := (*source).(interface{ SetAside() []wire.SetAside }); ok {
		answer.SetAside = aside.SetAside()
	}
	if answer.AllDiskStats == nil {
		answer.AllDiskStats = map[string]wire.DiskStats{}
	}
	return WriteJSON(w, r, &answer)
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// awaitSmap returns the cluster map, waiting a while for the first one.
func (n *Node) awaitSmap(r *http.Request) (*meta.Smap, error) {
	if smap := n.View().Smap; smap != nil {
		return smap, nil
	}
	deadline := time.NewTimer(n.limits.SmapWait)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if smap := n.View().Smap; smap != nil {
				return smap, nil
			}
			if n.Stopping() {
				return nil, errStarting
			}
		case <-deadline.C:
			return nil, errStarting
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// writeDocument answers with a document in its wire form.
func writeDocument(w http.ResponseWriter, r *http.Request, doc meta.Document) error {
	data, err := doc.Encode()
	if err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the %s", doc.Kind())
	}
	return WriteRawJSON(w, r, data)
}
