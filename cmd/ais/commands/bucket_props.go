package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/table"
	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

func (a *App) bucketPropsCommand() *cli.Command {
	return &cli.Command{
		Name: "props", Usage: "show and change bucket properties",
		Commands: []*cli.Command{
			a.bucketShowCommand("show"),
			{
				Name: "set", Usage: "change bucket properties", ArgsUsage: "BUCKET KEY=VALUE [KEY=VALUE...] | BUCKET JSON",
				Description: examples(
					"ais bucket props set ais://b checksum.type=md5",
					"ais bucket props set ais://b durability none",
					"ais bucket props set ais://b access=ro",
					"ais bucket props set ais://b '{\"versioning\":{\"enabled\":false}}'"),
				Flags:         []cli.Flag{flag("force", "override the checks that can be overridden", "f"), skipLookupFlag()},
				ShellComplete: a.complete(a.propCandidates),
				Action:        a.setProps,
			},
			{
				Name: "reset", Usage: "return all properties to the cluster's defaults", ArgsUsage: "BUCKET",
				Description:   examples("ais bucket props reset ais://b"),
				ShellComplete: a.complete(a.bucketCandidates("", 0)),
				Action:        a.resetProps,
			},
		},
	}
}

func (a *App) bucketShowCommand(name string) *cli.Command {
	return &cli.Command{
		Name: name, Usage: "show bucket properties", ArgsUsage: "BUCKET [PROPERTY_PREFIX]",
		Description: examples("ais "+showPath(name)+" ais://b", "ais "+showPath(name)+" ais://b checksum", "ais "+showPath(name)+" ais://b --json"),
		Flags: []cli.Flag{
			jsonFlag(), noHeadersFlag(), flag("compact", "one line a section", "c"),
			flag("add", "add a remote bucket that the cluster has not seen to its metadata"),
		},
		ShellComplete: a.complete(a.bucketCandidates("", 0)),
		Action:        a.showBucket,
	}
}

// showPath is how the same command is reached from its two places.
func showPath(name string) string {
	if name == "bucket" {
		return "show bucket"
	}
	return "bucket props show"
}

func (a *App) showBucket(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() == 0 {
		return misuse(cmd, "missing bucket name")
	}
	b, err := uri.ParseBucket(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	props, err := a.headBucket(ctx, b, !cmd.Bool("add"))
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		return a.printJSON(props)
	}
	if props.BID == 0 {
		a.note("bucket %s is not present in the cluster", b)
	}
	a.warnEviction(b, props)
	rows, err := bucketRows(props, cmd.Bool("compact"))
	if err != nil {
		return err
	}
	if prefix := cmd.Args().Get(1); prefix != "" {
		if rows = startingWith(rows, prefix); len(rows) == 0 {
			return fmt.Errorf("bucket %s has no property that begins with %q", b, prefix)
		}
	}
	t := table.New("PROPERTY", "VALUE")
	for _, row := range rows {
		t.Row(row.Name, row.Value)
	}
	return t.Print(a.Out, cmd.Bool("no-headers"))
}

// warnEviction warns of a bucket of which the cluster may remove the only copy of objects.
func (a *App) warnEviction(b wire.Bck, props *meta.Bprops) {
	if props.LRU.Enabled && !props.IsRemote(b) {
		a.warn("bucket %s has lru.enabled and no backend: where space is short, objects that were not accessed for long are removed for good", b)
	}
}

// bucketRows are the properties as people read them.
func bucketRows(props *meta.Bprops, compact bool) ([]property, error) {
	rows, err := flatten(props)
	if err != nil {
		return nil, err
	}
	var shown []property
	for _, row := range rows {
		switch {
		case row.Name == "access":
			row.Value = props.Access.Describe()
		case row.Name == "features":
			row.Value = strings.Join(props.Features.Names(), ", ")
		case row.Name == "created":
			row.Value = dateTime(unixNano(props.Created))
		case row.Name == "Renamed" && row.Value == "":
			continue
		case strings.HasPrefix(row.Name, "backend_bck."):
			continue
		}
		if row.Value == "" {
			row.Value = "-"
		}
		shown = append(shown, row)
	}
	if props.HasBackend() {
		shown = append(shown, property{"backend_bck", props.BackendBck.String()})
	}
	if compact {
		shown = bySection(shown)
	}
	return shown, nil
}

// bySection joins the rows of a section: "checksum" is "type=md5, ...".
func bySection(rows []property) []property {
	var joined []property
	for _, row := range rows {
		section, name, nested := strings.Cut(row.Name, ".")
		if !nested {
			joined = append(joined, row)
			continue
		}
		text := name + "=" + row.Value
		if last := len(joined) - 1; last >= 0 && joined[last].Name == section {
			joined[last].Value += ", " + text
			continue
		}
		joined = append(joined, property{section, text})
	}
	return joined
}

func (a *App) setProps(ctx context.Context, cmd *cli.Command) error {
	if cmd.NArg() < 2 {
		return misuse(cmd, "expecting a bucket and properties")
	}
	b, err := uri.ParseBucket(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return err
	}
	before, err := a.headBucket(ctx, b, false)
	if err != nil {
		return err
	}
	words := cmd.Args().Tail()
	if len(words) == 1 && !strings.ContainsAny(words[0], "={") {
		return a.showSection(before, words[0])
	}
	props, err := parseProps(words)
	if err != nil {
		return err
	}
	props.Force = cmd.Bool("force")
	client, err := a.cluster()
	if err != nil {
		return err
	}
	job, err := client.SetBucketProps(ctx, b, props)
	if err != nil {
		return err
	}
	return a.reportChange(ctx, b, before, job)
}

