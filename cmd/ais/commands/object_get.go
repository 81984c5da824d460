package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/measure"
	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/cmd/ais/transfer"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

// defaultGetWorkers is how many objects are read at a time.
const defaultGetWorkers = 10

func (a *App) getCommand() *cli.Command {
	return &cli.Command{
		Name: "get", Usage: "get an object, a part of it, or all objects with a prefix", ArgsUsage: "BUCKET[/OBJECT_NAME] [OUT_FILE|OUT_DIR|-]",
		Description: examples(
			"ais get ais://b/o",
			"ais get ais://b/o /tmp/o",
			"ais get ais://b/o - | wc -c",
			"ais get ais://b/o /tmp/part --offset 1MiB --length 64KiB",
			"ais get ais://b/o /dev/null --checksum",
			"ais get ais://b --prefix images/ /tmp/out",
			"ais get ais://b --prefix \"\" --checksum --yes --num-workers 16 /tmp/out"),
		Flags: []cli.Flag{
			textFlag("offset", "begin at `SIZE` (with --length)"), textFlag("length", "read `SIZE` (with --offset)"),
			flag("checksum", "compare what arrives with the object's checksum"),
			textFlag("prefix", "get all objects whose names begin with `PREFIX` (also \"\")"),
			numberFlag("limit", "with --prefix: at most `N` objects (0: all)", 0),
			numberFlag("num-workers", "with --prefix: get `N` objects at a time", defaultGetWorkers),
			flag("cached", "with --prefix: only objects in the cluster"),
			flag("check-cached", "only tell whether the object is in the cluster"),
			flag("latest", "look for a newer version at the remote backend first"),
			yesFlag(), progressFlag(), skipLookupFlag(), directFlag(), unitsFlag(),
			flag("silent", "keep lookups of missing objects out of the cluster's log"),
			flag("verbose", "tell of each object", "v"),
		},
		ShellComplete: a.complete(a.bucketCandidates("/", 0)),
		Action:        a.get,
	}
}

func (a *App) get(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() == 0 || cmd.NArg() > 2 {
		return misuse(cmd, "expecting BUCKET/OBJECT_NAME and perhaps an output")
	}
	what, err := uri.Parse(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	many := cmd.IsSet("prefix")
	switch {
	case many && what.Object != "":
		return misuse(cmd, "flag --prefix does not go with an object name (%q)", what.Object)
	case !many && what.Object == "":
		return misuse(cmd, "%q: missing object name (use --prefix to get many objects)", cmd.Args().First())
	case cmd.Bool("latest") && (cmd.Bool("cached") || cmd.Bool("check-cached")):
		return misuse(cmd, "flag --latest does not go with --cached and --check-cached")
	}
	args, err := rangeArgs(cmd)
	if err != nil {
		return err
	}
	args.Latest, args.Silent = cmd.Bool("latest"), cmd.Bool("silent")
	client, err := a.dataClient(cmd)
	if err != nil {
		return err
	}
	if !cmd.Bool("skip-lookup") {
		if _, err := a.headBucket(ctx, what.Bucket, true); err != nil {
			return err
		}
	}
	if cmd.Bool("check-cached") {
		return a.checkCached(ctx, client, what)
	}
	if many {
		if args.Length > 0 {
			return misuse(cmd, "flags --offset and --length do not go with --prefix")
		}
		return a.getMany(ctx, cmd, client, what.Bucket, args)
	}
	return a.getOne(ctx, cmd, client, what, args)
}

// dataClient is the client for transfers: straight to the targets if asked.
func (a *App) dataClient(cmd *cli.Command) (*api.Client, error) {
	if !cmd.Bool("direct") {
		return a.cluster()
	}
	if a.client != nil {
		a.client.Close()
		a.client = nil
	}
	getenv := a.Getenv
	a.Getenv = func(name string) string {
		if name == settings.EnvDirect {
			return "true"
		}
		return getenv(name)
	}
	defer func() { a.Getenv = getenv }()
	return a.cluster()
}

// getOne gets one object into a file, a folder, or standard output.
func (a *App) getOne(ctx context.Context, cmd *cli.Command, client *api.Client, what uri.URI, args api.GetArgs) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	output := cmd.Args().Get(1)
	switch output {
	case "-":
		_, _, err := client.GetObject(ctx, what.Bucket, what.Object, a.Out, args)
		return orMissing(err, what.Bucket, what.Object)
	case os.DevNull:
		n, err := a.fetch(ctx, cmd, client, what, io.Discard, args)
		if err != nil {
			return err
		}
		return a.done("GET (and discard) %s from %s (%s)", what.Object, what.Bucket, measure.Size(n, shown))
	}
	folderName, fileName, err := destination(output, what.Object)
	if err != nil {
		return err
	}
	folder, err := transfer.OpenFolder(folderName)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // nothing is pending in it by then
	path := filepath.Join(folderName, fileName)
	if folder.Exists(fileName) && !cmd.Bool("yes") {
		if _, err := client.HeadObject(ctx, what.Bucket, what.Object, api.HeadArgs{}); err != nil {
			return orMissing(err, what.Bucket, what.Object)
		}
		if err := a.confirm(ctx, "%q already exists. Overwrite it?", path); err != nil {
			return err
		}
	}
	pending, err := folder.Create(fileName)
	if err != nil {
		return err
	}
	n, err := a.fetch(ctx, cmd, client, what, pending, args)
	if err != nil {
		return errors.Join(err, pending.Abort())
	}
	if err := pending.Commit(); err != nil {
		return err
	}
	return a.done("GET %s from %s as %s (%s)", what.Object, what.Bucket, path, measure.Size(n, shown))
}

