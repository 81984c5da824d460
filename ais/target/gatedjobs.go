//go:build gatedjobs

package target

import (
	"context"
	"encoding/json"
	"errors"
	iofs "io/fs"
	"os"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/lru"
)

// testJobs take the place of two kinds in binaries that tests build: jobs that
// run until a file is there, whose name is the job's argument. Without it evictions are
// what they always are.
func testJobs() []xact.Registration {
	make := func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		var args xact.StartArgs
		if len(spec.Args) > 0 {
			if err := json.Unmarshal(spec.Args, &args); err != nil {
				return nil, apierr.BadRequest("gated job: %v", err)
			}
		}
		if args.Name == "" && spec.Kind == xact.KindLRU {
			return lru.Registration().New(env, spec)
		}
		return gatedJob(args.Name), nil
	}
	return []xact.Registration{{Kind: xact.KindLRU, New: make}, {Kind: "prefetch-listrange", New: make}}
}

type gatedJob string

// Run implements xact.Job.
func (gate gatedJob) Run(ctx context.Context, x *xact.Xaction) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for gate != "" { // else there is nothing to wait for
		if _, err := os.Stat(string(gate)); !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		x.AddObjects(1, 0)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
