package commands

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/transfer"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Telling an object from a prefix takes one short page of names.
const (
	disambiguationPage = 32
	maxPlainName       = 255 // bytes; a longer name is an object's
	fewNames           = 10  // up to here each removal is told
)

func (a *App) objectRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "remove objects", ArgsUsage: "BUCKET[/OBJECT_NAME_or_PREFIX] [BUCKET/OBJECT_NAME...]",
		Description: examples(
			"ais rmo ais://b/o",
			"ais rmo ais://b/o1 ais://b/o2",
			"ais rmo ais://b/images/ --yes",
			"ais rmo ais://b --prefix images/ --yes",
			"ais rmo ais://b --list o1,o2,o3",
			"ais rmo ais://b --template \"shard-{0000..0099}.tar\" --wait",
			"ais rmo ais://b --all"),
		Flags: []cli.Flag{
			textFlag("list", "remove these objects: `NAME[,NAME...]`"),
			textFlag("template", "start a job that removes the objects that a `TEMPLATE` names: a{01..10..2}b, a@99b, or a prefix"),
			textFlag("prefix", "remove all objects whose names begin with `PREFIX`"),
			flag("all", "remove all objects of the bucket"),
			flag("non-recursive", "take the name as that of an object, not as a prefix", "nr"),
			yesFlag(), progressFlag(), skipLookupFlag(), directFlag(), unitsFlag(), flag("verbose", "tell of each object", "v"),
			flag("wait", "with --template: wait until the job has ended"),
			textFlag("timeout", "with --wait: wait at most `DURATION`"),
			textFlag("refresh", "with --wait: ask every `DURATION`"), nonVerboseFlag(),
		},
		ShellComplete: a.complete(a.bucketCandidates("/", 0)),
		Action:        a.removeObjects,
	}
}

func (a *App) removeObjects(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() == 0 {
		return misuse(cmd, "missing object name")
	}
	selectors := 0
	for _, name := range []string{"list", "template", "prefix", "all"} {
		if cmd.IsSet(name) {
			selectors++
		}
	}
	if selectors > 1 || selectors == 1 && cmd.NArg() > 1 {
		return misuse(cmd, "expecting one bucket and one of --list, --template, --prefix, --all")
	}
	if !cmd.IsSet("template") {
		for _, name := range []string{"wait", "timeout", "refresh", "non-verbose"} {
			if cmd.IsSet(name) {
				return misuse(cmd, "flag --%s goes with --template: else no job is started", name)
			}
		}
	} else if err := checkWait(cmd, false); err != nil {
		return err
	}
	if _, err := a.dataClient(cmd); err != nil {
		return err
	}
	for _, word := range cmd.Args().Slice() {
		what, err := uri.Parse(word, a.config.DefaultProvider)
		if err != nil {
			return err
		}
		if selectors == 1 && what.Object != "" {
			return misuse(cmd, "flags --list, --template, --prefix and --all do not go with an object name (%q)", what.Object)
		}
		if selectors == 0 && what.Object == "" {
			return misuse(cmd, "%q: missing object name (use --list, --prefix or --all to remove many objects)", word)
		}
		if !cmd.Bool("skip-lookup") {
			if _, err := a.headBucket(ctx, what.Bucket, false); err != nil {
				return err
			}
		}
		if err := a.removeSelected(ctx, cmd, what); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) removeSelected(ctx context.Context, cmd *cli.Command, what uri.URI) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	switch {
	case cmd.IsSet("template"):
		id, err := client.RemoveObjects(ctx, what.Bucket, &api.RemoveMsg{ListRange: api.ListRange{Template: cmd.String("template")}})
		if err != nil {
			return err
		}
		return a.started(ctx, cmd, wire.ActDeleteListRange, id)
	case cmd.IsSet("list"):
		var names []string
		for _, name := range strings.Split(cmd.String("list"), ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		return a.removeNames(ctx, cmd, client, what.Bucket, names)
	case cmd.Bool("all") || cmd.IsSet("prefix"):
		return a.removePrefix(ctx, cmd, client, what.Bucket, cmd.String("prefix"))
	}
	isPrefix, err := a.isPrefix(ctx, cmd, client, what)
	if err != nil {
		return err
	}
	if isPrefix {
		return a.removePrefix(ctx, cmd, client, what.Bucket, what.Object)
	}
	if err := client.DeleteObject(ctx, what.Bucket, what.Object); err != nil {
		return orMissing(err, what.Bucket, what.Object)
	}
	return a.done("deleted %q from %s", what.Object, what.Bucket)
}

// isPrefix tells whether a name is meant as a prefix: there is no object of
// that name, but there are names that begin with it. Both at once is an error.
func (a *App) isPrefix(ctx context.Context, cmd *cli.Command, client *api.Client, what uri.URI) (bool, error) {
	slash := strings.HasSuffix(what.Object, "/")
	switch {
	case cmd.Bool("non-recursive") && !slash:
		return false, nil
	case len(what.Object) > maxPlainName:
		return false, nil
	}
	page, err := client.ListObjectsPage(ctx, what.Bucket, &wire.LsoMsg{
		Prefix: what.Object, Flags: wire.LsoNameOnly | wire.LsoNoRecursion, Props: "name", PageSize: disambiguationPage,
	})
	if err != nil {
		return false, err
	}
	same, others := false, 0
	for i := range page.Entries {
		if page.Entries[i].Name == what.Object {
			same = true
		} else {
			others++
		}
	}
	if same && others > 0 {
		return false, fmt.Errorf("%s is an object, and there are others whose names begin with %q: use --nr for the object, --prefix for all of them",
			what, what.Object)
	}
	return others > 0, nil
}

// removePrefix lists and removes objects after asking.
func (a *App) removePrefix(ctx context.Context, cmd *cli.Command, client *api.Client, b wire.Bck, prefix string) error {
	if _, _, err := units(cmd); err != nil {
		return err
	}
	var names []string
	for entry, err := range client.Objects(ctx, b, wire.LsoMsg{Prefix: prefix, Props: "name", Flags: wire.LsoNameOnly}) {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			names = append(names, entry.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("there are no objects with prefix %q in %s: nothing to remove, it does not exist", prefix, b)
	}
	if !cmd.Bool("yes") {
		if err := a.confirm(ctx, "Remove %s objects from %s?", measure.Count(int64(len(names))), b); err != nil {
			if errors.Is(err, errCancelled) {
				return fmt.Errorf("%w: no object was removed", err)
			}
			return err
		}
	}
	return a.removeNames(ctx, cmd, client, b, names)
}

func (a *App) removeNames(ctx context.Context, cmd *cli.Command, client *api.Client, b wire.Bck, names []string) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	progress := a.progress(cmd, int64(len(names)), 0)
	verbose, workers := cmd.Bool("verbose"), 2*runtime.NumCPU()
	if len(names) <= fewNames {
		verbose, workers = true, 1 // told one by one, in order
	}
	result := transfer.Each(ctx, names, workers, true, func(name string) string { return name },
		func(ctx context.Context, name string) (int64, error) {
			if err := client.DeleteObject(ctx, b, name); err != nil {
				return 0, orMissing(err, b, name)
			}
			progress.Object()
			if verbose && progress == nil {
				return 0, a.done("deleted %q from %s", name, b)
			}
			return 0, nil
		})
	progress.End()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(result.Failures) > 0 {
		return a.finishMany("DELETE", result, shown)
	}
	if verbose {
		return nil
	}
	return a.done("deleted %s objects from %s in %s", measure.Count(result.Done), b, measure.Elapsed(result.Elapsed))
}
