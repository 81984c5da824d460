package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmn/wire"
)

// dryCleanup runs a cleanup that removes nothing, waits for its end, and says what
// would go.
func (a *App) dryCleanup(ctx context.Context, cmd *cli.Command, args *api.JobArgs) error {
	if cmd.IsSet("non-verbose") {
		return misuse(cmd, "flag --non-verbose does not go with --dry-run: what would be removed is shown")
	}
	if err := checkWait(cmd, true); err != nil {
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
	id, err := client.StartJob(ctx, args, "")
	if err != nil {
		return err
	}
	started := &api.JobArgs{ID: id, Kind: args.Kind}
	if err := a.waitJob(ctx, cmd, started); err != nil {
		return err
	}
	snaps, err := client.JobSnaps(ctx, started)
	if err != nil {
		return err
	}
	reports := map[string]*wire.CleanupReport{}
	for target, of := range snaps {
		for _, snap := range of {
			if snap.ID != id {
				continue
			}
			if snap.Error != "" {
				a.warn("t[%s]: %s", target, snap.Error)
			}
			report, err := cleanupReport(snap.Ext)
			if err != nil {
				return fmt.Errorf("t[%s]: %w", target, err)
			}
			reports[target] = report
		}
	}
	if cmd.Bool("json") {
		return a.printJSON(reports)
	}
	return a.showCleanup(cmd, reports, shown)
}

// cleanupReport reads the extended statistics of a snapshot.
func cleanupReport(ext any) (*wire.CleanupReport, error) {
	text, err := json.Marshal(ext)
	if err != nil {
		return nil, err
	}
	report := new(wire.CleanupReport)
	if err := json.Unmarshal(text, report); err != nil {
		return nil, fmt.Errorf("its report of the dry run cannot be read: %w", err)
	}
	if !report.DryRun {
		return nil, fmt.Errorf("it has no report of the dry run")
	}
	return report, nil
}

// showCleanup prints what would go, of each target and of all, and with --verbose some
// of the files.
func (a *App) showCleanup(cmd *cli.Command, reports map[string]*wire.CleanupReport, shown measure.Units) error {
	t := table.New("TARGET", "CATEGORY", "FILES", "SIZE", "WHY")
	var files, bytes int64
	targets := slices.Sorted(maps.Keys(reports))
	for _, target := range targets {
		for _, of := range reports[target].Removals {
			files, bytes = files+of.Files, bytes+of.Bytes
			t.Row("t["+target+"]", of.Category, strconv.FormatInt(of.Files, 10), measure.Size(of.Bytes, shown), of.Why)
		}
	}
	if files > 0 {
		if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
			return err
		}
	}
	for _, target := range targets {
		if cmd.Bool("verbose") {
			for _, e := range reports[target].Examples {
				if err := a.say("t[%s] %s %s %s", target, e.Category, e.Path, measure.Size(e.Size, shown)); err != nil {
					return err
				}
			}
		}
		var kept []string
		for _, name := range slices.Sorted(maps.Keys(reports[target].Kept)) {
			kept = append(kept, fmt.Sprintf("%s:%d", name, reports[target].Kept[name]))
		}
		if len(kept) > 0 {
			a.note("t[%s] keeps %s", target, strings.Join(kept, " "))
		}
	}
	return a.done("Dry run: %d files of %s would be removed; nothing was.", files, measure.Size(bytes, shown))
}
