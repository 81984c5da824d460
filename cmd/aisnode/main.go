// Command aisnode is a node of the cluster: a gateway (-role proxy) or a
// storage target (-role target).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/proxy"
	"github.com/aistore-go/aistore/ais/target"
	"github.com/aistore-go/aistore/cmn/config"
)

// Set by the linker.
var (
	build     string // short revision
	buildTime string
)

func main() {
	// Nobody is at a terminal that could hang up.
	signal.Ignore(syscall.SIGHUP)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	os.Exit(run(os.Args[1:], os.Getenv, os.Stderr, signals))
}

// run returns the exit code: 0 for usage and version, 1 for any error, 128
// and the signal's number after a signal.
func run(args []string, getenv func(string) string, stderr io.Writer, signals <-chan os.Signal) int {
	version := node.BuildInfo{Build: build, Time: buildTime}
	command, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "aisnode:", err) // nowhere else to tell
		return 1
	case command.version:
		_, _ = fmt.Fprintf(stderr, "version %s (build: %s)\n", version.Software(), version.Time)
		return 0
	}
	options := command.options
	options.Getenv, options.Stderr, options.Build = getenv, stderr, version

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		if options.Role == config.RoleProxy {
			ended <- proxy.Run(ctx, options)
		} else {
			ended <- target.Run(ctx, options)
		}
	}()
	return wait(ended, signals, stop, stderr)
}

// wait returns the exit code of a node when it has ended. The first signal
// stops it in order, a second one at once.
func wait(ended <-chan error, signals <-chan os.Signal, stop func(), stderr io.Writer) int {
	code := 0
	for {
		select {
		case err := <-ended:
			if err != nil {
				_, _ = fmt.Fprintln(stderr, "aisnode:", err) // nowhere else to tell
				code = max(code, 1)
			}
			return code
		case sig := <-signals:
			again := code != 0
			if number, ok := sig.(syscall.Signal); ok {
				code = 128 + int(number)
			}
			if again {
				return code
			}
			stop()
		}
	}
}
