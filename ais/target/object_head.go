package target

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// headObject answers with the attributes of an object as headers: all of them
// (the first version of the call), or with the parameter "props" those that
// it lists.
func (t *Target) headObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	if _, err := parsePresence(req.query.Get(wire.QueryPresence)); err != nil {
		return err
	}
	if _, err := parseHeadProps(req.query.Get(wire.QueryProps)); err != nil {
		return err
	}
	attrs, err := t.store.Head(r.Context(), req.key)
	if err != nil {
		return t.readAround(w, r, req, err)
	}
	if req.query.Bool(wire.QueryValidateChecksum) {
		// The finding is for whoever asked; nothing is moved by a HEAD.
		if err := t.store.Verify(r.Context(), req.key); err != nil {
			return err
		}
	}
	return t.headAttrs(w, r, newHeaders(w), req, &attrs)
}

// headAttrs answers with attributes, wherever they are from.
func (t *Target) headAttrs(w http.ResponseWriter, r *http.Request, set *headers, req *objectRequest, attrs *core.Attrs) error {
	presence, err := parsePresence(req.query.Get(wire.QueryPresence))
	if err != nil {
		return err
	}
	props, err := parseHeadProps(req.query.Get(wire.QueryProps))
	if err != nil {
		return err
	}
	if presence < wire.PresenceExistsNoProps && (props == 0 || props&headEC != 0) {
		t.headSlices(r.Context(), set, req)
	}
	switch presence {
	case wire.PresenceOutside:
		return apierr.BadRequest("%s is present (vs requested 'flt-outside'(%d))", req.key.Cname(), wire.PresenceOutside)
	case wire.PresenceExistsNoProps, wire.PresencePresentNoProps:
	default:
		if props == 0 {
			t.headAll(set, req, attrs)
		} else {
			t.headSome(set, req, attrs, props)
		}
	}
	w.WriteHeader(http.StatusOK)
	t.metrics.Done(metrics.Head, req.key.Bck, 0, time.Since(req.began))
	return nil
}

// headSlices tells how an object is protected by erasure coding, once it is.
func (t *Target) headSlices(ctx context.Context, set *headers, req *objectRequest) {
	if !req.key.Props.EC.Enabled {
		return
	}
	_, note, err := t.store.Protection(ctx, req.key)
	if err != nil || note.Stamp.IsZero() {
		return
	}
	set.setInt(wire.HeaderObjECGeneration, int64(note.Stamp.Clock>>16)) // milliseconds since the epoch
	set.setInt(wire.HeaderObjECData, int64(req.key.Props.EC.DataSlices))
	set.setInt(wire.HeaderObjECParity, int64(note.Parity))
	set.set(wire.HeaderObjECReplicated, strconv.FormatBool(note.Data == 0))
}

// headAll sets everything that the first version of the call has. An empty
// object has no Content-Length there.
func (t *Target) headAll(set *headers, req *objectRequest, a *core.Attrs) {
	bck := &req.key.Bck
	if a.Size > 0 {
		set.setInt(wire.HeaderContentLength, a.Size)
	}
	set.attributes(a)
	set.set(wire.HeaderObjName, naming.Native(req.key.Name))
	set.set(wire.HeaderBucketName, bck.Name)
	set.set(wire.HeaderBucketProvider, bck.Provider)
	if bck.Ns.UUID != "" {
		set.set(wire.HeaderBucketNsUUID, bck.Ns.UUID)
	}
	if bck.Ns.Name != "" {
		set.set(wire.HeaderBucketNsName, bck.Ns.Name)
	}
	set.setAll(wire.HeaderObjPresent, isPresent)
	set.copies(a)
	if a.Mountpath != nil {
		set.set(wire.HeaderObjLocation, t.location(a))
		set.set(wire.HeaderObjMirrorPaths, "["+t.mirrorPaths(a, " ")+"]")
	}
}

// headProps is a set of properties that the second version of HEAD is asked for.
type headProps uint16

