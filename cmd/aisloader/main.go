// Command aisloader loads a cluster with PUT and GET requests and reports
// operations, bytes and latencies.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker.
var (
	build     = "unknown"
	buildTime = "unknown"
)

func main() {
	if len(os.Args) == 1 || os.Args[1] == "usage" || os.Args[1] == "help" {
		printUsage(os.Stdout)
		return
	}
	if os.Args[1] == "version" {
		fmt.Printf("version 2.25.%s (build %s)\n", build, buildTime)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "aisloader exited with error:", err)
		os.Exit(1)
	}
}
