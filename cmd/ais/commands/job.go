package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func (a *App) jobCommand() *cli.Command {
	return &cli.Command{
		Name: "job", Usage: "start, stop, await, and show jobs",
		Commands: []*cli.Command{
			a.jobStartCommand(), a.jobStopCommand(), a.jobWaitCommand(), a.jobShowCommand("show"), a.jobRemoveCommand(),
		},
	}
}

// shortKinds are words for kinds beside their names.
var shortKinds = map[string]string{
	"evict": wire.ActEvictListRange, "prefetch": wire.ActPrefetch, "delete": wire.ActDeleteListRange, "rm": wire.ActDeleteListRange,
	"copy": wire.ActCopyBucket, "cp": wire.ActCopyBucket, "move": wire.ActMoveBucket, "mv": wire.ActMoveBucket, "rename": wire.ActMoveBucket,
	"ec": wire.ActECEncode, "warm-up": "load-lom-cache", "etl": wire.ActETLBucket,
}

// jobKind finds a kind by its name, display name, or a short word.
func jobKind(word string) (wire.JobKind, bool) {
	if name, ok := shortKinds[word]; ok {
		word = name
	}
	return wire.FindJobKind(word)
}

// jobTitle is how a kind is shown.
func jobTitle(kind string) string {
	if k, ok := wire.FindJobKind(kind); ok && k.Display != "" {
		return k.Display
	}
	return kind
}

// jobWords are the arguments of a command about jobs, in any order: a kind, an
// id (or "kind[id]"), a bucket, a node.
type jobWords struct {
	args api.JobArgs
	node string // id; "" for all
}

func (a *App) jobWords(ctx context.Context, cmd *cli.Command) (w jobWords, err error) {
	for _, word := range cmd.Args().Slice() {
		switch kind, isKind := jobKind(word); {
		case isKind:
			w.args.Kind = kind.Name
		case strings.Contains(word, "://"):
			b, err := uri.ParseBucket(word, a.config.DefaultProvider)
			if err != nil {
				return w, err
			}
			w.args.Bck = &b
		case strings.HasPrefix(word, "t["):
			smap, err := a.clusterMap(ctx)
			if err != nil {
				return w, err
			}
			node, err := findNode(smap, word)
			if err != nil {
				return w, err
			}
			w.node = node.ID
		case w.args.ID != "":
			return w, misuse(cmd, "unexpected argument %q: it is neither a kind of job nor a bucket or target, and there is an id already", word)
		default:
			if name, id, ok := strings.Cut(strings.TrimSuffix(word, "]"), "["); ok && id != "" {
				kind, ok := jobKind(name)
				if !ok {
					return w, misuse(cmd, "unknown kind of job %q", name)
				}
				w.args.Kind, word = kind.Name, id
			}
			w.args.ID = word
		}
	}
	return w, nil
}

// askedJobs reads what a command about jobs is asked for: its words, its filters, and
// the cluster.
func (a *App) askedJobs(ctx context.Context, cmd *cli.Command) (words jobWords, only *jobFilter, client *api.Client, err error) {
	if words, err = a.jobWords(ctx, cmd); err != nil {
		return words, nil, nil, err
	}
	if only, err = jobFilterOf(cmd); err != nil {
		return words, nil, nil, err
	}
	client, err = a.cluster()
	return words, only, client, err
}

// jobCandidates lists kinds and running jobs.
func (a *App) jobCandidates(ctx context.Context, _ *cli.Command) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	var names []string
	for _, k := range wire.JobKinds() {
		names = append(names, jobTitle(k.Name))
	}
	if client, err := a.cluster(); err == nil {
		if running, err := client.RunningJobs(ctx, ""); err == nil {
			names = append(names, running...)
		}
	}
	return names
}

