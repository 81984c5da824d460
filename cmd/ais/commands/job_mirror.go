package commands

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmn/wire"
)

// startMirrorCommand is "ais start mirror": it changes how many copies of its
// objects a bucket has.
func (a *App) startMirrorCommand() *cli.Command {
	return &cli.Command{
		Name: "mirror", Usage: "keep each object of a bucket on so many mountpaths of its target, from now on", ArgsUsage: "BUCKET",
		Description: examples(
			"ais start mirror ais://b --copies 2",
			"ais start mirror ais://b --copies 3 --wait",
			"ais start mirror ais://b --copies 1",
		),
		Flags: append([]cli.Flag{
			&cli.Int64Flag{Name: "copies", Usage: "`N` files of each object, the object itself included: 2 to 16, at most as many as each target has mountpaths; 1 ends mirroring", HideDefault: true, Local: true},
			nonVerboseFlag(),
		}, waitFlags()...),
		Action:        a.startMirror,
		ShellComplete: a.complete(a.bucketCandidates("", 0)),
	}
}

func (a *App) startMirror(ctx context.Context, cmd *cli.Command) error {
	if err := checkWait(cmd, false); err != nil {
		return err
	}
	bucket, err := a.parseOneBucket(cmd)
	if err != nil {
		return err
	}
	if !cmd.IsSet("copies") {
		return misuse(cmd, "missing --copies: how many files of each object there are to be")
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	id, err := client.MakeNCopies(ctx, bucket, int(cmd.Int64("copies")))
	if err != nil {
		return err
	}
	return a.started(ctx, cmd, wire.ActMakeNCopies, id)
}
