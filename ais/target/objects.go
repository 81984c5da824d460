package target

import (
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// maxActionBody bounds the JSON body of a request other than POST, in bytes.
const maxActionBody = 64 << 10

// objectRequest is one request for one object, admitted.
type objectRequest struct {
	key    core.Key
	path   string // the name as the client wrote it, in the native form
	query  query.Values
	marker objreq.Marker
	began  time.Time
	action node.ActMsg // of a POST

	insteadOf *meta.Snode // the owner, who does not answer; nil: this target is
}

// objects answers /v1/objects/<bucket>/<object>.
func (t *Target) objects(w http.ResponseWriter, r *http.Request) error {
	req := objectRequest{began: time.Now()}
	var err error
	if req.query, err = query.Parse(r.URL.RawQuery); err != nil {
		return err
	}
	req.marker = objreq.ReadMarker(&req.query)
	if r.Method == http.MethodPost {
		msg, err := node.ReadActMsg(r, objreq.MaxActionBody)
		if err != nil {
			return err
		}
		if err := objreq.CheckAction(msg.Action); err != nil {
			return err
		}
		req.action = *msg
	}
	objreq.Early(w, r)
	path := node.PathItems(r)
	if err := path.Require(4); err != nil {
		return err
	}
	req.path = path.Items[3]
	if req.key.Name, err = objreq.TrueName(r.Method, req.path, naming.ValidateObjectHead); err != nil {
		return err
	}
	if req.key.Bck, err = req.query.Bck(path.Items[2]); err != nil {
		return err
	}
	if err := t.checkMarker(r.Context(), &req); err != nil {
		return err
	}
	if err := checkRequest(r, &req); err != nil {
		return err
	}
	switch served, err := t.admit(w, r, &req); {
	case served, err != nil:
		return err
	}
	if req.key.Props, err = objreq.Bucket(r.Context(), t.control, req.key.Bck); err != nil {
		return err
	}
	// A redirect says for which object it was made, not for which method.
	if err := objreq.CheckAccess(req.key.Bck, req.key.Props, objreq.Access(r.Method, &req.query, req.action.Action)); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet:
		return t.done(metrics.Get, &req, t.read(w, r, &req))
	case http.MethodHead:
		if req.isDirectory() {
			return t.done(metrics.Head, &req, apierr.ObjectNotFound(t.node.Name()+": "+req.key.Bck.Cname(req.path)))
		}
		return t.done(metrics.Head, &req, t.read(w, r, &req))
	case http.MethodPut:
		return t.done(metrics.Put, &req, t.write(w, r, &req))
	case http.MethodPatch:
		return t.patchObject(w, r, &req)
	case http.MethodPost:
		return t.actOnObject(w, r, &req)
	default:
		return t.done(metrics.Delete, &req, t.deleteObject(w, r, &req))
	}
}

// checkRequest validates what can be seen without the cluster's metadata.
func checkRequest(r *http.Request, req *objectRequest) error {
	var err error
	switch r.Method {
	case http.MethodHead:
	case http.MethodGet:
		err = objreq.CheckGet(r, &req.query)
	case http.MethodPut:
		err = objreq.CheckPut(&req.query)
	case http.MethodDelete, http.MethodPatch, http.MethodPost:
	default:
		err = apierr.BadRequest("invalid request URI: '%s %s'", r.Method, r.RequestURI)
	}
	return err
}

// isDirectory tells a name that only HEAD may ask for.
func (req *objectRequest) isDirectory() bool { return req.path[len(req.path)-1] == '/' }

// write answers PUT.
func (t *Target) write(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	switch {
	case req.query.Get(wire.QueryObjectTo) != "":
		return t.copyObject(w, r, req)
	case req.query.Get(wire.QueryUploadID) != "":
		return t.putPart(w, r, req)
	case req.query.Get(wire.QueryAppendType) != "":
		return t.appendObject(w, r, req)
	}
	return t.putObject(w, r, req)
}

// actOnObject answers POST.
func (t *Target) actOnObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	switch req.action.Action {
	case wire.ActRenameObject:
		return t.renameObject(w, r, req)
	case wire.ActMultipartUpload:
		return t.done(metrics.Put, req, t.createUpload(w, r, req))
	case wire.ActMultipartDone:
		return t.done(metrics.Put, req, t.completeUpload(w, r, req))
	}
	return t.checkLock(w, req)
}

// answerEmpty answers without a body.
func answerEmpty(w http.ResponseWriter, status int) error {
	w.Header()[wire.HeaderContentLength] = zeroLength
	w.WriteHeader(status)
	return nil
}

// done counts an operation that failed; success is counted where the number
// of bytes is known.
func (t *Target) done(op metrics.Op, req *objectRequest, err error) error {
	if err == nil {
		return nil
	}
	status := apierr.StatusOf(err)
	if props := req.key.Props; op == metrics.Get && status == http.StatusNotFound && props != nil && props.Features.Has(feature.CountObjectNotFound) {
		t.metrics.FailedMissing(req.key.Bck)
	} else {
		t.metrics.Failed(op, req.key.Bck, status)
	}
	switch {
	case apierr.CodeOf(err) == wire.CodeBadChecksum && op == metrics.Put:
		t.metrics.ChecksumMismatch(req.key.Bck)
	case status == http.StatusInternalServerError || status == http.StatusInsufficientStorage:
		t.metrics.FailedIO(op, req.key.Bck)
	}
	return err
}