func waitFlags() []cli.Flag {
	return []cli.Flag{
		flag("wait", "wait until the job has ended"),
		textFlag("timeout", "wait at most `DURATION`, e.g. 10m (default: as long as it takes)"),
		flag("progress", "show objects, bytes, and rate while waiting (default on a terminal)"),
		textFlag("refresh", "ask every `DURATION` while waiting"),
	}
}

func (a *App) jobStartCommand() *cli.Command {
	cmd := &cli.Command{Name: "start", Usage: "start a job"}
	add := func(name, usage, arguments string, example string, args func(context.Context, *cli.Command) (*api.JobArgs, string, error), flags ...cli.Flag) {
		cmd.Commands = append(cmd.Commands, &cli.Command{
			Name: name, Usage: usage, ArgsUsage: arguments, Description: examples(example, example+" --wait"),
			Flags: append(append(flags, waitFlags()...), nonVerboseFlag()),
			Action: func(ctx context.Context, cmd *cli.Command) error {
				args, extra, err := args(ctx, cmd)
				if err != nil {
					return err
				}
				return a.startJob(ctx, cmd, args, extra)
			},
			ShellComplete: a.complete(a.bucketCandidates("", 0)),
		})
	}
	bits := func(cmd *cli.Command, of map[string]uint32) (flags uint32) {
		for name, bit := range of {
			if cmd.Bool(name) {
				flags |= bit
			}
		}
		return flags
	}
	force := func() cli.Flag {
		return flag("force", "start even if the configuration or another job is against it", "f")
	}
	add("rebalance", "move objects to the targets that they belong to", "[BUCKET[/PREFIX]]", "ais start rebalance",
		func(_ context.Context, cmd *cli.Command) (*api.JobArgs, string, error) {
			args := &api.JobArgs{Kind: "rebalance", Force: cmd.Bool("force"), Flags: bits(cmd, map[string]uint32{
				"latest": wire.JobLatest, "sync": wire.JobSync, "cleanup": wire.JobCleanup,
			})}
			prefix := cmd.String("prefix")
			if cmd.NArg() > 1 {
				return nil, "", misuse(cmd, "expected one bucket, or none for all")
			}
			if word := cmd.Args().First(); word != "" {
				at, err := uri.Parse(word, a.config.DefaultProvider)
				if err != nil {
					return nil, "", err
				}
				args.Bck = &at.Bucket
				if err := oneSelector(cmd, at.Object); err != nil {
					return nil, "", err
				}
				prefix += at.Object
			}
			return args, prefix, nil
		}, textFlag("prefix", "only objects whose names begin with `PREFIX`"), flag("latest", "bring the latest versions of remote objects"),
		flag("sync", "as --latest, and remove what the remote bucket has not"), flag("cleanup", "only remove what lies on a wrong target"), force())
	add("resilver", "move objects to the mountpaths of a target that they belong to", "TARGET", "ais start resilver t[abcdefgh]",
		func(ctx context.Context, cmd *cli.Command) (*api.JobArgs, string, error) {
			if cmd.NArg() != 1 {
				return nil, "", misuse(cmd, "expected one target")
			}
			smap, err := a.clusterMap(ctx)
			if err != nil {
				return nil, "", err
			}
			node, err := findNode(smap, cmd.Args().First())
			if err == nil && node.Role != meta.RoleTarget {
				err = fmt.Errorf("%s is not a target", node)
			}
			if err != nil {
				return nil, "", err
			}
			return &api.JobArgs{Kind: "resilver", NodeID: node.ID}, "", nil
		})
	buckets := func(kind string, of map[string]uint32) func(context.Context, *cli.Command) (*api.JobArgs, string, error) {
		return func(_ context.Context, cmd *cli.Command) (*api.JobArgs, string, error) {
			args := &api.JobArgs{Kind: kind, Force: cmd.Bool("force"), Flags: bits(cmd, of)}
			words := append(cmd.Args().Slice(), splitCommas(cmd.String("buckets"))...)
			for _, word := range words {
				b, err := uri.ParseBucket(word, a.config.DefaultProvider)
				if err != nil {
					return nil, "", err
				}
				args.Buckets = append(args.Buckets, b)
			}
			if len(args.Buckets) == 1 {
				args.Bck, args.Buckets = &args.Buckets[0], nil
			}
			return args, "", nil
		}
	}
	add("lru", "evict what has not been used for long, where space is short", "[BUCKET...]", "ais start lru", buckets("lru", nil),
		textFlag("buckets", "the buckets: `BUCKET[,BUCKET...]`"), force())
	add("cleanup", "remove what belongs to no object, and old trash", "[BUCKET]", "ais start cleanup",
		buckets("cleanup-store", map[string]uint32{"rm-zero-size": wire.JobZeroSize, "keep-misplaced": wire.JobKeepMisplaced, "dry-run": wire.JobDryRun}),
		flag("rm-zero-size", "remove objects of no bytes, too"), flag("keep-misplaced", "keep objects that lie where they do not belong"),
		flag("dry-run", "remove nothing: wait, and show what would be removed, and why"), flag("verbose", "with --dry-run: show some of the files", "v"),
		jsonFlag(), noHeadersFlag(), unitsFlag(), force())
	add("scrub", "read everything, and mend what is damaged", "[BUCKET]", "ais start scrub", buckets("scrub", nil))
	for kind, usage := range map[string]string{
		"load-lom-cache": "load the metadata of a bucket's objects", wire.ActRechunk: "store a bucket's objects in the chunks that its properties ask for",
	} {
		add(jobTitle(kind), usage, "BUCKET", "ais start "+jobTitle(kind)+" ais://b", func(_ context.Context, cmd *cli.Command) (*api.JobArgs, string, error) {
			b, err := a.parseOneBucket(cmd)
			return &api.JobArgs{Kind: kind, Bck: &b}, "", err
		})
	}
	copying, renaming := a.bucketCopyCommand(), a.bucketMoveCommand()
	copying.Name, copying.Aliases = wire.ActCopyBucket, []string{jobTitle(wire.ActCopyBucket)}
	renaming.Name, renaming.Aliases = wire.ActMoveBucket, []string{jobTitle(wire.ActMoveBucket)}
	cmd.Commands = append(cmd.Commands, a.startMirrorCommand(), a.startEncodeCommand(), copying, renaming)
	return cmd
}

