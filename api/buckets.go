package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// bucketRequest is a control request for one bucket.
func bucketRequest(method string, b wire.Bck, body []byte) (*request, error) {
	if b.Name == "" {
		return nil, errors.New("bucket name is missing")
	}
	b = normalized(b)
	return &request{
		method: method, path: bucketPath(wire.PathBuckets, b), query: bucketQuery(b).Encode(), body: body,
		repeatable: method != http.MethodPost,
	}, nil
}

// CreateBucket creates a bucket; props may be nil. A bucket that is there
// already is a 409.
func (c *Client) CreateBucket(ctx context.Context, b wire.Bck, props *meta.BpropsToSet) error {
	var value any
	if props != nil {
		value = props
	}
	_, err := c.bucketAction(ctx, http.MethodPost, b, wire.ActCreateBucket, value)
	return err
}

// DestroyBucket removes a bucket and everything in it. A missing one is a 404.
func (c *Client) DestroyBucket(ctx context.Context, b wire.Bck) error {
	_, err := c.bucketAction(ctx, http.MethodDelete, b, wire.ActDestroyBucket, nil)
	return err
}

// SetBucketProps changes those properties that are not nil, and returns the id
// of the job that the change started, "" if none.
func (c *Client) SetBucketProps(ctx context.Context, b wire.Bck, props *meta.BpropsToSet) (string, error) {
	return c.bucketAction(ctx, http.MethodPatch, b, wire.ActSetBprops, props)
}

// ResetBucketProps returns all properties to the cluster's defaults.
func (c *Client) ResetBucketProps(ctx context.Context, b wire.Bck) (string, error) {
	return c.bucketAction(ctx, http.MethodPatch, b, wire.ActResetBprops, nil)
}

// bucketAction sends an action and returns its answer as text: a job id.
func (c *Client) bucketAction(ctx context.Context, method string, b wire.Bck, name string, value any) (string, error) {
	body, err := action(name, "", value)
	if err != nil {
		return "", err
	}
	req, err := bucketRequest(method, b, body)
	if err != nil {
		return "", err
	}
	answer, err := c.call(ctx, req)
	if req.interrupted && method == http.MethodDelete && IsNotFound(err) {
		return "", nil // the attempt that broke off had done it
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

// HeadBucket returns a bucket's properties. With dontAdd a remote bucket that
// the cluster has not seen is not added to its metadata.
func (c *Client) HeadBucket(ctx context.Context, b wire.Bck, dontAdd bool) (*meta.Bprops, error) {
	req, err := bucketRequest(http.MethodHead, b, nil)
	if err != nil {
		return nil, err
	}
	if dontAdd {
		q := bucketQuery(normalized(b))
		q.Set(wire.QueryDontAddRemote, "true")
		req.query = q.Encode()
	}
	answer, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	text := answer.header.Get(wire.HeaderBucketProps)
	if text == "" {
		return nil, fmt.Errorf("bucket %q: the answer has no header %s", b.String(), wire.HeaderBucketProps)
	}
	props := new(meta.Bprops)
	if err := json.Unmarshal([]byte(text), props); err != nil {
		return nil, fmt.Errorf("bucket %q: cannot decode its properties: %w", b.String(), err)
	}
	return props, nil
}

// ListBuckets lists the buckets that match a query: an empty provider matches
// all, an empty namespace every one of this cluster, an empty name every name.
// Presence is one of wire.Presence....
func (c *Client) ListBuckets(ctx context.Context, query wire.Bck, presence int) ([]wire.Bck, error) {
	body, err := action(wire.ActList, query.Name, nil)
	if err != nil {
		return nil, err
	}
	if query.Provider != "" {
		query = normalized(query)
	}
	q := bucketQuery(query)
	q.Set(wire.QueryPresence, strconv.Itoa(presence))
	answer, err := c.call(ctx, &request{
		method: http.MethodGet, path: wire.PathBuckets, query: q.Encode(), body: body, repeatable: true,
	})
	if err != nil {
		return nil, err
	}
	var buckets []wire.Bck
	if err := answer.decodeJSON(&buckets); err != nil {
		return nil, fmt.Errorf("listing buckets: %w", err)
	}
	return buckets, nil
}

// CreateBucketNoHead is CreateBucket without asking a remote backend whether
// the bucket is there.
func (c *Client) CreateBucketNoHead(ctx context.Context, b wire.Bck, props *meta.BpropsToSet) error {
	var value any
	if props != nil {
		value = props
	}
	body, err := action(wire.ActCreateBucket, "", value)
	if err != nil {
		return err
	}
	req, err := bucketRequest(http.MethodPost, b, body)
	if err != nil {
		return err
	}
	q := bucketQuery(normalized(b))
	q.Set(wire.QueryDontHeadRemote, "true")
	req.query = q.Encode()
	_, err = c.call(ctx, req)
	return err
}
