// Command local runs the playground: a whole cluster of processes on this
// machine, in one folder, on loopback. It is what `make deploy`, `make run`,
// `make kill` and `make clean` call; it needs no other program than the two
// binaries that it starts.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: local <command>

commands:
  deploy   configure and start a cluster, wait until it is ready, store and
           check a data set (DEMO=no leaves the data set out)
  run      start the cluster again with its existing configuration
  restart  kill, then run
  kill     stop the cluster
  clean    stop the cluster and remove its folder

environment: PROXIES=3 TARGETS=3 MOUNTPATHS=4 PORT=8080 ROOT=<repository>/.playground DEMO=yes
Answers on standard input (number of targets, proxies, mountpaths, one a line)
are taken where the environment is silent; an empty line means the default.
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string) error {
	cluster, demo, err := readSettings(os.Getenv, os.Stdin, command == "deploy")
	if err != nil {
		return err
	}
	c := &commands{Cluster: cluster, out: os.Stdout}
	switch command {
	case "deploy":
		if err := c.deploy(ctx); err != nil {
			return err
		}
		if demo {
			if err := c.demo(ctx); err != nil {
				return err
			}
		}
		c.printWhereToGo()
		return nil
	case "run":
		return c.runExisting(ctx)
	case "restart":
		if err := c.kill(ctx); err != nil {
			return err
		}
		return c.runExisting(ctx)
	case "kill":
		return c.kill(ctx)
	case "clean":
		return c.clean(ctx)
	default:
		return fmt.Errorf("unknown command %q (expected deploy, run, restart, kill or clean)", command)
	}
}
