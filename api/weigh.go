package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// WeighTargets has targets own names in proportion to capacities, or takes that back; with
// wire.WeighByCapacity and WeighByNothing each target weighs its mountpaths as well. It returns when the
// owners have changed, with the id of the rebalance that has begun, "" if there is none. Errors: 400, 404
// what is asked for is invalid; 409 the membership is changing; 503 targets do not answer.
func (c *Client) WeighTargets(ctx context.Context, weights wire.WeighMsg) (rebalance string, err error) {
	body, err := action(wire.ActWeighTargets, "", &weights)
	if err != nil {
		return "", err
	}
	answer, err := c.call(ctx, &request{method: http.MethodPut, path: wire.PathCluster, body: body})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

// WeighMountpaths has one target place names on its mountpaths in proportion to capacities (by path), or
// takes that back. It returns the capacities that count, empty if shares are equal; what has to
// be moved a resilver moves. Errors: 400, 404 as above; 500 the target cannot record it.
func (c *Client) WeighMountpaths(ctx context.Context, nodeID string, weights wire.WeighMsg) (capacities map[string]uint64, err error) {
	body, err := action(wire.ActWeighMountpaths, "", &weights)
	if err != nil {
		return nil, err
	}
	answer, err := c.call(ctx, &request{
		method: http.MethodPut, path: wire.PathReverse + "/" + wire.ItemDaemon, body: body, header: http.Header{wire.HeaderNodeID: {nodeID}},
	})
	if err != nil {
		return nil, err
	}
	return capacities, json.Unmarshal(answer.body, &capacities)
}
