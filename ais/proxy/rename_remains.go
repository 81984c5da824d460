package proxy

import (
	"context"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact/rename"
)

const (
	// remainsLook is how often the primary looks for renames that nobody carries out.
	remainsLook = 5 * time.Second
	// remainsTime bounds the commit that ends one.
	remainsTime = 20 * time.Second
)

// endForgottenRenames ends, while this node is the primary, renames whose job the cluster
// does not know: their marks came from elsewhere, as from the disks of a cluster
// that was started again by force, whose records of jobs are lost. Nothing
// could be written to the two buckets for ever else.
func (p *Proxy) endForgottenRenames(ctx context.Context) {
	tick := time.NewTicker(remainsLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if v := p.control.View(); !p.control.IsPrimary() || forgottenRenames(v) == nil {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, remainsTime)
		_, err := p.control.Commit(bounded, "end of a rename", func(v *meta.View) ([]meta.Change, error) {
			patch := forgottenRenames(v)
			if patch == nil {
				return nil, nil
			}
			for _, b := range patch.Put {
				p.logger.Warn("a rename whose job is not known has ended", "bucket", b.Bck.String(), "removed", patch.Del)
			}
			change, err := meta.NewChange(v, meta.KindBMD, patch)
			return []meta.Change{change}, err
		})
		cancel()
		if err != nil && ctx.Err() == nil {
			p.logger.Warn("a rename whose job is not known cannot be ended yet", "err", err)
		}
	}
}

// forgottenRenames is the change that ends renames whose jobs do not run, as their end
// would have: as long as the old bucket is there, it has everything, and the new
// one goes. nil: there are none.
func forgottenRenames(v *meta.View) *meta.BMDPatch {
	if v.BMD == nil {
		return nil
	}
	patch := &meta.BMDPatch{}
	carried := map[wire.Bck]bool{} // old buckets whose rename goes on
	for _, to := range v.BMD.Buckets(func(_ wire.Bck, p *meta.Bprops) bool { return p.Renamed != "" }) {
		id, from, ok := rename.ParseMark(to.Props.Renamed)
		if !ok {
			continue
		}
		if record := jobs.Find(v, id); record != nil && record.Running() {
			carried[from] = true
			continue
		}
		if source, exists := v.BMD.Get(from); exists && source.Renamed == wire.ActMoveBucket {
			patch.Del = append(patch.Del, to.Bck)
			continue
		}
		patch.Put = append(patch.Put, unmarked(to))
	}
	for _, from := range v.BMD.Buckets(func(b wire.Bck, p *meta.Bprops) bool { return p.Renamed == wire.ActMoveBucket && !carried[b] }) {
		if !renames(v, from.Bck) {
			patch.Put = append(patch.Put, unmarked(from))
		}
	}
	if len(patch.Put)+len(patch.Del) == 0 {
		return nil
	}
	return patch
}

// renames tells that a job runs which renames a bucket, whatever the marks say.
func renames(v *meta.View, from wire.Bck) bool {
	for _, record := range jobs.All(v) {
		if record.Running() && record.Spec.Kind == wire.ActMoveBucket && record.Spec.Source == from {
			return true
		}
	}
	return false
}

// unmarked is a bucket that is not being renamed any more.
func unmarked(b meta.BucketEntry) meta.BucketEntry {
	b.Props = b.Props.Clone()
	b.Props.Renamed = ""
	return b
}
