// Command bench measures a cluster of this machine: the CPU time that all
// server processes spend on an operation beside nginx in the same run, durable
// writes beside a plain program on the same disk, pages of listings, memory,
// and system calls. Rows are selected by name:
//
//	go run ./deploy/bench -list
//	go run ./deploy/bench -rows 'get-4k' -rounds 3 -slice 2s
//	go run ./deploy/bench -out docs/benchmarks.md
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
	"regexp"
	"syscall"
	"time"
)

type options struct {
	rounds   int
	slice    time.Duration
	workers  int
	counts   bool
	quick    bool
	list     bool
	rows     string
	out      string
	disk     string
	bin      string
	populate time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "alternating rounds; the medians are shown")
	flag.DurationVar(&o.slice, "slice", 4*time.Second, "time of one server in one round")
	flag.IntVar(&o.workers, "workers", 8, "concurrent clients of the rows beside nginx")
	flag.BoolVar(&o.counts, "counts", false, "one short round, checking system calls and allocations an operation only")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the objects of the rows about listings and memory")
	flag.BoolVar(&o.list, "list", false, "print the names of the rows and stop")
	flag.StringVar(&o.rows, "rows", "", "rows to measure, a regular expression; empty = all")
	flag.StringVar(&o.out, "out", "", "file for the report, in Markdown")
	flag.StringVar(&o.disk, "disk", "", "folder on a real disk for the rows about durability (default: the folder for temporary files)")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.DurationVar(&o.populate, "populate", 15*time.Minute, "time after which filling a bucket is given up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	if o.list {
		for _, r := range allRows() {
			fmt.Printf("%-20s %s\n", r.id, r.title)
		}
		return nil
	}
	wanted, err := regexp.Compile(o.rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	b := &bench{options: o}
	if b.memory, err = os.MkdirTemp(memoryFolder(), "aistore-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end()) }()
	if o.counts {
		return b.checkCounts(ctx)
	}
	if b.disk, err = os.MkdirTemp(o.disk, "aistore-bench-"); err != nil {
		return err
	}
	var rows []row
	for _, r := range allRows() {
		if wanted.MatchString(r.id) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return fmt.Errorf("no row matches -rows=%s (see -list)", o.rows)
	}
	return b.measureRows(ctx, rows)
}

// memoryFolder is a tmpfs, where the machine has one.
func memoryFolder() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}
