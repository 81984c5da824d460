package proxy

import (
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rename"
)

// renameBucket starts the job that gives a bucket another name. The new bucket
// is made, and writes to both end, in the commit that makes the job.
func (p *Proxy) renameBucket(w http.ResponseWriter, r *http.Request, from wire.Bck, body []byte, q *query.Values) error {
	to, err := bucketTo(q)
	if err != nil {
		return err
	}
	created := time.Now().UnixNano()
	return p.startJob(w, r, body, func(view *meta.View) (*xact.Spec, error) {
		source, err := checkRename(view, from, to)
		if err != nil {
			return nil, err
		}
		return onTargets(view, &xact.Spec{
			ID: meta.NewJobID(), Kind: wire.ActMoveBucket, Bck: to, Source: from, To: to, BID: source.BID, Control: from.String() + "=>" + to.String(),
		}), nil
	}, func(v *meta.View, spec *xact.Spec) ([]meta.Change, error) {
		source, err := checkRename(v, from, to)
		if err != nil {
			return nil, err
		}
		before, after := source.Clone(), source.Clone()
		before.Renamed = wire.ActMoveBucket
		after.BID, after.Created, after.Renamed = 0, created, rename.Mark(spec.ID, from)
		change, err := meta.NewChange(v, meta.KindBMD, &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: from, Props: before}, {Bck: to, Props: after}}})
		return []meta.Change{change}, err
	})
}

// checkRename refuses a rename that cannot be.
func checkRename(view *meta.View, from, to wire.Bck) (*meta.Bprops, error) {
	source, err := bucketFor(view, from, meta.AccessMoveBucket)
	switch {
	case err != nil:
		return nil, err
	case !from.IsAIS():
		return nil, apierr.BadRequest("can only rename AIS ('ais://') bucket (have %s)", from)
	case !to.IsAIS():
		return nil, apierr.BadRequest("can only rename to AIS ('ais://') bucket (have %s)", to)
	case from == to:
		return nil, apierr.BadRequest("cannot rename bucket %q to itself", from.String())
	case source.HasBackend():
		return nil, apierr.NotImplemented("renaming the bucket %s, which has the backend %s, is not built yet", from, source.BackendBck)
	}
	if !view.Placement.Settled() {
		return nil, apierr.New(http.StatusConflict, wire.CodeBusy, "cannot rename bucket %q: it is currently busy (objects move between targets), please try again when the rebalance has ended", from.String())
	}
	if _, exists := view.BMD.Get(to); exists {
		return nil, apierr.New(http.StatusBadRequest, wire.CodeBucketExists, "bucket %q already exists", to.String())
	}
	return source, nil
}

// endRename is what is committed with the end of a rename: if every target has
// copied everything the old bucket goes, else the new one.
func endRename(v *meta.View, record *jobs.Record) ([]meta.Change, error) {
	spec := record.Spec
	source, hasSource := v.BMD.Get(spec.Source)
	to, hasTo := v.BMD.Get(spec.To)
	if hasTo {
		// Only what this job has made.
		if id, from, ok := rename.ParseMark(to.Renamed); !ok || id != spec.ID || from != spec.Source {
			return nil, nil
		}
	}
	hasSource = hasSource && source.BID == spec.BID
	patch := &meta.BMDPatch{}
	done := record.Cause == "" && record.Error == "" && hasTo && hasSource
	switch {
	case done:
		next := to.Clone()
		next.Renamed = ""
		patch.Del, patch.Put = []wire.Bck{spec.Source}, []meta.BucketEntry{{Bck: spec.To, Props: next}}
	case hasSource:
		back := source.Clone()
		back.Renamed = ""
		patch.Put = []meta.BucketEntry{{Bck: spec.Source, Props: back}}
		if hasTo {
			patch.Del = []wire.Bck{spec.To}
		}
	case hasTo: // nobody can have destroyed the old one; keep what there is
		next := to.Clone()
		next.Renamed = ""
		patch.Put = []meta.BucketEntry{{Bck: spec.To, Props: next}}
	default:
		return nil, nil
	}
	change, err := meta.NewChange(v, meta.KindBMD, patch)
	return []meta.Change{change}, err
}
