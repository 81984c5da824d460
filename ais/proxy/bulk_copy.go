package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/tcb"
)

// copyBucket starts the job that copies a bucket.
func (p *Proxy) copyBucket(w http.ResponseWriter, r *http.Request, from wire.Bck, body []byte, msg *node.ActMsg, q *query.Values) error {
	args := &tcb.Args{}
	if err := node.DecodeValue(msg.Value, &args.CopyBucketMsg, msg.Action); err != nil {
		return err
	}
	to, err := bucketTo(q)
	if err != nil {
		return err
	}
	if err := tcb.Check(from, to, &args.CopyBucketMsg, nil); err != nil {
		return err
	}
	if err := checkCopied(q); err != nil {
		return err
	}
	return p.startCopy(w, r, body, &xact.Spec{Kind: msg.Action, Bck: to, Source: from, To: to, Force: args.Force}, args)
}

// copyObjects starts the job that copies selected objects of a bucket, or
// gives one that copies between the same buckets more to do.
func (p *Proxy) copyObjects(w http.ResponseWriter, r *http.Request, from wire.Bck, body []byte, msg *node.ActMsg) error {
	args := &tcb.Args{}
	if err := node.DecodeValue(msg.Value, &args.CopyObjectsMsg, msg.Action); err != nil {
		return err
	}
	if args.To == nil || args.To.Name == "" {
		return apierr.BadRequest(`%s: the destination "tobck" is missing`, msg.Action)
	}
	to := *args.To
	var err error
	if to.Provider, err = naming.Provider(to.Provider); err != nil {
		return err
	}
	if err := naming.ValidateBucket(to); err != nil {
		return err
	}
	if err := tcb.Check(from, to, &args.CopyBucketMsg, &args.ListRange); err != nil {
		return err
	}
	return p.startCopy(w, r, body, &xact.Spec{
		ID: "tco-" + meta.NewJobID(), Kind: msg.Action, Bck: from, Source: from, To: to, Force: args.Force,
	}, args)
}

// checkCopied refuses a copy of what is outside of the cluster alone. All other
// objects of a bucket without a backend are in it; what is no number counts as 0.
func checkCopied(q *query.Values) error {
	const outside = 4
	if n, err := strconv.Atoi(q.Get(wire.QueryPresence)); err == nil && n == outside {
		return apierr.NotImplemented("copying what is only outside of the cluster (%s=%d) is not built yet", wire.QueryPresence, n)
	}
	return nil
}

// bucketTo is the destination of a request for a whole bucket.
func bucketTo(q *query.Values) (wire.Bck, error) {
	if !q.Has(wire.QueryBucketTo) {
		return wire.Bck{}, apierr.BadRequest("the destination is missing (query parameter %q, as in ais/@#/name/)", wire.QueryBucketTo)
	}
	return naming.ParseBucketUname(q.Get(wire.QueryBucketTo))
}

// startCopy starts a job that copies. A destination that is missing is made in
// the commit that makes the job.
func (p *Proxy) startCopy(w http.ResponseWriter, r *http.Request, body []byte, job *xact.Spec, args *tcb.Args) error {
	job.Control = job.Source.String() + "=>" + job.To.String()
	if args.DryRun {
		job.Control += ", dry run"
	}
	return p.startJob(w, r, body, func(view *meta.View) (*xact.Spec, error) {
		spec := *job
		source, err := bucketFor(view, spec.Source, meta.AccessGet|meta.AccessListObjects)
		if err != nil {
			return nil, err
		}
		spec.BID = source.BID
		if to, ok := view.BMD.Get(spec.To); ok {
			if err := objreq.CheckAccess(spec.To, to, meta.AccessPut); err != nil {
				return nil, err
			}
			if to.IsRemote(spec.To) {
				return nil, apierr.NotImplemented("writing to remote buckets (%s) is not built yet", spec.To)
			}
		} else if !spec.To.IsAIS() {
			return nil, objreq.ErrBucketNotFound(spec.To)
		}
		spec.Args, err = json.Marshal(args)
		return onTargets(view, &spec), err
	}, p.withDestination(args))
}

// withDestination makes the destination of a copy, with the properties of the
// source, if it is not there.
func (p *Proxy) withDestination(args *tcb.Args) jobs.With {
	created := time.Now().UnixNano()
	return func(v *meta.View, spec *xact.Spec) (changes []meta.Change, err error) {
		made := *args
		to, exists := v.BMD.Get(spec.To)
		switch {
		case exists:
			spec.ToBID = to.BID
		case !args.DryRun:
			source, ok := v.BMD.Get(spec.Source)
			if !ok {
				return nil, objreq.ErrBucketNotFound(spec.Source)
			}
			props := source.Clone()
			props.BID, props.Created, props.Renamed = 0, created, ""
			change, err := meta.NewChange(v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: spec.To, Props: props}}})
			if err != nil {
				return nil, err
			}
			made.Made, made.Created, changes = true, created, append(changes, change)
		}
		spec.Args, err = json.Marshal(&made)
		return changes, err
	}
}

// endCopyBucket is what is committed with the end of a job that copies a whole
// bucket: one that was aborted leaves no destination that it has made itself.
func endCopyBucket(v *meta.View, record *jobs.Record) ([]meta.Change, error) {
	var args tcb.Args
	if record.Cause == "" || len(record.Spec.Args) == 0 { // without arguments it has made nothing
		return nil, nil
	}
	if record.Left != "" {
		return nil, nil // it was reported as ended a while ago: the bucket may be in use by now
	}
	if err := json.Unmarshal(record.Spec.Args, &args); err != nil || !args.Made {
		return nil, err
	}
	to, exists := v.BMD.Get(record.Spec.To)
	if !exists || to.Created != args.Created {
		return nil, nil // somebody has removed it, and perhaps made another
	}
	change, err := meta.NewChange(v, meta.KindBMD, &meta.BMDPatch{Del: []wire.Bck{record.Spec.To}})
	return []meta.Change{change}, err
}
