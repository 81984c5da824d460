package target

import (
	"context"
	"errors"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// What a write has to know of former owners, and they of it. A target is the
// engine's core.Peers.

// Placement implements core.Peers.
func (t *Target) Placement(unameDigest uint64) (epoch uint64, settled bool) {
	placement := t.control.View().Placement
	return placement.Epoch(), placement.Settled()
}

// Earlier implements core.Peers. A former owner that is down but owns names is
// waited for: it is back soon, or out.
func (t *Target) Earlier(ctx context.Context, key core.Key, here core.Stamp, all bool) (newest core.Earlier, err error) {
	if !t.control.LeaseValid() {
		return newest, t.errNoLease(key)
	}
	view := t.control.View()
	former := t.formerOwners(view, key)
	if len(former) == 0 || decided(view, here) {
		return newest, nil
	}
	newest.Told = true
	for _, answer := range t.ask(ctx, view, key, former, nil) {
		switch {
		case errors.Is(answer.err, errOut) && !all:
		case answer.err != nil:
			return core.Earlier{}, t.errUnknown(key, []string{meta.NodeName(meta.RoleTarget, answer.id)})
		case answer.Kind != 0 && answer.Stamp.Compare(here) > 0:
			here, newest.Kind, newest.Attrs = answer.Stamp, answer.Kind, answer.attrs()
		}
		newest.Versions = newest.Versions || answer.Versions
	}
	return newest, nil
}

// Supersede implements core.Peers.
func (t *Target) Supersede(ctx context.Context, key core.Key, stamp core.Stamp) (all bool, err error) {
	view := t.control.View()
	former := t.formerOwners(view, key)
	all = true
	for _, answer := range t.ask(ctx, view, key, former, &stamp) {
		if answer.err != nil && !errors.Is(answer.err, errOut) {
			return false, t.errUnknown(key, []string{meta.NodeName(meta.RoleTarget, answer.id)})
		}
		all = all && answer.err == nil
	}
	return all, nil
}

func (t *Target) errNoLease(key core.Key) error {
	return apierr.Unavailable(time.Second, "%s has no owner lease: whether it holds the newest %s is not known", t.node.Name(), key.Cname())
}

// staying refuses to begin to change a name that is about to get another owner:
// the client finds that one in a moment. What has begun goes on, see HandOver.
func (t *Target) staying(key core.Key) error {
	pending := t.control.View().Transition.Now()
	if pending == nil {
		return nil
	}
	if next := pending.Owner(hrw.Digest(key.Bck.Uname(key.Name))); next != "" && next != t.node.ID() {
		return errNextOwner(t.node.Name(), key, next)
	}
	return nil
}
