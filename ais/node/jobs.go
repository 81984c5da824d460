package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
	"github.com/aistore-go/aistore/xact"
)

// maxJobQuery bounds the body of a question about jobs, in bytes.
const maxJobQuery = 64 << 10

// jobSelector says which jobs are meant. Keys are matched in any case, and
// unknown ones are ignored.
type jobSelector struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`
	Active *bool     `json:"show_active"`
	Bck    *wire.Bck `json:"bck"`
}

// only tells that only running jobs are meant.
func (s *jobSelector) only() bool { return s.Active != nil && *s.Active }

// bucket is the bucket that is meant; without a name: any.
func (s *jobSelector) bucket() (bck wire.Bck) {
	if s.Bck != nil && s.Bck.Name != "" {
		bck = *s.Bck
		if p, ok := wire.NormalizeProvider(bck.Provider); ok {
			bck.Provider = p
		}
	}
	return bck
}

// jobQuery answers questions about jobs: the state in the cluster is known to
// the primary, snapshots and names are asked of the targets.
func (n *Node) jobQuery(w http.ResponseWriter, r *http.Request, what string) error {
	if what != wire.WhatRunningAll && !n.Joined() {
		return errStarting
	}
	switch what {
	case wire.WhatStatus, wire.WhatStatusAll:
		return n.OnPrimary(w, r, func(w http.ResponseWriter, r *http.Request) error {
			sel, err := n.readJobSelector(w, r)
			if err != nil {
				return err
			}
			if err := n.checkJobBucket(sel.Bck); err != nil {
				return err
			}
			if what == wire.WhatStatus {
				return n.oneJobStatus(w, r, sel)
			}
			return n.allJobStatuses(w, r, sel)
		})
	}
	sel, err := n.readJobSelector(w, r)
	if err != nil {
		return err
	}
	if what == wire.WhatRunningAll { // only the kind counts
		return n.runningJobs(w, r, sel)
	}
	if err := n.checkJobBucket(sel.Bck); err != nil {
		return err
	}
	return n.jobSnaps(w, r, sel)
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
	known, ok := xact.FindKind(sel.Kind)
	if sel.Kind != "" && !ok {
		return apierr.BadRequest("invalid xaction (job) kind %.64q", sel.Kind)
	}
	kind := known.Name
	for _, job := range n.knownJobs(&jobSelector{ID: sel.ID, Bck: sel.Bck, Active: sel.Active}) {
		switch {
		case kind != "" && kind != job.Kind && sel.ID != "":
			return apierr.BadRequest("kind mismatch: job %q is of kind %q, not %q", job.UUID, job.Kind, kind)
		case kind == "" || kind == job.Kind:
			return WriteJSON(w, r, &job)
		}
	}
	job, err := n.statusOfSnaps(r.Context(), sel, kind)
	if err != nil {
		return err
	}
	if job == nil {
		return errNoJob(sel)
	}
	return WriteJSON(w, r, job)
}

// allJobStatuses answers what=status_all.
func (n *Node) allJobStatuses(w http.ResponseWriter, r *http.Request, sel *jobSelector) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if engine := n.jobs.Load(); engine != nil && q.Bool(wire.QueryForce) {
		engine.Refresh(r.Context())
	}
	all := n.knownJobs(sel)
	if len(all) == 0 {
		return WriteJSON(w, r, json.RawMessage("null"))
	}
	return WriteJSON(w, r, all)
}

// statusOfSnaps is the state of a job that targets have started by themselves,
// nil if there is none.
func (n *Node) statusOfSnaps(ctx context.Context, sel *jobSelector, kind string) (*jobs.Status, error) {
	byTarget, err := n.snapsOf(ctx, &xact.Query{ID: sel.ID, Kind: kind, Bck: sel.bucket(), Running: sel.Active})
	if err != nil {
		return nil, err
	}
	var all []*wire.Snap
	for _, snaps := range byTarget {
		all = append(all, snaps...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	// The job that runs is meant, else the one that ended last.
	chosen := slices.MaxFunc(all, func(a, b *wire.Snap) int {
		if a.EndTime.IsZero() != b.EndTime.IsZero() {
			if a.EndTime.IsZero() {
				return 1
			}
			return -1
		}
		return a.EndTime.Compare(b.EndTime)
	})
	status := &jobs.Status{Kind: chosen.Kind, UUID: chosen.ID}
	var errs []string
	running := false
	for _, s := range all {
		if s.ID != chosen.ID {
			continue
		}
		running = running || s.EndTime.IsZero()
		status.Aborted = status.Aborted || s.Aborted
		if !s.EndTime.IsZero() {
			status.EndTime = max(status.EndTime, s.EndTime.UnixNano())
		}
		for _, text := range []string{s.Error, s.AbortError} {
			if text != "" && !slices.Contains(errs, text) {
				errs = append(errs, text)
			}
		}
	}
	if running && !status.Aborted {
		status.EndTime = 0
	}
	status.Error = strings.Join(errs, "; ")
	return status, nil
}

// jobSnaps answers what=qryxstats: the jobs of every target.
func (n *Node) jobSnaps(w http.ResponseWriter, r *http.Request, sel *jobSelector) error {
	kind, ok := xact.FindKind(sel.Kind)
	if sel.Kind != "" && !ok {
		return apierr.New(http.StatusNotFound, wire.CodeNotFound, "invalid xaction (job) kind %.64q", sel.Kind)
	}
	q := &xact.Query{ID: sel.ID, Kind: kind.Name, Bck: sel.bucket(), Running: sel.Active}
	snaps, err := n.snapsOf(r.Context(), q)
	if err != nil || sel.ID == "" || len(snaps) == 0 {
		if err != nil {
			return err
		}
		return WriteJSON(w, r, snaps)
	}
	maps.DeleteFunc(snaps, func(_ string, list []*wire.Snap) bool { return len(list) == 0 })
	if len(snaps) == 0 && kind.Name == xact.KindRebalance && !sel.only() {
		if snaps, err = n.laterRebalances(r.Context(), sel.ID); err != nil {
			return err
		}
	}
	if len(snaps) == 0 {
		return errNoJob(sel)
	}
	return WriteJSON(w, r, snaps)
}

// laterRebalances are those that have ended, and were not aborted, with a
// number that is not lower.
func (n *Node) laterRebalances(ctx context.Context, id string) (map[string][]*wire.Snap, error) {
	least, ok := rebalanceNumber(id)
	if !ok {
		return nil, nil
	}
	ended := false
	snaps, err := n.snapsOf(ctx, &xact.Query{Kind: xact.KindRebalance, Running: &ended})
	if err != nil {
		return nil, err
	}
	for target, list := range snaps {
		list = slices.DeleteFunc(list, func(s *wire.Snap) bool {
			number, _ := rebalanceNumber(s.ID)
			return s.Aborted || number < least
		})
		if snaps[target] = list; len(list) == 0 {
			delete(snaps, target)
		}
	}
	return snaps, nil
}

// rebalanceNumber is the number in the id of a rebalance.
func rebalanceNumber(id string) (number int64, ok bool) {
	text, ok := strings.CutPrefix(id, "g")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseInt(text, 10, 64)
	return number, err == nil
}

// snapsOf asks the targets in service for the snapshots of jobs. Lists are not
// nil: clients do not take null. A target that is known not to answer is left
// out; 503: another one does not.
func (n *Node) snapsOf(ctx context.Context, q *xact.Query) (map[string][]*wire.Snap, error) {
	snaps := map[string][]*wire.Snap{}
	err := n.askTargetsForJobs(ctx, wire.WhatQueryXactStats, q, func(target string, answer []byte) error {
		list := []*wire.Snap{}
		if len(answer) > 0 {
			if err := json.Unmarshal(answer, &list); err != nil {
				return err
			}
		}
		snaps[target] = list
		return nil
	})
	return snaps, err
}

// askTargetsForJobs puts a question to all targets in service; take is called
// for one at a time, without an answer for one that has none.
func (n *Node) askTargetsForJobs(ctx context.Context, what string, q *xact.Query, take func(target string, answer []byte) error) error {
	smap := n.View().Smap
	if smap == nil {
		return errStarting
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(fanOutWidth)
	for _, sn := range smap.ActiveTargets() {
		group.Go(func() error {
			silent := n.isDown(sn)
			ctx, cancel := context.WithTimeout(ctx, patienceWith(silent, broadcastTime))
			defer cancel()
			answer, err := n.askJobs(ctx, sn, what, q)
			var unreachable *rpc.UnreachableError
			switch {
			case err != nil && silent:
				return nil
			case apierr.IsNotFound(err): // it has none
				answer = nil
			case errors.As(err, &unreachable):
				return apierr.Unavailable(time.Second, "%s: %s does not answer %s=%s: %v", n.name, sn, wire.QueryWhat, what, err)
			case err != nil:
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return take(sn.ID, answer)
		})
	}
	return group.Wait()
}

// runningJobs answers what=running_all: the names of running jobs, of one kind
// or of all.
func (n *Node) runningJobs(w http.ResponseWriter, r *http.Request, sel *jobSelector) error {
	names := []string{}
	kind, ok := xact.FindKind(sel.Kind)
	if sel.Kind != "" && !ok || n.View().Smap == nil {
		return WriteJSON(w, r, names)
	}
	err := n.askTargetsForJobs(r.Context(), wire.WhatRunningAll, &xact.Query{Kind: kind.Name}, func(_ string, answer []byte) error {
		var some []string
		if len(answer) > 0 {
			if err := json.Unmarshal(answer, &some); err != nil {
				return err
			}
		}
		names = append(names, some...)
		return nil
	})
	if err != nil {
		return err
	}
	for _, job := range n.rebalances(&jobSelector{Kind: kind.Name}) {
		if job.EndTime == 0 {
			names = append(names, job.Kind+"["+job.UUID+"]")
		}
	}
	slices.Sort(names)
	return WriteJSON(w, r, slices.Compact(names))
}

// knownJobs are the jobs that a selector selects: those that run first, then
// the newest.
func (n *Node) knownJobs(sel *jobSelector) (all []jobs.Status) {
	kind := sel.Kind
	if k, ok := xact.FindKind(kind); ok {
		kind = k.Name
	}
	if engine := n.jobs.Load(); engine != nil {
		all = engine.Statuses(sel.ID, kind, sel.bucket(), sel.only())
	}
	for _, job := range n.rebalances(sel) {
		known := slices.ContainsFunc(all, func(s jobs.Status) bool { return s.UUID == job.UUID })
		if !known && (!sel.only() || job.EndTime == 0) {
			all = append(all, job)
		}
	}
	slices.SortStableFunc(all, func(a, b jobs.Status) int {
		if (a.EndTime == 0) != (b.EndTime == 0) {
			if a.EndTime == 0 {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.EndTime, a.EndTime)
	})
	return all
}

// rebalances are the rebalances of membership operations that a selector
// selects: the running one first, then those that have ended, newest first.
func (n *Node) rebalances(sel *jobSelector) (all []jobs.Status) {
	if kind, ok := xact.FindKind(sel.Kind); sel.Kind != "" && (!ok || kind.Name != xact.KindRebalance) {
		return nil
	}
	add := func(op *meta.Operation) {
		if op == nil || op.Rebalance == 0 {
			return
		}
		id := meta.RebalanceID(op.Rebalance)
		if sel.ID == "" || sel.ID == id {
			all = append(all, jobs.Status{Kind: xact.KindRebalance, UUID: id, Error: op.Error, EndTime: op.Ended})
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
	if _, ok := rebalanceNumber(id); ok {
		return true
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
