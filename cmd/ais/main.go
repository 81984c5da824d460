// Command ais is the command-line tool of the cluster. See "ais --help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/aistore-go/aistore/cmd/ais/commands"
)

// Set by the linker: -X main.build=... -X main.buildTime=...
var build, buildTime string

func main() { os.Exit(run()) }

func run() int {
	interrupt, stopInterrupt := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stopInterrupt()
	ctx, stopTerm := signal.NotifyContext(interrupt, syscall.SIGTERM)
	defer stopTerm()
	code := commands.Run(ctx, commands.Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		OutIsTerminal: isTerminal(os.Stdout), ErrIsTerminal: isTerminal(os.Stderr),
		Build: commands.NewBuild(build, buildTime),
	}, os.Args)
	if ctx.Err() != nil && interrupt.Err() == nil {
		return 128 + int(syscall.SIGTERM)
	}
	return code
}

// isTerminal tells a character device that is not /dev/null.
func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
