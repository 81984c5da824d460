package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Smart routing. The owner of a name follows from the cluster map alone, so a
// client that has the map needs no proxy for object requests. The map may be
// old; then the request reaches a target that is not the owner, or nothing at
// all. Whatever comes of that (404, 503, a redirect, no connection) makes the
// client fetch the map; unless a 404 is confirmed by an unchanged map, the
// proxy is asked.

// routing is a map with the addresses of its targets, read once.
type routing struct {
	smap    *meta.Smap
	targets map[string]*url.URL // by node id; without those whose address cannot be read
}

func newRouting(smap *meta.Smap) *routing {
	r := &routing{smap: smap, targets: make(map[string]*url.URL, len(smap.Tmap))}
	for id, target := range smap.Tmap {
		if u, err := parseEndpoint(target.Public.URL); err == nil {
			r.targets[id] = u
		}
	}
	return r
}

// owner returns the address of the target that owns an object, nil if the map
// does not tell: no targets, or a bucket of another cluster, whose alias only
// a proxy resolves.
func (r *routing) owner(object *objectRef) *url.URL {
	if object.bck.Ns.UUID != "" {
		return nil
	}
	name, err := naming.True(object.name)
	if err != nil {
		return nil // the proxy says what is wrong with it
	}
	var buf [256]byte
	owner, err := r.smap.Owner(hrw.DigestBytes(object.bck.AppendUname(buf[:0], name)))
	if err != nil {
		return nil
	}
	return r.targets[owner.ID]
}

// Smap returns the last cluster map that the client has seen, nil before the
// first.
func (c *Client) Smap() *meta.Smap {
	if r := c.routing.Load(); r != nil {
		return r.smap
	}
	return nil
}

// attemptDirect sends an object request to its owner. It is final unless the
// proxy has to be asked.
func (c *Client) attemptDirect(ctx context.Context, req *request) (resp *http.Response, err error, final bool) {
	route, err := c.currentRouting(ctx)
	if err != nil {
		return nil, nil, false //nolint:nilerr // the proxy knows more, or says why not
	}
	owner := route.owner(req.object)
	if owner == nil {
		return nil, nil, false
	}
	began := time.Now()
	direct := *req
	direct.header = req.header.Clone()
	if direct.header == nil {
		direct.header = http.Header{}
	}
	direct.header[wire.HeaderSmapVersion] = []string{strconv.FormatInt(route.smap.Version, 10)}
	resp, err = c.send(ctx, &direct, nodeURL(owner, req), false)
	switch {
	case err == nil && resp.StatusCode < http.StatusMultipleChoices:
		return resp, nil, true
	case err == nil:
		finish(resp) // a redirect: this map or the target's is old
	case ctx.Err() != nil:
		return nil, err, true
	default:
		e, answered := asError(err)
		if answered && e.Status != http.StatusNotFound && e.Status != http.StatusServiceUnavailable {
			return nil, err, true
		}
		failure := classify(err)
		if !answered && (failure == notAConnectionFailure || failure != failedToConnect && !req.repeatable) {
			return nil, err, true
		}
		if failure == brokenConnection || failure == timedOut {
			req.interrupted = true // what the proxy says now may be the echo of this attempt
		}
	}
	fresh, refreshErr := c.refreshSmap(ctx, began)
	if refreshErr == nil && fresh.smap.Version == route.smap.Version && HTTPStatus(err) == http.StatusNotFound {
		return nil, err, true
	}
	return nil, nil, false
}

// currentRouting returns the map at hand, or fetches the first.
func (c *Client) currentRouting(ctx context.Context) (*routing, error) {
	if r := c.routing.Load(); r != nil {
		return r, nil
	}
	return c.refreshSmap(ctx, time.Time{})
}

// refreshSmap fetches the map, unless another goroutine did since the given
// time. When the endpoint does not answer, the other proxies of the last map
// are asked, and the one that answers becomes the endpoint.
func (c *Client) refreshSmap(ctx context.Context, since time.Time) (*routing, error) {
	c.refreshLock.Lock()
	defer c.refreshLock.Unlock()
	if r := c.routing.Load(); r != nil && c.refreshedAt.After(since) {
		return r, nil
	}
	began := time.Now()
	first := c.base.Load()
	smap, err := c.fetchSmap(ctx, first)
	if err != nil {
		for _, other := range c.otherProxies(first) {
			if ctx.Err() != nil {
				break
			}
			if again, otherErr := c.fetchSmap(ctx, other); otherErr == nil {
				c.base.CompareAndSwap(first, other)
				smap, err = again, nil
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	c.keepSmap(smap)
	c.refreshedAt = began
	return c.routing.Load(), nil
}

// fetchSmap asks one node for its map, once.
func (c *Client) fetchSmap(ctx context.Context, node *url.URL) (*meta.Smap, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.ControlTimeout)
	defer cancel()
	req := &request{method: http.MethodGet, path: wire.PathDaemon, query: wire.QueryWhat + "=" + wire.WhatSmap, repeatable: true}
	resp, err := c.follow(ctx, req, node)
	if err != nil {
		return nil, err
	}
	defer finish(resp)
	return readSmap(resp.Body)
}

// otherProxies are the public URLs of the proxies in the last map.
func (c *Client) otherProxies(but *url.URL) []*url.URL {
	smap := c.Smap()
	if smap == nil {
		return nil
	}
	var others []*url.URL
	for _, proxy := range smap.Pmap {
		if u, err := parseEndpoint(proxy.Public.URL); err == nil && u.Host != but.Host {
			others = append(others, u)
		}
	}
	return others
}

// keepSmap remembers a map unless a newer one of the same cluster is there.
func (c *Client) keepSmap(smap *meta.Smap) {
	fresh := newRouting(smap)
	for {
		known := c.routing.Load()
		if known != nil && known.smap.UUID == smap.UUID && known.smap.Version >= smap.Version {
			return
		}
		if c.routing.CompareAndSwap(known, fresh) {
			return
		}
	}
}
