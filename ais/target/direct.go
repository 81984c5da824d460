package target

import (
	"net/http"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// admit decides whether this target is the one to serve a request; served
// tells that the request was answered, with the address of the owner.
//
// A request that a gateway redirected here carries the version of the map by
// which it did; a target that is behind catches up before it judges, and if
// it still is not the owner the client is asked to come back, since a second
// redirect could go round in circles. A client that places by itself (a
// direct request) is redirected as a gateway would do it. Direct reads are
// anybody's; direct writes are for clients that say which map they used. While
// the owner is down any target answers reads as well as it can, see
// readInstead.
func (t *Target) admit(w http.ResponseWriter, r *http.Request, req *objectRequest) (served bool, err error) {
	wanted, err := t.mapOfClient(r.Method, first(r.Header[wire.HeaderSmapVersion]), req)
	if err != nil {
		return false, err
	}
	smap := t.control.View().Smap
	if wanted > smap.Ver() {
		if err := t.control.Pull(r.Context()); err != nil {
			return false, err
		}
		smap = t.control.View().Smap
	}
	if smap == nil {
		return false, apierr.Unavailable(time.Second, "%s has no cluster map yet", t.node.Name())
	}
	owner, err := objreq.Owner(smap, req.key.Bck, req.key.Name)
	if err == nil && r.Method == http.MethodPut {
		owner, err = t.admitAppend(req, smap, owner)
	}
	switch {
	case err != nil:
		return false, err
	case owner.ID == t.node.ID():
		return false, nil
	case t.control.IsDown(owner.ID) && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		req.insteadOf = owner
		return false, nil
	case req.marker.Present:
		return false, errNotOwner(t.node.Name(), req.key, owner, smap)
	case t.control.IsDown(owner.ID):
		return false, apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", req.key.Cname(), owner)
	}
	return true, objreq.Send(w, r, &objreq.Request{
		Bck: req.key.Bck, Object: req.key.Name, Path: req.path, NodeID: t.node.ID(), Smap: smap, Owner: owner, Now: req.began,
		Ring: t.node.Ring(),
	})
}

// mapOfClient returns the version of the map by which the request came here,
// 0 if that is not known; the error is that of a direct write without it.
func (t *Target) mapOfClient(method, header string, req *objectRequest) (int64, error) {
	if req.marker.Present {
		return req.marker.SmapVersion, nil
	}
	if header == "" {
		if method == http.MethodGet || method == http.MethodHead {
			return 0, nil
		}
		return 0, apierr.BadRequest("%s: %s(obj) is expected to be redirected", t.node.Name(), method)
	}
	version, err := strconv.ParseInt(header, 10, 64)
	if err != nil || version <= 0 {
		return 0, apierr.BadRequest("invalid header %s=%.40q: expecting the decimal version of a cluster map", wire.HeaderSmapVersion, header)
	}
	return version, nil
}

func errNotOwner(name string, key core.Key, owner *meta.Snode, smap *meta.Smap) error {
	e := apierr.Unavailable(time.Second, "%s: %s is owned by %s as of cluster map v%d", name, key.Cname(), owner, smap.Version)
	e.Cause = core.ErrNotOwner
	return e
}

func errNextOwner(name string, key core.Key, next string) error {
	e := apierr.Unavailable(time.Second, "%s: %s is about to be owned by %s", name, key.Cname(), meta.NodeName(meta.RoleTarget, next))
	e.Cause = core.ErrNotOwner
	return e
}
