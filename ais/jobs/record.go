package jobs

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// Record is what the cluster remembers of a job.
type Record struct {
	Spec    *xact.Spec `json:"spec"`
	Targets []string   `json:"targets"` // that take part
	// Cause: why the job is being, or was, aborted on all targets; "" if it was not.
	Cause string `json:"cause,omitempty"`
	Ended int64  `json:"ended,string,omitempty"` // ns since the epoch, 0: it runs
	// Left: the job has ended, but what is committed with its end (OnEnd) could not
	// be, and why. The primary goes on trying.
	Left  string `json:"left,omitempty"`
	Error string `json:"err,omitempty"`
	// Settled: the placement was settled with the end of this job, or before.
	Settled bool `json:"settled,omitempty"`
	// Over are targets that ended the job a while ago, and with what.
	Over map[string]Outcome `json:"over,omitempty"`
}

// Outcome is how a job ended on a target.
type Outcome struct {
	Ended int64  `json:"ended,string"` // ns since the epoch
	Error string `json:"err,omitempty"`
}

const (
	// keepRecords is how long a job is known after its end.
	keepRecords = 2 * time.Hour
	// maxRecords bounds how many jobs that have ended are known; the oldest go first.
	maxRecords = 4096
)

// Status is what clients are told of a job.
type Status = wire.JobStatus

func (r *Record) status() Status {
	s := Status{Kind: r.Spec.Kind, UUID: r.Spec.ID, Error: r.Error, EndTime: r.Ended, Aborted: r.Cause != ""}
	if s.Error == "" && r.Cause != "" {
		s.Error = r.Spec.Name() + " aborted: " + r.Cause
	}
	if r.Left != "" {
		s.Error = strings.TrimPrefix(s.Error+"; "+r.Left, "; ")
	}
	return s
}

// Running tells that the job has not ended.
func (r *Record) Running() bool { return r.Ended == 0 }

// Find returns the record of a job, nil if there is none.
func Find(v *meta.View, id string) *Record {
	data, ok := v.Jobs.Get(id)
	if !ok {
		return nil
	}
	r := &Record{}
	if err := json.Unmarshal(data, r); err != nil || r.Spec == nil {
		return nil
	}
	return r
}

// All returns all records: those that run first, then the newest.
func All(v *meta.View) []*Record {
	if v.Jobs == nil {
		return nil
	}
	all := make([]*Record, 0, len(v.Jobs.Entries))
	for id := range v.Jobs.Entries {
		if r := Find(v, id); r != nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Record) int {
		if a.Running() != b.Running() {
			if a.Running() {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Ended, a.Ended), cmp.Compare(b.Spec.Started, a.Spec.Started), cmp.Compare(a.Spec.ID, b.Spec.ID))
	})
	return all
}

// put is the change that writes a record, and drops those that are too old, but
// not that of the latest rebalance: whether another one has to begin follows from it.
func put(v *meta.View, r *Record, now time.Time) (meta.Change, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return meta.Change{}, err
	}
	patch := &meta.TablePatch{Put: map[string]json.RawMessage{r.Spec.ID: data}}
	latest := meta.RebalanceID(v.RMD.Ver())
	ended := 0
	for _, old := range All(v) { // the newest first
		if old.Running() || old.Left != "" || old.Spec.ID == latest {
			continue
		}
		if ended++; ended >= maxRecords || now.Sub(time.Unix(0, old.Ended)) > keepRecords {
			patch.Del = append(patch.Del, old.Spec.ID)
		}
	}
	return meta.NewChange(v, meta.KindJobs, patch)
}
