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
	"github.com/aistore-go/aistore/core/meta"
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
		w, err := awaited(ctx, client)
		if err != nil {
			return err
		}
		return misuse(cmd, "expecting TARGET_ID; %s", w)
	}
	if !cmd.Bool("force") {
		w, err := awaited(ctx, client)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := w.check(id); err != nil {
				return err
			}
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

// awaitedTargets are those that do not answer, and may hold what others wait for.
type awaitedTargets struct {
	absent []string // may be declared lost
	owners []string // own names still
	lost   []string // were declared lost
}

// awaited asks whom the cluster waits for: what cannot be is told before anybody is asked
// for a confirmation.
func awaited(ctx context.Context, client *api.Client) (w awaitedTargets, err error) {
	info, err := client.Placement(ctx)
	if err != nil {
		return w, err
	}
	smap, err := client.FetchSmap(ctx)
	if err != nil {
		return w, err
	}
	w.lost = info.Lost
	for _, id := range info.Absent {
		if slices.ContainsFunc(smap.ActiveTargets(), func(node *meta.Snode) bool { return node.ID == id }) {
			w.owners = append(w.owners, id)
		} else {
			w.absent = append(w.absent, id)
		}
	}
	return w, nil
}

// String says which there are.
func (w awaitedTargets) String() string {
	switch {
	case len(w.absent) > 0:
		return "absent: " + strings.Join(w.absent, ", ")
	case len(w.owners) > 0:
		return fmt.Sprintf("%s owns names until it is taken out of the cluster map, a minute after it has died", strings.Join(w.owners, ", "))
	}
	return "no target is absent that anybody waits for"
}

// check fails unless a target may be declared lost.
func (w awaitedTargets) check(id string) error {
	switch {
	case slices.Contains(w.absent, id):
		return nil
	case slices.Contains(w.lost, id):
		return fmt.Errorf("t[%s] was declared lost before", id)
	case slices.Contains(w.owners, id):
		return fmt.Errorf("t[%s] owns names: one that has died is taken out of the cluster map after a minute, or by rm-unsafe", id)
	}
	return fmt.Errorf("t[%s] is not absent, or nothing of it is waited for; %s", id, w)
}

// absentCandidates are the targets that may be declared lost.
func (a *App) absentCandidates(ctx context.Context, _ *cli.Command) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	client, err := a.cluster()
	if err != nil {
		return nil
	}
	w, err := awaited(ctx, client)
	if err != nil {
		return nil
	}
	for _, id := range w.absent {
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
