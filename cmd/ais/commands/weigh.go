package commands

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func (a *App) weighTargetsCommand() *cli.Command {
	return &cli.Command{
		Name: "weigh-targets", Usage: "have targets of different size own names in proportion, or all the same", ArgsUsage: "[TARGET_ID=CAPACITY...]",
		Description: examples("ais cluster weigh-targets --by capacity", "ais cluster weigh-targets t[abcdefgh]=4 t[ijklmnop]=1", "ais cluster weigh-targets --by nothing"),
		Flags: []cli.Flag{
			textFlag("by", "'capacity': the sizes of the targets, and in each of them those of its mountpaths; 'nothing': equal shares"),
			jsonFlag(), noHeadersFlag(),
		},
		ShellComplete: a.complete(a.nodeCandidates),
		Action:        a.weighTargets,
	}
}

func (a *App) weighTargets(ctx context.Context, cmd *cli.Command) error {
	weights := wire.WeighMsg{By: cmd.String("by")}
	words := cmd.Args().Slice()
	if (weights.By == "") == (len(words) == 0) {
		return misuse(cmd, "expected either --by or a capacity for each target")
	}
	smap, err := a.clusterMap(ctx)
	if err != nil {
		return err
	}
	for _, word := range words {
		id, number, _ := strings.Cut(word, "=")
		capacity, err := strconv.ParseUint(number, 10, 64)
		if err != nil || id == "" {
			return misuse(cmd, "%q: expected TARGET_ID=CAPACITY, the capacity being a whole number", word)
		}
		node, err := findNode(smap, id)
		if err != nil {
			return err
		}
		if node.Role != meta.RoleTarget {
			return misuse(cmd, "%s is not a target", node)
		}
		if _, twice := weights.Capacities[node.ID]; twice {
			return misuse(cmd, "%q: the capacity of %s is given twice", word, node)
		}
		if weights.Capacities == nil {
			weights.Capacities = map[string]uint64{}
		}
		weights.Capacities[node.ID] = capacity
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	rebalance, err := client.WeighTargets(ctx, weights)
	if err != nil {
		return err
	}
	if smap, err = client.FetchSmap(ctx); err != nil {
		return err
	}
	if cmd.Bool("json") {
		form := map[string]uint64{}
		for id, target := range smap.Tmap {
			form[id] = target.Capacity
		}
		return a.printJSON(map[string]any{"capacities": form, "rebalance": rebalance})
	}
	sum := uint64(0)
	for _, target := range smap.Tmap {
		sum += target.Capacity
	}
	t := table.New("TARGET", "CAPACITY", "SHARE")
	for _, id := range slices.Sorted(maps.Keys(smap.Tmap)) {
		target := smap.Tmap[id]
		capacity, share := "-", 100/float64(len(smap.Tmap))
		if sum > 0 {
			capacity, share = strconv.FormatUint(target.Capacity, 10), 100*float64(target.Capacity)/float64(sum)
		}
		t.Row(nodeTitle(smap, target), capacity, strconv.FormatFloat(share, 'f', 1, 64)+"%")
	}
	if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
		return err
	}
	if rebalance != "" {
		return a.say("Started rebalance[%s]. To monitor the progress, run 'ais show rebalance'", rebalance)
	}
	return nil
}
