package commands

import (
	"context"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) objectPromoteCommand() *cli.Command {
	return &cli.Command{
		Name: "promote", Usage: "make objects of files that lie on the targets' filesystems", ArgsUsage: "PATH BUCKET[/OBJECT_NAME_or_PREFIX]",
		Description: examples(
			"ais object promote /var/lib/ais/promote/file ais://b",
			"ais object promote /var/lib/ais/promote/dir ais://b/images/ --recursive --wait",
			"ais object promote /var/lib/ais/promote/dir ais://b --overwrite-dst --delete-src"),
		Flags: append([]cli.Flag{
			flag("recursive", "also what lies in subdirectories", "r"),
			flag("overwrite-dst", "replace objects that are there already", "o"),
			flag("delete-src", "remove each file when its object is stored"),
			flag("not-file-share", "do not look whether all targets see the same files"),
			textFlag("target-id", "promote the files of the target with this `ID` alone"),
			nonVerboseFlag(),
		}, waitFlags()...),
		Action: a.promote,
	}
}

func (a *App) promote(ctx context.Context, cmd *cli.Command) error {
	if err := checkWait(cmd, false); err != nil {
		return err
	}
	if cmd.NArg() != 2 {
		return misuse(cmd, "expecting a path and a bucket")
	}
	path := cmd.Args().First()
	if !filepath.IsAbs(path) {
		return misuse(cmd, "%q: expecting the absolute path of a file or directory on the targets", path)
	}
	to, err := uri.Parse(cmd.Args().Get(1), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	id, err := client.Promote(ctx, to.Bucket, &api.PromoteMsg{
		Source: path, Object: to.Object, NodeID: cmd.String("target-id"),
		Recursive: cmd.Bool("recursive"), Overwrite: cmd.Bool("overwrite-dst"), DeleteSource: cmd.Bool("delete-src"), NotShared: cmd.Bool("not-file-share"),
	})
	if err != nil {
		return err
	}
	if id == "" {
		return a.done("promoted %q => %s", path, to)
	}
	return a.started(ctx, cmd, wire.ActPromote, id)
}
