package proxy

import (
	"encoding/json"
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/template"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// removeObjects starts the job that deletes selected objects of a bucket.
func (p *Proxy) removeObjects(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg) error {
	value := &wire.RemoveMsg{}
	selected, err := p.selection(msg, value, &value.ListRange, &value.NumWorkers)
	if err != nil {
		return err
	}
	return p.startJob(w, r, body, func(view *meta.View) (*xact.Spec, error) {
		props, err := bucketFor(view, bck, meta.AccessDeleteObject)
		if err != nil {
			return nil, err
		}
		args, err := json.Marshal(value)
		return onTargets(view, &xact.Spec{Kind: msg.Action, Bck: bck, BID: props.BID, Args: args, Control: selected.String()}), err
	}, nil)
}

// selection decodes the value of an action on selected objects, and checks what all of
// them have in common.
func (p *Proxy) selection(msg *node.ActMsg, value any, list *wire.ListRange, workers *int) (*template.Selection, error) {
	if err := node.DecodeValue(msg.Value, value, msg.Action); err != nil {
		return nil, err
	}
	selected, err := template.Select(list)
	if err != nil {
		return nil, err
	}
	return selected, selection.CheckWorkers(*workers)
}

// remoteObjects refuses actions that are for remote buckets only: none can be
// attached so far.
func (p *Proxy) remoteObjects(r *http.Request, bck wire.Bck, msg *node.ActMsg) error {
	var list *wire.ListRange
	var value any
	var workers *int
	if msg.Action == wire.ActPrefetch {
		prefetch := &wire.PrefetchMsg{}
		value, list, workers = prefetch, &prefetch.ListRange, &prefetch.NumWorkers
	} else {
		evict := &wire.RemoveMsg{}
		value, list, workers = evict, &evict.ListRange, &evict.NumWorkers
	}
	if _, err := p.selection(msg, value, list, workers); err != nil {
		return err
	}
	props, _, err := p.freshProps(r.Context(), bck)
	if err != nil {
		return err
	}
	if !props.IsRemote(bck) {
		return errNotRemote(msg.Action, bck)
	}
	return apierr.NotImplemented("bucket action %q is not built yet", msg.Action)
}
