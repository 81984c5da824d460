package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
	"github.com/aistore-go/aistore/xact"
)

// Actions of PUT /v1/xactions, which the primary sends to targets. The value of
// the first two is an xact.Spec, that of "stop" a jobs.Stop.
const (
	ActPrepareJob = "prepare"
	ActStartJob   = "start"
	ActStopJob    = "stop"
)

// WhatJobReport asks a target for jobs by id and for all that run; see
// JobReport.
const WhatJobReport = "report"

// JobReport is the body of the question WhatJobReport.
type JobReport struct {
	IDs []string `json:"ids"`
}

// LocalJob is the body of a target's question for the id of a job that it
// starts by itself: POST /v1/xactions to the primary, answered with the text.
type LocalJob struct {
	Kind string          `json:"kind"`
	Bck  wire.Bck        `json:"bck"`
	Args json.RawMessage `json:"args,omitempty"` // of a job that the primary starts
	Over string          `json:"over,omitempty"` // an id that was given, and whose job was aborted
}

// JobTargets reaches the jobs of targets over the network.
type JobTargets struct{ Node *Node }

var _ jobs.Targets = JobTargets{}

// Prepare implements jobs.Targets.
func (t JobTargets) Prepare(ctx context.Context, sn *meta.Snode, spec *xact.Spec) error {
	return t.put(ctx, sn, ActPrepareJob, spec)
}

// Start implements jobs.Targets.
func (t JobTargets) Start(ctx context.Context, sn *meta.Snode, spec *xact.Spec) error {
	return t.put(ctx, sn, ActStartJob, spec)
}

// Stop implements jobs.Targets.
func (t JobTargets) Stop(ctx context.Context, sn *meta.Snode, stop *jobs.Stop) error {
	return t.put(ctx, sn, ActStopJob, stop)
}

// Report implements jobs.Targets.
func (t JobTargets) Report(ctx context.Context, sn *meta.Snode, ids []string) (snaps []*wire.Snap, err error) {
	answer, err := t.Node.askJobs(ctx, sn, WhatJobReport, &JobReport{IDs: ids})
	if err != nil {
		return nil, err
	}
	return snaps, json.Unmarshal(answer, &snaps)
}

func (t JobTargets) put(ctx context.Context, sn *meta.Snode, action string, value any) error {
	body, err := json.Marshal(&wire.ActMsg{Action: action, Value: value})
	if err != nil {
		return err
	}
	_, _, err = t.Node.rpc.Request(ctx, rpc.Control, http.MethodPut, sn.IntraControl.URL+wire.PathXactions, wire.ContentJSON, body)
	return err
}

// askJobs puts one question to one target.
func (n *Node) askJobs(ctx context.Context, sn *meta.Snode, what string, question any) ([]byte, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	url := sn.IntraControl.URL + wire.PathXactions + "?" + wire.QueryWhat + "=" + what
	answer, _, err := n.rpc.Request(ctx, rpc.Control, http.MethodGet, url, wire.ContentJSON, body)
	return answer, err
}

// SetJobs hands over what starts and watches jobs on the primary.
func (n *Node) SetJobs(e *jobs.Engine) { n.jobs.Store(e) }

// JobID asks the primary for the id of a job that this target starts by itself.
// over is one that it has given before, and whose job was aborted, "" for none.
// While the primary changes, the next one is asked, until ctx ends.
func (n *Node) JobID(ctx context.Context, kind string, bck wire.Bck, over string) (string, error) {
	body, err := json.Marshal(&LocalJob{Kind: kind, Bck: bck, Over: over})
	if err != nil {
		return "", err
	}
	answer, err := n.tellPrimary(ctx, wire.PathXactions, body)
	return n.givenID(answer, err)
}

// AskForJob has the primary start a job of a kind that concerns the cluster,
// with arguments, and returns its id.
func (n *Node) AskForJob(ctx context.Context, kind string, bck wire.Bck, args json.RawMessage) (string, error) {
	body, err := json.Marshal(&LocalJob{Kind: kind, Bck: bck, Args: args})
	if err != nil {
		return "", err
	}
	answer, err := n.postPrimary(ctx, wire.PathXactions, body)
	return n.givenID(answer, err)
}

