package node

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/transport/rpc"
)

// writeRemotes answers what=remote of a target: from memory, or, with contact,
// after asking the remote clusters.
func (n *Node) writeRemotes(w http.ResponseWriter, r *http.Request, contact bool) error {
	answer, err := n.remotesFromMemory()
	if contact && err == nil {
		answer, err = n.remotesAsked(r.Context())
	}
	if err != nil {
		return err
	}
	return WriteJSON(w, r, answer)
}

// clusterRemotes answers what=remote of the cluster: one target, whichever
// answers first in random order, asks the remote clusters, since it is targets
// that will talk to them.
func (n *Node) clusterRemotes(w http.ResponseWriter, r *http.Request) error {
	targets := n.View().Smap.ActiveTargets()
	if len(targets) == 0 {
		return apierr.New(http.StatusBadRequest, wire.CodeNoNodes, "%s: no active target is there to ask remote clusters", n.name)
	}
	var err error
	for _, i := range rand.Perm(len(targets)) {
		var answer []byte
		answer, err = n.askOne(r.Context(), targets[i], wire.WhatRemote+"&"+wire.QueryClusterInfo+"=true", 2*contactTime)
		var unreachable *rpc.UnreachableError
		if errors.As(err, &unreachable) && r.Context().Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		return WriteRawJSON(w, r, bytes.TrimSpace(answer))
	}
	return err
}
