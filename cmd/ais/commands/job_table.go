package commands

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
)

const kindRebalance = "rebalance"

// jobColumn is one column of the table of a kind, between what all kinds begin
// and end with.
type jobColumn struct {
	title string
	cell  func(s *wire.Snap) string
	total bool // it makes sense for the sum of all targets
}

// columnsOf are the columns of jobs of one kind.
func columnsOf(jobs []*shownJob, shown measure.Units) []jobColumn {
	kind := jobs[0].first().Kind
	any := func(has func(*wire.Snap) bool) bool {
		return slices.ContainsFunc(jobs, func(j *shownJob) bool { return slices.ContainsFunc(j.snaps, has) })
	}
	var columns []jobColumn
	add := func(title string, total bool, cell func(*wire.Snap) string) {
		columns = append(columns, jobColumn{title, cell, total})
	}
	count := func(title string, n func(*wire.SnapStats) int64) {
		add(title, true, func(s *wire.Snap) string { return measure.Count(n(&s.Stats)) })
	}
	size := func(title string, n func(*wire.SnapStats) int64) {
		add(title, true, func(s *wire.Snap) string { return measure.Size(n(&s.Stats), shown) })
	}
	switch {
	case any(func(s *wire.Snap) bool { return s.SrcBck.Name != "" && s.DstBck.Name != "" }):
		add("SRC BUCKET", false, func(s *wire.Snap) string { return bucketCell(s.SrcBck) })
		add("DST BUCKET", false, func(s *wire.Snap) string { return bucketCell(s.DstBck) })
	case any(func(s *wire.Snap) bool { return s.Bck.Name != "" }):
		add("BUCKET", false, func(s *wire.Snap) string { return bucketCell(s.Bck) })
	}
	if kind == kindRebalance {
		count("TX OBJECTS", func(s *wire.SnapStats) int64 { return s.OutObjects })
		size("TX BYTES", func(s *wire.SnapStats) int64 { return s.OutBytes })
		count("RX OBJECTS", func(s *wire.SnapStats) int64 { return s.InObjects })
		size("RX BYTES", func(s *wire.SnapStats) int64 { return s.InBytes })
		return columns
	}
	count("OBJECTS", func(s *wire.SnapStats) int64 { return s.LocalObjects })
	size("BYTES", func(s *wire.SnapStats) int64 { return s.LocalBytes })
	for _, more := range []struct{ title, kind, key string }{
		{"ERRORS", "ec-put", "ec.encode.err.n"}, {"ERRORS", "ec-get", "ec.decode.err.n"},
		{"QUEUE", "", "ec.queue.len.f"}, {"AVG TIME", "", "ec.obj.process.ns"}, {"ENC TIME", "ec-put", "ec.encode.ns"},
	} {
		if (kind == "ec-put" || kind == "ec-get") && (more.kind == "" || more.kind == kind) {
			add(more.title, false, func(s *wire.Snap) string { return extCell(s, more.key) })
		}
	}
	return columns
}

func bucketCell(b wire.Bck) string {
	if b.Name == "" {
		return ""
	}
	return b.String()
}

// extCell is a value of the extended statistics, "-" if they lack it.
func extCell(s *wire.Snap, key string) string {
	ext, _ := s.Ext.(map[string]any)
	switch v := ext[key].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	}
	return "-"
}

// printJobs prints the jobs of one kind, a table each.
func (a *App) printJobs(cmd *cli.Command, jobs []*shownJob, shown measure.Units) error {
	columns := columnsOf(jobs, shown)
	header := []string{"NODE", "ID", "KIND"}
	for _, c := range columns {
		header = append(header, c.title)
	}
	header = append(header, "START", "END", "STATE")
	for i, job := range jobs {
		if i > 0 {
			if err := a.say(""); err != nil {
				return err
			}
		}
		title := jobTitle(job.first().Kind) + "[" + job.first().ID + "]"
		if message := job.first().ControlMessage; message != "" {
			title += "  " + message
		}
		if !cmd.Bool("no-headers") {
			if err := a.say("%s", a.paint(cyan, title, a.OutIsTerminal)); err != nil {
				return err
			}
		}
		t := table.New(header...)
		for k, s := range job.snaps {
			row := []string{job.targets[k], s.ID, s.Kind}
			for _, c := range columns {
				row = append(row, c.cell(s))
			}
			t.Row(append(row, jobTime(cmd, s.StartTime), jobTime(cmd, s.EndTime), jobState(s))...)
		}
		if len(job.snaps) > 1 {
			t.Row(totalRow(job, columns)...)
		}
		if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
			return err
		}
		if err := a.printJobErrors(cmd, job); err != nil {
			return err
		}
	}
	return nil
}

// totalRow is the footer.
func totalRow(job *shownJob, columns []jobColumn) []string {
	sum := &wire.Snap{Stats: totalStats(job.snaps)}
	row := []string{"Total:", "", ""}
	for _, c := range columns {
		cell := ""
		if c.total {
			cell = c.cell(sum)
		}
		row = append(row, cell)
	}
	return row
}

// totalStats adds up what targets have counted.
func totalStats(snaps []*wire.Snap) (sum wire.SnapStats) {
	for _, s := range snaps {
		sum.LocalObjects += s.Stats.LocalObjects
		sum.LocalBytes += s.Stats.LocalBytes
		sum.OutObjects += s.Stats.OutObjects
		sum.OutBytes += s.Stats.OutBytes
		sum.InObjects += s.Stats.InObjects
		sum.InBytes += s.Stats.InBytes
	}
	return sum
}

// maxShownError bounds an error without --verbose, in bytes.
const maxShownError = 160

// printJobErrors prints why a job was aborted, and its errors: in full with
// --verbose.
func (a *App) printJobErrors(cmd *cli.Command, job *shownJob) error {
	for i, s := range job.snaps {
		for _, text := range []string{s.AbortError, s.Error} {
			if text == "" {
				continue
			}
			if len(text) > maxShownError && !cmd.Bool("verbose") {
				text = strings.ToValidUTF8(text[:maxShownError], "") + "... (in full: --verbose)"
			}
			if err := a.say("t[%s]: %s", job.targets[i], text); err != nil {
				return err
			}
		}
	}
	return nil
}

// jobBuckets are the buckets of a job: "from => to" where it has two.
func jobBuckets(s *wire.Snap) string {
	switch {
	case s.SrcBck.Name != "" && s.DstBck.Name != "":
		return s.SrcBck.String() + " => " + s.DstBck.String()
	case s.Bck.Name != "":
		return s.Bck.String()
	}
	return ""
}

func jobTime(cmd *cli.Command, t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case cmd.Bool("date-time"):
		return dateTime(t.Local())
	}
	return t.Local().Format("15:04:05")
}

func jobState(s *wire.Snap) string {
	switch {
	case s.Aborted:
		return "Aborted"
	case !s.EndTime.IsZero() && s.Error != "":
		return "Finished with errors"
	case !s.EndTime.IsZero():
		return "Finished"
	case s.IsIdle:
		return "Idle"
	}
	return "Running"
}
