package target

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/promote"
	"github.com/aistore-go/aistore/xact/summary"
)

// promoteRoots is where clients may promote files from, and what of it is the
// node's own.
func (t *Running) promoteRoots() promote.Roots {
	local := t.settings.Local
	roots := promote.Roots{Allowed: local.PromotedFrom(), Protected: []string{local.ConfDir, local.LogDir}}
	for _, mp := range t.disks.Available().All() {
		roots.Protected = append(roots.Protected, mp.Path)
	}
	return roots
}

// allowedRoots is where clients may promote files from.
func (t *Target) allowedRoots() promote.Roots {
	if t.roots == nil {
		return promote.Roots{}
	}
	return t.roots()
}

// promotion reads what a gateway wants to be promoted.
func (t *Target) promotion(r *http.Request, bucket string) (*promote.Promotion, error) {
	key, err := t.intraKey(r, bucket)
	if err != nil {
		return nil, err
	}
	body, err := node.ReadBody(r, maxActionBody)
	if err != nil {
		return nil, err
	}
	roots := t.allowedRoots()
	p := &promote.Promotion{Cluster: clusterObjects{t}, Roots: &roots, Bck: key.Bck, Props: key.Props}
	if err := json.Unmarshal(body, &p.Args); err != nil {
		return nil, apierr.BadRequest("failed to unmarshal the promotion: %v", err)
	}
	return p, nil
}

// lookAtFiles answers a gateway what this target sees of a source.
func (t *Target) lookAtFiles(w http.ResponseWriter, r *http.Request, bucket string) error {
	p, err := t.promotion(r, bucket)
	if err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	seen, err := p.Roots.Look(r.Context(), p.Args.Source, p.Args.Recursive)
	if err != nil {
		return err
	}
	return node.WriteJSON(w, r, &seen)
}

// promoteFiles promotes a few files for a gateway, before the answer.
func (t *Target) promoteFiles(w http.ResponseWriter, r *http.Request, bucket string) error {
	p, err := t.promotion(r, bucket)
	if err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	if err := t.fs.Capacity().Err(); err != nil {
		return err
	}
	var mu sync.Mutex
	var failed error
	err = p.Promote(r.Context(), "", func(_ int64, _ bool, err error) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = err
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		t.metrics.Failed(metrics.Put, p.Bck, apierr.StatusOf(err))
		return err
	}
	return answerEmpty(w, http.StatusOK)
}

// summary answers a gateway what a summary has counted here.
func (t *Target) summary(w http.ResponseWriter, r *http.Request, id string) error {
	if x := t.jobs.Find(id); x != nil {
		if result, ok := summary.Of(x); ok {
			return node.WriteJSON(w, r, &result)
		}
	}
	return xact.ErrNotFound(xact.KindSummary, id)
}
