package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
)

// removesOnly tells a rebalance that sends nothing and only removes what is misplaced.
func removesOnly(s *wire.Snap) bool { return strings.Contains(s.ControlMessage, ":cleanup") }

// showRebalanceCommand is "show rebalance".
func (a *App) showRebalanceCommand() *cli.Command {
	return &cli.Command{
		Name: kindRebalance, Usage: "show how far the rebalance is, on every target", ArgsUsage: "[REB_ID] [TARGET_ID]",
		Description: examples("ais show rebalance", "ais show rebalance --all", "ais show rebalance g7", "ais show rebalance --refresh 5"),
		Flags: append(refreshFlags(), noHeadersFlag(), unitsFlag(), flag("all", "show also earlier ones"),
			flag("date-time", "show times with their dates")),
		ShellComplete: a.complete(a.nodeCandidates),
		Action:        func(ctx context.Context, cmd *cli.Command) error { return a.repeat(ctx, cmd, a.showRebalance) },
	}
}

// showRebalance shows the newest rebalance, one by its id, or all.
func (a *App) showRebalance(ctx context.Context, cmd *cli.Command) error {
	args, node := api.JobArgs{Kind: kindRebalance}, ""
	for _, word := range cmd.Args().Slice() {
		if number, ok := strings.CutPrefix(word, "g"); ok && args.ID == "" && number != "" && strings.Trim(number, "0123456789") == "" {
			args.ID = word
			continue
		}
		smap, err := a.clusterMap(ctx)
		if err != nil {
			return err
		}
		target, err := findNode(smap, word)
		if err != nil || node != "" {
			return misuse(cmd, "unexpected argument %q (expected the id of a rebalance, as g7, or of a target)", word)
		}
		node = target.ID
	}
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	snaps, err := client.JobSnaps(ctx, &args)
	if err != nil {
		return err
	}
	groups := groupJobs(snaps, node)
	if len(groups) == 0 {
		return a.say("No rebalance.")
	}
	list := groups[0] // of the one kind, the newest first
	if !cmd.Bool("all") && args.ID == "" {
		list = list[:1]
	}
	slices.Reverse(list)
	return a.printRebalances(cmd, list, shown)
}

// printRebalances prints those that move and those that only remove, in tables
// of their own.
func (a *App) printRebalances(cmd *cli.Command, list []*shownJob, shown measure.Units) error {
	moves := table.New("REB ID", "NODE", "TX OBJECTS", "TX BYTES", "RX OBJECTS", "RX BYTES", "START", "END", "STATE")
	removes := table.New("REB ID", "NODE", "REMOVED OBJECTS", "REMOVED BYTES", "START", "END", "STATE")
	var failed []string
	for _, job := range list {
		for i, s := range job.snaps {
			t, cells := moves, []string{s.ID, job.targets[i],
				measure.Count(s.Stats.OutObjects), measure.Size(s.Stats.OutBytes, shown), measure.Count(s.Stats.InObjects), measure.Size(s.Stats.InBytes, shown)}
			if removesOnly(s) {
				t, cells = removes, []string{s.ID, job.targets[i], measure.Count(s.Stats.LocalObjects), measure.Size(s.Stats.LocalBytes, shown)}
			}
			t.Row(append(cells, jobTime(cmd, s.StartTime), jobTime(cmd, s.EndTime), jobState(s))...)
			for _, text := range []string{s.AbortError, s.Error} {
				if text != "" {
					failed = append(failed, fmt.Sprintf("%s t[%s]: %s", s.ID, job.targets[i], text))
				}
			}
		}
		if len(job.snaps) > 1 {
			sum := totalStats(job.snaps)
			if removesOnly(job.first()) {
				removes.Row("Total:", "", measure.Count(sum.LocalObjects), measure.Size(sum.LocalBytes, shown))
			} else {
				moves.Row("Total:", "", measure.Count(sum.OutObjects), measure.Size(sum.OutBytes, shown), measure.Count(sum.InObjects), measure.Size(sum.InBytes, shown))
			}
		}
	}
	printed := false
	for _, t := range []*table.Table{moves, removes} {
		if t.Len() == 0 {
			continue
		}
		if printed {
			if err := a.say(""); err != nil {
				return err
			}
		}
		printed = true
		if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
			return err
		}
	}
	for _, text := range failed {
		if err := a.say("%s", text); err != nil {
			return err
		}
	}
	return nil
}
