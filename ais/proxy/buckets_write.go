package proxy

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact/ecencode"
)

// createBucket creates an ais:// bucket. When it returns without an error,
// the bucket is visible through every gateway.
func (p *Proxy) createBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg, q *query.Values) error {
	var set meta.BpropsToSet
	if err := node.DecodeValue(msg.Value, &set, msg.Action); err != nil {
		return err
	}
	switch {
	case bck.Ns.UUID != "":
		return apierr.BadRequest("cannot create %s: no remote clusters are attached", bck)
	case bck.IsCloud():
		return objreq.ErrNoBackend(http.StatusNotImplemented, wire.CodeFailedTo, bck.Provider, "failed to create "+bck.String()+": ")
	case q.Bool(wire.QueryDontHeadRemote):
		return apierr.New(http.StatusNotImplemented, wire.CodeUnsupported,
			"cannot skip lookup for the %s bucket - operation not supported", bck)
	}
	if err := p.checkNewCopies(r.Context(), bck, &set); err != nil {
		return err
	}
	created := time.Now().UnixNano()
	return p.commitBMD(w, r, body, msg.Action, func(view *meta.View) (*meta.BMDPatch, error) {
		if _, exists := view.BMD.Get(bck); exists {
			return nil, apierr.BucketExists(bck)
		}
		props := meta.DefaultBprops(bck, view.Config.Cluster)
		props.Created = created
		if err := props.Set(&set); err != nil {
			return nil, err
		}
		if err := props.CheckEC(props, bck, view.Smap.CountTargets(), set.Force); err != nil {
			return nil, err
		}
		p.warnOfPolicy(bck, props)
		return &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: bck, Props: props}}}, nil
	})
}

// destroyBucket removes a bucket with its objects.
func (p *Proxy) destroyBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte) error {
	if bck.IsCloud() {
		return apierr.New(http.StatusMethodNotAllowed, wire.CodeUnsupported, "cannot destroy cloud bucket %s - operation not supported", bck)
	}
	return p.commitBMD(w, r, body, wire.ActDestroyBucket, func(view *meta.View) (*meta.BMDPatch, error) {
		props, exists := view.BMD.Get(bck)
		if !exists {
			return nil, apierr.BucketNotFound(bck)
		}
		if err := objreq.CheckAccess(bck, props, meta.AccessDestroyBucket); err != nil {
			return nil, err
		}
		return &meta.BMDPatch{Del: []wire.Bck{bck}}, nil
	})
}

// evictBucket answers the eviction of a remote bucket. A bucket that is not
// here has nothing to evict; one that is, is this cluster's own.
func (p *Proxy) evictBucket(r *http.Request, bck wire.Bck) error {
	if err := p.control.Pull(r.Context()); err != nil {
		return err
	}
	if _, exists := p.control.View().BMD.Get(bck); !exists {
		return nil
	}
	if bck.IsAIS() {
		return apierr.New(http.StatusBadRequest, wire.CodeNotRemoteBck, "%s: expecting remote bucket (have %s)", wire.ActEvictRemote, bck)
	}
	return apierr.NotImplemented("evicting the remote bucket %s is not built yet", bck)
}

// warnOfPolicy tells an operator that a bucket's metadata is written all the
// same: nobody else has it.
func (p *Proxy) warnOfPolicy(bck wire.Bck, props *meta.Bprops) {
	if props.WritePolicy.MD == config.WriteNever && bck.IsAIS() {
		p.logger.Warn("write_policy.md=never is taken as immediate: this cluster holds the only copy", "bucket", bck.String())
	}
}

// changeProps sets some properties of a bucket, or resets all of them to the
// cluster's defaults. If that changes the number of copies, the answer is the id of
// the job that brings it about.
func (p *Proxy) changeProps(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg) error {
	var set meta.BpropsToSet
	if msg.Action == wire.ActSetBprops {
		if err := node.DecodeValue(msg.Value, &set, msg.Action); err != nil {
			return err
		}
	}
	need := meta.AccessPatch
	if set.Access != nil {
		need |= meta.AccessSetBucketACL
	}
	build := func(view *meta.View) (*meta.BMDPatch, error) {
		current, exists := view.BMD.Get(bck)
		if !exists {
			return nil, objreq.ErrBucketNotFound(bck)
		}
		if err := objreq.CheckAccess(bck, current, need); err != nil {
			return nil, err
		}
		props := current.Clone()
		if msg.Action == wire.ActResetBprops {
			reset, err := current.Reset(bck, view.Config.Cluster)
			if err != nil {
				return nil, err
			}
			props = reset
		} else if err := props.Set(&set); err != nil {
			return nil, err
		}
		if err := props.CheckEC(current, bck, view.Smap.CountTargets(), set.Force); err != nil {
			return nil, err
		}
		if err := checkOneJob(bck, current, props); err != nil {
			return nil, err
		}
		p.warnOfPolicy(bck, props)
		return &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: bck, Props: props}}}, nil
	}
	if p.enablesEC(bck, msg.Action, &set) {
		return p.startEncoding(w, r, bck, body, ecencode.Args{}, build)
	}
	return p.changeBucket(w, r, bck, body, msg.Action, build)
}

// commitBMD commits one change of the bucket metadata at the primary; the
// answer is empty. It returns when every node that answers has applied the
// change. body is that of the request, which was read already.
func (p *Proxy) commitBMD(w http.ResponseWriter, r *http.Request, body []byte, action string, build func(*meta.View) (*meta.BMDPatch, error)) error {
	again := r.WithContext(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return p.node.OnPrimary(w, again, func(w http.ResponseWriter, r *http.Request) error {
		_, err := p.control.Commit(r.Context(), action, func(view *meta.View) ([]meta.Change, error) {
			patch, err := build(view)
			if err != nil {
				return nil, err
			}
			change, err := meta.NewChange(view, meta.KindBMD, patch)
			return []meta.Change{change}, err
		})
		if err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	})
}
