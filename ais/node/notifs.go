package node

import (
	"encoding/json"
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxNotification bounds the report of a target about a job, in bytes.
const maxNotification = 1 << 20

// notification is a target's report about a job of its own.
type notification struct {
	JobID   string `json:"uuid"`
	NodeID  string `json:"node_id"`
	Kind    string `json:"kind"`
	Error   string `json:"err"`
	Message []byte `json:"message"` // the job's snap
	Aborted bool   `json:"aborted"`
	IsIdle  bool   `json:"is_idle"`
}

// notifs answers /v1/notifs/{progress,finished} on proxies. A report about a
// job that is not known, and none is known here, is taken and dropped: the
// sender does not look at the answer.
func (n *Node) notifs(w http.ResponseWriter, r *http.Request) error {
	items := ItemsBelow(r, wire.PathNotifs)
	if len(items) != 1 || items[0] != "progress" && items[0] != "finished" {
		return apierr.BadRequest("invalid path '%s': expected %s/progress or %s/finished", r.URL.Path, wire.PathNotifs, wire.PathNotifs)
	}
	body, err := readBodyWithin(w, r, maxNotification, n.limits.ControlTimeout)
	if err != nil {
		return err
	}
	var note notification
	if err := decodeJSON(body, &note, false); err != nil {
		return apierr.BadRequest("failed to unmarshal the notification: %v", err)
	}
	if !validJobID(note.JobID) {
		return apierr.BadRequest("notification about an invalid job id %q", clip(note.JobID))
	}
	n.logger.Debug("notification about a job that is not known", "job", clip(note.JobID), "from", clip(note.NodeID))
	w.WriteHeader(http.StatusOK)
	return nil
}

// whatBundle asks a member of the information center for all that it knows.
const whatBundle = "ic_bundle"

// informationCenter answers /v1/ic on proxies: the member's map and the jobs
// that it watches, which are none.
func (n *Node) informationCenter(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return apierr.NotImplemented("watching jobs by %s is not built yet", wire.PathIC)
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if what := q.Get(wire.QueryWhat); what != whatBundle {
		return errInvalidWhat(what)
	}
	smap := n.View().Smap
	if self := smap.Node(n.id); self == nil || self.Flags&meta.FlagIC == 0 {
		return apierr.BadRequest("%s is not a member of the information center", n.name)
	}
	type table struct {
		Running  []json.RawMessage `json:"running"`
		Finished []json.RawMessage `json:"finished"`
	}
	return WriteJSON(w, r, &struct {
		Smap      *meta.Smap `json:"smap"`
		Ownership table      `json:"ownership_table"`
	}{smap, table{[]json.RawMessage{}, []json.RawMessage{}}})
}
