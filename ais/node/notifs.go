package node

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/jobs"
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

// notifs answers /v1/notifs/{progress,finished} on proxies. The primary looks
// at its jobs then; what the report says it asks the targets themselves.
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
	if !n.isPrimary() {
		return n.errNotPrimary("nobody watches " + clip(note.JobID) + " here") // the sender looks for the next one
	}
	if engine := n.jobs.Load(); engine != nil {
		engine.Notify()
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// whatBundle asks a member of the information center for all that it knows.
const whatBundle = "ic_bundle"

// informationCenter answers /v1/ic on proxies: the member's map and the jobs
// that the cluster has records of. Every job with a record is watched by the
// primary, so nobody has to ask for that.
func (n *Node) informationCenter(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return apierr.NotImplemented("watching jobs by %s is not built: the primary watches all", wire.PathIC)
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
		Running  []jobs.Status `json:"running"`
		Finished []jobs.Status `json:"finished"`
	}
	t := table{[]jobs.Status{}, []jobs.Status{}}
	for _, job := range n.knownJobs(&jobSelector{}) {
		if job.EndTime == 0 {
			t.Running = append(t.Running, job)
		} else {
			t.Finished = append(t.Finished, job)
		}
	}
	return WriteJSON(w, r, &struct {
		Smap      *meta.Smap `json:"smap"`
		Ownership table      `json:"ownership_table"`
	}{smap, t})
}
