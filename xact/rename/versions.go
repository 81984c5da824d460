package rename

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Names with versions go to the new bucket as names go to another target in a
// rebalance: each generation by itself, with its stamp, which is its version id. A
// name that was sent already, wholly or in part, may be sent again.

const (
	// versionsPage is how many versions are listed at a time.
	versionsPage = 1000
	// versionsWorkers is how many names are sent at a time.
	versionsWorkers = 8
)

// sendVersions gives the new bucket every name of which this target holds noncurrent
// versions, or a current one with a version id. found tells that there are any.
func (j *job) sendVersions(ctx context.Context, x *xact.Xaction) (found bool, err error) {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(versionsWorkers)
	sent := ""
	send := func(name string) error {
		if name == sent {
			return nil
		}
		found, sent = true, name
		group.Go(func() error {
			return selection.Patiently(inner, func() error { return j.sendName(inner, x, name) })
		})
		return inner.Err()
	}
	opts := core.VersionListOptions{Limit: versionsPage}
	for {
		page, err := j.env.Store.ListBucketVersions(inner, j.options.Bck, j.options.Props, opts)
		for i := 0; err == nil && i < len(page); i++ {
			if v := &page[i]; !v.Current || v.Kind.IsDeleted() || v.Attrs.Versioned {
				err = send(v.Name)
			}
		}
		if err != nil || len(page) < opts.Limit {
			if failed := group.Wait(); failed != nil {
				err = failed
			}
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return found, err
		}
		last := &page[len(page)-1]
		opts.After, opts.AfterStamp = last.Name, last.Attrs.Stamp
	}
}

// sendName sends one name.
func (j *job) sendName(ctx context.Context, x *xact.Xaction, name string) error {
	from := core.Key{Bck: j.options.Bck, Props: j.options.Props, Name: name}
	to := core.Key{Bck: j.to, Props: j.toProps, Name: name}
	generations, bytes, sent, err := j.cluster.SendName(ctx, from, to)
	if err != nil {
		return err
	}
	x.AddObjects(generations, bytes)
	if sent {
		x.AddOut(generations, bytes)
	}
	return nil
}

// settled refuses the rename while objects move between targets: one that moves
// may be passed over, and the old bucket goes at the end. The error has status 409:
// to try again at once is no use.
func (j *job) settled() error {
	if p := j.env.View().Placement; p.Settled() && p.Epoch() == j.epoch {
		return nil
	}
	return apierr.New(apierr.StatusConflict, wire.CodeBusy, "%s cannot be renamed while objects move between targets: try again when the rebalance has ended", j.options.Bck)
}