// showSection answers "props set BUCKET SECTION".
func (a *App) showSection(props *meta.Bprops, name string) error {
	rows, err := flatten(props)
	if err != nil {
		return err
	}
	if rows = under(rows, name); len(rows) == 0 {
		return fmt.Errorf("invalid property %q (expected KEY=VALUE, or the name of a section)", name)
	}
	t := table.New("PROPERTY", "VALUE")
	for _, row := range rows {
		t.Row(row.Name, row.Value)
	}
	return t.Print(a.Out, false)
}

// reportChange prints what is different now.
func (a *App) reportChange(ctx context.Context, b wire.Bck, before *meta.Bprops, job string) error {
	after, err := a.headBucket(ctx, b, true)
	if err != nil {
		return err
	}
	was, err := flatten(before)
	if err != nil {
		return err
	}
	is, err := flatten(after)
	if err != nil {
		return err
	}
	old := map[string]string{}
	for _, row := range was {
		old[row.Name] = row.Value
	}
	changes := 0
	for _, row := range is {
		if previous := old[row.Name]; previous != row.Value {
			changes++
			if err := a.say("%q set to: %q (was: %q)", row.Name, row.Value, previous); err != nil {
				return err
			}
		}
	}
	if !before.LRU.Enabled {
		a.warnEviction(b, after)
	}
	if changes == 0 {
		return a.say("Bucket %q: nothing to do, the properties have these values already", b.String())
	}
	if err := a.done("\nBucket %q: properties updated", b.String()); err != nil {
		return err
	}
	if job != "" {
		return a.say("Started job %s. To monitor the progress, run 'ais show job %s'", job, job)
	}
	return nil
}

func (a *App) resetProps(ctx context.Context, cmd *cli.Command) error {
	buckets, err := a.parseBuckets(cmd)
	if err != nil {
		return err
	}
	if len(buckets) > 1 {
		return misuse(cmd, "expecting one bucket")
	}
	client, err := a.cluster()
	if err != nil {
		return err
	}
	if _, err := client.ResetBucketProps(ctx, buckets[0]); err != nil {
		if api.IsNotFound(err) {
			return fmt.Errorf("bucket %q does not exist", buckets[0].String())
		}
		return err
	}
	return a.done("Bucket %q: properties have been reset", buckets[0].String())
}

// parseProps reads "K=V", "K = V" and "K V" words, or one JSON object.
func parseProps(words []string) (*meta.BpropsToSet, error) {
	props := new(meta.BpropsToSet)
	if len(words) > 0 && strings.HasPrefix(strings.TrimSpace(words[0]), "{") {
		if len(words) > 1 {
			return nil, fmt.Errorf("unexpected %q after the JSON", words[1])
		}
		if err := json.Unmarshal([]byte(words[0]), props); err != nil {
			return nil, err
		}
		return props, nil
	}
	pairs, err := parsePairs(words)
	if err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("there are no properties (expected e.g. checksum.type=md5)")
	}
	for _, pair := range pairs {
		if err := setProp(props, pair); err != nil {
			return nil, err
		}
	}
	return props, nil
}

// setProp sets one property; a backend is named by its URI, "none" detaches it.
func setProp(props *meta.BpropsToSet, pair property) error {
	switch pair.Name {
	case "features":
		mask, err := parseFeatures(pair.Value)
		props.Features = &mask
		return err
	case "access":
		if mask, err := strconv.ParseUint(pair.Value, 0, 64); err == nil { // also hexadecimal
			access := meta.Access(mask)
			props.Access = &access
			return nil
		}
		return props.SetText(pair.Name, pair.Value)
	case "backend_bck":
	default:
		return props.SetText(pair.Name, pair.Value)
	}
	backend := wire.Bck{}
	if pair.Value != "none" && pair.Value != "" {
		var err error
		if backend, err = uri.ParseBucket(pair.Value, ""); err != nil {
			return err
		}
	}
	props.BackendBck = &meta.BackendBckToSet{Name: &backend.Name, Provider: &backend.Provider}
	if backend.Ns != (wire.Ns{}) {
		props.BackendBck.Ns = &backend.Ns
	}
	return nil
}

// parseFeatures reads a decimal or hexadecimal mask, "none", or names.
func parseFeatures(text string) (feature.Flags, error) {
	if mask, err := strconv.ParseUint(text, 0, 64); err == nil {
		return feature.Flags(mask), nil
	}
	var mask feature.Flags
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		if name == "none" {
			continue
		}
		one, ok := feature.ByName(name)
		if !ok {
			return 0, fmt.Errorf("unknown feature %q (expected a number, none, or names of %s)", name, strings.Join(feature.AllNames(), ", "))
		}
		mask |= one
	}
	return mask, nil
}

// parsePairs reads "K=V", "K = V" and "K V". After "features" the rest of the
// words are its value.
func parsePairs(words []string) ([]property, error) {
	var pairs []property
	for i := 0; i < len(words); {
		word := words[i]
		name, value, joined := strings.Cut(word, "=")
		switch {
		case name == "":
			return nil, fmt.Errorf("invalid %q (expected KEY=VALUE)", word)
		case joined:
			i++
		case i+2 < len(words) && words[i+1] == "=":
			value = words[i+2]
			i += 3
		case i+1 < len(words):
			value = words[i+1]
			i += 2
		default:
			return nil, fmt.Errorf("%q has no value (expected KEY=VALUE)", word)
		}
		if name == "features" {
			value = strings.Join(append([]string{value}, words[i:]...), ",")
			i = len(words)
		}
		pairs = append(pairs, property{name, value})
	}
	return pairs, nil
}

// splitWords splits the value of a flag into words; JSON stays whole.
func splitWords(text string) []string {
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "{") {
		return []string{text}
	}
	return strings.Fields(text)
}
