package target

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/listing"
)

// maxListJobs bounds the listings that are shown as jobs at the same time. Others go on
// without.
const maxListJobs = 1000

// listed counts names that were sent to a gateway in the listing with an id, whose
// job it starts if it is not there. It is no error if that cannot be: a listing needs no
// job.
func (t *Target) listed(ctx context.Context, id string, bck wire.Bck, props *meta.Bprops, names int) {
	x := t.jobs.Find(id)
	if x == nil || !x.Running() && x.Aborted() == nil && x.Kind().Name == listing.Kind {
		running := true
		if len(t.jobs.Select(xact.Query{Kind: listing.Kind, Running: &running})) >= maxListJobs {
			return
		}
		var err error
		x, err = t.jobs.Start(ctx, &xact.Spec{ID: id, Kind: listing.Kind, Bck: bck, BID: props.BID, Started: time.Now().UnixNano()})
		if err != nil {
			t.logger.Debug("a listing is not shown as a job", "id", id, "bucket", bck.String(), "err", err)
			return
		}
	}
	if x.Kind().Name != listing.Kind || x.Spec().Bck != bck || !x.Pending(+1) {
		return // a client may send any id
	}
	x.AddObjects(int64(names), 0)
	x.Pending(-1)
}
