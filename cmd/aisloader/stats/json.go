package stats

import (
	"encoding/json"
	"io"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

// JSON prints one array: an element for each interval, the last is the total.
type JSON struct {
	out   io.Writer
	begun bool
	start time.Time // of the run
}

// NewJSON returns a reporter for a run that begins at start.
func NewJSON(out io.Writer, start time.Time) *JSON { return &JSON{out: out, start: start} }

// summary is one kind of operations: times in nanoseconds, throughput in
// bytes a second. The percentiles are ours.
type summary struct {
	Start      time.Time     `json:"start_time"`
	Count      int64         `json:"count,string"`
	Bytes      int64         `json:"bytes,string"`
	Errors     int64         `json:"errors"`
	Latency    time.Duration `json:"latency"`
	Duration   time.Duration `json:"duration"`
	Min        time.Duration `json:"min_latency"`
	Max        time.Duration `json:"max_latency"`
	Throughput int64         `json:"throughput,string"`
	P50        time.Duration `json:"p50_latency"`
	P90        time.Duration `json:"p90_latency"`
	P99        time.Duration `json:"p99_latency"`
	P999       time.Duration `json:"p99.9_latency"`
}

// Interval implements Reporter.
func (j *JSON) Interval(now time.Time, part *load.Result) error {
	return j.element(now.Add(-part.Elapsed), part)
}

// Final implements Reporter.
func (j *JSON) Final(_ time.Time, total *load.Result) error {
	if err := j.element(j.start, total); err != nil {
		return err
	}
	_, err := io.WriteString(j.out, "\n]\n")
	return err
}

func (j *JSON) element(start time.Time, r *load.Result) error {
	element := map[string]summary{"get_batch": {Start: start, Duration: r.Elapsed}}
	for kind, name := range names {
		c := &r.Kinds[kind]
		// These two are always there, the others if they were asked for.
		if kind != Get && kind != Put && c.Operations+c.Errors == 0 {
			continue
		}
		h := &c.Latency
		s := summary{
			Start: start, Count: c.Operations, Bytes: c.Bytes, Errors: c.Errors, Latency: h.Mean(), Duration: r.Elapsed, Min: h.Min(), Max: h.Max(),
			P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99), P999: h.Quantile(0.999),
		}
		if r.Elapsed > 0 {
			s.Throughput = int64(float64(c.Bytes) / r.Elapsed.Seconds())
		}
		element[name.json] = s
	}
	text, err := json.Marshal(element)
	if err != nil {
		return err
	}
	before := ",\n"
	if !j.begun {
		j.begun, before = true, "[\n"
	}
	_, err = io.WriteString(j.out, before+string(text))
	return err
}
