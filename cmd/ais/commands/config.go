package commands

import (
	"context"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/cmd/ais/table"
)

func (a *App) configCommand() *cli.Command {
	show := func() *cli.Command {
		return &cli.Command{
			Name: "show", Usage: "show the configuration of this tool",
			Description: examples("ais config cli show", "ais config cli show --json", "ais config cli show --path"),
			Flags:       []cli.Flag{flag("path", "print where the file is"), jsonFlag(), noHeadersFlag()},
			Action:      a.showConfig,
		}
	}
	cliCommand := show()
	cliCommand.Name = "cli"
	cliCommand.Description = examples("ais config cli", "ais config cli --path", "ais config cli show --json")
	cliCommand.Commands = []*cli.Command{show()}
	cliCommand.Action = func(ctx context.Context, cmd *cli.Command) error {
		if cmd.NArg() > 0 {
			return a.groupAction(ctx, cmd)
		}
		return a.showConfig(ctx, cmd)
	}
	return &cli.Command{
		Name: "config", Usage: "show configurations",
		Commands: []*cli.Command{cliCommand},
	}
}

func (a *App) showConfig(_ context.Context, cmd *cli.Command) error {
	if cmd.Bool("path") {
		return a.say("%s", filepath.Join(a.dir, settings.FileName))
	}
	if cmd.Bool("json") {
		return a.printJSON(a.config)
	}
	rows, err := flatten(a.config)
	if err != nil {
		return err
	}
	t := table.New("PROPERTY", "VALUE")
	for _, row := range rows {
		t.Row(row.Name, orDash(row.Value))
	}
	return t.Print(a.Out, cmd.Bool("no-headers"))
}
