package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"mime"
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// ListObjectsPage fetches one page and advances msg to the next: its uuid and
// continuation token. An empty token in the page, and in msg, ends the listing.
func (c *Client) ListObjectsPage(ctx context.Context, b wire.Bck, msg *wire.LsoMsg) (*wire.LsoPage, error) {
	body, err := action(wire.ActList, "", msg)
	if err != nil {
		return nil, err
	}
	req, err := bucketRequest(http.MethodGet, b, body)
	if err != nil {
		return nil, err
	}
	req.header = http.Header{wire.HeaderAccept: {wire.ContentMsgpack}}
	answer, err := c.callPage(ctx, req)
	if err != nil {
		return nil, err
	}
	page := new(wire.LsoPage)
	if isMsgpack(answer.header) {
		err = page.DecodeMsgpack(answer.body)
	} else {
		err = answer.decodeJSON(page)
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: cannot decode the page: %w", b, err)
	}
	if page.ContinuationToken != "" && page.ContinuationToken == msg.ContinuationToken {
		return nil, fmt.Errorf("listing %s: the continuation token %q does not advance", b, page.ContinuationToken)
	}
	msg.UUID, msg.ContinuationToken = page.UUID, page.ContinuationToken
	return page, nil
}

// callPage is call for a page: after a timeout it is tried again with one and
// a half times the limit, listAttempts times in all.
func (c *Client) callPage(ctx context.Context, req *request) (*reply, error) {
	limit := c.options.ControlTimeout
	for attempt := 1; ; attempt++ {
		answer, err := c.callUntil(ctx, req, limit, func(err error) bool { return classify(err) == timedOut })
		if err == nil || attempt == listAttempts || ctx.Err() != nil || classify(err) != timedOut {
			return answer, err
		}
		limit += limit / 2
	}
}

// isMsgpack tells the answer's form by its content type.
func isMsgpack(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get(wire.HeaderContentType))
	return err == nil && strings.EqualFold(kind, wire.ContentMsgpack)
}

// Pages iterates over the pages of a listing from where msg stands; msg
// advances. The last element may be an error, with a nil page.
func (c *Client) Pages(ctx context.Context, b wire.Bck, msg *wire.LsoMsg) iter.Seq2[*wire.LsoPage, error] {
	return func(yield func(*wire.LsoPage, error) bool) {
		for {
			page, err := c.ListObjectsPage(ctx, b, msg)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(page, nil) || page.ContinuationToken == "" {
				return
			}
		}
	}
}

// Objects iterates over all entries of a listing. The last element may be an
// error, with a zero entry: a listing that breaks off never looks complete.
// msg itself is not changed.
func (c *Client) Objects(ctx context.Context, b wire.Bck, msg wire.LsoMsg) iter.Seq2[wire.LsoEntry, error] {
	return func(yield func(wire.LsoEntry, error) bool) {
		for page, err := range c.Pages(ctx, b, &msg) {
			if err != nil {
				yield(wire.LsoEntry{}, err)
				return
			}
			for i := range page.Entries {
				if !yield(page.Entries[i], nil) {
					return
				}
			}
		}
	}
}

// ListObjects returns all entries of a listing, or the first limit of them if
// limit is above 0.
func (c *Client) ListObjects(ctx context.Context, b wire.Bck, msg wire.LsoMsg, limit int64) ([]wire.LsoEntry, error) {
	if limit < 0 {
		return nil, errors.New("invalid limit (expected none below 0)")
	}
	var entries []wire.LsoEntry
	for {
		if limit > 0 {
			msg.PageSize = limit - int64(len(entries))
		}
		page, err := c.ListObjectsPage(ctx, b, &msg)
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.Entries...)
		if limit > 0 && int64(len(entries)) >= limit {
			return entries[:limit], nil
		}
		if page.ContinuationToken == "" {
			return entries, nil
		}
	}
}
