package commands

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) bucketCopyCommand() *cli.Command {
	return &cli.Command{
		Name: "cp", Usage: "copy a bucket, or objects of one", ArgsUsage: "SRC_BUCKET[/PREFIX] DST_BUCKET",
		Description: examples(
			"ais cp ais://src ais://dst --wait",
			"ais cp ais://src/images/ ais://dst",
			"ais cp ais://src ais://dst --prefix images/ --prepend copy/",
			"ais cp ais://src ais://dst --template \"shard-{0000..0099..2}.tar\"",
			"ais cp ais://src ais://dst --list o1,o2 --cont-on-err",
			"ais cp ais://src ais://dst --sync --wait",
			"ais cp ais://src ais://dst --dry-run --wait"),
		Flags: append([]cli.Flag{
			textFlag("list", "copy these objects: `NAME[,NAME...]`"),
			textFlag("template", "copy the objects that a `TEMPLATE` names: a{01..10..2}b, a@99b, or a prefix"),
			textFlag("prefix", "copy objects whose names begin with `PREFIX`"),
			textFlag("prepend", "put `TEXT` before the names of copies, as it is: images/ makes a directory"),
			textFlag("ext", "replace extensions in the names of copies: `OLD=NEW[,OLD=NEW...]`"),
			flag("sync", "also remove at the destination what is gone at the source"),
			flag("latest", "remote buckets: copy the latest versions"),
			flag("dry-run", "only count"),
			flag("force", "copy also while a job is running that usually excludes it"),
			flag("non-recursive", "only names without a slash behind the prefix", "nr"),
			flag("cont-on-err", "go on after an object that cannot be copied"),
			numberFlag("num-workers", "copy `N` objects at a time on each target (0: automatic, -1: one for each mountpath)", 0),
			nonVerboseFlag(),
		}, waitFlags()...),
		ShellComplete: a.complete(a.bucketCandidates("", 1)),
		Action:        a.copyBucket,
	}
}

func nonVerboseFlag() cli.Flag { return flag("non-verbose", "print only the job's id", "nv") }

