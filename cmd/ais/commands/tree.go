package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// usageError is a wrong command line; the hint is printed below it.
type usageError struct {
	message, hint string
}

func (e *usageError) Error() string { return e.message }

// misuse is a usageError that points to a command's help.
func misuse(cmd *cli.Command, format string, args ...any) error {
	return &usageError{
		message: fmt.Sprintf(format, args...),
		hint:    "usage: " + usageLine(cmd) + "\nsee also '" + cmd.FullName() + " --help'",
	}
}

func usageLine(cmd *cli.Command) string {
	line := cmd.FullName()
	if len(cmd.Commands) > 0 {
		return line + " COMMAND [options] [arguments...]"
	}
	if len(cmd.VisibleFlags()) > 0 {
		line += " [options]"
	}
	return strings.TrimSpace(line + " " + cmd.ArgsUsage)
}

// tree makes the whole tree with its aliases.
func (a *App) tree() *cli.Command {
	root := &cli.Command{
		Name:  "ais",
		Usage: "command-line tool of AIStore clusters",
		Description: "The cluster is found by the environment variable AIS_ENDPOINT, else by the configuration ('ais config cli').\n" +
			"Buckets and objects are named ais://bucket and ais://bucket/object (other providers: s3://, gs://, az://, oc://).",
		Flags:                      []cli.Flag{flag("version", "print the version")},
		HideVersion:                true,
		EnableShellCompletion:      true,
		ShellCompletionCommandName: "generate-completion",
		Suggest:                    true,
		Reader:                     a.In,
		Writer:                     a.Out,
		ErrWriter:                  a.Err,
		ExitErrHandler:             func(context.Context, *cli.Command, error) {},
		Commands: []*cli.Command{
			a.bucketCommand(), a.objectCommand(), a.configCommand(), a.jobCommand(), a.showCommand(), a.storageCommand(), a.clusterCommand(),
			a.helpCommand(), a.versionCommand(), a.completionCommand(),
		},
	}
	root.Commands = append(root.Commands, a.aliases(root)...)
	a.finish(root)
	root.Action = func(ctx context.Context, cmd *cli.Command) error {
		if cmd.Bool("version") {
			return a.printVersion()
		}
		return a.groupAction(ctx, cmd)
	}
	return root
}

// aliases makes a command for each alias of the configuration that stands for
// a command of the tree, by name.
func (a *App) aliases(root *cli.Command) []*cli.Command {
	var list []*cli.Command
	for name, words := range a.config.Aliases {
		if root.Command(name) != nil {
			continue
		}
		if target := a.find(strings.Fields(words)); target != nil {
			target.Name, target.Aliases, target.Category = name, nil, "ALIASES"
			target.Usage = "(alias for \"" + words + "\") " + target.Usage
			list = append(list, target)
		}
	}
	slices.SortFunc(list, func(x, y *cli.Command) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// find returns a fresh command by its path below the root.
func (a *App) find(path []string) *cli.Command {
	if len(path) == 0 {
		return nil
	}
	groups := map[string]func() *cli.Command{
		"bucket": a.bucketCommand, "object": a.objectCommand, "config": a.configCommand, "job": a.jobCommand, "show": a.showCommand, "cluster": a.clusterCommand,
	}
	group := groups[path[0]]
	if group == nil {
		return nil
	}
	cmd := group()
	for _, word := range path[1:] {
		if cmd = cmd.Command(word); cmd == nil {
			return nil
		}
	}
	return cmd
}

// finish gives every command what all of them have.
func (a *App) finish(cmd *cli.Command) {
	cmd.OnUsageError = func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
		return a.unknownFlag(cmd, err)
	}
	if cmd.ShellComplete == nil {
		cmd.ShellComplete = a.complete(nil)
	}
	if cmd.Action == nil {
		cmd.Action = a.groupAction
	}
	cmd.HideHelpCommand = true // the root has one of ours
	for _, sub := range cmd.Commands {
		a.finish(sub)
	}
}

// groupAction shows a group's help, or says that it has no such command.
func (a *App) groupAction(_ context.Context, cmd *cli.Command) error {
	word := cmd.Args().First()
	if word == "" || word == "help" {
		if cmd.Name == "ais" {
			return cli.ShowRootCommandHelp(cmd)
		}
		return cli.ShowSubcommandHelp(cmd)
	}
	message := fmt.Sprintf("unknown command %q for %q", word, cmd.FullName())
	if similar := similarCommands(cmd, word); len(similar) > 0 {
		message += "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return misuse(cmd, "%s", message)
}

// similarCommands are the names, quoted, that are near to a word.
func similarCommands(cmd *cli.Command, word string) []string {
	var similar []string
	for _, sub := range cmd.Commands {
		if sub.Hidden {
			continue
		}
		if near(sub.Name, word) {
			similar = append(similar, "'"+cmd.FullName()+" "+sub.Name+"'")
		}
	}
	return similar
}

// unknownFlag words a wrong flag, with the flag that it looks like.
func (a *App) unknownFlag(cmd *cli.Command, err error) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	message := err.Error()
	if name, found := strings.CutPrefix(message, "flag provided but not defined: -"); found {
		name = strings.TrimLeft(name, "-")
		message = fmt.Sprintf("unknown flag %q for %q", name, cmd.FullName())
		for _, known := range cmd.VisibleFlags() {
			if candidate := known.Names()[0]; near(candidate, name) {
				message += fmt.Sprintf("; did you mean --%s?", candidate)
				break
			}
		}
	}
	if rest, found := strings.CutPrefix(message, "invalid value "); found {
		value, rest, _ := strings.Cut(rest, " for flag -")
		name, cause, _ := strings.Cut(rest, ": ")
		switch {
		case strings.HasPrefix(cause, "strconv.ParseInt"):
			message = fmt.Sprintf("flag --%s: invalid value %s (expected a whole number)", name, value)
		case strings.HasPrefix(cause, "strconv.ParseBool"):
			message = fmt.Sprintf("flag --%s: invalid value %s (expected true or false)", name, value)
		}
	}
	return misuse(cmd, "%s", message)
}

// near tells that one word is the beginning of the other, or that at most two
// edits, and fewer than half of the letters, make the difference.
func near(known, word string) bool {
	if len(word) >= 2 && (strings.HasPrefix(known, word) || strings.HasPrefix(word, known)) {
		return true
	}
	distance := editDistance(known, word)
	return distance <= 2 && 2*distance < max(len(known), len(word))
}

// editDistance is Levenshtein's.
func editDistance(x, y string) int {
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(x) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(y) {
			cost := previous
			if x[i] != y[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

func (a *App) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version of this tool",
		Description: examples("ais version"),
		Action:      func(context.Context, *cli.Command) error { return a.printVersion() },
	}
}

func (a *App) printVersion() error {
	return a.say("version %s.%s (build %s)", Version, a.Build.Commit, a.Build.Time)
}

// examples is the end of a command's description.
func examples(lines ...string) string {
	return "Examples:\n  " + strings.Join(lines, "\n  ")
}
