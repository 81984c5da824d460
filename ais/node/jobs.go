package node

import (
	"encoding/json"
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// maxJobQuery bounds the body of a question about jobs, in bytes.
const maxJobQuery = 64 << 10

// jobSelector says which jobs are meant. Keys are matched in any case.
type jobSelector struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Bck  *wire.Bck `json:"bck"`
}

// jobQuery answers questions about jobs in a cluster in which none has run:
// this software does not run any yet.
func (n *Node) jobQuery(w http.ResponseWriter, r *http.Request, what string) error {
	if what != wire.WhatRunningAll && !n.Joined() {
		return errStarting
	}
	body, err := ReadBody(r, maxJobQuery)
	if err != nil {
		return err
	}
	var sel jobSelector
	if len(body) > 0 {
		if err := decodeJSON(body, &sel, false); err != nil {
			return apierr.BadRequest("failed to unmarshal the job query: %v", err)
		}
	}
	if err := n.checkJobBucket(sel.Bck); err != nil {
		return err
	}
	switch what {
	case wire.WhatStatus:
		if sel.ID == "" && sel.Kind == "" {
			return apierr.BadRequest("%s=%s: neither id nor kind of the job is given", wire.QueryWhat, what)
		}
		return errNoJob(&sel)
	case wire.WhatStatusAll:
		return WriteJSON(w, r, json.RawMessage("null"))
	case wire.WhatRunningAll:
		return WriteJSON(w, r, []string{})
	default: // wire.WhatQueryXactStats
		if len(n.View().Smap.ActiveTargets()) == 0 {
			return WriteJSON(w, r, struct{}{})
		}
		return errNoJob(&sel)
	}
}

// checkJobBucket fails if a query names a bucket that does not exist.
func (n *Node) checkJobBucket(b *wire.Bck) error {
	if b == nil || b.Name == "" {
		return nil
	}
	bck := *b
	var err error
	if bck.Provider, err = naming.Provider(bck.Provider); err != nil {
		return err
	}
	if bmd := n.View().BMD; bmd != nil {
		if _, ok := bmd.Get(bck); ok {
			return nil
		}
	}
	return apierr.BucketNotFound(bck)
}

// errNoJob is the 404 of a job that is not known.
func errNoJob(sel *jobSelector) error {
	name := sel.Kind
	switch {
	case sel.ID != "" && name != "":
		name += "[" + sel.ID + "]"
	case sel.ID != "":
		name = "[" + sel.ID + "]"
	case name == "":
		name = "any"
	}
	return apierr.New(http.StatusNotFound, wire.CodeXactNotFound, "job %s is not found", name)
}
