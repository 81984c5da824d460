package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/ecencode"
)

// recoverName is the name in an ec-encode message that asks for a repair.
const recoverName = "recover"

// encodeBucket answers the action ec-encode: it enables erasure coding, unless it
// is, and starts the job that makes the slices, in one commit. With the name "recover"
// the job trusts no note and reads every slice. The answer is the job's id.
func (p *Proxy) encodeBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg) error {
	if msg.Name != "" && msg.Name != recoverName {
		return apierr.BadRequest("invalid name %.40q of action %q (expecting %q or none)", msg.Name, msg.Action, recoverName)
	}
	set, err := readECProps(msg)
	if err != nil {
		return err
	}
	args := ecencode.Args{Recover: msg.Name == recoverName, Read: msg.Name == recoverName}
	return p.startEncoding(w, r, bck, body, args, func(view *meta.View) (*meta.BMDPatch, error) {
		current, exists := view.BMD.Get(bck)
		if !exists {
			return nil, objreq.ErrBucketNotFound(bck)
		}
		if err := objreq.CheckAccess(bck, current, meta.AccessPatch); err != nil {
			return nil, err
		}
		if !current.EC.Enabled && (set.DataSlices == nil || set.ParitySlices == nil) {
			return nil, apierr.BadRequest("action %q needs data_slices and parity_slices: erasure coding is not enabled on the bucket %s", msg.Action, bck)
		}
		props := current.Clone()
		if err := props.Set(&meta.BpropsToSet{EC: set}); err != nil {
			return nil, err
		}
		if err := props.CheckEC(current, bck, view.Smap.CountTargets(), false); err != nil {
			return nil, err
		}
		return &meta.BMDPatch{Put: []meta.BucketEntry{{Bck: bck, Props: props}}}, nil
	})
}

// readECProps reads the properties of an ec-encode message: a JSON object, or the
// text of one. They enable erasure coding.
func readECProps(msg *node.ActMsg) (*meta.ECToSet, error) {
	value := msg.Value
	var text string
	if json.Unmarshal(value, &text) == nil {
		value = json.RawMessage(text)
	}
	set := new(meta.ECToSet)
	if len(value) > 0 && !isNull(value) {
		if err := node.DecodeValue(value, set, msg.Action); err != nil {
			return nil, err
		}
	}
	if set.Enabled != nil && !*set.Enabled {
		return nil, apierr.BadRequest("invalid enabled=false of action %q", msg.Action)
	}
	on := true
	set.Enabled = &on
	return set, nil
}

// startEncoding commits a change of a bucket together with the job that encodes
// its objects, at the primary.
func (p *Proxy) startEncoding(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, args ecencode.Args, build func(*meta.View) (*meta.BMDPatch, error)) error {
	again := r.WithContext(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return p.node.OnPrimary(w, again, func(w http.ResponseWriter, r *http.Request) error {
		patch, _, id, err := p.firstBuild(r.Context(), wire.ActECEncode, build)
		switch {
		case err != nil:
			return err
		case patch == nil:
			return node.WriteText(w, r, id)
		}
		encoded, err := json.Marshal(args)
		if err != nil {
			return err
		}
		props := patch.Put[0].Props
		spec := &xact.Spec{
			Kind: xact.KindECEncode, Bck: bck, BID: props.BID, Args: encoded,
			Control: fmt.Sprintf("data-slices:%d, parity-slices:%d", props.EC.DataSlices, props.EC.ParitySlices),
		}
		id, err = p.jobs.Start(r.Context(), spec, func(view *meta.View, _ *xact.Spec) ([]meta.Change, error) {
			patch, err := build(view)
			if err != nil {
				return nil, err
			}
			change, err := meta.NewChange(view, meta.KindBMD, patch)
			return []meta.Change{change}, err
		})
		if err != nil {
			return err
		}
		return node.WriteText(w, r, id)
	})
}

// enablesEC tells that a change of properties, or their reset, turns erasure coding
// on.
func (p *Proxy) enablesEC(bck wire.Bck, action string, set *meta.BpropsToSet) bool {
	view := p.control.View()
	on := set.EC != nil && set.EC.Enabled != nil && *set.EC.Enabled
	if action == wire.ActResetBprops {
		on = view.Config.EC.Enabled
	}
	current, exists := view.BMD.Get(bck)
	return on && exists && !current.EC.Enabled
}
