package proxy

import (
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// maxBucketBody bounds the JSON body of a bucket request, in bytes: bucket
// properties, a list message with a token, a list of names.
const maxBucketBody = 16 << 20

// buckets answers /v1/buckets[/<bucket>].
func (p *Proxy) buckets(w http.ResponseWriter, r *http.Request) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	path := node.PathItems(r)
	bucket := path.Items[2]
	if path.Count > 3 {
		switch r.Method {
		case http.MethodHead:
			return p.headPrefix(w, r, path.Items[2], path.Items[3], &q)
		case http.MethodDelete, http.MethodPatch:
			bucket += "/" + path.Items[3] // not a bucket's name, which is what the answer says
		default:
			return errInvalidURI(r)
		}
	}
	if r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/") {
		return errInvalidURI(r)
	}
	if bucket == "" && r.Method != http.MethodGet {
		return path.Require(3)
	}
	return p.bucketRequest(w, r, bucket, &q)
}

// bucketRequest answers a request for one bucket, or with an empty name for all.
func (p *Proxy) bucketRequest(w http.ResponseWriter, r *http.Request, bucket string, q *query.Values) error {
	switch r.Method {
	case http.MethodGet:
		return p.getBuckets(w, r, bucket, q)
	case http.MethodHead:
		bck, err := q.Bck(bucket)
		if err != nil {
			return err
		}
		return p.headBucket(w, r, bck, q)
	}
	body, err := node.ReadBody(r, maxBucketBody)
	if err != nil {
		return err
	}
	msg, err := node.DecodeActMsg(body)
	if err != nil {
		return err
	}
	bck, err := q.Bck(bucket)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPost:
		return p.postBucket(w, r, bck, body, msg, q)
	case http.MethodPatch:
		return p.patchBucket(w, r, bck, body, msg)
	case http.MethodDelete:
		return p.deleteBucket(w, r, bck, body, msg, q)
	case http.MethodPut:
		if msg.Action == wire.ActArchive {
			return apierr.NotImplemented("bucket action %q is not built yet", msg.Action)
		}
		return node.InvalidAction(msg.Action)
	}
	return errInvalidURI(r)
}

// getBuckets answers the read actions: a list of buckets or of objects. A
// request without a body and without a JSON content type comes from a browser
// or an easy URL, and means "list".
func (p *Proxy) getBuckets(w http.ResponseWriter, r *http.Request, bucket string, q *query.Values) error {
	body, err := node.ReadBody(r, maxBucketBody)
	if err != nil {
		return err
	}
	msg := &node.ActMsg{Action: wire.ActList}
	if len(body) == 0 && !strings.HasPrefix(r.Header.Get(wire.HeaderContentType), wire.ContentJSON) {
		if bucket != "" {
			msg.Value = []byte("{}")
		}
	} else if msg, err = node.DecodeActMsg(body); err != nil {
		return err
	}
	switch msg.Action {
	case wire.ActList:
	case wire.ActSummaryBucket:
		return p.summarize(w, r, bucket, body, msg, q)
	case wire.ActSummaryShard, wire.ActShowInventory:
		return apierr.NotImplemented("bucket action %q is not built yet", msg.Action)
	default:
		return node.InvalidAction(msg.Action)
	}
	if isNull(msg.Value) {
		if bucket != "" && bucket != msg.Name {
			return apierr.BadRequest("bucket name %q in the URL differs from %q in the action message (to list objects, set its value)", bucket, msg.Name)
		}
		return p.listBuckets(w, r, msg.Name, q)
	}
	bck, err := q.Bck(bucket)
	if err != nil {
		return err
	}
	return p.listObjects(w, r, bck, msg.Value)
}

// isNull tells that a JSON value is missing or null.
func isNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// postBucket answers actions that create something.
func (p *Proxy) postBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg, q *query.Values) error {
	switch msg.Action {
	case wire.ActCreateBucket:
		return p.createBucket(w, r, bck, body, msg, q)
	case wire.ActMakeNCopies:
		return p.makeCopies(w, r, bck, body, msg)
	case wire.ActECEncode:
		return p.encodeBucket(w, r, bck, body, msg)
	case wire.ActCopyBucket:
		return p.copyBucket(w, r, bck, body, msg, q)
	case wire.ActCopyListRange:
		return p.copyObjects(w, r, bck, body, msg)
	case wire.ActMoveBucket:
		return p.renameBucket(w, r, bck, body, q)
	case wire.ActRechunk:
		return p.rechunkBucket(w, r, bck, body, msg)
	case wire.ActPrefetch:
		return p.remoteObjects(r, bck, msg)
	case wire.ActETLBucket, wire.ActETLListRange,
		wire.ActIndexShard, wire.ActCreateInventory:
		return apierr.NotImplemented("bucket action %q is not built yet", msg.Action)
	}
	return node.InvalidAction(msg.Action)
}

// patchBucket answers changes of bucket properties.
func (p *Proxy) patchBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg) error {
	switch msg.Action {
	case wire.ActSetBprops, wire.ActResetBprops:
		return p.changeProps(w, r, bck, body, msg)
	}
	return apierr.BadRequest("invalid action %q (expected one of [%s %s])", msg.Action, wire.ActSetBprops, wire.ActResetBprops)
}

// deleteBucket answers actions that remove something.
func (p *Proxy) deleteBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg, q *query.Values) error {
	switch msg.Action {
	case wire.ActDestroyBucket:
		return p.destroyBucket(w, r, bck, body)
	case wire.ActEvictRemote:
		return p.evictBucket(r, bck)
	case wire.ActDeleteListRange:
		return p.removeObjects(w, r, bck, body, msg)
	case wire.ActEvictListRange:
		return p.remoteObjects(r, bck, msg)
	case wire.ActDestroyInventory:
		return apierr.NotImplemented("bucket action %q is not built yet", msg.Action)
	}
	return node.InvalidAction(msg.Action)
}

func errInvalidURI(r *http.Request) error {
	return apierr.BadRequest("invalid request URI: '%s %s'", r.Method, r.RequestURI)
}
