package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// ObjectAttrs are an object's attributes as the response headers tell them.
// What a response does not carry is zero.
type ObjectAttrs struct {
	Size     int64             // bytes of the whole object (of the range, for a range read)
	Checksum cksum.Value       // of the whole object
	Version  string            // "1", "2", ... in buckets of this cluster
	Atime    time.Time         // last access, zero if unknown
	Custom   map[string]string // user and backend metadata
	ETag     string            // without quotes
	Modified time.Time         // zero if unknown
	Present  bool              // in this cluster; HEAD only
	Location string            // "t[id]:mp[/path, [disk]]"; HEAD only
	Copies   int               // 1 is no extra copies; HEAD only
	Paths    []string          // mountpaths of the copies; HEAD only
	Chunks   int               // 0 for an object that is one file
	Header   http.Header       // everything else
}

// parseAttrs reads the attribute headers.
func parseAttrs(h http.Header) ObjectAttrs {
	a := ObjectAttrs{
		Version:  h.Get(wire.HeaderObjVersion),
		ETag:     strings.Trim(h.Get(wire.HeaderETag), `"`),
		Location: h.Get(wire.HeaderObjLocation),
		Present:  h.Get(wire.HeaderObjPresent) == "true",
		Header:   h,
	}
	a.Size, _ = strconv.ParseInt(h.Get(wire.HeaderContentLength), 10, 64) // absent: 0, as documented
	a.Copies, _ = strconv.Atoi(h.Get(wire.HeaderObjMirrorCopies))
	a.Chunks, _ = strconv.Atoi(h.Get(wire.HeaderObjChunkCount))
	if value := h.Get(wire.HeaderObjChecksumValue); value != "" {
		a.Checksum = cksum.Value{Type: h.Get(wire.HeaderObjChecksumType), Value: value}
	}
	if ns, err := strconv.ParseInt(h.Get(wire.HeaderObjAtime), 10, 64); err == nil && ns != 0 {
		a.Atime = time.Unix(0, ns)
	}
	if at, err := http.ParseTime(h.Get(wire.HeaderLastModified)); err == nil {
		a.Modified = at
	}
	for _, line := range h[wire.HeaderObjCustomMD] {
		if key, value, ok := strings.Cut(line, "="); ok {
			if a.Custom == nil {
				a.Custom = map[string]string{}
			}
			a.Custom[key] = value
		}
	}
	// "[p1 p2]" of the first form of HEAD, "p1,p2" of the second.
	paths := strings.Trim(h.Get(wire.HeaderObjMirrorPaths), "[]")
	a.Paths = strings.FieldsFunc(paths, func(r rune) bool { return r == ',' || r == ' ' })
	return a
}

// objectRequest is a request for one object.
func objectRequest(method string, b wire.Bck, name string) (*request, url.Values, error) {
	if b.Name == "" {
		return nil, nil, errors.New("bucket name is missing")
	}
	if name == "" {
		return nil, nil, errors.New("object name is missing")
	}
	b = normalized(b)
	return &request{
		method: method, path: bucketPath(wire.PathObjects, b) + "/" + name, header: http.Header{},
		repeatable: true, object: &objectRef{bck: b, name: name},
	}, bucketQuery(b), nil
}

// HeadArgs select what HeadObject tells.
type HeadArgs struct {
	// Presence is one of wire.Presence...: 0 also asks the remote backend.
	Presence int
	// Props asks for these properties only (the second form of HEAD): name,
	// size, checksum, atime, version, custom, last-modified, etag, location,
	// copies, ec, chunked. Empty: the first form, with most of them.
	Props []string
	// Silent keeps a missing object out of the server's log.
	Silent bool
}

// HeadObject returns an object's attributes. A missing object is a 404.
func (c *Client) HeadObject(ctx context.Context, b wire.Bck, name string, args HeadArgs) (ObjectAttrs, error) {
	req, q, err := objectRequest(http.MethodHead, b, name)
	if err != nil {
		return ObjectAttrs{}, err
	}
	q.Set(wire.QueryPresence, strconv.Itoa(args.Presence))
	if len(args.Props) > 0 {
		q.Set(wire.QueryProps, strings.Join(args.Props, ","))
	}
	if args.Silent {
		q.Set(wire.QuerySilent, "true")
	}
	req.query = q.Encode()
	answer, err := c.call(ctx, req)
	if err != nil {
		return ObjectAttrs{}, err
	}
	return parseAttrs(answer.header), nil
}

// DeleteObject removes an object. A missing one is a 404; after a connection
// that broke during the call, the 404 of the repeated request means that the
// first one had done it, and is no error.
func (c *Client) DeleteObject(ctx context.Context, b wire.Bck, name string) error {
	req, q, err := objectRequest(http.MethodDelete, b, name)
	if err != nil {
		return err
	}
	req.query = q.Encode()
	_, err = c.call(ctx, req)
	if req.interrupted && IsNotFound(err) {
		return nil
	}
	return err
}