// givenID is the id of a job in the primary's answer.
func (n *Node) givenID(answer []byte, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if id := string(answer); validJobID(id) {
		return id, nil
	}
	return "", apierr.New(http.StatusBadGateway, "", "%s: invalid job id %q from the primary", n.name, clip(string(answer)))
}

// localJobID answers JobID on the primary.
func (n *Node) localJobID(w http.ResponseWriter, r *http.Request) error {
	body, err := readBodyWithin(w, r, maxJobQuery, n.limits.ControlTimeout)
	if err != nil {
		return err
	}
	var question LocalJob
	if err := decodeJSON(body, &question, false); err != nil {
		return apierr.BadRequest("failed to unmarshal the question for a job id: %v", err)
	}
	engine := n.jobs.Load()
	kind, ok := xact.FindKind(question.Kind)
	switch {
	case !ok:
		return apierr.BadRequest("invalid xaction (job) kind %.64q", question.Kind)
	case engine == nil || !n.isPrimary():
		return n.errNotPrimary("cannot give a job its id")
	}
	if !kind.Local {
		spec := &xact.Spec{Kind: kind.Name, Bck: question.Bck, Args: question.Args}
		if bmd := n.View().BMD; bmd != nil && spec.Bck.Name != "" {
			props, ok := bmd.Get(spec.Bck)
			if !ok {
				return apierr.BucketNotFound(spec.Bck)
			}
			spec.BID = props.BID
		}
		id, err := engine.Start(r.Context(), spec, nil)
		if err != nil {
			return err
		}
		return WriteText(w, r, id)
	}
	return WriteText(w, r, engine.LocalID(r.Context(), kind.Name, question.Bck, question.Over))
}

// JobEnded tells the primary that a job has ended on this target. It does not
// wait: the primary also looks by itself.
func (n *Node) JobEnded(snap *wire.Snap) {
	message, err := json.Marshal(snap)
	if err != nil {
		n.logger.Warn("the end of a job is not told", "job", snap.ID, "err", err)
		return
	}
	body, err := json.Marshal(&notification{
		JobID: snap.ID, NodeID: n.id, Kind: snap.Kind, Error: snap.Error, Message: message, Aborted: snap.Aborted, IsIdle: snap.IsIdle,
	})
	if err != nil {
		n.logger.Warn("the end of a job is not told", "job", snap.ID, "err", err)
		return
	}
	n.background.run(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, tellTime)
		defer cancel()
		if _, err := n.tellPrimary(ctx, wire.PathNotifs+"/finished", body); err != nil {
			n.logger.Debug("the primary is not told of the end of a job", "job", snap.ID, "err", err)
		}
	})
}

const (
	// tellPause is the first pause before a call that found no primary is tried
	// again; it doubles up to mostTellPause.
	tellPause     = 100 * time.Millisecond
	mostTellPause = 2 * time.Second
	// tellTime bounds how long a target tries to tell of the end of a job: longer
	// than the change of a primary takes.
	tellTime = 30 * time.Second
)

// tellPrimary posts to the primary, and while that changes to the next one,
// until ctx ends. The call is one that may be repeated.
func (n *Node) tellPrimary(ctx context.Context, path string, body []byte) ([]byte, error) {
	for pause := tellPause; ; pause = min(2*pause, mostTellPause) {
		one, cancel := context.WithTimeout(ctx, broadcastTime)
		answer, err := n.postPrimary(one, path, body)
		cancel()
		if err == nil {
			return answer, nil
		}
		var unreachable *rpc.UnreachableError
		if !isLeaderChange(err) && !errors.As(err, &unreachable) && apierr.StatusOf(err) != http.StatusServiceUnavailable {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// postPrimary posts once to what this node takes for the primary.
func (n *Node) postPrimary(ctx context.Context, path string, body []byte) ([]byte, error) {
	smap := n.View().Smap
	if smap == nil || smap.Primary == nil {
		return nil, errNoPrimary
	}
	answer, _, err := n.rpc.Request(ctx, rpc.Control, http.MethodPost, smap.Primary.IntraControl.URL+path, wire.ContentJSON, body)
	return answer, err
}
