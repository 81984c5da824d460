package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aistore-go/aistore/cmn/wire"
)

// SetCustom changes the custom metadata of an object: the keys are added to
// those that it has, or, with replace, take their place (none clears it).
// Content, version and times stay. A missing object is a 404.
func (c *Client) SetCustom(ctx context.Context, b wire.Bck, name string, custom map[string]string, replace bool) error {
	req, q, err := objectRequest(http.MethodPatch, b, name)
	if err != nil {
		return err
	}
	if replace {
		q.Set(wire.QuerySetNewCustom, "true")
	}
	req.query = q.Encode()
	if req.body, err = json.Marshal(wire.ActMsg{Value: custom}); err != nil {
		return err
	}
	_, err = c.call(ctx, req)
	return err
}

// LockState tells who uses an object at the moment.
type LockState int

// States of an object.
const (
	Unlocked        LockState = iota // nobody; also of one that does not exist
	LockedShared                     // it is being read
	LockedExclusive                  // it is being changed
)

// CheckLock asks who uses an object at the moment.
func (c *Client) CheckLock(ctx context.Context, b wire.Bck, name string) (LockState, error) {
	req, q, err := objectRequest(http.MethodPost, b, name)
	if err != nil {
		return Unlocked, err
	}
	req.query = q.Encode()
	if req.body, err = json.Marshal(wire.ActMsg{Action: wire.ActCheckLock}); err != nil {
		return Unlocked, err
	}
	answer, err := c.call(ctx, req)
	switch {
	case HTTPStatus(err) == http.StatusLocked:
		return LockedExclusive, nil
	case err != nil:
		return Unlocked, err
	case answer.status == http.StatusAccepted:
		return LockedShared, nil
	}
	return Unlocked, nil
}