func splitCommas(text string) (words []string) {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// startJob starts a job and tells of it.
func (a *App) startJob(ctx context.Context, cmd *cli.Command, args *api.JobArgs, extra string) error {
	if args.Kind == "cleanup-store" {
		if args.Flags&wire.JobDryRun != 0 {
			return a.dryCleanup(ctx, cmd, args)
		}
		for _, name := range []string{"verbose", "json", "no-headers", "units"} {
			if cmd.IsSet(name) {
				return misuse(cmd, "flag --%s goes with --dry-run", name)
			}
		}
	}
	if err := checkWait(cmd, false); err != nil {
		return err
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	id, err := client.StartJob(ctx, args, extra)
	if err != nil {
		return err
	}
	return a.started(ctx, cmd, args.Kind, id)
}

// started tells of a job that has begun, and waits for it if the user wants
// that.
func (a *App) started(ctx context.Context, cmd *cli.Command, kind, id string) error {
	title := jobTitle(kind) + "[" + id + "]"
	switch {
	case id == "":
		a.warn("%s: there is nothing to do", jobTitle(kind))
		return nil
	case cmd.Bool("non-verbose"):
		if err := a.say("%s", id); err != nil {
			return err
		}
	case !cmd.Bool("wait"):
		return a.say("Started %s. To monitor the progress, run 'ais show job %s'", title, id)
	default:
		if err := a.say("Started %s ...", title); err != nil {
			return err
		}
	}
	if !cmd.Bool("wait") {
		return nil
	}
	if err := a.waitJob(ctx, cmd, &api.JobArgs{ID: id, Kind: kind}); err != nil {
		return err
	}
	return a.done("Done.")
}

func (a *App) jobStopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "stop jobs", ArgsUsage: "[NAME] [JOB_ID] [TARGET] [BUCKET]",
		Description: examples("ais stop AbC123xyz", "ais stop copy-bucket", "ais stop prefetch-objects ais://b", "ais stop resilver t[abcdefgh]", "ais stop --all",
			"ais stop --regex 'copy.*'"),
		Flags: []cli.Flag{flag("all", "stop all running jobs"), textFlag("regex", "stop the running jobs whose kind, id, or message matches `REGEX`"),
			flag("force", "stop even what should not be stopped now", "f"), yesFlag()},
		ShellComplete: a.complete(a.jobCandidates),
		Action:        a.stopJobs,
	}
}

