// Command bench compares a cluster of this machine with nginx in one run: the
// CPU time that all server processes spend on an operation, and its ratio.
// Data lie in memory (tmpfs), so that the figures show processors, not disks.
//
// With -counts it runs one short round and checks only what no noise touches:
// system calls and allocated bytes an operation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	rounds  int
	slice   time.Duration
	workers int
	counts  bool
	bin     string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "alternating rounds; the medians are shown")
	flag.DurationVar(&o.slice, "slice", 3*time.Second, "time of one server in one round")
	flag.IntVar(&o.workers, "workers", 8, "concurrent clients")
	flag.BoolVar(&o.counts, "counts", false, "one short round, checking system calls an operation only")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	root, err := os.MkdirTemp(memoryFolder(), "aistore-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	ours, err := startOurs(ctx, o.bin, filepath.Join(root, "cluster"), o.counts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	if o.counts {
		return checkCounts(ctx, o, ours)
	}
	reference, err := startNginx(ctx, filepath.Join(root, "nginx"))
	if err != nil {
		return fmt.Errorf("the reference: %w", err)
	}
	defer func() { err = errors.Join(err, reference.stop()) }()
	return compare(ctx, o, ours, reference)
}

// memoryFolder is a tmpfs, where the machine has one.
func memoryFolder() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}
