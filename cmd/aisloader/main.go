// Command aisloader loads a cluster with PUT and GET requests, ranged reads,
// multipart uploads, parallel downloads and listings, and reports operations,
// bytes, errors and latencies. See docs/aisloader.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aistore-go/aistore/cmd/aisloader/params"
)

// Set by the linker.
var (
	build     = "unknown"
	buildTime = "unknown"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// execute runs the program and returns its exit status.
func execute(ctx context.Context, args []string, getenv func(string) string, out, message io.Writer) int {
	if len(args) == 0 || args[0] == "usage" || args[0] == "help" {
		params.Usage(out)
		return 0
	}
	if args[0] == "version" {
		fmt.Fprintf(out, "version 2.25.%s (build %s)\n", build, buildTime)
		return 0
	}
	p, err := params.Parse(args, getenv)
	if err == nil {
		err = run(ctx, p, getenv, out, message)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(message, "aisloader exited with error:", err)
	var syntax *params.SyntaxError
	if errors.As(err, &syntax) {
		return 2
	}
	return 1
}
