package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/makecopies"
)

// makeCopies answers the action make-n-copies: the properties of the bucket and the
// job that brings them about are one commit. The answer is the job's id.
func (p *Proxy) makeCopies(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg) error {
	copies, err := readCopies(msg.Value)
	if err != nil {
		return err
	}
	build := func(view *meta.View) (*meta.BMDPatch, error) {
		current, exists := view.BMD.Get(bck)
		if !exists {
			return nil, objreq.ErrBucketNotFound(bck)
		}
		if err := objreq.CheckAccess(bck, current, meta.AccessPatch); err != nil {
			return nil, err
		}
		enabled := copies > 1
		props, set := current.Clone(), meta.BpropsToSet{Mirror: &meta.MirrorToSet{Enabled: &enabled}}
		if enabled {
			set.Mirror.Copies = &copies
		}
		if err := props.Set(&set); err != nil {
			return nil, err
		}
		props.Mirror.Copies = copies
		return &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: bck, Props: props}}}, nil
	}
	return p.changeBucket(w, r, bck, body, msg.Action, build)
}

// changeBucket commits a change of a bucket's properties at the primary, together
// with the job that brings it about, if it asks for one: then the answer is the job's id,
// else it is empty.
func (p *Proxy) changeBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, action string, build func(*meta.View) (*meta.BMDPatch, error)) error {
	again := r.WithContext(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return p.node.OnPrimary(w, again, func(w http.ResponseWriter, r *http.Request) error {
		patch, view, id, err := p.firstBuild(r.Context(), action, build)
		switch {
		case err != nil:
			return err
		case patch == nil:
			return node.WriteText(w, r, id)
		}
		before, _ := view.BMD.Get(bck)
		after := patch.Put[0].Props
		if action != wire.ActMakeNCopies && makecopies.Instances(before) == makecopies.Instances(after) {
			if _, err := p.control.Commit(r.Context(), action, withPatchOf(build)); err != nil {
				return err
			}
			w.WriteHeader(http.StatusOK)
			return nil
		}
		spec, err := copiesJob(bck, before, after)
		if err != nil {
			return err
		}
		id, err = p.jobs.Start(r.Context(), spec, func(view *meta.View, _ *xact.Spec) ([]meta.Change, error) { return withPatchOf(build)(view) })
		if err != nil {
			return err
		}
		return node.WriteText(w, r, id)
	})
}

// errNotRefused: what a view refused a newer one does not.
var errNotRefused = errors.New("the bucket metadata has changed")

// firstBuild makes the patch of a change of a bucket that may come with a job, before
// that is prepared: what is wrong with the request is told first. A request that is repeated, since
// the first primary that had it has gone, may find a bucket that has changed after it: without a patch the
// request was carried out before, and id is that of its job, empty if there was none.
func (p *Proxy) firstBuild(ctx context.Context, action string, build func(*meta.View) (*meta.BMDPatch, error)) (patch *meta.BMDPatch, view *meta.View, id string, err error) {
	request := meta.CommandID(ctx)
	for {
		view = p.control.View()
		if request != "" {
			for _, r := range jobs.All(view) {
				if r.Spec.Request == request {
					return nil, view, r.Spec.ID, nil
				}
			}
		}
		if patch, err = build(view); err == nil {
			return patch, view, "", nil
		}
		// Its commands are counted anew: this one is the first again in what follows.
		_, err := p.control.Commit(meta.WithCommandID(ctx, request), action, func(view *meta.View) ([]meta.Change, error) {
			if _, err := build(view); err != nil {
				return nil, err
			}
			return nil, errNotRefused
		})
		if !errors.Is(err, errNotRefused) {
			return nil, nil, "", err
		}
	}
}

// readCopies reads the number of copies, which may be a text.
func readCopies(value json.RawMessage) (copies int, err error) {
	text := string(value)
	if err := json.Unmarshal(value, &text); err != nil {
		text = string(value)
	}
	if copies, err = strconv.Atoi(text); err != nil {
		return 0, apierr.BadRequest("invalid number of copies %.64q (expecting a number from 1 to %d)", text, makecopies.MaxCopies)
	}
	return copies, makecopies.Validate(copies)
}

// copiesJob is the job that brings about what a change of a bucket's properties
// says of copies.
func copiesJob(bck wire.Bck, before, after *meta.Bprops) (*xact.Spec, error) {
	args := makecopies.Args{Copies: makecopies.Instances(after), Raises: makecopies.Instances(after) > makecopies.Instances(before)}
	if err := makecopies.Validate(args.Copies); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(args)
	return &xact.Spec{Kind: xact.KindMakeCopies, Bck: bck, BID: before.BID, Args: encoded, Control: fmt.Sprintf("copies:%d", args.Copies)}, err
}

// withPatchOf makes the changes of a commit of a patch of the bucket metadata.
func withPatchOf(build func(*meta.View) (*meta.BMDPatch, error)) func(*meta.View) ([]meta.Change, error) {
	return func(view *meta.View) ([]meta.Change, error) {
		patch, err := build(view)
		if err != nil {
			return nil, err
		}
		change, err := meta.NewChange(view, meta.KindBMD, patch)
		return []meta.Change{change}, err
	}
}

// checkOneJob refuses a change of properties that would start both make-n-copies
// and ec-encode on the objects of a bucket.
func checkOneJob(bck wire.Bck, before, after *meta.Bprops) error {
	if before.EC.Enabled || !after.EC.Enabled || makecopies.Instances(before) == makecopies.Instances(after) {
		return nil
	}
	return apierr.New(apierr.StatusConflict, wire.CodeBusy,
		"%s: one change cannot start both %q and %q: set mirror.* and ec.* one after the other", bck, wire.ActMakeNCopies, wire.ActECEncode)
}

// countTime bounds the question to targets how many mountpaths they have.
const countTime = 5 * time.Second

// checkNewCopies refuses a new bucket that is to have more copies of its objects than
// some target has mountpaths. A target that cannot be asked is not counted.
func (p *Proxy) checkNewCopies(ctx context.Context, bck wire.Bck, set *meta.BpropsToSet) error {
	view := p.control.View()
	if view == nil || view.Config == nil || view.Smap == nil {
		return nil // the commit tells why it cannot be
	}
	props := meta.DefaultBprops(bck, view.Config.Cluster)
	if err := props.Set(set); err != nil {
		return err
	}
	copies := makecopies.Instances(props)
	if copies < 2 {
		return nil
	}
	if err := makecopies.Validate(copies); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	var group errgroup.Group
	for _, target := range view.Smap.ActiveTargets() {
		group.Go(func() error {
			data, _, err := p.node.RPC().Get(ctx, target.IntraControl.URL, wire.PathDaemon+"?"+wire.QueryWhat+"="+wire.WhatMountpaths)
			var list wire.MountpathList
			if err == nil {
				err = json.Unmarshal(data, &list)
			}
			if err != nil {
				p.logger.Warn("the mountpaths of a target cannot be counted", "target", target.String(), "err", err)
				return nil
			}
			return makecopies.CheckMountpaths(copies, len(list.Available))
		})
	}
	return group.Wait()
}
