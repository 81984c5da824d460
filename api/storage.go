package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/aistore-go/aistore/cmn/wire"
)

// WhatDisks are the disks of a target and how full its mountpaths are.
func (c *Client) WhatDisks(ctx context.Context, nodeID string) (*wire.DiskStatsCap, error) {
	stats := new(wire.DiskStatsCap)
	if err := c.nodeJSON(ctx, nodeID, wire.WhatDisk, stats); err != nil {
		return nil, err
	}
	return stats, nil
}

// MountpathChange is an operation on a mountpath of a target.
type MountpathChange struct {
	Action string // wire.ActMountpathAttach, ...
	Path   string
	// Label is that of a mountpath that is attached.
	Label string
	// NoResilver: what lies on a mountpath that leaves is not moved first, and cannot be
	// read until it is back.
	NoResilver bool
}

// ChangeMountpath has a target attach, detach, enable, disable or check one of its
// mountpaths. changed is false if it was as is wanted already. Errors: 400 with the reason;
// 404 no such mountpath.
func (c *Client) ChangeMountpath(ctx context.Context, nodeID string, m MountpathChange) (changed bool, err error) {
	method := http.MethodPost
	switch m.Action {
	case wire.ActMountpathAttach:
		method = http.MethodPut
	case wire.ActMountpathDetach:
		method = http.MethodDelete
	}
	query := url.Values{}
	if m.Label != "" {
		query.Set(wire.QueryMountpathLabel, m.Label)
	}
	if m.NoResilver {
		query.Set(wire.QueryDontResilver, "true")
	}
	body, err := action(m.Action, "", m.Path)
	if err != nil {
		return false, err
	}
	answer, err := c.call(ctx, &request{
		method: method, path: wire.PathReverse + "/" + wire.ItemDaemon + "/" + wire.ItemMountpaths, query: query.Encode(), body: body,
		header: http.Header{wire.HeaderNodeID: {nodeID}},
	})
	if err != nil {
		return false, err
	}
	return answer.status != http.StatusNoContent, nil
}
