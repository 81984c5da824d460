package commands

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// startEncodeCommand is "ais start ec-encode": it turns erasure coding of a bucket on
// and makes the slices of its objects, or makes them again.
func (a *App) startEncodeCommand() *cli.Command {
	return &cli.Command{
		Name: wire.ActECEncode, Aliases: []string{jobTitle(wire.ActECEncode)},
		Usage: "keep the objects of a bucket in slices on several targets, from now on", ArgsUsage: "BUCKET",
		Description: examples(
			"ais start ec-encode ais://b --data-slices 2 --parity-slices 2",
			"ais start ec-encode ais://b --recover --wait",
		),
		Flags: append([]cli.Flag{
			numberFlag("data-slices", "cut each object into `N` slices", 0),
			numberFlag("parity-slices", "and add `N` slices of parity: as many targets may be lost", 0),
			flag("recover", "of a bucket that is encoded: read every slice, and make again what is missing or damaged"),
			nonVerboseFlag(),
		}, waitFlags()...),
		Action:        a.startEncode,
		ShellComplete: a.complete(a.bucketCandidates("", 0)),
	}
}

func (a *App) startEncode(ctx context.Context, cmd *cli.Command) error {
	if err := checkWait(cmd, false); err != nil {
		return err
	}
	bucket, err := a.parseOneBucket(cmd)
	switch {
	case err != nil:
		return err
	case cmd.IsSet("data-slices") != cmd.IsSet("parity-slices"):
		return misuse(cmd, "--data-slices and --parity-slices go together")
	case !cmd.IsSet("data-slices") && !cmd.Bool("recover"):
		return misuse(cmd, "missing --data-slices and --parity-slices (or --recover, if the bucket is encoded)")
	}
	var set meta.ECToSet
	for name, to := range map[string]**int{"data-slices": &set.DataSlices, "parity-slices": &set.ParitySlices} {
		if cmd.IsSet(name) {
			n := int(cmd.Int64(name))
			if n < 1 { // 0 would be the default
				return misuse(cmd, "flag --%s: %d (expected 1 to 32)", name, n)
			}
			*to = &n
		}
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	id, err := client.EncodeBucket(ctx, bucket, &set, cmd.Bool("recover"))
	if err != nil {
		return err
	}
	return a.started(ctx, cmd, wire.ActECEncode, id)
}
