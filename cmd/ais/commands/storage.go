package commands

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func (a *App) storageCommand() *cli.Command {
	return &cli.Command{
		Name: "storage", Usage: "disks and mountpaths of targets, and the space on them",
		Commands: []*cli.Command{a.storageShowCommand("show"), a.storageDiskCommand(), a.mountpathCommand(), a.bucketSummaryCommand(), a.jobStartCommand().Command("cleanup")},
	}
}

// storageShowCommand is "storage show" and "show storage".
func (a *App) storageShowCommand(name string) *cli.Command {
	cmd := &cli.Command{
		Name: name, Usage: "show how full mountpaths are, and what is wrong with them", ArgsUsage: "[TARGET_ID]",
		Description:   examples("ais storage show", "ais storage show t[abcdefgh]", "ais storage show --json"),
		Flags:         append(refreshFlags(), jsonFlag(), noHeadersFlag(), unitsFlag()),
		ShellComplete: a.complete(a.nodeCandidates),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return a.repeat(ctx, cmd, a.showStorage)
		},
	}
	if name == "storage" {
		cmd.Commands = []*cli.Command{a.storageDiskCommand(), a.mountpathCommand().Command("show")}
		cmd.Commands[1].Name = "mountpath"
	}
	return cmd
}

func (a *App) storageDiskCommand() *cli.Command {
	return &cli.Command{
		Name: "disk", Usage: "show what disks do at present", ArgsUsage: "[TARGET_ID]",
		Description: examples("ais storage disk", "ais storage disk t[abcdefgh] --refresh 5", "ais storage disk --regex 'nvme.*'", "ais storage disk --summary"),
		Flags: append(refreshFlags(), noHeadersFlag(), unitsFlag(), textFlag("regex", "only disks whose names match"),
			flag("summary", "one line for each target")),
		ShellComplete: a.complete(a.nodeCandidates),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return a.repeat(ctx, cmd, a.showDisks)
		},
	}
}

// diskReport is a target and what it tells of its disks, or why it does not.
type diskReport struct {
	node *meta.Snode
	*wire.DiskStatsCap
	err error
}

// askDisks asks the target of the first argument, or all, for their disks.
func (a *App) askDisks(ctx context.Context, cmd *cli.Command) (*meta.Smap, []diskReport, error) {
	smap, err := a.clusterMap(ctx)
	if err != nil {
		return nil, nil, err
	}
	client, err := a.cluster()
	if err != nil {
		return nil, nil, err
	}
	var reports []diskReport
	if word := cmd.Args().First(); word != "" {
		node, err := findNode(smap, word)
		if err != nil || node.Role != meta.RoleTarget || cmd.NArg() > 1 {
			return nil, nil, misuse(cmd, "%q: expecting the id of one target", strings.Join(cmd.Args().Slice(), " "))
		}
		reports = []diskReport{{node: node}}
	} else {
		for _, node := range smap.Nodes() {
			if node.Role == meta.RoleTarget {
				reports = append(reports, diskReport{node: node})
			}
		}
	}
	askEach(ctx, reports, func(ctx context.Context, r *diskReport) {
		r.DiskStatsCap, r.err = client.WhatDisks(ctx, r.node.ID)
	})
	return smap, reports, ctx.Err()
}

func (a *App) showStorage(ctx context.Context, cmd *cli.Command) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	smap, reports, err := a.askDisks(ctx, cmd)
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		form := map[string]any{}
		for i := range reports {
			if r := &reports[i]; r.err != nil {
				form[r.node.ID] = map[string]string{"error": r.err.Error()}
			} else {
				form[r.node.ID] = &r.Capacity
			}
		}
		return a.printJSON(form)
	}
	t := table.New("TARGET", "MOUNTPATH", "LABEL", "DISKS", "USED", "AVAIL", "USED(%)", "ALERT")
	for i := range reports {
		r := &reports[i]
		title := nodeTitle(smap, r.node)
		if r.err != nil {
			t.Row(offlineRow(title, t)...)
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(r.Mountpaths)) {
			mp := r.Mountpaths[path]
			names, alert := splitAlerts(mp.Disks)
			t.Row(title, path, mp.Label, strings.Join(names, ","), measure.Size(int64(mp.Used), shown), measure.Size(int64(mp.Avail), shown),
				strconv.Itoa(int(mp.PctUsed))+"%", alert)
		}
		if len(r.Mountpaths) == 0 {
			t.Row(title, "-", "-", "-", "-", "-", "-", "no mountpath in use")
		}
	}
	t.HideIf("LABEL", isBlank)
	t.HideIf("DISKS", isBlank)
	t.HideIf("ALERT", isBlank)
	if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
		return err
	}
	for i := range reports {
		if r := &reports[i]; r.err == nil && r.Error != "" {
			a.warn("%s: %s", nodeTitle(smap, r.node), r.Error)
		}
		if r := &reports[i]; r.err == nil {
			a.warnSetAside(nodeTitle(smap, r.node), r.SetAside, shown)
		}
	}
	return nil
}

