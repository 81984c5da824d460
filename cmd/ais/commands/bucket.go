package commands

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func (a *App) bucketCommand() *cli.Command {
	return &cli.Command{
		Name: "bucket", Usage: "create, list, configure, copy, rename, count and remove buckets",
		Commands: []*cli.Command{
			a.listCommand(), a.bucketCreateCommand(), a.bucketRemoveCommand(),
			a.bucketShowCommand("show"), a.bucketPropsCommand(),
			a.bucketCopyCommand(), a.bucketMoveCommand(), a.bucketSummaryCommand(), a.bucketEvictCommand(), a.bucketRechunkCommand(),
		},
	}
}

// bucketExists is the error of a bucket that is there already.
func bucketExists(b wire.Bck) error { return fmt.Errorf("bucket %q already exists", b.String()) }

// headBucket returns a bucket's properties; that it is missing is said with
// its name.
func (a *App) headBucket(ctx context.Context, b wire.Bck, dontAdd bool) (*meta.Bprops, error) {
	client, err := a.cluster()
	if err != nil {
		return nil, err
	}
	props, err := client.HeadBucket(ctx, b, dontAdd)
	if api.IsNotFound(err) && b.IsAIS() {
		return nil, fmt.Errorf("bucket %q does not exist", b.String())
	}
	return props, err
}

// parseBuckets reads the arguments as buckets; there must be one at least.
func (a *App) parseBuckets(cmd *cli.Command) ([]wire.Bck, error) {
	if cmd.NArg() == 0 {
		return nil, misuse(cmd, "missing bucket name")
	}
	buckets := make([]wire.Bck, 0, cmd.NArg())
	for _, word := range cmd.Args().Slice() {
		b, err := uri.ParseBucket(word, a.config.DefaultProvider)
		if err != nil {
			return nil, err
		}
		buckets = append(buckets, b)
	}
	return buckets, nil
}

// parseOneBucket reads the only argument as a bucket.
func (a *App) parseOneBucket(cmd *cli.Command) (wire.Bck, error) {
	buckets, err := a.parseBuckets(cmd)
	if err != nil {
		return wire.Bck{}, err
	}
	if len(buckets) > 1 {
		return wire.Bck{}, misuse(cmd, "expected one bucket")
	}
	return buckets[0], nil
}

func (a *App) bucketCreateCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "create buckets", ArgsUsage: "BUCKET [BUCKET...]",
		Description: examples(
			"ais create ais://b",
			"ais create ais://b1 ais://b2 --ignore-error",
			"ais create ais://b --props \"checksum.type=md5 durability=none\"",
			"ais create ais://b --props '{\"versioning\":{\"enabled\":false}}'"),
		Flags: []cli.Flag{
			ignoreErrorFlag(),
			textFlag("props", "bucket properties: `\"K=V [K=V...]\"` or JSON"),
			flag("force", "set properties even if they are refused for lack of targets", "f"),
			skipLookupFlag(),
		},
		Action: a.createBuckets,
	}
}

func (a *App) createBuckets(ctx context.Context, cmd *cli.Command) error {
	buckets, err := a.parseBuckets(cmd)
	if err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	var props *meta.BpropsToSet
	if text := cmd.String("props"); text != "" {
		if props, err = parseProps(splitWords(text)); err != nil {
			return err
		}
	}
	if cmd.Bool("force") {
		if props == nil {
			props = new(meta.BpropsToSet)
		}
		props.Force = true
	}
	for _, b := range buckets {
		create := client.CreateBucket
		if cmd.Bool("skip-lookup") {
			create = client.CreateBucketNoHead
		}
		err := create(ctx, b, props)
		switch {
		case err == nil:
			err = a.done("%q created", b.String())
		case api.HTTPStatus(err) == http.StatusConflict || api.TypeCode(err) == wire.CodeBucketExists:
			if cmd.Bool("ignore-error") {
				a.warn("%v", bucketExists(b))
				continue
			}
			return bucketExists(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *App) bucketRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "remove buckets with everything in them", ArgsUsage: "BUCKET [BUCKET...]",
		Description: examples("ais rmb ais://b", "ais rmb ais://b1 ais://b2 --ignore-error", "ais rmb --all"),
		Flags: []cli.Flag{
			ignoreErrorFlag(), yesFlag(), flag("all", "remove all AIS buckets (DELETE must be typed)"),
		},
		ShellComplete: a.complete(a.bucketCandidates("", 0)),
		Action:        a.removeBuckets,
	}
}

func (a *App) removeBuckets(ctx context.Context, cmd *cli.Command) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	var buckets []wire.Bck
	if cmd.Bool("all") {
		if cmd.NArg() > 0 {
			return misuse(cmd, "flag --all does not go with bucket names")
		}
		if buckets, err = a.confirmAll(ctx, cmd); err != nil || len(buckets) == 0 {
			return err
		}
	} else if buckets, err = a.parseBuckets(cmd); err != nil {
		return err
	}
	for _, b := range buckets {
		err := client.DestroyBucket(ctx, b)
		switch {
		case err == nil:
			err = a.done("%q destroyed", b.String())
		case api.IsNotFound(err):
			missing := fmt.Errorf("bucket %q does not exist", b.String())
			if cmd.Bool("ignore-error") {
				a.warn("%v", missing)
				continue
			}
			return missing
		case api.TypeCode(err) == wire.CodeUnsupported:
			return fmt.Errorf("%w (tip: to remove the bucket's objects from the cluster only, use 'ais evict')", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// confirmAll lists the AIS buckets and has the user type DELETE.
func (a *App) confirmAll(ctx context.Context, cmd *cli.Command) ([]wire.Bck, error) {
	client, err := a.cluster()
	if err != nil {
		return nil, err
	}
	buckets, err := client.ListBuckets(ctx, wire.Bck{Provider: wire.ProviderAIS}, wire.PresenceExists)
	if err != nil {
		return nil, err
	}
	if len(buckets) == 0 {
		return nil, a.say("No AIS buckets to remove")
	}
	for _, b := range buckets {
		if err := a.say("%s", b); err != nil {
			return nil, err
		}
	}
	if cmd.Bool("yes") {
		a.warn("flag --yes is ignored: removing all buckets must be confirmed")
	}
	if err := a.confirmWord(ctx, "DELETE", "Remove %d AIS bucket(s) with everything in them?", len(buckets)); err != nil {
		if errors.Is(err, errCancelled) {
			return nil, errors.New("cancelled: no bucket was removed")
		}
		return nil, err
	}
	return buckets, nil
}
