package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// nodes reaches other nodes for membership operations.
type nodes struct{ node *node.Node }

var _ membership.Nodes = (*nodes)(nil)

// Tell implements membership.Nodes.
func (c *nodes) Tell(ctx context.Context, sn *meta.Snode, op *meta.Operation) error {
	options := node.DecommissionOptions{
		RemoveUserData: op.RemoveUserData, KeepInitialConfig: op.KeepInitialConfig, NoShutdown: op.NoShutdown,
	}
	if sn.ID == c.node.ID() { // of a whole cluster
		return c.node.Decommission(ctx, options)
	}
	msg := wire.ActMsg{Action: op.Action}
	if op.Action == wire.ActDecommissionNode || op.Action == wire.ActDecommission {
		msg.Value = options
	}
	body, err := json.Marshal(&msg)
	if err != nil {
		return err
	}
	_, _, err = c.node.RPC().Request(ctx, rpc.Control, http.MethodPut, sn.IntraControl.URL+wire.PathDaemon, wire.ContentJSON, body)
	if op.Action == wire.ActShutdown && errors.Is(err, syscall.ECONNREFUSED) {
		return nil // it has stopped already
	}
	return err
}

// Held implements membership.Nodes.
func (c *nodes) Held(ctx context.Context, sn *meta.Snode) (held membership.Held, err error) {
	return held, c.get(ctx, sn, wire.PathHeld, &held)
}

// Space implements membership.Nodes.
func (c *nodes) Space(ctx context.Context, sn *meta.Snode) (membership.Space, error) {
	var stats struct {
		Capacity wire.Capacity `json:"capacity"`
	}
	if err := c.get(ctx, sn, wire.PathDaemon+"?"+wire.QueryWhat+"="+wire.WhatNodeStats, &stats); err != nil {
		return nil, err
	}
	space := membership.Space{}
	for _, mp := range stats.Capacity.Mountpaths {
		id := mp.FS.Fs
		if data, err := json.Marshal(mp.FS.FsID); err == nil {
			id += string(data)
		}
		space[id] = membership.FilesystemSpace{Used: mp.Used, Avail: mp.Avail}
	}
	return space, nil
}

func (c *nodes) get(ctx context.Context, sn *meta.Snode, pathQuery string, into any) error {
	data, _, err := c.node.RPC().Get(ctx, sn.IntraControl.URL, pathQuery)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return apierr.Wrap(err, http.StatusBadGateway, "", "answer of %s to %s", sn, pathQuery)
	}
	return nil
}

// probeTime bounds one probe of a node's health.
const probeTime = 2 * time.Second

// Serves implements membership.Nodes. Plain health would not do: a process
// that is about to end answers it, too.
func (c *nodes) Serves(ctx context.Context, sn *meta.Snode) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	found, err := snodeAt(ctx, c.node, sn.IntraControl.URL)
	if err == nil && found.ID != sn.ID {
		err = apierr.New(http.StatusBadGateway, "", "%s answers at %s", found, sn.IntraControl.URL)
	}
	return err
}
