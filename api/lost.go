package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// DeclareLost has the cluster go on for good without what dead targets hold: what
// only they have does not exist any more, and one that comes back begins empty. All
// are declared, or none. It returns the id of the rebalance that settles the
// placement; "" if there is none.
//
// Errors: 400 no target is named, or a gateway; 404 nobody of that id may hold
// anything; 409 a target owns names, or runs; 503 the targets of the cluster are changing.
func (c *Client) DeclareLost(ctx context.Context, nodeIDs ...string) (rebalance string, err error) {
	body, err := action(wire.ActDeclareLost, "", &wire.DeclareLostMsg{NodeIDs: nodeIDs, Force: true})
	if err != nil {
		return "", err
	}
	answer, err := c.call(ctx, &request{method: http.MethodPut, path: wire.PathCluster, body: body, repeatable: true})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

// Placement tells whether everything is where its owner is, and which targets the
// cluster waits for.
func (c *Client) Placement(ctx context.Context) (*wire.PlacementInfo, error) {
	info := new(wire.PlacementInfo)
	if err := c.getJSON(ctx, wire.PathCluster, whatQuery(wire.WhatPlacement), nil, info); err != nil {
		return nil, err
	}
	return info, nil
}
