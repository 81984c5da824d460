package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) jobShowCommand(name string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: "show running and finished jobs", ArgsUsage: "[NAME] [JOB_ID] [BUCKET] [TARGET]",
		Description: examples("ais show job", "ais show job --all", "ais show job copy-bucket", "ais show job AbC123xyz --json", "ais show job rebalance --refresh 5",
			"ais show job --all --top 5", "ais show job --all --filter STATE=Aborted", "ais show job --regex 'copy.*' --progress"),
		Flags: append(refreshFlags(), jsonFlag(), noHeadersFlag(), unitsFlag(),
			flag("all", "show also jobs that have ended"), flag("verbose", "show the jobs' errors in full", "v"),
			flag("date-time", "show times with their dates"),
			textFlag("regex", "only jobs whose kind, id, or message matches `REGEX`"),
			&cli.StringSliceFlag{Name: "filter", Usage: "only rows whose column matches: `COLUMN=REGEX`, of NODE, ID, KIND, BUCKET, STATE", Local: true},
			numberFlag("top", "only the `N` jobs that began last", 0),
			flag("progress", "follow the jobs to their ends, and then show them"),
			textFlag("log", "append what targets tell to `FILE`, one line of JSON each time")),
		ShellComplete: a.complete(a.jobCandidates),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Bool("progress") {
				if err := a.followJobs(ctx, cmd); err != nil {
					return err
				}
			}
			return a.repeat(ctx, cmd, a.showJobs)
		},
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
	words, only, client, err := a.askedJobs(ctx, cmd)
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
	if err := logJobs(cmd, snaps); err != nil {
		return err
	}
	all := cmd.Bool("all") || words.args.ID != "" || cmd.Bool("progress")
	for target, list := range snaps {
		snaps[target] = slices.DeleteFunc(list, func(s *wire.Snap) bool { return !all && !s.EndTime.IsZero() || !only.row(target, s) })
		if words.node != "" && words.node != target {
			delete(snaps, target)
		}
	}
	groups := only.jobs(groupJobs(snaps, words.node))
	if cmd.Bool("json") {
		return a.printJSON(snapsOf(snaps, groups))
	}
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

// snapsOf are the snapshots of the jobs that are shown, with every target that was asked.
func snapsOf(asked api.JobSnaps, groups [][]*shownJob) api.JobSnaps {
	chosen := api.JobSnaps{}
	for target := range asked {
		chosen[target] = []*wire.Snap{}
	}
	for _, group := range groups {
		for _, job := range group {
			for i, target := range job.targets {
				chosen[target] = append(chosen[target], job.snaps[i])
			}
		}
	}
	return chosen
}

// logJobs appends what targets tell to the file of --log.
func logJobs(cmd *cli.Command, snaps api.JobSnaps) (err error) {
	path := cmd.String("log")
	if path == "" {
		return nil
	}
	line, err := json.Marshal(&struct {
		Time  time.Time    `json:"time"`
		Snaps api.JobSnaps `json:"snaps"`
	}{time.Now(), snaps})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("flag --log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(append(line, '\n'))
	return err
}
