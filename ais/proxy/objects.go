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

// objects answers /v1/objects/<bucket>/<object>.
func (p *Proxy) objects(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return p.objectAction(r)
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
	return p.objectRequest(w, r, path.Items[2], path.Items[3], &q, "")
}

// objectRequest admits a request for one object and redirects it to the
// owner, before a byte of its body is read. provider is what an easy URL adds
// to the query.
func (p *Proxy) objectRequest(w http.ResponseWriter, r *http.Request, bucket, object string, q *query.Values, provider string) error {
	bck, err := q.Bck(bucket)
	if err != nil {
		return err
	}
	began := time.Now()
	err = p.redirect(w, r, bck, object, q, provider, began)
	if op, counted := operation(r.Method); counted {
		if err == nil {
			p.metrics.Done(op, bck, 0, time.Since(began))
		} else {
			p.metrics.Failed(op, bck, apierr.StatusOf(err))
		}
	}
	return err
}

func (p *Proxy) redirect(w http.ResponseWriter, r *http.Request, bck wire.Bck, object string, q *query.Values, provider string, began time.Time) error {
	access, err := p.checkObjectRequest(r, q)
	if err != nil {
		return err
	}
	path := object
	if object, err = trueName(r.Method, path); err != nil {
		return err
	}
	props, err := objreq.Bucket(r.Context(), p.control, bck)
	if err != nil {
		return err
	}
	if err := objreq.CheckAccess(bck, props, access); err != nil {
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
	owner, err := objreq.Owner(smap, bck, object)
	if err != nil {
		return err
	}
	if p.control.IsDown(owner.ID) {
		down := owner
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			owner = objreq.NextLive(smap, bck, object, p.control.IsDown)
		}
		if owner == down || owner == nil {
			return apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", bck.Cname(path), down)
		}
	}
	return objreq.Send(w, r, &objreq.Request{
		Bck: bck, Object: object, Path: path, Provider: provider, NodeID: p.node.ID(), Smap: smap, Owner: owner, Now: began,
		Ring: p.node.Ring(),
	})
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

// checkObjectRequest validates what can be seen without the cluster's
// metadata and returns the access that the request needs.
func (p *Proxy) checkObjectRequest(r *http.Request, q *query.Values) (access meta.Access, err error) {
	switch r.Method {
	case http.MethodHead:
		access = meta.AccessHeadObject
	case http.MethodGet:
		access, err = meta.AccessGet, objreq.CheckGet(r, q)
	case http.MethodPut:
		access, err = meta.AccessPut, objreq.CheckPut(q)
	case http.MethodDelete:
		access, err = meta.AccessDeleteObject, objreq.CheckDelete(q)
	case http.MethodPatch:
		err = objreq.ErrPatch()
	default:
		err = apierr.BadRequest("invalid request URI: '%s %s'", r.Method, r.URL.Path)
	}
	return access, err
}

// trueName returns the name that an object has in the engine.
func trueName(method, native string) (string, error) {
	if method == http.MethodHead && !strings.HasPrefix(native, naming.EscapePrefix) {
		return native, validateProbe(native)
	}
	return naming.True(native)
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
