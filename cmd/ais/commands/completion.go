package commands

import (
	"context"
	_ "embed"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmd/ais/uri"
	"github.com/aistore-go/aistore/cmn/wire"
)

// The word at the end of a command line that asks for candidates, and what the
// library calls it.
const (
	completionWord    = "--generate-bash-completion"
	completionLibrary = "--generate-shell-completion"
)

// completionTime is how long the cluster is given to answer while the user
// waits for the TAB.
const completionTime = 2 * time.Second

//go:embed completion.bash
var bashCompletion string

//go:embed completion.zsh
var zshCompletion string

// completionRequest tells whether a command line asks for candidates, and
// returns it as the library wants it.
func completionRequest(args []string) ([]string, bool) {
	if len(args) < 2 || args[len(args)-1] != completionWord {
		return args, false
	}
	args = slices.Clone(args)
	args[len(args)-1] = completionLibrary
	return args, true
}

// candidates prints what may follow, one a line.
type candidates func(ctx context.Context, cmd *cli.Command) []string

// complete makes the completion of a command: flags after a dash, commands of
// a group, and what more returns.
func (a *App) complete(more candidates) cli.ShellCompleteFunc {
	return func(ctx context.Context, cmd *cli.Command) {
		words := cmd.Args().Slice()
		var list []string
		if n := len(words); n > 0 && strings.HasPrefix(words[n-1], "-") {
			for _, known := range cmd.VisibleFlags() {
				list = append(list, "--"+known.Names()[0])
			}
		} else {
			for _, sub := range cmd.VisibleCommands() {
				list = append(list, sub.Name)
			}
			if more != nil {
				list = append(list, more(ctx, cmd)...)
			}
		}
		// The shell that asked has nobody to tell of a failure.
		_, _ = io.WriteString(a.Out, strings.Join(list, "\n")+"\n")
	}
}

// bucketCandidates lists buckets; with a suffix they wait for an object name.
func (a *App) bucketCandidates(suffix string, from int) candidates {
	return func(ctx context.Context, cmd *cli.Command) []string {
		if cmd.NArg() < from {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		client, err := a.cluster()
		if err != nil {
			return nil
		}
		buckets, err := client.ListBuckets(ctx, wire.Bck{}, wire.PresencePresent)
		if err != nil {
			return nil
		}
		var names []string
		for _, b := range buckets {
			names = append(names, b.String()+suffix)
		}
		return names
	}
}

// propCandidates lists buckets, and after one its properties as "name=".
func (a *App) propCandidates(ctx context.Context, cmd *cli.Command) []string {
	if cmd.NArg() == 0 {
		return a.bucketCandidates("", 0)(ctx, cmd)
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	client, err := a.cluster()
	if err != nil {
		return nil
	}
	b, err := uri.ParseBucket(cmd.Args().First(), a.config.DefaultProvider)
	if err != nil {
		return nil
	}
	props, err := client.HeadBucket(ctx, b, true)
	if err != nil {
		return nil
	}
	rows, err := flatten(props)
	if err != nil {
		return nil
	}
	var names []string
	for _, row := range rows {
		names = append(names, row.Name+"=")
	}
	return names
}

// nodeCandidates lists roles and nodes.
func (a *App) nodeCandidates(ctx context.Context, _ *cli.Command) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	smap, err := a.clusterMap(ctx)
	if err != nil {
		return nil
	}
	names := []string{"proxy", "target"}
	for _, node := range smap.Nodes() {
		names = append(names, node.String())
	}
	return names
}

func (a *App) completionCommand() *cli.Command {
	script := func(name, text string) *cli.Command {
		return &cli.Command{
			Name: name, Usage: "print the completion script for " + name,
			Description: examples("source <(ais completion " + name + ")"),
			Action: func(context.Context, *cli.Command) error {
				_, err := io.WriteString(a.Out, text)
				return err
			},
		}
	}
	return &cli.Command{
		Name: "completion", Usage: "print a completion script for the shell",
		Description: examples("source <(ais completion bash)", "ais completion zsh > \"${fpath[1]}/_ais\""),
		Commands:    []*cli.Command{script("bash", bashCompletion), script("zsh", zshCompletion)},
	}
}