func (a *App) stopJobs(ctx context.Context, cmd *cli.Command) error {
	words, only, client, err := a.askedJobs(ctx, cmd)
	if err != nil {
		return err
	}
	words.args.Force = cmd.Bool("force")
	if words.args.ID != "" {
		return a.stopOne(ctx, client, &words.args)
	}
	if words.args.Kind == "" && only.name == nil && !cmd.Bool("all") {
		return misuse(cmd, "missing job: expected a name or an id, or --regex, or --all")
	}
	names, err := runningJobs(ctx, client, &words, only)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return a.say("No running %sjobs.", titled(words.args.Kind))
	}
	if words.args.Kind == "" && !cmd.Bool("yes") {
		if err := a.confirm(ctx, "Stop %d running jobs: %s?", len(names), strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		kind, id, ok := strings.Cut(strings.TrimSuffix(name, "]"), "[")
		if !ok {
			return fmt.Errorf("unexpected name of a job: %q", name)
		}
		errs = append(errs, a.stopOne(ctx, client, &api.JobArgs{ID: id, Kind: kind, Force: words.args.Force}))
	}
	return errors.Join(errs...)
}

// runningJobs are the names, "kind[id]", of the running jobs that words and a filter
// choose.
func runningJobs(ctx context.Context, client *api.Client, words *jobWords, only *jobFilter) (names []string, err error) {
	all := words.args
	all.OnlyRunning = all.Kind != "" // without a kind there would be one of each
	snaps, err := client.JobSnaps(ctx, &all)
	if err != nil {
		return nil, err
	}
	for _, list := range groupJobs(snaps, words.node) {
		for _, job := range list {
			s := job.first()
			if job.running() && (all.Bck == nil || job.of(*all.Bck)) && only.row("", s) {
				names = append(names, s.Kind+"["+s.ID+"]")
			}
		}
	}
	if all.Bck == nil && words.node == "" && only.name == nil {
		more, err := client.RunningJobs(ctx, all.Kind) // such as no target has begun yet
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// titled is a kind before a noun.
func titled(kind string) string {
	if kind == "" {
		return ""
	}
	return jobTitle(kind) + " "
}

// stopOne stops a job by its id, unless it has ended.
func (a *App) stopOne(ctx context.Context, client *api.Client, args *api.JobArgs) error {
	snaps, err := client.JobSnaps(ctx, &api.JobArgs{ID: args.ID})
	if err != nil && !api.IsNotFound(err) {
		return err
	}
	for _, list := range groupJobs(snaps, "") {
		for _, job := range list {
			args.Kind = job.first().Kind
			if !job.running() {
				return a.say("%s[%s] has ended already.", jobTitle(args.Kind), args.ID)
			}
		}
	}
	if api.IsNotFound(err) && args.Kind != "rebalance" {
		return err
	}
	if err := client.StopJob(ctx, &api.JobArgs{ID: args.ID, Kind: args.Kind, Force: args.Force}); err != nil {
		return err
	}
	return a.done("Stopped %s[%s].", jobTitle(args.Kind), args.ID)
}
