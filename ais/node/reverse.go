package node

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/transport/rpc"
)

// reverse answers /v1/reverse/daemon[/...]: the request goes, as
// /v1/daemon[/...], to the node that the header Ais-Node-Id names.
func (n *Node) reverse(w http.ResponseWriter, r *http.Request) error {
	items := ItemsBelow(r, wire.PathReverse)
	if len(items) == 0 || items[0] != wire.ItemDaemon {
		return apierr.BadRequest("invalid path '%s': expected %s/%s", r.URL.Path, wire.PathReverse, wire.ItemDaemon)
	}
	id := r.Header.Get(wire.HeaderNodeID)
	if id == "" {
		return apierr.BadRequest("missing node ID: header %s names the node that is asked", wire.HeaderNodeID)
	}
	if id == n.id {
		return n.daemon(w, r, items[1:])
	}
	smap := n.View().Smap
	if smap == nil {
		return errStarting
	}
	to := smap.Node(id)
	if to == nil {
		to = n.goneNode(id)
	}
	if to == nil {
		return n.errNodeNotFound(id)
	}
	if !to.Active() && r.Method == http.MethodGet && len(items) == 1 {
		q, err := query.Parse(r.URL.RawQuery)
		if err != nil {
			return err
		}
		if q.Get(wire.QueryWhat) == wire.WhatNodeStatus {
			return WriteJSON(w, r, absentStatus(to))
		}
	}
	body, err := readBodyWithin(w, r, n.limits.ControlBody, n.limits.ControlTimeout)
	if err != nil {
		return err
	}
	var path strings.Builder
	path.WriteString(wire.PathDaemon)
	for _, item := range items[1:] {
		path.WriteByte('/')
		path.WriteString(url.PathEscape(item))
	}
	err = n.pass(r.Context(), w, r, to, path.String(), body, false)
	var unreachable *rpc.UnreachableError
	if errors.As(err, &unreachable) {
		n.logger.Warn("node does not answer", "node", to.String(), "err", err)
		return errBadGateway
	}
	return err
}
