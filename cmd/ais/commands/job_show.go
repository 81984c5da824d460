package commands

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) jobShowCommand(name string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: "show running and finished jobs", ArgsUsage: "[NAME] [JOB_ID] [BUCKET] [TARGET]",
		Description: examples("ais show job", "ais show job --all", "ais show job copy-bucket", "ais show job AbC123xyz --json", "ais show job rebalance --refresh 5"),
		Flags: append(refreshFlags(), jsonFlag(), noHeadersFlag(), unitsFlag(),
			flag("all", "show also jobs that have ended"), flag("verbose", "show the jobs' messages and errors", "v"),
			flag("date-time", "show times with their dates")),
		ShellComplete: a.complete(a.jobCandidates),
		Action:        func(ctx context.Context, cmd *cli.Command) error { return a.repeat(ctx, cmd, a.showJobs) },
	}
}

// shownJob is one job with its snapshots, by target.
type shownJob struct {
	targets []string
	snaps   []*wire.Snap
}

func (j *shownJob) first() *wire.Snap { return j.snaps[0] }

func (j *shownJob) running() bool {
	return slices.ContainsFunc(j.snaps, func(s *wire.Snap) bool { return s.EndTime.IsZero() })
}

// of tells that a job is about a bucket.
func (j *shownJob) of(b wire.Bck) bool {
	if p, ok := wire.NormalizeProvider(b.Provider); ok {
		b.Provider = p
	}
	s := j.first()
	return s.Bck == b || s.SrcBck == b || s.DstBck == b
}

// groupJobs sorts snapshots into jobs, those into kinds, newest first; node
// selects a target.
func groupJobs(snaps api.JobSnaps, node string) [][]*shownJob {
	byID := map[string]*shownJob{}
	targets := make([]string, 0, len(snaps))
	for target := range snaps {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	for _, target := range targets {
		if node != "" && node != target {
			continue
		}
		for _, s := range snaps[target] {
			key := s.Kind + "[" + s.ID
			if byID[key] == nil {
				byID[key] = &shownJob{}
			}
			byID[key].targets = append(byID[key].targets, target)
			byID[key].snaps = append(byID[key].snaps, s)
		}
	}
	byKind := map[string][]*shownJob{}
	for _, job := range byID {
		byKind[job.first().Kind] = append(byKind[job.first().Kind], job)
	}
	var groups [][]*shownJob
	for _, list := range byKind {
		slices.SortFunc(list, func(x, y *shownJob) int {
			return cmp.Or(y.first().StartTime.Compare(x.first().StartTime), strings.Compare(x.first().ID, y.first().ID))
		})
		groups = append(groups, list)
	}
	slices.SortFunc(groups, func(x, y []*shownJob) int { return strings.Compare(x[0].first().Kind, y[0].first().Kind) })
	return groups
}

func (a *App) showJobs(ctx context.Context, cmd *cli.Command) error {
	words, err := a.jobWords(ctx, cmd)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	snaps, err := client.JobSnaps(ctx, &words.args)
	if err != nil {
		return err
	}
	all := cmd.Bool("all") || words.args.ID != ""
	for target, list := range snaps {
		snaps[target] = slices.DeleteFunc(list, func(s *wire.Snap) bool { return !all && !s.EndTime.IsZero() })
	}
	if cmd.Bool("json") {
		if words.node != "" {
			snaps = api.JobSnaps{words.node: snaps[words.node]}
		}
		return a.printJSON(snaps)
	}
	groups := groupJobs(snaps, words.node)
	if len(groups) == 0 {
		if all {
			return a.say("No %sjobs.", titled(words.args.Kind))
		}
		return a.say("No running %sjobs. To show also those that have ended, use --all.", titled(words.args.Kind))
	}
	for i, group := range groups {
		if i > 0 {
			if err := a.say(""); err != nil {
				return err
			}
		}
		if err := a.printJobs(cmd, group, shown); err != nil {
			return err
		}
	}
	return nil
}

// printJobs prints the jobs of one kind.
func (a *App) printJobs(cmd *cli.Command, jobs []*shownJob, shown measure.Units) error {
	kind := jobs[0].first().Kind
	moves := kind == "rebalance"
	for i, job := range jobs {
		if i > 0 {
			if err := a.say(""); err != nil {
				return err
			}
		}
		title := jobTitle(kind) + "[" + job.first().ID + "]"
		if message := job.first().ControlMessage; message != "" {
			title += "  " + message
		}
		if !cmd.Bool("no-headers") {
			if err := a.say("%s", a.paint(cyan, title, a.OutIsTerminal)); err != nil {
				return err
			}
		}
		columns := []string{"NODE", "ID", "KIND", "BUCKET", "OBJECTS", "BYTES"}
		if moves {
			columns = []string{"NODE", "ID", "KIND", "BUCKET", "TX OBJECTS", "TX BYTES", "RX OBJECTS", "RX BYTES"}
		}
		t := table.New(append(columns, "START", "END", "STATE")...)
		var total wire.SnapStats
		counts := func(s *wire.SnapStats) []string {
			if moves {
				return []string{measure.Count(s.OutObjects), measure.Size(s.OutBytes, shown), measure.Count(s.InObjects), measure.Size(s.InBytes, shown)}
			}
			return []string{measure.Count(s.LocalObjects), measure.Size(s.LocalBytes, shown)}
		}
		for k, s := range job.snaps {
			total.LocalObjects += s.Stats.LocalObjects
			total.LocalBytes += s.Stats.LocalBytes
			total.OutObjects += s.Stats.OutObjects
			total.OutBytes += s.Stats.OutBytes
			total.InObjects += s.Stats.InObjects
			total.InBytes += s.Stats.InBytes
			row := append([]string{job.targets[k], s.ID, s.Kind, jobBuckets(s)}, counts(&s.Stats)...)
			t.Row(append(row, jobTime(cmd, s.StartTime), jobTime(cmd, s.EndTime), jobState(s))...)
		}
		if len(job.snaps) > 1 {
			t.Row(append([]string{"Total:", "", "", ""}, append(counts(&total), "", "", "")...)...)
		}
		t.HideIf("BUCKET", func(cell string) bool { return cell == "" })
		if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
			return err
		}
		if err := a.printJobErrors(cmd, job); err != nil {
			return err
		}
	}
	return nil
}

// printJobErrors prints why a job was aborted, and its errors with --verbose.
func (a *App) printJobErrors(cmd *cli.Command, job *shownJob) error {
	for i, s := range job.snaps {
		for _, text := range []string{s.AbortError, s.Error} {
			if text == "" || text == s.Error && !cmd.Bool("verbose") {
				continue
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
