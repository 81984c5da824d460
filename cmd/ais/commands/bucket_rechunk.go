package commands

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) bucketRechunkCommand() *cli.Command {
	return &cli.Command{
		Name: wire.ActRechunk, Usage: "store objects in chunks of another size, or in one file each", ArgsUsage: "BUCKET[/PREFIX]",
		Description: examples(
			"ais bucket rechunk ais://b",
			"ais bucket rechunk ais://b --objsize-limit 1GiB --chunk-size 256MiB --wait",
			"ais bucket rechunk ais://b/videos/ --objsize-limit 1GiB --chunk-size 256MiB",
			"ais bucket rechunk ais://b --objsize-limit 0 --yes"),
		Flags: append([]cli.Flag{
			textFlag("chunk-size", "store objects in chunks of `SIZE` (default: the bucket's chunks.chunk_size)"),
			textFlag("objsize-limit", "store objects of `SIZE` and more in chunks, smaller ones in one file each; 0: all in one file (default: the bucket's chunks.objsize_limit)"),
			textFlag("prefix", "only objects whose names begin with `PREFIX`"),
			flag("sync-remote", "remote buckets: write the objects to the backend, too"),
			unitsFlag(), yesFlag(), nonVerboseFlag(),
		}, waitFlags()...),
		ShellComplete: a.complete(a.bucketCandidates("/", 1)),
		Action:        a.rechunkBucket,
	}
}

func (a *App) rechunkBucket(ctx context.Context, cmd *cli.Command) error {
	if err := checkWait(cmd, false); err != nil {
		return err
	}
	if cmd.NArg() != 1 {
		return misuse(cmd, "expecting a bucket")
	}
	what, err := uri.Parse(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	if what.Object != "" && cmd.IsSet("prefix") {
		return misuse(cmd, "flag --prefix does not go with a name after the bucket (%q)", what.Object)
	}
	chunk, hasChunk, err := sizeFlag(cmd, "chunk-size")
	if err != nil {
		return err
	}
	limit, hasLimit, err := sizeFlag(cmd, "objsize-limit")
	if err != nil {
		return err
	}
	props, err := a.headBucket(ctx, what.Bucket, true)
	if err != nil {
		return err
	}
	if !hasChunk {
		chunk = int64(props.Chunks.ChunkSize)
	}
	if !hasLimit {
		limit = int64(props.Chunks.ObjSizeLimit)
	}
	if !(hasChunk && hasLimit) && !cmd.Bool("yes") {
		shown, _, err := units(cmd)
		if err != nil {
			return err
		}
		question := fmt.Sprintf("Store the objects of %s of %s and more in chunks of %s, and smaller ones in one file each?",
			what.Bucket, measure.Size(limit, shown), measure.Size(chunk, shown))
		if limit == 0 {
			question = fmt.Sprintf("Store every object of %s in one file?", what.Bucket)
		}
		if err := a.confirm(ctx, "%s", question); err != nil {
			return err
		}
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	id, err := client.RechunkBucket(ctx, what.Bucket, &api.RechunkMsg{
		SizeLimit: limit, ChunkSize: chunk, Prefix: what.Object + cmd.String("prefix"), SyncRemote: cmd.Bool("sync-remote"),
	})
	if err != nil {
		return err
	}
	return a.started(ctx, cmd, wire.ActRechunk, id)
}