// fetch gets one object, with a progress bar when it is long.
func (a *App) fetch(ctx context.Context, cmd *cli.Command, client *api.Client, what uri.URI, w io.Writer, args api.GetArgs) (int64, error) {
	body, attrs, err := client.GetObjectReader(ctx, what.Bucket, what.Object, args)
	if err != nil {
		return 0, orMissing(err, what.Bucket, what.Object)
	}
	progress := a.progress(cmd, 1, attrs.Size)
	n, err := io.Copy(progress.Writer(w), struct{ io.Reader }{body})
	progress.End()
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return n, fmt.Errorf("%s: %w", what, err)
	}
	return n, nil
}

// destination tells the folder and the file name of an object that is stored
// by itself. An output that is a folder, or ends in a slash, gets a file with
// the object's base name.
func destination(output, object string) (folder, file string, err error) {
	info, statErr := os.Stat(output)
	isFolder := output == "" || strings.HasSuffix(output, string(filepath.Separator)) || statErr == nil && info.IsDir()
	if isFolder {
		if file, err = transfer.BaseName(object); err != nil {
			return "", "", err
		}
		if output == "" {
			output = "."
		}
		return filepath.Clean(output), file, nil
	}
	return filepath.Dir(output), filepath.Base(output), nil
}

// getMany gets all objects with a prefix into a folder; the files have the
// objects' names.
func (a *App) getMany(ctx context.Context, cmd *cli.Command, client *api.Client, b wire.Bck, args api.GetArgs) error {
	shown, _, err := units(cmd)
	if err != nil {
		return err
	}
	workers := int(cmd.Int64("num-workers"))
	if workers < 1 {
		return misuse(cmd, "flag --num-workers: %d (expected 1 or more)", workers)
	}
	entries, size, err := a.wanted(ctx, cmd, client, b)
	if err != nil {
		return err
	}
	prefix := cmd.String("prefix")
	if len(entries) == 0 {
		return fmt.Errorf("there are no objects with prefix %q in %s", prefix, b)
	}
	output := cmd.Args().Get(1)
	if output == "" {
		output = "."
	}
	toFiles := output != "-" && output != os.DevNull
	if !toFiles {
		if output == "-" {
			workers = 1
		}
	}
	caption := fmt.Sprintf("GET %s objects from %s to %s (total size %s)", measure.Count(int64(len(entries))), b, output, measure.Size(size, shown))
	if info, err := os.Stat(output); toFiles && err == nil && !info.IsDir() {
		return fmt.Errorf("%q is not a folder: many objects cannot be stored there", output)
	}
	if output != "-" {
		if cmd.Bool("yes") {
			if err := a.say("%s", caption); err != nil {
				return err
			}
		} else if err := a.confirm(ctx, "%s?", caption); err != nil {
			return err
		}
	}
	getter := &manyGetter{app: a, client: client, bucket: b, args: args, output: output, verbose: cmd.Bool("verbose")}
	if toFiles {
		if getter.folder, err = transfer.OpenFolder(output); err != nil {
			return err
		}
		defer func() { _ = getter.folder.Close() }() // nothing is pending in it by then
	}
	getter.progress = a.progress(cmd, int64(len(entries)), size)
	result := transfer.Each(ctx, entries, workers, true, func(e wire.LsoEntry) string { return e.Name }, getter.get)
	getter.progress.End()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if output == "-" && len(result.Failures) == 0 {
		return nil
	}
	return a.finishMany("GET", result, shown)
}

