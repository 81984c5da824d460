package target

import (
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
)

// deleteObject removes an object. A body, if there is one, is an action
// message; without an action it means the same.
func (t *Target) deleteObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	body, err := node.ReadBody(r, maxActionBody)
	if err != nil {
		return err
	}
	if len(body) > 0 {
		msg, err := node.DecodeActMsg(body)
		if err != nil {
			return err
		}
		if msg.Action == wire.ActMultipartAbort {
			return t.abortUpload(w, r, req)
		}
		if err := checkDeleteAction(msg.Action, req); err != nil {
			return err
		}
	}
	if id := req.query.Get(wire.QueryUploadID); id != "" {
		// Who means the upload must not lose the object.
		return apierr.BadRequest("DELETE with %s=%.40q needs the action %q", wire.QueryUploadID, id, wire.ActMultipartAbort)
	}
	if err := t.staying(req.key); err != nil {
		return err
	}
	err = t.asOwner(r.Context(), req.key, func() error { return t.remove(r.Context(), req.key) }, &changeRequest{Delete: true})
	if err != nil {
		return err
	}
	w.Header()[wire.HeaderContentLength] = zeroLength
	w.WriteHeader(http.StatusOK)
	t.metrics.Done(metrics.Delete, req.key.Bck, 0, time.Since(req.began))
	return nil
}

// checkDeleteAction refuses what is not a plain delete. Evicting from a bucket
// whose data only this cluster holds would lose the object.
func checkDeleteAction(action string, req *objectRequest) error {
	switch action {
	case "":
		return nil
	case wire.ActEvictListRange:
		if !req.key.Props.IsRemote(req.key.Bck) {
			return apierr.New(http.StatusBadRequest, wire.CodeNotRemoteBck, "%s: expecting remote bucket (have %s)", action, req.key.Bck)
		}
		return apierr.NotImplemented("evicting an object is not built yet")
	}
	return apierr.BadRequest("invalid action %q", action)
}
