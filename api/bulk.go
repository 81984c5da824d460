package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Messages of operations on many objects, for callers.
type (
	ListRange      = wire.ListRange
	RemoveMsg      = wire.RemoveMsg
	PrefetchMsg    = wire.PrefetchMsg
	CopyBucketMsg  = wire.CopyBucketMsg
	CopyObjectsMsg = wire.CopyObjectsMsg
	PromoteMsg     = wire.PromoteMsg
	RechunkMsg     = wire.RechunkMsg
	SummaryMsg     = wire.SummaryMsg
	BucketSummary  = wire.BucketSummary
)

// RemoveObjects starts the job that deletes the objects that a list or a
// template selects, and returns its id; see WaitJob.
func (c *Client) RemoveObjects(ctx context.Context, b wire.Bck, msg *RemoveMsg) (jobID string, err error) {
	return c.bucketAction(ctx, http.MethodDelete, b, wire.ActDeleteListRange, msg)
}

// EvictObjects starts the job that removes objects of a remote bucket from the
// cluster alone. Of a bucket of the cluster's own it is a 400.
func (c *Client) EvictObjects(ctx context.Context, b wire.Bck, msg *RemoveMsg) (jobID string, err error) {
	return c.bucketAction(ctx, http.MethodDelete, b, wire.ActEvictListRange, msg)
}

// PrefetchObjects starts the job that fetches objects of a remote bucket into the
// cluster. Of a bucket of the cluster's own it is a 400.
func (c *Client) PrefetchObjects(ctx context.Context, b wire.Bck, msg *PrefetchMsg) (jobID string, err error) {
	return c.bucketAction(ctx, http.MethodPost, b, wire.ActPrefetch, msg)
}

// CopyBucket starts the job that copies a bucket, and returns its id. A destination that is
// missing is made, with the properties of the source; msg may be nil.
func (c *Client) CopyBucket(ctx context.Context, from, to wire.Bck, msg *CopyBucketMsg) (jobID string, err error) {
	if msg == nil {
		msg = &CopyBucketMsg{}
	}
	return c.bucketToBucket(ctx, from, to, wire.ActCopyBucket, msg)
}

// RenameBucket starts the job that gives a bucket another name, and returns its
// id. When it has ended the bucket has the new name; if it is aborted, the old one.
func (c *Client) RenameBucket(ctx context.Context, from, to wire.Bck) (jobID string, err error) {
	return c.bucketToBucket(ctx, from, to, wire.ActMoveBucket, nil)
}

// MakeNCopies starts the job that makes as many copies of each object of a bucket, the object
// itself included, on as many mountpaths of its target, and returns its id. From then on new
// objects have as many; 1 ends mirroring. Errors: 400 a number outside 1 to 16, more than
// some target has mountpaths, or the job runs on the bucket already; 507 no room for more.
func (c *Client) MakeNCopies(ctx context.Context, b wire.Bck, copies int) (jobID string, err error) {
	return c.bucketAction(ctx, http.MethodPost, b, wire.ActMakeNCopies, copies)
}

