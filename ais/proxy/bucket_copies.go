package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

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
		view := p.control.View()
		patch, err := build(view) // what is wrong with the request is told first
		if err != nil {
			return err
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
		id, err := p.jobs.Start(r.Context(), spec, func(view *meta.View, _ *xact.Spec) ([]meta.Change, error) { return withPatchOf(build)(view) })
		if err != nil {
			return err
		}
		return node.WriteText(w, r, id)
	})
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
