package tcb

import (
	"context"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Check validates what a client asks for, before anything is made: the buckets
// need not exist. Errors are 400s.
func Check(from, to wire.Bck, msg *wire.CopyBucketMsg, list *wire.ListRange) error {
	selected, err := selectedBy(msg, list)
	if err != nil {
		return err
	}
	names, err := NewNames(msg)
	if err != nil {
		return err
	}
	if err := selection.CheckWorkers(msg.NumWorkers); err != nil {
		return err
	}
	switch {
	case msg.Synchronize && msg.Prepend != "":
		return apierr.BadRequest(`"synchronize" and "prepend" cannot be used together (prepend %q)`, msg.Prepend)
	case msg.Synchronize && len(msg.Ext) > 0:
		return apierr.BadRequest(`"synchronize" and "ext" cannot be used together: which source a name comes from would not be known`)
	case msg.ETL != "" || len(msg.Pipeline) > 0 || len(msg.RequestTimeout) > 0 && string(msg.RequestTimeout) != "null":
		return apierr.BadRequest(`"id", "pipeline" and "request_timeout" belong to transformations, and not to a copy`)
	case from != to || msg.DryRun:
		return nil
	case names.Same() && list != nil && msg.Synchronize:
		return nil // every object is as it is at the source already
	case names.Same(), list == nil:
		return apierr.BadRequest("cannot copy bucket %s onto itself", from)
	case !selected.ByName() && names.within(selected.Prefix()):
		return apierr.BadRequest("source and destination overlap: copies in %s with the names %q... are selected by the prefix %q themselves",
			from, msg.Prepend, selected.Prefix())
	}
	return nil
}

// selectedBy is the selection of a message; without a list it is by prefix.
func selectedBy(msg *wire.CopyBucketMsg, list *wire.ListRange) (*template.Selection, error) {
	if list == nil {
		list = &wire.ListRange{}
	}
	selected, err := template.Select(list)
	if err != nil || selected.ByName() || msg.Prefix == "" {
		return selected, err
	}
	byPrefix, err := template.SelectPrefix(msg.Prefix)
	if err != nil {
		return nil, err
	}
	if p := selected.Prefix(); p != "" && p != byPrefix.Prefix() {
		return nil, apierr.BadRequest("the template selects the prefix %q, and \"prefix\" is %q (expected one of them)", p, byPrefix.Prefix())
	}
	return byPrefix, nil
}

// request is the work of one message on one target.
type request struct {
	cluster selection.Cluster
	share   *selection.Share
	options selection.Options
	names   *Names
	msg     wire.CopyBucketMsg

	to      wire.Bck
	toBID   uint64       // 0: any
	toProps *meta.Bprops // when it runs; nil in a dry run
}

// Args are the arguments of both jobs.
type Args struct {
	wire.CopyObjectsMsg
	// Made: the destination was made for this job, and goes if it is aborted.
	Made    bool  `json:"made,omitempty"`
	Created int64 `json:"created,omitempty"` // its creation time, ns since the epoch
}

func newRequest(cluster selection.Cluster, env *xact.Env, spec *xact.Spec, msg *wire.CopyBucketMsg, list *wire.ListRange) (*request, error) {
	if err := Check(spec.Source, spec.To, msg, list); err != nil {
		return nil, err
	}
	r := &request{cluster: cluster, msg: *msg, to: spec.To, toBID: spec.ToBID}
	var err error
	if r.options.Selection, err = selectedBy(msg, list); err != nil {
		return nil, err
	}
	if r.names, err = NewNames(msg); err != nil {
		return nil, err
	}
	if r.options.Props, err = selection.Bucket(env, spec.Source, spec.BID); err != nil {
		return nil, err
	}
	if r.share, err = selection.NewShare(env, spec); err != nil {
		return nil, err
	}
	if !msg.DryRun {
		if err := env.Disks.Capacity().Err(); err != nil {
			return nil, err
		}
	}
	r.options.Bck, r.options.NonRecursive = spec.Source, msg.NonRecursive
	r.options.Workers, r.options.ContinueOnError, r.options.NeedsRoom = msg.NumWorkers, msg.ContinueOnError, true
	return r, nil
}

// run copies, and then removes what is gone at the source if that is asked for.
func (r *request) run(ctx context.Context, x *xact.Xaction) (err error) {
	// The destination may have been made together with the job, after it was checked.
	if r.toProps, err = selection.Bucket(x.Env(), r.to, r.toBID); err != nil && !r.msg.DryRun {
		return err
	}
	if err := r.share.Each(ctx, x, r.cluster, &r.options, func(ctx context.Context, obj *selection.Object) error {
		return r.copy(ctx, x, obj)
	}); err != nil {
		return err
	}
	if !r.msg.Synchronize || r.options.Selection.ByName() || r.msg.DryRun || r.to == r.options.Bck {
		return nil
	}
	return r.prune(ctx, x)
}

// copy copies one object, or counts it in a dry run.
func (r *request) copy(ctx context.Context, x *xact.Xaction, obj *selection.Object) error {
	if r.msg.DryRun {
		if obj.Size < 0 {
			attrs, err := r.cluster.Stat(ctx, obj.Key)
			if err != nil {
				return err
			}
			obj.Size = attrs.Size
		}
		x.AddObjects(1, obj.Size)
		return nil
	}
	to := core.Key{Bck: r.to, Props: r.toProps, Name: r.names.Of(obj.Key.Name)}
	if to.Bck == obj.Key.Bck && to.Name == obj.Key.Name {
		return nil
	}
	source, sent, err := r.cluster.Copy(ctx, x.ID(), obj.Key, to, false)
	switch {
	case err == nil:
		x.AddObjects(1, source.Size)
		if sent {
			x.AddOut(1, source.Size)
		}
		return nil
	case apierr.StatusOf(err) == apierr.StatusInsufficientStorage:
		return noRoom(x, to, err)
	case selection.IsMissing(err) && r.msg.Synchronize && r.options.Selection.ByName() && !obj.Listed:
		// Of a range that is to be as it is at the source.
		if _, err := r.cluster.Remove(ctx, to); err != nil && !selection.IsMissing(err) {
			return err
		}
	}
	return err
}

// noRoom is the 507 with which a target that is full ends the job.
func noRoom(x *xact.Xaction, to core.Key, err error) error {
	full := "its target"
	if owner, ownerErr := x.Env().View().Smap.Owner(hrw.Digest(to.Bck.Uname(to.Name))); ownerErr == nil {
		full = owner.String()
	}
	return apierr.Wrap(err, apierr.StatusInsufficientStorage, apierr.CodeOf(err),
		"%s cannot be stored, %s is full (start the job again when there is room): %v", to.Cname(), full, err)
}

// pruneBatch is how many names are asked about at a time.
const pruneBatch = 512

// prune removes what the destination has and the source has not.
func (r *request) prune(ctx context.Context, x *xact.Xaction) error {
	options := r.options
	options.Bck, options.Props = r.to, r.toProps
	gather := &batches{size: pruneBatch, each: func(ctx context.Context, names []string) error { return r.pruneNames(ctx, names) }}
	options.Workers = 1 // the batches are what takes time
	if err := r.share.Each(ctx, x, r.cluster, &options, func(ctx context.Context, obj *selection.Object) error {
		return gather.add(ctx, obj.Key.Name)
	}); err != nil {
		return err
	}
	return gather.flush(ctx)
}

func (r *request) pruneNames(ctx context.Context, names []string) error {
	var there []bool
	if err := selection.Patiently(ctx, func() (err error) {
		there, err = r.cluster.Present(ctx, r.options.Bck, r.options.Props, names)
		return err
	}); err != nil {
		return err
	}
	for i, name := range names {
		if there[i] {
			continue
		}
		key := core.Key{Bck: r.to, Props: r.toProps, Name: name}
		err := selection.Patiently(ctx, func() error {
			_, err := r.cluster.Remove(ctx, key)
			return err
		})
		if err != nil && !selection.IsMissing(err) {
			return err
		}
	}
	return nil
}

// batches gathers names; it is used by one goroutine at a time.
type batches struct {
	size  int
	names []string
	each  func(ctx context.Context, names []string) error
}

func (b *batches) add(ctx context.Context, name string) error {
	if b.names = append(b.names, name); len(b.names) < b.size {
		return nil
	}
	return b.flush(ctx)
}

func (b *batches) flush(ctx context.Context) error {
	if len(b.names) == 0 {
		return nil
	}
	if err := b.each(ctx, b.names); err != nil {
		return err // they are tried again with the next name
	}
	b.names = b.names[:0]
	return nil
}
