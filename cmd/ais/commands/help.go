package commands

import (
	"context"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// helpCommand is "ais help COMMAND...": the same as "ais COMMAND... --help".
func (a *App) helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", Usage: "show the help of a command", ArgsUsage: "[COMMAND...]",
		Description: examples("ais help", "ais help object put"),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			root := a.tree()
			root.Writer = cmd.Root().Writer
			words := append([]string{root.Name}, cmd.Args().Slice()...)
			here := root
			for _, word := range words[1:] {
				next := here.Command(word)
				if next == nil {
					return misuse(cmd, "unknown command %q for %q", word, here.FullName())
				}
				here = next
			}
			return root.Run(ctx, append(words, "--help"))
		},
	}
}

// wantsPager tells that a command line asks for help on a terminal.
func (a *App) wantsPager(args []string) bool {
	if !a.OutIsTerminal || a.config.NoMore {
		return false
	}
	return len(args) == 1 || len(args) > 1 && args[1] == "help" || slices.Contains(args, "--help") || slices.Contains(args, "-h")
}

// page shows a text through "more", or as it is if there is no such program.
func (a *App) page(ctx context.Context, text string) error {
	if pager, err := exec.LookPath("more"); err == nil && text != "" {
		cmd := exec.CommandContext(ctx, pager)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), a.Out, a.Err
		if cmd.Run() == nil {
			return nil
		}
	}
	_, err := io.WriteString(a.Out, text)
	return err
}
