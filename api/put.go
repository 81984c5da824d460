package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// PutArgs are an object to store.
type PutArgs struct {
	// Body is the content; see Bytes, File, Section, Opener, Stream.
	Body Payload
	// Checksum of the content. The cluster compares it with what arrives and
	// refuses the object if it differs. The zero value sends none.
	Checksum cksum.Value
	// Custom metadata of the object.
	Custom map[string]string
	// SkipVC stores without loading the previous object: its version and
	// metadata are not carried on.
	SkipVC bool
}

// PutObject stores an object, replacing what has that name, and returns the
// stored attributes. What is there already (the same content, with the same
// checksum) keeps its version.
func (c *Client) PutObject(ctx context.Context, b wire.Bck, name string, args PutArgs) (ObjectAttrs, error) {
	if args.Body == nil {
		return ObjectAttrs{}, errors.New("put: there is no body")
	}
	req, q, err := objectRequest(http.MethodPut, b, name)
	if err != nil {
		return ObjectAttrs{}, err
	}
	req.payload = args.Body
	if args.SkipVC {
		q.Set(wire.QuerySkipVC, "true")
	}
	if !args.Checksum.IsNone() {
		req.header[wire.HeaderObjChecksumType] = []string{args.Checksum.Type}
		req.header[wire.HeaderObjChecksumValue] = []string{args.Checksum.Value}
	}
	for key, value := range args.Custom {
		req.header[wire.HeaderObjCustomMD] = append(req.header[wire.HeaderObjCustomMD], key+"="+value)
	}
	slices.Sort(req.header[wire.HeaderObjCustomMD])
	req.query = q.Encode()

	ctx, cancel := c.transferContext(ctx)
	defer cancel()
	resp, err := c.do(ctx, req)
	if err != nil {
		return ObjectAttrs{}, err
	}
	finish(resp)
	attrs := parseAttrs(resp.Header)
	attrs.Size = max(0, args.Body.Size())
	return attrs, nil
}
