package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
)

const (
	// repairTries is how often the repair of a bucket is begun for one reason before
	// that counts as failed.
	repairTries = 3
	// repairPause is between two of them.
	repairPause = 5 * time.Second
)

// repairs are those of all erasure-coded buckets that something waits for. What was
// begun is remembered by this process alone: what a job's record tells of its arguments goes
// with its end, so that another primary begins anew.
type repairs struct {
	p *Proxy

	mu       sync.Mutex
	purpose  string // what they are for
	byBucket map[wire.Bck]*bucketRepair
}

// bucketRepair is what was begun for a bucket.
type bucketRepair struct {
	id    string // of the latest job
	tries int
}

// ended tells whether the repairs of all buckets that were begun for a purpose have
// ended, and begins those that were not. The error is why one has failed, again
// and again.
func (r *repairs) ended(ctx context.Context, v *meta.View, purpose, reason string) (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.purpose != purpose {
		r.purpose, r.byBucket = purpose, map[wire.Bck]*bucketRepair{}
	}
	done = true
	for _, b := range repairable(v) {
		repair := r.byBucket[b.Bck]
		if repair == nil {
			repair = &bucketRepair{}
			r.byBucket[b.Bck] = repair
		}
		repaired, err := r.step(ctx, v, repair, b, reason)
		if err != nil {
			return false, err
		}
		done = done && repaired
	}
	return done, nil
}

// repairable are the erasure-coded buckets that the targets in service can hold.
func repairable(v *meta.View) []meta.BucketEntry {
	return v.BMD.Buckets(func(bck wire.Bck, p *meta.Bprops) bool {
		return p.EC.Enabled && p.CheckEC(p, bck, v.Smap.CountTargets(), false) == nil
	})
}

// step tells whether the repair of a bucket has ended, and begins it if it is due.
func (r *repairs) step(ctx context.Context, v *meta.View, repair *bucketRepair, b meta.BucketEntry, reason string) (bool, error) {
	if latest := jobs.Find(v, repair.id); latest != nil {
		switch {
		case latest.Running():
			return false, nil
		case latest.Error == "" && latest.Cause == "":
			return true, nil
		case time.Since(time.Unix(0, latest.Ended)) < repairPause:
			return false, nil
		case repair.tries >= repairTries:
			return false, apierr.New(apierr.StatusConflict, wire.CodeFailedTo, "slices of %s were not made again on other targets: %s",
				b.Bck, strings.TrimSpace(cmp.Or(latest.Error, latest.Cause)))
		}
	}
	args, err := json.Marshal(&ecencode.Args{Recover: true, Reason: reason})
	if err != nil {
		return false, err
	}
	spec := &xact.Spec{Kind: xact.KindECEncode, Bck: b.Bck, BID: b.Props.BID, Args: args}
	id, err := r.p.jobs.Start(meta.WithCommandID(ctx, ""), spec, nil)
	if err != nil {
		// Most likely another job of the bucket is in the way, and ends.
		r.p.logger.Warn("the repair of slices cannot begin yet", "bucket", b.Bck, "reason", reason, "err", err)
		return false, nil
	}
	repair.id = id
	repair.tries++
	return false, nil
}
