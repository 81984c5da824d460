package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmn/wire"
)

// usersWork is of how many small objects the bucket of the jobs is: more than are
// done in a slice beside users.
const usersWork = 60_000

var sparing = &section{
	title: "Users beside jobs",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("One gateway, two targets with one mountpath each, data on a disk: %s; a bucket of %d objects of 4 KiB. %d clients GET 4 KiB through the gateway, without a pause; "+
				"slices of %v alone and beside a job take turns, %d of each.", filesystem(b.disk), b.of(usersWork), b.workers, b.slice, b.rounds),
			"Rates are medians. The 99th percentile is that of all slices together.",
			"Rebalance: one of the targets goes into maintenance and comes back, in turns; what is left at the end of a slice is moved without users. Copy: the bucket is copied to a new one, until the end of the slice.",
		}
	},
	head: []string{"job", "it does beside users", "GETs/s beside it", "alone", "ratio", "aim", "p99 beside it", "alone", "ratio", "aim"},
}

func usersRows() []row {
	return []row{
		{id: "rebalance-users", section: sparing, title: "users beside a rebalance", measure: func(ctx context.Context, b *bench) ([]string, error) {
			return measureUsers(ctx, b, "rebalance", func(m *movement) userJob { return &moveJob{movement: m} })
		}},
		{id: "users-beside-copy", section: sparing, title: "users beside a copy of a bucket", measure: func(ctx context.Context, b *bench) ([]string, error) {
			return measureUsers(ctx, b, "copy-bucket", func(m *movement) userJob { return &copyJob{movement: m} })
		}},
	}
}

// userJob is work that goes on for a slice.
type userJob interface {
	begin(ctx context.Context) (id string, err error)
	// finish ends the job, and takes back what it has made.
	finish(ctx context.Context, id string) error
}

type moveJob struct{ *movement }

func (j *moveJob) finish(ctx context.Context, id string) error {
	_, err := j.end(ctx, id)
	return err
}

type copyJob struct {
	*movement
	copies int
}

func (j *copyJob) to() string { return fmt.Sprintf("copy-%d", j.copies) }

func (j *copyJob) begin(ctx context.Context) (id string, err error) {
	j.copies++
	return j.text(ctx, http.MethodPost, j.proxy()+"/v1/buckets/"+bucket+"?bck_to="+url.QueryEscape("ais/@#/"+j.to()+"/"), `{"action":"copy-bck","value":{}}`)
}

func (j *copyJob) finish(ctx context.Context, id string) error {
	status, text, err := j.ask(ctx, http.MethodPut, "/v1/cluster", `{"action":"stop","value":{"ID":"`+id+`"}}`)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("stop %s: %d %s", id, status, text)
	}
	if err != nil {
		return err
	}
	status, text, err = j.ask(ctx, http.MethodDelete, "/v1/buckets/"+j.to(), `{"action":"destroy-bck"}`)
	if err == nil && status != http.StatusOK && status != http.StatusNotFound { // a copy that is stopped takes its bucket with it
		err = fmt.Errorf("destroy %s: %d %s", j.to(), status, text)
	}
	if err != nil {
		return err
	}
	return j.emptied(ctx)
}

// did is how many objects a job has done so far: those that came in of one that moves
// them, since targets that leave are not asked.
func (m *movement) did(ctx context.Context, id string) (objects int64, err error) {
	var snaps map[string][]wire.Snap
	if err := m.asked(ctx, "qryxstats", id, &snaps); err != nil {
		return 0, err
	}
	for _, list := range snaps {
		for i := range list {
			if s := &list[i].Stats; list[i].Kind == "rebalance" {
				objects += s.InObjects
			} else {
				objects += s.LocalObjects
			}
		}
	}
	return objects, nil
}

func measureUsers(ctx context.Context, b *bench, name string, jobOf func(*movement) userJob) (cells []string, err error) {
	err = b.withMovement(ctx, small.size, b.of(usersWork), []workingSet{small}, func(m *movement) error {
		job := jobOf(m)
		plan := load.Plan{Workers: b.workers, Duration: b.slice, Task: small.reads(address(m.proxy()), "/v1/objects/"+bucket), Options: m.loadOptions()}
		slice := func(rates *[]float64, latency *load.Histogram) error {
			plan.Seed++
			s, result, err := b.sampleWith(ctx, m.processes(), &plan)
			if err != nil {
				return err
			}
			*rates = append(*rates, s.rate)
			latency.Merge(&result.Latency)
			return nil
		}
		var alone, beside, done []float64
		var aloneTimes, besideTimes load.Histogram
		for round := range b.rounds {
			b.progress.round(round+1, b.rounds)
			if err := slice(&alone, &aloneTimes); err != nil {
				return err
			}
			id, err := job.begin(ctx)
			if err != nil {
				return err
			}
			if err := slice(&beside, &besideTimes); err != nil {
				return err
			}
			objects, err := m.did(ctx, id)
			if err != nil {
				return err
			}
			done = append(done, float64(objects)/b.slice.Seconds())
			runs, err := m.running(ctx, id)
			if err == nil && !runs {
				err = fmt.Errorf("%s has ended before the slice of %v", id, b.slice)
			}
			if err != nil {
				return err
			}
			if err := job.finish(ctx, id); err != nil {
				return err
			}
		}
		with, without := medianOf(beside), medianOf(alone)
		late, usual := besideTimes.Quantile(0.99), aloneTimes.Quantile(0.99)
		cells = []string{
			name, fmt.Sprintf("%.0f objects/s", medianOf(done)), fmt.Sprintf("%.0f", with), fmt.Sprintf("%.0f", without),
			fmt.Sprintf("%.2f", with/without), "at least 0.80",
			short(late), short(usual), fmt.Sprintf("%.2f", float64(late)/float64(usual)), "at most 1.20",
		}
		return nil
	})
	return cells, err
}
