package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Types of node answers with the project's node record in them.
type (
	// NodeStatus is what a node tells of itself.
	NodeStatus = wire.NodeStatus[*meta.Snode]
	// NodeStats are the counters and the capacity of a node.
	NodeStats = wire.NodeStats[*meta.Snode]
	// ClusterStats are the counters of a proxy and of all targets.
	ClusterStats = wire.ClusterStats[*meta.Snode]
)

// Uptime is how long ago the cluster was made and how long the asked node has
// been up; 0 where the node does not tell.
type Uptime struct {
	Cluster, Node time.Duration
}

// Health asks the endpoint whether it has started.
func (c *Client) Health(ctx context.Context) (Uptime, error) { return c.health(ctx, "") }

// Ready asks the endpoint whether it is ready to serve: started, joined, and
// not in maintenance. Not ready is a 503.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.health(ctx, wire.QueryReadiness+"=true")
	return err
}

// PrimaryReady asks the primary whether the cluster is ready to rebalance.
func (c *Client) PrimaryReady(ctx context.Context) error {
	_, err := c.health(ctx, wire.QueryPrimaryReady+"=true")
	return err
}

func (c *Client) health(ctx context.Context, query string) (Uptime, error) {
	answer, err := c.call(ctx, &request{method: http.MethodGet, path: wire.PathHealth, query: query, repeatable: true})
	if err != nil {
		return Uptime{}, err
	}
	nanoseconds := func(name string) time.Duration {
		n, _ := strconv.ParseInt(answer.header.Get(name), 10, 64) // absent: 0, as documented
		return time.Duration(n)
	}
	return Uptime{Cluster: nanoseconds(wire.HeaderClusterUptime), Node: nanoseconds(wire.HeaderNodeUptime)}, nil
}

// NodeState asks a node by its own public address, once, what it knows of the
// cluster's state. It also answers if it may not serve: then Fenced says why.
func (c *Client) NodeState(ctx context.Context, node *meta.Snode) (*wire.NodeStateInfo, error) {
	base, err := url.Parse(node.Public.URL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.ControlTimeout)
	defer cancel()
	req := &request{method: http.MethodGet, path: wire.PathHealth, query: wire.QueryClusterInfo + "=true", repeatable: true}
	resp, err := c.follow(ctx, req, base)
	if err != nil {
		return nil, err
	}
	defer finish(resp)
	state := new(wire.NodeStateInfo)
	return state, json.NewDecoder(io.LimitReader(resp.Body, maxNodeState)).Decode(state)
}

// maxNodeState bounds the state of one node, in bytes.
const maxNodeState = 1 << 20

// WaitReady asks until the endpoint is ready or the context ends.
func (c *Client) WaitReady(ctx context.Context, interval time.Duration) error {
	for {
		err := c.Ready(ctx)
		if err == nil {
			return nil
		}
		if sleepErr := sleep(ctx, interval); sleepErr != nil {
			return fmt.Errorf("%w (last answer: %w)", sleepErr, err)
		}
	}
}

// FetchSmap asks the endpoint for the cluster map; the client keeps it for
// smart routing.
func (c *Client) FetchSmap(ctx context.Context) (*meta.Smap, error) {
	smap := new(meta.Smap)
	if err := c.getJSON(ctx, wire.PathDaemon, whatQuery(wire.WhatSmap), nil, smap); err != nil {
		return nil, err
	}
	c.keepSmap(smap)
	return smap, nil
}

// NodeSmap asks one node for its cluster map.
func (c *Client) NodeSmap(ctx context.Context, nodeID string) (*meta.Smap, error) {
	smap := new(meta.Smap)
	if err := c.nodeJSON(ctx, nodeID, wire.WhatSmap, smap); err != nil {
		return nil, err
	}
	return smap, nil
}

// BMD asks the endpoint for the bucket metadata.
func (c *Client) BMD(ctx context.Context) (*meta.BMD, error) {
	bmd := new(meta.BMD)
	if err := c.getJSON(ctx, wire.PathDaemon, whatQuery(wire.WhatBMD), nil, bmd); err != nil {
		return nil, err
	}
	return bmd, nil
}

// ClusterConfig returns the cluster's configuration.
func (c *Client) ClusterConfig(ctx context.Context) (*config.Cluster, error) {
	cluster := new(config.Cluster)
	if err := c.getJSON(ctx, wire.PathCluster, whatQuery(wire.WhatClusterConfig), nil, cluster); err != nil {
		return nil, err
	}
	return cluster, nil
}

// ConfiguredBackends returns the providers that the cluster is configured for.
func (c *Client) ConfiguredBackends(ctx context.Context) ([]string, error) {
	var providers []string
	err := c.getJSON(ctx, wire.PathCluster, whatQuery(wire.WhatBackends), nil, &providers)
	return providers, err
}

// ClusterStats returns the counters of the endpoint and of all targets.
func (c *Client) ClusterStats(ctx context.Context) (*ClusterStats, error) {
	stats := new(ClusterStats)
	err := c.getJSON(ctx, wire.PathCluster, whatQuery(wire.WhatNodeStats), nil, stats)
	return stats, err
}

// NodeStatus asks a node, through the endpoint, for its status.
func (c *Client) NodeStatus(ctx context.Context, nodeID string) (*NodeStatus, error) {
	status := new(NodeStatus)
	if err := c.nodeJSON(ctx, nodeID, wire.WhatNodeStatus, status); err != nil {
		return nil, err
	}
	return status, nil
}

// NodeStats asks a node, through the endpoint, for its counters.
func (c *Client) NodeStats(ctx context.Context, nodeID string) (*NodeStats, error) {
	stats := new(NodeStats)
	if err := c.nodeJSON(ctx, nodeID, wire.WhatNodeStats, stats); err != nil {
		return nil, err
	}
	return stats, nil
}

// Mountpaths asks a target, through the endpoint, for its mountpaths.
func (c *Client) Mountpaths(ctx context.Context, nodeID string) (*wire.MountpathList, error) {
	list := new(wire.MountpathList)
	if err := c.nodeJSON(ctx, nodeID, wire.WhatMountpaths, list); err != nil {
		return nil, err
	}
	return list, nil
}

// NodeWhat asks a node for anything that it tells; the answer is as received.
func (c *Client) NodeWhat(ctx context.Context, nodeID, what string) ([]byte, error) {
	answer, err := c.call(ctx, nodeRequest(nodeID, what))
	if err != nil {
		return nil, err
	}
	return answer.body, nil
}

func (c *Client) nodeJSON(ctx context.Context, nodeID, what string, v any) error {
	answer, err := c.call(ctx, nodeRequest(nodeID, what))
	if err != nil {
		return err
	}
	return answer.decodeJSON(v)
}

// nodeRequest is a query that a proxy passes on to a node.
func nodeRequest(nodeID, what string) *request {
	return &request{
		method: http.MethodGet, path: wire.PathReverse + "/" + wire.ItemDaemon, query: whatQuery(what),
		header: http.Header{wire.HeaderNodeID: {nodeID}}, repeatable: true,
	}
}

func whatQuery(what string) string { return url.Values{wire.QueryWhat: {what}}.Encode() }

// readSmap decodes a cluster map.
func readSmap(r io.Reader) (*meta.Smap, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxControlBody))
	if err != nil {
		return nil, err
	}
	smap := new(meta.Smap)
	if err := json.Unmarshal(data, smap); err != nil {
		return nil, fmt.Errorf("cannot decode the cluster map: %w", err)
	}
	return smap, nil
}
