// Package ecidle is the jobs that show what goes on with the slices of a bucket:
// ec-put (objects are encoded after writes), ec-get (objects are rebuilt), ec-resp
// (slices are taken in or sent for other targets). Targets start them with the first piece
// of work; they end when there was none for a while. The work itself is that of package ec.
package ecidle

import (
	"context"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/xact"
)

// Kinds.
const (
	KindPut  = "ec-put"
	KindGet  = "ec-get"
	KindResp = "ec-resp"
)

// Registrations are those of all three kinds.
func Registrations() []xact.Registration {
	var all []xact.Registration
	for _, kind := range []string{KindPut, KindGet, KindResp} {
		all = append(all, xact.Registration{Kind: kind, New: func(_ *xact.Env, spec *xact.Spec) (xact.Job, error) {
			if spec.Bck.Name == "" {
				return nil, apierr.BadRequest("%s needs a bucket", spec.Kind)
			}
			return job{}, nil
		}})
	}
	return all
}

type job struct{}

// Run implements xact.Job.
func (job) Run(ctx context.Context, x *xact.Xaction) error { return x.UntilIdle(ctx) }
