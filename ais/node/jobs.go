package node

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxJobQuery bounds the body of a question about jobs, in bytes.
const maxJobQuery = 64 << 10

// jobSelector says which jobs are meant. Keys are matched in any case, and
// unknown ones are ignored.
type jobSelector struct {
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Bck  *wire.Bck `json:"bck"`
}

// jobStatus is what a cluster knows of one job.
type jobStatus struct {
	Kind    string `json:"kind"`
	UUID    string `json:"uuid"`
	Error   string `json:"err"`
	EndTime int64  `json:"end_time"` // ns since the epoch, 0: it runs
	Aborted bool   `json:"aborted"`
}

// jobQuery answers questions about jobs. Targets do not run any yet; what
// there is are the rebalances that membership operations have asked for.
func (n *Node) jobQuery(w http.ResponseWriter, r *http.Request, what string) error {
	if what != wire.WhatRunningAll && !n.Joined() {
		return errStarting
	}
	sel, err := n.readJobSelector(w, r)
	if err != nil {
		return err
	}
	if what == wire.WhatRunningAll { // only the kind counts
		return WriteJSON(w, r, n.runningJobs(sel))
	}
	if err := n.checkJobBucket(sel.Bck); err != nil {
		return err
	}
	switch what {
	case wire.WhatStatus:
		return n.oneJobStatus(w, r, sel)
	case wire.WhatStatusAll:
		all := n.knownRebalances(sel)
		if len(all) == 0 {
			return WriteJSON(w, r, json.RawMessage("null"))
		}
		return WriteJSON(w, r, all)
	default: // wire.WhatQueryXactStats
		return n.jobSnaps(w, r, sel)
	}
}

func (n *Node) readJobSelector(w http.ResponseWriter, r *http.Request) (*jobSelector, error) {
	body, err := readBodyWithin(w, r, maxJobQuery, n.limits.ControlTimeout)
	if err != nil {
		return nil, err
	}
	sel := &jobSelector{}
	if len(body) > 0 {
		if err := decodeJSON(body, sel, false); err != nil {
			return nil, apierr.BadRequest("failed to unmarshal the job query: %v", err)
		}
	}
	return sel, nil
}

// oneJobStatus answers what=status.
func (n *Node) oneJobStatus(w http.ResponseWriter, r *http.Request, sel *jobSelector) error {
	if sel.ID == "" && sel.Kind == "" {
		return apierr.BadRequest("%s=%s: neither id nor kind of the job is given", wire.QueryWhat, wire.WhatStatus)
	}
	for _, job := range n.knownRebalances(&jobSelector{ID: sel.ID}) {
		switch {
		case sel.Kind != "" && sel.Kind != job.Kind && sel.ID != "":
			return apierr.BadRequest("kind mismatch: job %q is of kind %q, not %.64q", job.UUID, job.Kind, sel.Kind)
		case sel.Kind == "" || sel.Kind == job.Kind:
			return WriteJSON(w, r, job)
		}
	}
	return errNoJob(sel)
}

// jobSnaps answers what=qryxstats: the jobs of every target.
func (n *Node) jobSnaps(w http.ResponseWriter, r *http.Request, sel *jobSelector) error {
	kind := findJobKind(sel.Kind)
	if sel.Kind != "" && kind == nil {
		return apierr.New(http.StatusNotFound, wire.CodeNotFound, "invalid xaction (job) kind %.64q", sel.Kind)
	}
	snaps := map[string][]*wire.Snap{}
	for _, target := range n.View().Smap.ActiveTargets() {
		snaps[target.ID] = []*wire.Snap{} // clients do not take null
	}
	if sel.ID != "" && len(snaps) > 0 {
		return errNoJob(sel)
	}
	return WriteJSON(w, r, snaps)
}

// runningJobs are the names of running jobs, of one kind or of all.
func (n *Node) runningJobs(sel *jobSelector) []string {
	names := []string{}
	if kind := findJobKind(sel.Kind); sel.Kind != "" && (kind == nil || kind.name != jobRebalance) {
		return names
	}
	for _, job := range n.knownRebalances(&jobSelector{}) {
		if job.EndTime == 0 {
			names = append(names, job.Kind+"["+job.UUID+"]")
		}
	}
	return names
}

const jobRebalance = "rebalance"

// knownRebalances are the rebalances of membership operations that a selector
// selects: the running one first, then those that have ended, newest first.
func (n *Node) knownRebalances(sel *jobSelector) (all []jobStatus) {
	if kind := findJobKind(sel.Kind); sel.Kind != "" && (kind == nil || kind.name != jobRebalance) {
		return nil
	}
	add := func(op *meta.Operation) {
		if op == nil || op.Rebalance == 0 {
			return
		}
		id := meta.RebalanceID(op.Rebalance)
		if sel.ID == "" || sel.ID == id {
			all = append(all, jobStatus{Kind: jobRebalance, UUID: id, Error: op.Error, EndTime: op.Ended})
		}
	}
	ops := n.View().Operations
	if ops == nil {
		return nil
	}
	add(ops.Current)
	for i := len(ops.Past) - 1; i >= 0; i-- {
		add(ops.Past[i])
	}
	return all
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
	if err := naming.ValidateBucket(bck); err != nil {
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
	name := clip(sel.Kind)
	if sel.ID != "" {
		name += "[" + clip(sel.ID) + "]"
	}
	return apierr.New(http.StatusNotFound, wire.CodeXactNotFound, `"x-%s" not found`, name)
}

// clip shortens what a client has sent, for messages.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// validJobID tells a well-formed id: "g" and a number for a rebalance, else at
// least nine letters, digits, dashes and underscores, of which the first is a
// letter.
func validJobID(id string) bool {
	if number, ok := strings.CutPrefix(id, "g"); ok {
		if _, err := strconv.ParseInt(number, 10, 64); err == nil {
			return true
		}
	}
	if len(id) < 9 || len(id) > 256 || !isLetter(id[0]) {
		return false
	}
	for _, c := range []byte(id) {
		if !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
