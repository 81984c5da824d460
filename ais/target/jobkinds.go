package target

import (
	"context"
	"slices"

	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/cleanup"
	"github.com/aistore-go/aistore/xact/ecencode"
	"github.com/aistore-go/aistore/xact/ecidle"
	"github.com/aistore-go/aistore/xact/lru"
	"github.com/aistore-go/aistore/xact/makecopies"
	"github.com/aistore-go/aistore/xact/promote"
	"github.com/aistore-go/aistore/xact/putcopies"
	"github.com/aistore-go/aistore/xact/remove"
	"github.com/aistore-go/aistore/xact/rename"
	"github.com/aistore-go/aistore/xact/resilver"
	"github.com/aistore-go/aistore/xact/scrub"
	"github.com/aistore-go/aistore/xact/summary"
	"github.com/aistore-go/aistore/xact/tcb"
	"github.com/aistore-go/aistore/xact/warmup"
)

// registrations are the jobs that are built: adding one is its folder below
// xact and a line here.
func registrations(t *Target) []xact.Registration {
	objects := clusterObjects{t}
	return slices.Concat(ecidle.Registrations(), []xact.Registration{
		ecencode.Registration(t.ec),
		lru.Registration(),
		cleanup.Registration(t.ec),
		remove.Registration(objects),
		tcb.Bucket(objects),
		tcb.Objects(objects),
		rename.Registration(objects),
		promote.Registration(objects, t.allowedRoots),
		summary.Registration(objects, t.below),
		scrub.Registration(t.checkProtection),
		warmup.Registration(),
		putcopies.Registration(),
		makecopies.Registration(),
		resilver.Registration(func(_ context.Context, path string) error { return t.enableMountpath(path) }),
	}, bulkJobs(objects))
}