func (a *App) copyBucket(ctx context.Context, cmd *cli.Command) error {
	if err := checkWait(cmd, false); err != nil {
		return err
	}
	if cmd.NArg() != 2 {
		return misuse(cmd, "expecting a source and a destination bucket")
	}
	from, err := uri.Parse(cmd.Args().Get(0), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	to, err := uri.ParseBucket(cmd.Args().Get(1), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	prefix := cmd.String("prefix")
	if cmd.IsSet("list") && cmd.IsSet("template") {
		return misuse(cmd, "expecting one of --list and --template")
	}
	if from.Object != "" {
		if err := oneSelector(cmd, from.Object); err != nil {
			return err
		}
		prefix = from.Object
	}
	msg := api.CopyBucketMsg{
		Prefix: prefix, Prepend: cmd.String("prepend"), DryRun: cmd.Bool("dry-run"), Force: cmd.Bool("force"),
		LatestVersion: cmd.Bool("latest"), Synchronize: cmd.Bool("sync"),
		NonRecursive: cmd.Bool("non-recursive"), NumWorkers: int(cmd.Int64("num-workers")), ContinueOnError: cmd.Bool("cont-on-err"),
	}
	if msg.Ext, err = extensions(cmd.String("ext")); err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	_, missing := client.HeadBucket(ctx, to, true)
	var id string
	kind := wire.ActCopyBucket
	if cmd.IsSet("list") || cmd.IsSet("template") {
		kind = wire.ActCopyListRange
		id, err = client.CopyObjects(ctx, from.Bucket, &api.CopyObjectsMsg{
			ListRange: listRange(cmd), CopyBucketMsg: msg, To: &to,
		})
	} else {
		id, err = client.CopyBucket(ctx, from.Bucket, to, &msg)
	}
	if err != nil {
		return err
	}
	if api.IsNotFound(missing) && to.IsAIS() && !msg.DryRun {
		a.warn("destination %s does not exist: it is created with the properties of %s", to, from.Bucket)
	}
	return a.started(ctx, cmd, kind, id)
}

// oneSelector refuses more than one of --list, --template, --prefix, and a name after the
// bucket ("" if there is none).
func oneSelector(cmd *cli.Command, name string) error {
	var set []string
	for _, flag := range []string{"list", "template", "prefix"} {
		if cmd.IsSet(flag) {
			set = append(set, "--"+flag)
		}
	}
	switch {
	case name != "" && len(set) > 0:
		return misuse(cmd, "flags --list, --template and --prefix do not go with a name after the bucket (%q)", name)
	case len(set) > 1:
		return misuse(cmd, "%s do not go together: expecting one of them", strings.Join(set, " and "))
	}
	return nil
}

// listRange reads --list and --template.
func listRange(cmd *cli.Command) (l api.ListRange) {
	for _, name := range strings.Split(cmd.String("list"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			l.Names = append(l.Names, name)
		}
	}
	l.Template = cmd.String("template")
	return l
}

// extensions reads "jpg=png,jpeg=png".
func extensions(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	ext := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		from, to, ok := strings.Cut(pair, "=")
		if !ok || from == "" || to == "" {
			return nil, fmt.Errorf("flag --ext: %q (expected OLD=NEW[,OLD=NEW...])", pair)
		}
		ext[from] = to
	}
	return ext, nil
}

func (a *App) bucketMoveCommand() *cli.Command {
	return &cli.Command{
		Name: "mv", Usage: "give a bucket another name", ArgsUsage: "BUCKET NEW_BUCKET",
		Description:   examples("ais bucket mv ais://old ais://new --wait"),
		Flags:         append([]cli.Flag{nonVerboseFlag()}, waitFlags()...),
		ShellComplete: a.complete(a.bucketCandidates("", 1)),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := checkWait(cmd, false); err != nil {
				return err
			}
			buckets, err := a.parseBuckets(cmd)
			if err != nil {
				return err
			}
			if len(buckets) != 2 {
				return misuse(cmd, "expecting a bucket and its new name")
			}
			client, err := a.cluster()
			if err != nil {
				return err
			}
			id, err := client.RenameBucket(ctx, buckets[0], buckets[1])
			if err != nil {
				return err
			}
			return a.started(ctx, cmd, wire.ActMoveBucket, id)
		},
	}
}

func (a *App) bucketEvictCommand() *cli.Command {
	return &cli.Command{
		Name: "evict", Usage: "remove objects of a remote bucket from the cluster alone", ArgsUsage: "BUCKET[/PREFIX]",
		Description: examples("ais evict s3://b --template \"shard-{0..9}.tar\"", "ais evict s3://b/images/"),
		Flags: append([]cli.Flag{
			textFlag("list", "evict these objects: `NAME[,NAME...]`"),
			textFlag("template", "evict the objects that a `TEMPLATE` names"),
			textFlag("prefix", "evict objects whose names begin with `PREFIX`"),
			flag("non-recursive", "only names without a slash behind the prefix", "nr"),
			nonVerboseFlag(),
		}, waitFlags()...),
		ShellComplete: a.complete(a.bucketCandidates("/", 1)),
		Action: func(ctx context.Context, cmd *cli.Command) error {
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
			if err := oneSelector(cmd, what.Object); err != nil {
				return err
			}
			client, err := a.cluster()
			if err != nil {
				return err
			}
			msg := &api.RemoveMsg{ListRange: listRange(cmd), NonRecursive: cmd.Bool("non-recursive")}
			if msg.Template == "" {
				msg.Template = what.Object + cmd.String("prefix")
			}
			id, err := client.EvictObjects(ctx, what.Bucket, msg)
			if err != nil {
				return err
			}
			return a.started(ctx, cmd, wire.ActEvictListRange, id)
		},
	}
}