// EncodeBucket starts the job that makes the slices of a bucket's objects, and returns its
// id; from then on new objects have slices, too. set has the numbers of slices, and may be
// nil if the bucket is encoded already. With repair every slice is read, and what is missing or
// damaged is made again. Errors: 400 other numbers than the bucket has, too few targets, or
// the job runs on the bucket already; 507 no room.
func (c *Client) EncodeBucket(ctx context.Context, b wire.Bck, set *meta.ECToSet, repair bool) (jobID string, err error) {
	if set == nil {
		set = &meta.ECToSet{}
	}
	value, err := json.Marshal(set)
	if err != nil {
		return "", err
	}
	name := ""
	if repair {
		name = "recover"
	}
	body, err := action(wire.ActECEncode, name, string(value)) // a text with JSON in it
	if err != nil {
		return "", err
	}
	req, err := bucketRequest(http.MethodPost, b, body)
	if err != nil {
		return "", err
	}
	answer, err := c.call(ctx, req)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

func (c *Client) bucketToBucket(ctx context.Context, from, to wire.Bck, name string, value any) (string, error) {
	if to.Name == "" {
		return "", errors.New("the name of the destination bucket is missing")
	}
	body, err := action(name, "", value)
	if err != nil {
		return "", err
	}
	req, err := bucketRequest(http.MethodPost, from, body)
	if err != nil {
		return "", err
	}
	q := bucketQuery(normalized(from))
	q.Set(wire.QueryBucketTo, normalized(to).Uname(""))
	req.query = q.Encode()
	answer, err := c.call(ctx, req)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

// RechunkBucket starts the job that stores the objects of a bucket anew, in chunks or
// in one file each, and returns its id.
func (c *Client) RechunkBucket(ctx context.Context, b wire.Bck, msg *RechunkMsg) (jobID string, err error) {
	return c.bucketAction(ctx, http.MethodPost, b, wire.ActRechunk, msg)
}

// CopyObjects starts the job that copies selected objects, or gives one that
// copies between the same buckets more to do. Several ids may be joined by commas.
func (c *Client) CopyObjects(ctx context.Context, from wire.Bck, msg *CopyObjectsMsg) (jobID string, err error) {
	if msg.To == nil || msg.To.Name == "" {
		return "", errors.New("the name of the destination bucket is missing")
	}
	to := normalized(*msg.To)
	sent := *msg
	sent.To = &to
	return c.bucketAction(ctx, http.MethodPost, from, wire.ActCopyListRange, &sent)
}

// Promote makes objects of files that lie on the filesystems of the targets. The
// id is "" if it is done already; else a job does it.
func (c *Client) Promote(ctx context.Context, b wire.Bck, msg *PromoteMsg) (jobID string, err error) {
	if b.Name == "" {
		return "", errors.New("bucket name is missing")
	}
	body, err := action(wire.ActPromote, msg.Source, msg)
	if err != nil {
		return "", err
	}
	b = normalized(b)
	answer, err := c.call(ctx, &request{
		method: http.MethodPost, path: bucketPath(wire.PathObjects, b), query: bucketQuery(b).Encode(), body: body,
	})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(answer.body)), nil
}

const (
	// firstSummaryPause and lastSummaryPause are between questions for a summary.
	firstSummaryPause = 50 * time.Millisecond
	lastSummaryPause  = time.Second
)

// StartSummary starts the counting of a bucket, or of all that a query without a
// name matches, and returns the id for SummaryResult.
func (c *Client) StartSummary(ctx context.Context, query wire.Bck, msg *SummaryMsg) (id string, err error) {
	start := *msg
	start.UUID = ""
	status, body, err := c.summary(ctx, query, &start)
	if err != nil {
		return "", err
	}
	if status != http.StatusAccepted {
		return "", fmt.Errorf("summary: unexpected status %d (expected %d)", status, http.StatusAccepted)
	}
	return strings.TrimSpace(string(body)), nil
}

// SummaryResult returns what a summary has counted so far; done: it is all.
func (c *Client) SummaryResult(ctx context.Context, query wire.Bck, msg *SummaryMsg) (result []BucketSummary, done bool, err error) {
	status, body, err := c.summary(ctx, query, msg)
	if err != nil || status == http.StatusAccepted {
		return nil, false, err
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return nil, false, fmt.Errorf("summary: cannot decode the answer: %w", err)
	}
	return result, status == http.StatusOK, nil
}

// Summarize counts a bucket, or all that a query without a name matches, and
// returns when that is done. onPart, if not nil, is told of what was counted so far.
func (c *Client) Summarize(ctx context.Context, query wire.Bck, msg *SummaryMsg, onPart func([]BucketSummary)) ([]BucketSummary, error) {
	id, err := c.StartSummary(ctx, query, msg)
	if err != nil {
		return nil, err
	}
	ask := *msg
	ask.UUID = id
	for wait := firstSummaryPause; ; wait = min(2*wait, lastSummaryPause) {
		result, done, err := c.SummaryResult(ctx, query, &ask)
		switch {
		case err != nil, done:
			return result, err
		case onPart != nil && result != nil:
			onPart(result)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *Client) summary(ctx context.Context, query wire.Bck, msg *SummaryMsg) (status int, body []byte, err error) {
	data, err := action(wire.ActSummaryBucket, "", msg)
	if err != nil {
		return 0, nil, err
	}
	req := &request{method: http.MethodGet, path: wire.PathBuckets, body: data, repeatable: true}
	if query.Name != "" {
		query = normalized(query)
		req.path = bucketPath(wire.PathBuckets, query)
	}
	req.query = bucketQuery(query).Encode()
	answer, err := c.call(ctx, req)
	if err != nil {
		return 0, nil, err
	}
	return answer.status, answer.body, nil
}
