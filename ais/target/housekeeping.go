package target

import (
	"errors"
	"time"

	"github.com/aistore-go/aistore/ais/node/startup"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/core"
)

const (
	// collectFirst is how long after the start what an earlier process has
	// left is looked for, and how often until the buckets are known.
	collectFirst = 10 * time.Second
	// collectEvery is how often after that.
	collectEvery = time.Hour
)

// collectGarbage starts to remove, after the start and then every hour, what
// crashes have left: sidecars, and files of chunked objects and of uploads.
func (t *Target) collectGarbage(s *startup.Settings) (stop func()) {
	every := collectFirst
	return s.Every(func(*config.Cluster) time.Duration { return every }, func() {
		if t.collect(s.Config().Space.DontCleanupTime.D()) {
			every = collectEvery
		}
	})
}

// collect looks at all buckets once; known is false if this node does not know
// yet which there are.
func (t *Target) collect(age time.Duration) (known bool) {
	view := t.control.View()
	if view.UUID == "" || view.BMD == nil {
		return false
	}
	var removed core.Collected
	var failed error
	for _, bucket := range view.BMD.Buckets(nil) {
		c, err := t.store.CollectGarbage(t.ctx, bucket.Bck, bucket.Props, age)
		removed.Files += c.Files
		removed.Bytes += c.Bytes
		if t.ctx.Err() != nil {
			break // the node stops
		}
		if err != nil && apierr.StatusOf(err) != apierr.StatusNotFound { // destroyed meanwhile
			failed = errors.Join(failed, err)
		}
	}
	t.metrics.CleanedUp(removed.Files, removed.Bytes)
	if removed.Files > 0 {
		t.logger.Info("files that belonged to no object were removed", "files", removed.Files, "bytes", removed.Bytes)
	}
	if failed != nil {
		t.logger.Warn("files that belong to no object may be left", "err", failed)
	}
	return true
}
