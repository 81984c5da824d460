// Package listing is the job list: it shows that a client goes through the names of a
// bucket page by page. Targets start it with the first page that does not end the
// listing, under the listing's own id; it ends when no page was asked for for a while.
package listing

import (
	"context"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/xact"
)

// Kind is the kind of the job.
const Kind = "list"

// Registration makes the job known to a target. It has no arguments.
func Registration() xact.Registration {
	return xact.Registration{Kind: Kind, New: func(_ *xact.Env, spec *xact.Spec) (xact.Job, error) {
		if spec.Bck.Name == "" {
			return nil, apierr.BadRequest("%s needs a bucket", spec.Kind)
		}
		return job{}, nil
	}}
}

type job struct{}

// Run implements xact.Job.
func (job) Run(ctx context.Context, x *xact.Xaction) error { return x.UntilIdle(ctx) }
