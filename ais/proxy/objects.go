package proxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// request is one request for an object, taken apart.
type request struct {
	bucket, object string
	query          *query.Values
	provider       string       // what an easy URL adds to the query
	action         *node.ActMsg // of a POST
}

// objects answers /v1/objects/<bucket>/<object>.
func (p *Proxy) objects(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return p.objectAction(w, r)
	}
	objreq.Early(w, r)
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	path := node.PathItems(r)
	if err := path.Require(4); err != nil {
		return err
	}
	return p.objectRequest(w, r, &request{bucket: path.Items[2], object: path.Items[3], query: &q})
}

// objectRequest admits a request for one object and redirects it to the
// owner, before a byte of its body is read (but for the message of a POST).
func (p *Proxy) objectRequest(w http.ResponseWriter, r *http.Request, req *request) error {
	bck, err := req.query.Bck(req.bucket)
	if err != nil {
		return err
	}
	began := time.Now()
	err = p.redirect(w, r, bck, req, began)
	if op, counted := operation(r.Method); counted {
		if err == nil {
			p.metrics.Done(op, bck, 0, time.Since(began))
		} else {
			p.metrics.Failed(op, bck, apierr.StatusOf(err))
		}
	}
	return err
}

func (p *Proxy) redirect(w http.ResponseWriter, r *http.Request, bck wire.Bck, req *request, began time.Time) error {
	if err := checkObjectRequest(r, req); err != nil {
		return err
	}
	var err error
	path := req.object
	if req.object, err = objreq.TrueName(r.Method, path, validateProbe); err != nil {
		return err
	}
	props, err := p.checkBuckets(r, bck, req)
	if err != nil {
		return err
	}
	view := p.control.View()
	smap := view.Smap
	if smap == nil {
		return apierr.Unavailable(time.Second, "%s has no cluster map yet", p.node.Name())
	}
	if op, counted := operation(r.Method); counted {
		if err := p.rates.admit(view, props, op, began); err != nil {
			return err
		}
	}
	owner, err := p.destination(r, smap, bck, req)
	if err != nil {
		return withoutTargets(r.Method, err)
	}
	return objreq.Send(w, r, &objreq.Request{
		Bck: bck, Object: req.object, Path: path, Provider: req.provider, NodeID: p.node.ID(), Smap: smap, Owner: owner, Now: began,
		Ring: p.node.Ring(),
	})
}

// checkBuckets finds the bucket, and that of a copy, and checks what may be
// done with it.
func (p *Proxy) checkBuckets(r *http.Request, bck wire.Bck, req *request) (*meta.Bprops, error) {
	props, err := objreq.Bucket(r.Context(), p.control, bck)
	if err != nil {
		return nil, err
	}
	action := ""
	if req.action != nil {
		action = req.action.Action
	}
	if err := objreq.CheckAccess(bck, props, objreq.Access(r.Method, req.query, action)); err != nil {
		return nil, err
	}
	switch {
	case action == wire.ActRenameObject:
		_, err = objreq.RenameTo(bck, props, req.object, req.action.Name)
	case r.Method == http.MethodPut && req.query.Get(wire.QueryObjectTo) != "":
		var to wire.Bck
		if to, _, err = objreq.CopyTo(req.query); err == nil {
			_, err = objreq.Bucket(r.Context(), p.control, to)
		}
	}
	return props, err
}

// destination is the target that is to answer: the owner of the name, or for an
// append that has begun the one that holds its bytes. While the owner is down
// reads may go to another one.
func (p *Proxy) destination(r *http.Request, smap *meta.Smap, bck wire.Bck, req *request) (*meta.Snode, error) {
	if r.Method == http.MethodPut {
		node, err := objreq.AppendOwner(smap, req.query)
		switch {
		case err != nil:
			return nil, err
		case node != nil && p.control.IsDown(node.ID):
			return nil, apierr.Unavailable(objreq.RetryAfter, "%s: %s, which holds what was appended, does not answer", bck.Cname(naming.Native(req.object)), node)
		case node != nil:
			return node, nil
		}
	}
	owner, err := objreq.Owner(smap, bck, req.object)
	if err != nil || !p.control.IsDown(owner.ID) {
		return owner, err
	}
	down := owner
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		owner = objreq.NextLive(smap, bck, req.object, p.control.IsDown)
	}
	if owner == down || owner == nil {
		return nil, apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", bck.Cname(naming.Native(req.object)), down)
	}
	return owner, nil
}

// withoutTargets gives the error of a cluster without targets the status that
// clients know of HEAD and PATCH.
func withoutTargets(method string, err error) error {
	if method != http.MethodHead && method != http.MethodPatch || apierr.CodeOf(err) != wire.CodeNoNodes {
		return err
	}
	return apierr.New(http.StatusInternalServerError, wire.CodeNoNodes, "%v", err)
}

// operation is what a redirected request counts as.
func operation(method string) (op metrics.Op, counted bool) {
	switch method {
	case http.MethodGet:
		return metrics.Get, true
	case http.MethodPut:
		return metrics.Put, true
	case http.MethodDelete:
		return metrics.Delete, true
	}
	return 0, false // HEAD is counted by targets alone
}

// checkObjectRequest validates what can be seen without the cluster's metadata.
func checkObjectRequest(r *http.Request, req *request) (err error) {
	switch r.Method {
	case http.MethodHead:
	case http.MethodGet:
		err = objreq.CheckGet(r, req.query)
	case http.MethodPut:
		err = objreq.CheckPut(req.query)
	case http.MethodDelete, http.MethodPatch, http.MethodPost:
	default:
		err = errInvalidURI(r)
	}
	return err
}

// validateProbe checks the name of a HEAD request as far as a redirect needs
// it: HTTP clients resolve "." and ".." in a Location, so such a name would
// arrive as another one. All else is left to the target, because clients
// probe virtual directories with names that no object can have.
func validateProbe(object string) error {
	for rest := object; rest != ""; {
		var component string
		component, rest, _ = strings.Cut(rest, "/")
		if component == "." || component == ".." {
			return naming.ValidateObject(object)
		}
	}
	return nil
}
