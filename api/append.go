package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// AppendObject adds a body to what is being appended to an object, and returns
// the handle of the next call. An empty handle begins with the content that the
// object has now, none if there is none. Nothing of it is visible before
// FlushObject. It is sent once: a connection that breaks leaves open whether the
// handle was replaced, and then the next call with it is a 409.
//
// Errors: 404 what was appended is lost (flushed, too old, or its target was
// restarted): begin again; 409 another call uses the handle, or it was replaced.
func (c *Client) AppendObject(ctx context.Context, b wire.Bck, name, handle string, body Payload) (next string, err error) {
	if body == nil {
		return "", errors.New("append: there is no body")
	}
	req, q, err := objectRequest(http.MethodPut, b, name)
	if err != nil {
		return "", err
	}
	// The target is the one that the handle names: the gateway knows.
	req.payload, req.repeatable, req.object = body, false, nil
	q.Set(wire.QueryAppendType, "append")
	q.Set(wire.QueryAppendHandle, handle)
	req.query = q.Encode()

	ctx, cancel := c.transferContext(ctx)
	defer cancel()
	resp, err := c.do(ctx, req)
	if err != nil {
		return "", err
	}
	finish(resp)
	next = resp.Header.Get(wire.HeaderAppendHandle)
	if next == "" {
		return "", errors.New("append to " + b.Cname(name) + ": the answer has no handle")
	}
	return next, nil
}

// FlushObject makes what was appended the object, and ends the handle. With a
// checksum of the whole content, of the bucket's type, the cluster refuses
// content that differs (500, ErrBadCksum); the handle is good for another try
// then.
func (c *Client) FlushObject(ctx context.Context, b wire.Bck, name, handle string, sum cksum.Value) error {
	if handle == "" {
		return errors.New("flush: there is no handle")
	}
	req, q, err := objectRequest(http.MethodPut, b, name)
	if err != nil {
		return err
	}
	req.repeatable, req.object = false, nil
	q.Set(wire.QueryAppendType, "flush")
	q.Set(wire.QueryAppendHandle, handle)
	req.query = q.Encode()
	if !sum.IsNone() {
		req.header[wire.HeaderObjChecksumType] = []string{sum.Type}
		req.header[wire.HeaderObjChecksumValue] = []string{sum.Value}
	}
	return c.transfer(ctx, req)
}
