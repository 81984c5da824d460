package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) clusterCommand() *cli.Command {
	show := a.showClusterCommand()
	show.Name = "show"
	return &cli.Command{
		Name: "cluster", Usage: "nodes, and what the cluster does without them",
		Commands: []*cli.Command{show, a.weighTargetsCommand(), a.declareLostCommand()},
	}
}

func (a *App) declareLostCommand() *cli.Command {
	return &cli.Command{
		Name: "declare-lost", Usage: "go on for good without what dead targets hold", ArgsUsage: "TARGET_ID [TARGET_ID...]",
		Description: "What only these targets hold does not exist any more: reads of it answer that it is not found, and nobody waits for them. They must not\n" +
			"run, and must have been out of the cluster for a minute. One that is started all the same begins empty; what it had is in quarantine\n" +
			"on its mountpaths ('ais storage show' tells where).\n\n" +
			examples("ais cluster declare-lost t[abcdefgh]", "ais cluster declare-lost t[abcdefgh] t[ijklmnop] --force"),
		Flags:         []cli.Flag{flag("force", "do not ask", "f")},
		ShellComplete: a.complete(a.absentCandidates),
		Action:        a.declareLost,
	}
}

func (a *App) declareLost(ctx context.Context, cmd *cli.Command) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	var ids []string
	for _, word := range cmd.Args().Slice() {
		ids = append(ids, nodeID(word))
	}
	if len(ids) == 0 {
		info, err := client.Placement(ctx)
		switch {
		case err != nil:
			return err
		case len(info.Absent) == 0:
			return misuse(cmd, "expecting TARGET_ID; no target is absent that anybody waits for")
		}
		return misuse(cmd, "expecting TARGET_ID; absent: %s", strings.Join(info.Absent, ", "))
	}
	if !cmd.Bool("force") {
		if err := absent(ctx, client, ids); err != nil {
			return err
		}
		if err := a.confirmWord(ctx, "LOST", "Give up what only %s holds? There is no way back.", strings.Join(ids, ", ")); err != nil {
			return err
		}
	}
	rebalance, err := client.DeclareLost(ctx, ids...)
	if err != nil {
		return err
	}
	if rebalance == "" {
		return a.say("Declared lost: %s", strings.Join(ids, ", "))
	}
	return a.say("Declared lost: %s (rebalance %s settles the placement)", strings.Join(ids, ", "), rebalance)
}

// absent fails unless all of the targets with these ids are waited for: what it
// is no use to be asked about.
func absent(ctx context.Context, client *api.Client, ids []string) error {
	info, err := client.Placement(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		switch {
		case slices.Contains(info.Absent, id):
		case slices.Contains(info.Lost, id):
			return fmt.Errorf("t[%s] was declared lost before", id)
		case len(info.Absent) == 0:
			return fmt.Errorf("t[%s] is not absent, or nothing of it is waited for; no target is", id)
		default:
			return fmt.Errorf("t[%s] is not absent, or nothing of it is waited for; absent: %s", id, strings.Join(info.Absent, ", "))
		}
	}
	return nil
}

// absentCandidates are the targets that may be declared lost.
func (a *App) absentCandidates(ctx context.Context, _ *cli.Command) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	client, err := a.cluster()
	if err != nil {
		return nil
	}
	info, err := client.Placement(ctx)
	if err != nil {
		return nil
	}
	for _, id := range info.Absent {
		names = append(names, "t["+id+"]")
	}
	return names
}

// warnSetAside tells what a target held when it was declared lost.
func (a *App) warnSetAside(title string, all []wire.SetAside, shown measure.Units) {
	for i := range all {
		s := &all[i]
		switch {
		case s.Error != "":
			a.warn("%s: its quarantine cannot be read: %s", title, s.Error)
		case !s.Counted:
			a.warn("%s: what %s held when the target was declared lost is in %s", title, s.Mountpath, s.Dir)
		default:
			a.warn("%s: what %s held when the target was declared lost is in %s: %d files, %s", title, s.Mountpath, s.Dir, s.Files, measure.Size(s.Bytes, shown))
		}
	}
}
