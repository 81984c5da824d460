package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/aistore-go/aistore/cmn/wire"
)

// CopyObject copies an object to another name or bucket, replacing what has
// that name. The bytes do not pass through the client; when it returns nil the
// copy is complete. Custom metadata and version are those of the source. A
// missing source or destination bucket is a 404.
func (c *Client) CopyObject(ctx context.Context, from wire.Bck, name string, to wire.Bck, toName string) error {
	req, q, err := objectRequest(http.MethodPut, from, name)
	if err != nil {
		return err
	}
	if to.Name == "" || toName == "" {
		return errors.New("copy: the name of the destination is missing")
	}
	q.Set(wire.QueryObjectTo, normalized(to).Uname(toName))
	req.query = q.Encode()
	return c.transfer(ctx, req)
}

// RenameObject gives an object another name in its bucket, replacing what has
// that name. At every moment one of the names is there. It is sent once: after a
// connection that broke, both names may exist, or the new one alone.
func (c *Client) RenameObject(ctx context.Context, b wire.Bck, name, newName string) error {
	req, q, err := objectRequest(http.MethodPost, b, name)
	if err != nil {
		return err
	}
	if newName == "" {
		return errors.New("rename: the new name is missing")
	}
	req.repeatable = false
	req.query = q.Encode()
	if req.body, err = json.Marshal(wire.ActMsg{Action: wire.ActRenameObject, Name: newName}); err != nil {
		return err
	}
	return c.transfer(ctx, req)
}

// transfer sends a request that takes as long as its object is large, and whose
// answer has no body.
func (c *Client) transfer(ctx context.Context, req *request) error {
	ctx, cancel := c.transferContext(ctx)
	defer cancel()
	resp, err := c.do(ctx, req)
	if err != nil {
		return err
	}
	finish(resp)
	return nil
}