// wanted lists the objects to get.
func (a *App) wanted(ctx context.Context, cmd *cli.Command, client *api.Client, b wire.Bck) (entries []wire.LsoEntry, size int64, err error) {
	limit := cmd.Int64("limit")
	if limit < 0 {
		return nil, 0, misuse(cmd, "flag --limit: %d (expected 0 or more)", limit)
	}
	msg := wire.LsoMsg{Prefix: cmd.String("prefix"), Props: "name,size,cached"}
	if cmd.Bool("cached") {
		msg.Flags |= wire.LsoCached
	}
	all, err := client.ListObjects(ctx, b, msg, limit)
	if err != nil {
		return nil, 0, err
	}
	for i := range all {
		if !all[i].IsDir() {
			entries = append(entries, all[i])
			size += all[i].Size
		}
	}
	return entries, size, nil
}

// manyGetter gets single objects of a set.
type manyGetter struct {
	app      *App
	client   *api.Client
	bucket   wire.Bck
	args     api.GetArgs
	output   string
	folder   *transfer.Folder // nil: to standard output, or nowhere
	progress *transfer.Progress
	verbose  bool
}

func (g *manyGetter) get(ctx context.Context, entry wire.LsoEntry) (int64, error) {
	n, err := g.fetch(ctx, entry.Name)
	g.progress.Bytes(n)
	if err == nil {
		g.progress.Object()
		if g.verbose && g.progress == nil && g.output != "-" {
			err = g.app.say("GET %s", entry.Name)
		}
	}
	return n, err
}

func (g *manyGetter) fetch(ctx context.Context, name string) (int64, error) {
	if g.folder == nil {
		w := io.Discard
		if g.output == "-" {
			w = g.app.Out
		}
		_, n, err := g.client.GetObject(ctx, g.bucket, name, w, g.args)
		return n, orMissing(err, g.bucket, name)
	}
	local, err := transfer.LocalName(name)
	if err != nil {
		return 0, err
	}
	pending, err := g.folder.Create(local)
	if err != nil {
		return 0, err
	}
	_, n, err := g.client.GetObject(ctx, g.bucket, name, pending, g.args)
	if err != nil {
		return 0, errors.Join(orMissing(err, g.bucket, name), pending.Abort())
	}
	return n, pending.Commit()
}

// finishMany prints the counts and rates of a transfer, and its failures.
func (a *App) finishMany(verb string, result *transfer.Result, shown measure.Units) error {
	if err := a.say("%s %s", verb, result.Summary(shown)); err != nil {
		return err
	}
	failed := len(result.Failures)
	if failed == 0 {
		return nil
	}
	log, logErr := result.WriteFailures("ais-" + strings.ToLower(verb) + "-failures-*.log")
	text := fmt.Sprintf("failed to %s %s object(s), the first: %s: %v", verb, measure.Count(int64(failed)), result.Failures[0].Name, result.Failures[0].Err)
	if logErr != nil {
		return fmt.Errorf("%s (and the list of failures could not be written: %w)", text, logErr)
	}
	if result.Skipped > 0 {
		text += fmt.Sprintf("; %s not tried", measure.Count(result.Skipped))
	}
	return fmt.Errorf("%s (see %s)", text, log)
}
