package commands

import (
	"github.com/urfave/cli/v3"

	"github.com/aistore-go/aistore/cmd/ais/transfer"
)

// From here on a transfer is long: it has a progress bar on a terminal.
const (
	longObjects = 1000
	longSize    = 64 << 20 // bytes
)

// progress begins a progress display, nil if there is to be none. A size
// below 0 is not known.
func (a *App) progress(cmd *cli.Command, objects, size int64) *transfer.Progress {
	long := a.ErrIsTerminal && (objects >= longObjects || size >= longSize || size < 0)
	if !cmd.Bool("progress") && !long {
		return nil
	}
	return transfer.NewProgress(a.screen, a.ErrIsTerminal, objects, size)
}