// splitAlerts takes the alerts off the names of disks: "sda(out-of-space)".
func splitAlerts(disks []string) (names []string, alert string) {
	for _, disk := range disks {
		name, rest, _ := strings.Cut(disk, "(")
		names = append(names, name)
		if rest != "" {
			alert = strings.TrimSuffix(rest, ")")
		}
	}
	return names, alert
}

func (a *App) showDisks(ctx context.Context, cmd *cli.Command) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	match, err := regexp.Compile(cmd.String("regex"))
	if err != nil {
		return fmt.Errorf("flag --regex: %w", err)
	}
	smap, reports, err := a.askDisks(ctx, cmd)
	if err != nil {
		return err
	}
	t := table.New("TARGET", "DISK", "READ", "READ(avg size)", "WRITE", "WRITE(avg size)", "UTIL(%)", "CAP USED(%)", "CAP AVAIL")
	for i := range reports {
		r := &reports[i]
		title := nodeTitle(smap, r.node)
		if r.err != nil {
			t.Row(offlineRow(title, t)...)
			continue
		}
		add := func(name string, d wire.DiskStats, pct, avail string) {
			t.Row(title, name, measure.Size(d.ReadBps, shown)+"/s", measure.Size(d.ReadAvg, shown), measure.Size(d.WriteBps, shown)+"/s",
				measure.Size(d.WriteAvg, shown), strconv.FormatInt(d.Util, 10)+"%", pct, avail)
		}
		usedOf, sum, count := capacityByDisk(&r.Capacity), wire.DiskStats{}, 0
		for _, name := range slices.Sorted(maps.Keys(r.AllDiskStats)) {
			d := r.AllDiskStats[name]
			plain, _, _ := strings.Cut(name, "(")
			if !match.MatchString(plain) {
				continue
			}
			if !cmd.Bool("summary") {
				pct, avail := "-", "-"
				if mp := usedOf[plain]; mp != nil {
					pct, avail = strconv.Itoa(int(mp.PctUsed))+"%", measure.Size(int64(mp.Avail), shown)
				}
				add(name, d, pct, avail)
				continue
			}
			sum.ReadBps, sum.WriteBps, count = sum.ReadBps+d.ReadBps, sum.WriteBps+d.WriteBps, count+1
			sum.ReadAvg, sum.WriteAvg, sum.Util = sum.ReadAvg+d.ReadAvg, sum.WriteAvg+d.WriteAvg, sum.Util+d.Util
		}
		if cmd.Bool("summary") {
			n := int64(max(count, 1))
			sum.ReadAvg, sum.WriteAvg, sum.Util = sum.ReadAvg/n, sum.WriteAvg/n, sum.Util/n
			add(fmt.Sprintf("%d disks", count), sum, strconv.Itoa(int(r.PctAvg))+"%", measure.Size(int64(r.TotalAvail), shown))
		}
	}
	if t.Len() == 0 {
		return a.say("No disk is known (mountpaths in memory, in containers, and on networks have none)")
	}
	return t.Print(a.Out, cmd.Bool("no-headers"))
}

func capacityByDisk(c *wire.Capacity) map[string]*wire.CDF {
	all := map[string]*wire.CDF{}
	for _, mp := range c.Mountpaths {
		names, _ := splitAlerts(mp.Disks)
		for _, name := range names {
			all[name] = mp
		}
	}
	return all
}

// mountpathActions are the subcommands of "storage mountpath".
var mountpathActions = []struct{ name, action, usage, done string }{
	{"attach", wire.ActMountpathAttach, "add a directory, normally the root of a disk", "attached"},
	{"enable", wire.ActMountpathEnable, "bring a disabled mountpath back", "enabled"},
	{"detach", wire.ActMountpathDetach, "take a mountpath out for good", "detached"},
	{"disable", wire.ActMountpathDisable, "take a mountpath out and remember it", "disabled"},
	{"rescan-disks", wire.ActMountpathRescan, "look again which disks lie under a mountpath", "has the same disks"},
	{"fshc", wire.ActMountpathCheck, "check the disk of a mountpath, in the background", "is being checked"},
}

