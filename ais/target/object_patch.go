package target

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// patchObject changes the custom metadata of an object: the keys of the
// message's value are added to those that it has, or replace them all.
func (t *Target) patchObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	msg, err := node.ReadActMsg(r, maxActionBody)
	if err != nil {
		return err
	}
	custom, err := customOf(msg.Value)
	if err != nil {
		return err
	}
	if err := t.setCustom(r.Context(), req.key, custom, req.query.Bool(wire.QuerySetNewCustom)); err != nil {
		return err
	}
	return answerEmpty(w, http.StatusOK)
}

// setCustom changes custom metadata where the name is owned.
func (t *Target) setCustom(ctx context.Context, key core.Key, custom []core.KV, replace bool) error {
	if err := t.bringHome(ctx, key); err != nil {
		return err
	}
	return t.asOwner(ctx, key, func() error {
		_, err := t.store.SetCustom(ctx, key, custom, replace)
		return err
	}, &changeRequest{Custom: pairsOf(custom), Replace: replace})
}

// customOf reads the value of the message: an object of strings, or nothing.
func customOf(value json.RawMessage) ([]core.KV, error) {
	if len(value) == 0 || string(value) == "null" {
		return nil, nil
	}
	var pairs map[string]*string
	if err := json.Unmarshal(value, &pairs); err != nil {
		return nil, apierr.BadRequest("custom metadata: failed to unmarshal the value, expecting an object of strings: %v", node.JSONProblem(err))
	}
	custom := make([]core.KV, 0, len(pairs))
	for key, text := range pairs {
		if text == nil {
			return nil, apierr.BadRequest("custom metadata: the value of key %.64q is null, expecting a string", key)
		}
		custom = append(custom, core.KV{Key: key, Value: *text})
	}
	return custom, core.ValidateCustom(custom)
}
