package proxy

import (
	"bytes"
	"io"
	"net/http"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// asPrimary has the primary answer a request whose body was read already.
func (p *Proxy) asPrimary(w http.ResponseWriter, r *http.Request, body []byte, h node.Handler) error {
	again := r.WithContext(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return p.node.OnPrimary(w, again, h)
}

// startJob starts a job at the primary, and answers with its id. build makes
// the job by the metadata of the primary; with may be nil.
func (p *Proxy) startJob(w http.ResponseWriter, r *http.Request, body []byte, build func(*meta.View) (*xact.Spec, error), with jobs.With) error {
	return p.asPrimary(w, r, body, func(w http.ResponseWriter, r *http.Request) error {
		spec, err := build(p.control.View())
		if err != nil {
			return err
		}
		id, err := p.jobs.Start(r.Context(), spec, with)
		if err != nil {
			return err
		}
		return node.WriteText(w, r, id)
	})
}

// onTargets makes a job one of all targets that are active now. Each of them
// checks that it sees the same.
func onTargets(view *meta.View, spec *xact.Spec) *xact.Spec {
	spec.Targets = []string{}
	for _, target := range view.Smap.ActiveTargets() {
		spec.Targets = append(spec.Targets, target.ID)
	}
	return spec
}

// bucketFor returns the properties of a bucket for something that needs
// permissions.
func bucketFor(view *meta.View, bck wire.Bck, need meta.Access) (*meta.Bprops, error) {
	props, ok := view.BMD.Get(bck)
	if !ok {
		return nil, objreq.ErrBucketNotFound(bck)
	}
	return props, objreq.CheckAccess(bck, props, need)
}

// errNotRemote is the 400 of what is for remote buckets only.
func errNotRemote(action string, bck wire.Bck) error {
	return apierr.New(http.StatusBadRequest, wire.CodeNotRemoteBck, "%s: expecting remote bucket (have %s)", action, bck)
}
