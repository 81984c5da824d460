package commands

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

func (a *App) listCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list buckets, objects, and virtual directories", ArgsUsage: "[BUCKET[/PREFIX]] | [PROVIDER]",
		Description: examples(
			"ais ls",
			"ais ls s3:",
			"ais ls ais://b",
			"ais ls ais://b/dir/ --nr",
			"ais ls ais://b --prefix images/ --props size,checksum,atime",
			"ais ls ais://b --limit 10 --start-after images/0042.jpg",
			"ais ls ais://b --regex '\\.jpg$' --name-only",
			"ais ls ais://b --count-only",
			"ais ls --summary",
			"ais ls ais://b/images/ --summary"),
		Flags: append([]cli.Flag{
			flag("all", "buckets: also remote ones that are not in the cluster; objects: also misplaced ones and copies"),
			flag("cached", "only objects in the cluster"),
			flag("not-cached", "only objects that are not in the cluster (remote buckets)"),
			flag("name-only", "only names"),
			textFlag("props", "properties to show: `NAMES` of name,size,version,checksum,atime,cached,status,copies,ec,custom,location,chunked, or all"),
			textFlag("prefix", "only names that begin with `PREFIX`"),
			textFlag("regex", "only names that match `REGEX`"),
			numberFlag("limit", "list at most `N` names (0: all)", 0),
			numberFlag("page-size", "ask for `N` names at a time (0: as many as the cluster sends)", 0),
			flag("paged", "print each page as it arrives"),
			numberFlag("max-pages", "list at most `N` pages (0: all)", 0),
			textFlag("start-after", "begin with the first name after `NAME`"),
			flag("non-recursive", "one level: names with a slash are shown as directories", "nr"),
			flag("no-dirs", "remote buckets: leave directories out"),
			flag("count-only", "print only how many names there are and how long it took"),
			flag("summary", "print how many objects there are and how large they are, instead of names"),
			flag("chunked", "show which objects are stored in chunks"),
			skipLookupFlag(), flag("dont-add", "do not add a remote bucket to the cluster's metadata"),
			flag("silent", "keep lookups of missing objects out of the cluster's log"),
			jsonFlag(), noHeadersFlag(), noFootersFlag(), unitsFlag(),
		}, refreshFlags()...),
		ShellComplete: a.complete(a.bucketCandidates("", 0)),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return a.repeat(ctx, cmd, a.list)
		},
	}
}

// repeat runs a command once, or again and again with --refresh.
func (a *App) repeat(ctx context.Context, cmd *cli.Command, once cli.ActionFunc) error {
	interval, count, err := refresh(cmd)
	if err != nil {
		return err
	}
	for n := int64(1); ; n++ {
		if err := once(ctx, cmd); err != nil || n == count {
			return err
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return ctx.Err()
		}
		a.smap = nil // it may have changed
		if err := a.say("---"); err != nil {
			return err
		}
	}
}

func (a *App) list(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() > 1 {
		return misuse(cmd, "unexpected argument %q", cmd.Args().Get(1))
	}
	if _, _, err := units(cmd); err != nil {
		return err
	}
	what, err := uri.ParseQuery(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	if cmd.Bool("summary") {
		prefix := what.Object + cmd.String("prefix")
		if what.Object != "" && cmd.IsSet("prefix") {
			return misuse(cmd, "flag --prefix does not go with a name after the bucket (%q)", what.Object)
		}
		return a.summarize(ctx, cmd, what.Bucket, &api.SummaryMsg{Prefix: prefix, Cached: cmd.Bool("cached"), Present: !cmd.Bool("all")})
	}
	if what.Bucket.Name == "" {
		return a.listBuckets(ctx, cmd, what.Bucket)
	}
	return a.listObjects(ctx, cmd, what)
}

// listBuckets prints one table a provider.
func (a *App) listBuckets(ctx context.Context, cmd *cli.Command, query wire.Bck) error {
	client, err := a.cluster()
	if err != nil {
		return err
	}
	all := cmd.Bool("all")
	presence := wire.PresencePresent
	if all {
		presence = wire.PresenceExists
	}
	buckets, err := client.ListBuckets(ctx, query, presence)
	if err != nil {
		return err
	}
	if buckets, err = matching(buckets, cmd.String("regex"), wire.Bck.String); err != nil {
		return err
	}
	if cmd.Bool("json") {
		if buckets == nil {
			buckets = []wire.Bck{}
		}
		return a.printJSON(buckets)
	}
	present := func(wire.Bck) bool { return true }
	if all {
		bmd, err := client.BMD(ctx)
		if err != nil {
			return err
		}
		present = func(b wire.Bck) bool { _, ok := bmd.Get(b); return ok }
	}
	if len(buckets) == 0 {
		return a.sayNoBuckets(query, all)
	}
	byProvider := map[string][]wire.Bck{}
	for _, b := range buckets {
		byProvider[b.Provider] = append(byProvider[b.Provider], b)
	}
	for _, provider := range slices.Sorted(maps.Keys(byProvider)) {
		if err := a.printBuckets(cmd, provider, byProvider[provider], all, present); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) sayNoBuckets(query wire.Bck, all bool) error {
	what := "buckets"
	if query.Provider != "" {
		what = providerTitle(query.Provider) + " buckets"
	}
	if err := a.say("No %s in the cluster.", what); err != nil || all || query.IsAIS() || query.Provider == "" {
		return err
	}
	a.note("use '--all' to also list remote buckets that are not in the cluster")
	return nil
}

func (a *App) printBuckets(cmd *cli.Command, provider string, buckets []wire.Bck, all bool, present func(wire.Bck) bool) error {
	t := table.New("NAME", "PRESENT")
	if !all {
		t.Hide("PRESENT")
	}
	found := 0
	for _, b := range buckets {
		word := "no"
		if present(b) {
			word = "yes"
			found++
		}
		t.Row(b.String(), word)
	}
	if err := t.Print(a.Out, cmd.Bool("no-headers")); err != nil {
		return err
	}
	if cmd.Bool("no-footers") {
		return nil
	}
	total := fmt.Sprint(len(buckets))
	if all {
		total += fmt.Sprintf(" (%d present)", found)
	}
	return a.say("Total: [%s buckets: %s] ========", providerTitle(provider), total)
}

// providerTitle is a provider as it stands in sentences.
func providerTitle(provider string) string {
	switch provider {
	case wire.ProviderAzure:
		return "Azure"
	default:
		return strings.ToUpper(provider)
	}
}

// matching keeps the items whose name matches a regular expression; an empty
// one matches all.
func matching[T any](items []T, expression string, name func(T) string) ([]T, error) {
	if expression == "" {
		return items, nil
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("flag --regex: %w", err)
	}
	return slices.DeleteFunc(items, func(item T) bool { return !re.MatchString(name(item)) }), nil
}