const (
	headName headProps = 1 << iota
	headSize
	headChecksum
	headAtime
	headVersion
	headCustom
	headLastModified
	headETag
	headLocation
	headCopies
	headEC
	headChunked
)

// headPropNames is in the order of the bits.
var headPropNames = [...]string{
	"name", "size", "checksum", "atime", "version", "custom", "last-modified", "etag", "location", "copies", "ec", "chunked",
}

// parseHeadProps reads a list of property names; blanks and empty items do
// not count. 0 means that no list was given.
func parseHeadProps(list string) (props headProps, err error) {
next:
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		for i, name := range headPropNames {
			if item == name {
				props |= 1 << i
				continue next
			}
		}
		return 0, apierr.BadRequest("invalid property %.64q in props list", item)
	}
	if props == 0 && list != "" {
		props = headSize // a list of nothing: what is always sent
	}
	return props, nil
}

// headSome sets presence and size, and of the rest what was asked for and has
// a value. No object has slices here.
func (t *Target) headSome(set *headers, req *objectRequest, a *core.Attrs, props headProps) {
	set.setAll(wire.HeaderObjPresent, isPresent)
	set.setInt(wire.HeaderContentLength, a.Size)
	if props&headName != 0 {
		set.set(wire.HeaderObjName, naming.Native(req.key.Name))
	}
	if props&headChecksum != 0 {
		set.checksum(a.Checksum)
	}
	if props&headAtime != 0 {
		set.atime(a)
	}
	if props&headVersion != 0 {
		set.version(a)
	}
	if props&headCustom != 0 {
		set.custom(a, false) // the tag is a property of its own
	}
	if props&headLastModified != 0 {
		set.set(wire.HeaderLastModified, lastModified(a.Mtime))
	}
	if tag := etag(a); props&headETag != 0 && tag != "" {
		set.set(wire.HeaderETag, tag)
	}
	if props&headChunked != 0 && a.Chunks > 0 {
		set.setInt(wire.HeaderObjChunkCount, int64(a.Chunks))
		set.setInt(wire.HeaderObjChunkMax, a.LargestChunk)
	}
	if a.Mountpath == nil {
		return
	}
	if props&headLocation != 0 {
		set.set(wire.HeaderObjLocation, t.location(a))
	}
	if props&headCopies != 0 {
		set.copies(a)
		set.set(wire.HeaderObjMirrorPaths, t.mirrorPaths(a, ","))
	}
}

// copies sets how many files the object has on the disks of its target.
func (s *headers) copies(a *core.Attrs) {
	if a.Copies <= 1 {
		s.setAll(wire.HeaderObjMirrorCopies, oneCopy)
		return
	}
	s.setInt(wire.HeaderObjMirrorCopies, int64(a.Copies))
}

// mirrorPaths are the mountpaths with copies of an object, the one of the object
// first.
func (t *Target) mirrorPaths(a *core.Attrs, separator string) string {
	paths := a.Mountpath.Path
	if a.Copies <= 1 {
		return paths
	}
	for _, mp := range t.fs.Available().Paths {
		if mp != a.Mountpath && slices.Contains(a.CopiesOn, mp.ID) {
			paths += separator + mp.Path
		}
	}
	return paths
}

// location is where an object lies, as clients see it: "t[id]:mp[path, [disk]]".
func (t *Target) location(a *core.Attrs) string { return t.node.Name() + ":" + a.Mountpath.String() }

// parsePresence reads the presence filter; what is not a number counts as 0.
func parsePresence(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return wire.PresenceExists, nil //nolint:nilerr // by the API's definition
	}
	if n < wire.PresenceExists || n > wire.PresenceOutside {
		return 0, apierr.BadRequest("invalid query parameter %s=%d: expecting a number from %d to %d",
			wire.QueryPresence, n, wire.PresenceExists, wire.PresenceOutside)
	}
	return n, nil
}
