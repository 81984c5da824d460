package target

import (
	"context"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// copyObject copies an object of this target to another name or bucket, which
// this target or another one owns, and answers when the copy is complete.
func (t *Target) copyObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	bck, name, err := objreq.CopyTo(&req.query)
	if err != nil {
		return err
	}
	to := core.Key{Bck: bck, Name: name}
	if to.Props, err = objreq.Bucket(r.Context(), t.control, bck); err != nil {
		return err
	}
	source, err := t.duplicate(r.Context(), req.key, to, false)
	if err != nil {
		return err
	}
	t.metrics.Done(metrics.Put, bck, source.Size, time.Since(req.began))
	return answerEmpty(w, http.StatusOK)
}

// renameObject gives an object another name: the other name gets the content
// first, and then the old one goes, unless somebody has written it since. At
// every moment at least one of them is there; after a crash both may be.
func (t *Target) renameObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	to := req.key
	var err error
	if to.Name, err = objreq.RenameTo(req.key.Bck, req.key.Props, req.key.Name, req.action.Name); err != nil {
		return err
	}
	source, err := t.duplicate(r.Context(), req.key, to, true)
	if err != nil {
		return err
	}
	// A client that goes away now would leave both names.
	ctx := context.WithoutCancel(r.Context())
	if err := t.giveUpElsewhere(ctx, req.key, source.Stamp); err != nil {
		return err
	}
	err = t.asOwner(ctx, req.key, func() error {
		return t.store.DeleteUnchanged(ctx, req.key, source.LastChange())
	}, &changeRequest{Only: &source.Stamp})
	if err != nil {
		return err
	}
	return answerEmpty(w, http.StatusOK)
}

// duplicate makes a copy of an object and returns the source's attributes.
func (t *Target) duplicate(ctx context.Context, from, to core.Key, moves bool) (core.Attrs, error) {
	if err := to.CheckWritable(); err != nil {
		return core.Attrs{}, err
	}
	if err := t.bringHome(ctx, from); err != nil {
		return core.Attrs{}, err
	}
	source, _, err := t.copyHeld(ctx, "", from, to, moves)
	return source, err
}

// copyHeld makes a copy of what this target itself holds of a name. sent tells
// that another target owns the copy; it counts it for the job with an id.
func (t *Target) copyHeld(ctx context.Context, job string, from, to core.Key, moves bool) (source core.Attrs, sent bool, err error) {
	smap := t.control.View().Smap
	owner, err := objreq.Owner(smap, to.Bck, to.Name)
	if err != nil {
		return core.Attrs{}, false, err
	}
	if owner.ID == t.node.ID() {
		source, err = t.store.Copy(ctx, from, to, moves)
		return source, false, err
	}
	if t.control.IsDown(owner.ID) {
		return core.Attrs{}, true, apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", to.Cname(), owner)
	}
	for attempt := 0; ; attempt++ {
		source, err := t.sendCopy(ctx, job, from, to, smap, owner, moves)
		if attempt > 0 || apierr.CodeOf(err) != wire.CodeBadChecksum {
			return source, true, err
		}
		// Damaged here or on the way: the first is found out and mended, if
		// that is possible; then it is worth another try.
		if found := t.store.CheckContent(ctx, from); apierr.IsNotFound(found) {
			return core.Attrs{}, true, err // it is in quarantine already
		} else if found != nil {
			return core.Attrs{}, true, found
		}
	}
}

// bringHome makes sure that the newest generation of a name that this target
// owns lies here, before it is changed or copied: after a change of the targets
// a former owner may have it. What those have is given up then. Nothing
// anywhere is no error: whoever needs the object finds out.
func (t *Target) bringHome(ctx context.Context, key core.Key) error {
	if !t.control.LeaseValid() {
		return t.errNoLease(key)
	}
	if err := t.staying(key); err != nil {
		return err
	}
	view := t.control.View()
	former := t.formerOwners(view, key)
	if len(former) == 0 {
		return nil
	}
	f, err := t.find(ctx, view, key, former)
	switch {
	case err != nil:
		return err
	case len(f.unknown) > 0:
		return t.errUnknown(key, f.unknown)
	case f.versions:
		_, err := t.Gather(ctx, key, core.Stamp{}, true)
		return err
	case f.best.Kind == 0 || f.best.node == nil:
		return nil // what is here, or nothing, is the newest
	case f.best.Kind == core.KindTombstone:
		return t.store.RemoveOlder(ctx, key, f.best.Stamp)
	}
	return t.fetchHome(ctx, key, f.best.node)
}

// giveUpElsewhere makes former owners of a name remove what is older than a
// stamp, so that nothing comes to light when the object here is deleted.
func (t *Target) giveUpElsewhere(ctx context.Context, key core.Key, than core.Stamp) error {
	view := t.control.View()
	former := t.formerOwners(view, key)
	if len(former) == 0 {
		return nil
	}
	for _, answer := range t.ask(ctx, view, key, former, &than) {
		if answer.err != nil {
			return t.errUnknown(key, []string{meta.NodeName(meta.RoleTarget, answer.id)})
		}
	}
	return nil
}
