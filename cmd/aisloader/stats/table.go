package stats

import (
	"fmt"
	"io"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

// Reporter prints the statistics of one run: Interval any number of times,
// then Final once.
type Reporter interface {
	Interval(now time.Time, part *load.Result) error
	Final(now time.Time, total *load.Result) error
}

// Table prints lines for people.
type Table struct {
	out    io.Writer
	total  load.Result
	headed bool
}

// NewTable returns a table that is printed to out.
func NewTable(out io.Writer) *Table { return &Table{out: out} }

const line = "%-9s %-14s %-26s %-22s %-36s %-28s %s\n"

func (t *Table) head() error {
	_, err := fmt.Fprintf(t.out, line, "Time", "OP", "Count", "Size (Total)", "Latency (min, avg, max)", "Throughput (Avg)", "Errors (Total)")
	return err
}

// Interval prints a line for each kind that did something since the last.
func (t *Table) Interval(now time.Time, part *load.Result) error {
	if !t.headed {
		t.headed = true
		if err := t.head(); err != nil {
			return err
		}
	}
	t.total.Elapsed += part.Elapsed
	for kind := range Kinds {
		p, all := &part.Kinds[kind], &t.total.Kinds[kind]
		all.Add(p)
		if p.Operations+p.Errors == 0 && part.Pending[kind] == 0 {
			continue
		}
		counts := fmt.Sprintf("%s (%s)", count(p.Operations), count(all.Operations))
		if kind == Put || kind == Get {
			counts = fmt.Sprintf("%s (%s %d %d)", count(p.Operations), count(all.Operations), part.Pending[kind], part.Queued)
		}
		errors := "-"
		if all.Errors > 0 {
			errors = fmt.Sprintf("%s (%s)", count(p.Errors), count(all.Errors))
		}
		if err := t.row(now, kind, counts, fmt.Sprintf("%s (%s)", size(p.Bytes), size(all.Bytes)), &p.Latency,
			fmt.Sprintf("%s (%s)", speed(p.Bytes, part.Elapsed), speed(all.Bytes, t.total.Elapsed)), errors); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) row(now time.Time, kind int, counts, sizes string, h *load.Histogram, speeds, errors string) error {
	times := fmt.Sprintf("%-11s %-11s %s", latency(h.Min()), latency(h.Mean()), latency(h.Max()))
	_, err := fmt.Fprintf(t.out, line, now.Format("15:04:05"), names[kind].op, counts, sizes, times, speeds, errors)
	return err
}

// Final prints the totals, percentiles of the latencies, and where the time
// went, if that was measured.
func (t *Table) Final(now time.Time, total *load.Result) error {
	if _, err := fmt.Fprintln(t.out); err != nil {
		return err
	}
	if err := t.head(); err != nil {
		return err
	}
	for kind := range Kinds {
		all := &total.Kinds[kind]
		if all.Operations+all.Errors == 0 {
			continue
		}
		errors := "-"
		if all.Errors > 0 {
			errors = count(all.Errors)
		}
		if err := t.row(now, kind, count(all.Operations), size(all.Bytes), &all.Latency, speed(all.Bytes, total.Elapsed), errors); err != nil {
			return err
		}
	}
	return t.percentiles(total)
}

func (t *Table) percentiles(total *load.Result) error {
	const line = "%-9s %-14s %-12s %-12s %-12s %-12s %s\n"
	if _, err := fmt.Fprintf(t.out, "\n"+line, "", "OP", "p50", "p90", "p99", "p99.9", "Operations/s"); err != nil {
		return err
	}
	for kind := range Kinds {
		all := &total.Kinds[kind]
		if all.Operations == 0 {
			continue
		}
		h := &all.Latency
		if _, err := fmt.Fprintf(t.out, line, "", names[kind].op, latency(h.Quantile(0.5)), latency(h.Quantile(0.9)),
			latency(h.Quantile(0.99)), latency(h.Quantile(0.999)), rate(all.Operations, total.Elapsed)); err != nil {
			return err
		}
	}
	return t.traces(total)
}

func rate(n int64, over time.Duration) string {
	if over <= 0 {
		return "-"
	}
	if perSecond := float64(n) / over.Seconds(); perSecond < 100 {
		return fmt.Sprintf("%.2f", perSecond)
	}
	return count(int64(float64(n)/over.Seconds() + 0.5))
}

func (t *Table) traces(total *load.Result) error {
	const line = "%-9s %-14s %-10s %-12s %-12s %-12s %-12s %s\n"
	headed := false
	for kind := range Kinds {
		all := &total.Kinds[kind]
		for i, hop := range []string{"asked", "redirected"} {
			h := mean(all, i)
			if h == (load.Timing{}) {
				continue
			}
			if !headed {
				headed = true
				if _, err := fmt.Fprintf(t.out, "\n"+line, "", "OP", "server", "connect", "request", "wait", "header", "body"); err != nil {
					return err
				}
			}
			if _, err := fmt.Fprintf(t.out, line, "", names[kind].op, hop, latency(h.Connect), latency(h.Request), latency(h.Wait), latency(h.Header), latency(h.Response)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mean is the average of the times of one hop.
func mean(c *load.Counts, hop int) load.Timing {
	if c.Traced == 0 {
		return load.Timing{}
	}
	h, n := c.Hops[hop], time.Duration(c.Traced)
	return load.Timing{Connect: h.Connect / n, Request: h.Request / n, Wait: h.Wait / n, Header: h.Header / n, Response: h.Response / n}
}