func (a *App) mountpathCommand() *cli.Command {
	cmd := &cli.Command{
		Name: "mountpath", Usage: "show and change the mountpaths of targets",
		Commands: []*cli.Command{{
			Name: "show", Usage: "show mountpaths by state", ArgsUsage: "[TARGET_ID]",
			Description:   examples("ais storage mountpath show", "ais storage mountpath show t[abcdefgh] --json"),
			Flags:         append(refreshFlags(), jsonFlag(), noHeadersFlag()),
			ShellComplete: a.complete(a.nodeCandidates),
			Action: func(ctx context.Context, cmd *cli.Command) error {
				return a.repeat(ctx, cmd, a.showMountpaths)
			},
		}},
	}
	for _, m := range mountpathActions {
		sub := &cli.Command{
			Name: m.name, Usage: m.usage, ArgsUsage: "TARGET_ID=PATH [TARGET_ID=PATH...]",
			Description:   examples("ais storage mountpath " + m.name + " t[abcdefgh]=/mnt/disk7"),
			ShellComplete: a.complete(a.nodeCandidates),
			Action: func(ctx context.Context, cmd *cli.Command) error {
				return a.changeMountpaths(ctx, cmd, m.action, m.done)
			},
		}
		switch m.action {
		case wire.ActMountpathAttach:
			sub.Flags = []cli.Flag{textFlag("label", "says that the mountpath may share its disk with others of a label")}
		case wire.ActMountpathDetach, wire.ActMountpathDisable:
			sub.Flags = []cli.Flag{flag("no-resilver", "at once, with its objects, which cannot be read until it is back"), yesFlag()}
		}
		cmd.Commands = append(cmd.Commands, sub)
	}
	return cmd
}

func (a *App) showMountpaths(ctx context.Context, cmd *cli.Command) error {
	smap, reports, err := a.askDisks(ctx, cmd)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	form := map[string]*wire.MountpathList{}
	t := table.New("TARGET", "MOUNTPATH", "STATE", "USED(%)", "ALERT")
	for i := range reports {
		r := &reports[i]
		title := nodeTitle(smap, r.node)
		list, err := client.Mountpaths(ctx, r.node.ID)
		if err != nil {
			t.Row(title, "-", offline, "-", "-")
			continue
		}
		form[r.node.ID] = list
		for _, part := range []struct {
			state string
			paths []string
		}{{"available", list.Available}, {"waiting to leave", list.Waiting}, {"disabled", list.Disabled}} {
			for _, path := range part.paths {
				pct, alert := "-", ""
				if r.DiskStatsCap != nil && r.Mountpaths[path] != nil {
					pct = strconv.Itoa(int(r.Mountpaths[path].PctUsed)) + "%"
					_, alert = splitAlerts(r.Mountpaths[path].Disks)
				}
				t.Row(title, path, part.state, pct, alert)
			}
		}
	}
	if cmd.Bool("json") {
		return a.printJSON(form)
	}
	t.HideIf("ALERT", isBlank)
	return t.Print(a.Out, cmd.Bool("no-headers"))
}

func (a *App) changeMountpaths(ctx context.Context, cmd *cli.Command, action, done string) error {
	if cmd.NArg() == 0 {
		return misuse(cmd, "missing arguments: expecting TARGET_ID=PATH")
	}
	smap, err := a.clusterMap(ctx)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	type place struct {
		node *meta.Snode
		path string
	}
	var places []place
	for _, word := range cmd.Args().Slice() {
		id, path, ok := strings.Cut(word, "=")
		if !ok || path == "" {
			return misuse(cmd, "%q: expecting TARGET_ID=PATH", word)
		}
		node, err := findNode(smap, id)
		if err != nil {
			return err
		}
		if node.Role != meta.RoleTarget {
			return misuse(cmd, "%q: %s is not a target", word, node)
		}
		places = append(places, place{node, path})
	}
	for _, at := range places {
		node, path := at.node, at.path
		m := api.MountpathChange{Action: action, Path: path, Label: cmd.String("label"), NoResilver: cmd.Bool("no-resilver")}
		if m.NoResilver && !cmd.Bool("yes") {
			all, err := client.Mountpaths(ctx, node.ID)
			if err != nil {
				return err
			}
			if known := slices.Concat(all.Available, all.Waiting, all.Disabled); !slices.Contains(known, path) {
				return fmt.Errorf("%s has no mountpath %q (it has %s)", node, path, strings.Join(known, ", "))
			}
			if err := a.confirm(ctx, "%s: mountpath %s leaves with its objects, which cannot be read until it is back. Proceed?", node, path); err != nil {
				return err
			}
		}
		changed, err := client.ChangeMountpath(ctx, node.ID, m)
		if err != nil {
			return err
		}
		if !changed {
			done = "is so already"
		}
		if err := a.done("%s: mountpath %s %s", node, path, done); err != nil {
			return err
		}
	}
	return nil
}
