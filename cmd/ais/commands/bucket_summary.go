package commands

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) bucketSummaryCommand() *cli.Command {
	return &cli.Command{
		Name: "summary", Usage: "count the objects of buckets, and their bytes", ArgsUsage: "[BUCKET[/PREFIX]]",
		Description: examples("ais bucket summary", "ais bucket summary ais://b", "ais bucket summary ais://b/images/ --units raw", "ais bucket summary --verbose"),
		Flags: append([]cli.Flag{
			textFlag("prefix", "count objects whose names begin with `PREFIX`"),
			flag("cached", "only objects in the cluster (remote buckets)"),
			flag("verbose", "show sizes of objects as well", "v"),
			flag("dont-wait", "print the id of the job instead of the result"),
			jsonFlag(), noHeadersFlag(), unitsFlag(),
		}, refreshFlags()...),
		ShellComplete: a.complete(a.bucketCandidates("/", 0)),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return a.repeat(ctx, cmd, a.summarizeBuckets)
		},
	}
}

func (a *App) summarizeBuckets(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() > 1 {
		return misuse(cmd, "expecting one bucket, or none for all")
	}
	what, err := uri.ParseQuery(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	if what.Object != "" && cmd.IsSet("prefix") {
		return misuse(cmd, "flag --prefix does not go with a name after the bucket (%q)", what.Object)
	}
	if cmd.Bool("dont-wait") {
		for _, name := range []string{"json", "verbose", "no-headers", "units", "refresh"} {
			if cmd.IsSet(name) {
				return misuse(cmd, "flag --%s does not go with --dont-wait: there is no result to show", name)
			}
		}
	}
	if _, _, err := units(cmd); err != nil {
		return err
	}
	msg := &api.SummaryMsg{Prefix: what.Object + cmd.String("prefix"), Cached: cmd.Bool("cached"), Present: true}
	if !cmd.Bool("dont-wait") {
		return a.summarize(ctx, cmd, what.Bucket, msg)
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	id, err := client.StartSummary(ctx, what.Bucket, msg)
	if err != nil {
		return err
	}
	return a.say("%s", id)
}

// summarize counts a bucket, or all that a query without a name matches, and prints the
// result.
func (a *App) summarize(ctx context.Context, cmd *cli.Command, query wire.Bck, msg *api.SummaryMsg) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	sums, err := client.Summarize(ctx, query, msg, nil)
	if err != nil {
		return err
	}
	slices.SortFunc(sums, func(x, y api.BucketSummary) int {
		switch {
		case x.Bck.String() < y.Bck.String():
			return -1
		case x.Bck.String() > y.Bck.String():
			return 1
		}
		return 0
	})
	if cmd.Bool("json") {
		return a.printJSON(sums)
	}
	return a.printSummaries(cmd, sums)
}

// printSummaries prints one line for each bucket.
func (a *App) printSummaries(cmd *cli.Command, sums []api.BucketSummary) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	size := func(n uint64) string { return measure.Size(int64(n), shown) } //nolint:gosec // bytes on disks
	t := table.New("NAME", "OBJECTS (cached, remote)", "OBJECT SIZES (min, avg, max)", "TOTAL OBJECT SIZE (cached, remote)", "SIZE ON DISK", "USAGE(%)", "UNDER-PROTECTED")
	if !cmd.Bool("verbose") {
		t.Hide("SIZE ON DISK")
	}
	if !slices.ContainsFunc(sums, func(s api.BucketSummary) bool { return s.UnderProtected > 0 }) {
		t.Hide("UNDER-PROTECTED")
	}
	for i := range sums {
		s := &sums[i]
		t.Row(s.Bck.String(), fmt.Sprintf("%d %d", s.Count.Present, s.Count.Remote),
			fmt.Sprintf("%s %s %s", measure.Size(s.Size.Min, shown), measure.Size(s.Size.Avg, shown), measure.Size(s.Size.Max, shown)),
			size(s.Total.Present)+" "+size(s.Total.Remote), size(s.Total.OnDisk), strconv.FormatUint(s.UsedPct, 10)+"%", strconv.FormatUint(s.UnderProtected, 10))
	}
	return t.Print(a.Out, cmd.Bool("no-headers"))
}
