package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"golang.org/x/sys/unix"
)

// durableClients is how many clients write at once.
const durableClients = 32

var durability = &section{
	title: "Durable PUT of 4 KiB",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("Durability `sync`, %d clients straight to the owner, checksums xxhash2, plain HTTP; data on a disk: %s.", durableClients, filesystem(b.disk)),
			"Beside it, on the same disk and in turns: one program that writes such files one at a time (write, fdatasync, rename over the old one).",
			"The aim, at least 10 times its rate, holds for disks where one fdatasync takes at least 1 ms.",
		}
	},
	head: []string{"operation", "ours op/s", "ours us (user + sys)", "p50", "p99", "the program files/s", "its fdatasync (median)", "ratio", "aim"},
}

func durableRows() []row {
	return []row{{id: "durable-put", section: durability, title: "durable PUT beside a serial program", measure: measureDurable}}
}

func measureDurable(ctx context.Context, b *bench) ([]string, error) {
	var err error
	if b.durable == nil {
		b.durable, err = startCluster(ctx, &clusterOptions{bin: b.bin, root: filepath.Join(b.disk, "cluster"), port: firstPort + 10, durability: "sync"})
		if err != nil {
			return nil, err
		}
	}
	serial, err := newSerial(filepath.Join(b.disk, "serial"))
	if err != nil {
		return nil, err
	}
	task := small.writes(address(b.durable.target()), "/v1/objects/"+bucket, b.durable.directHead(), false, false)
	var mine []sample
	var rates []float64
	latency := load.Histogram{}
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		s, result, err := b.sampleWith(ctx, b.durable.processes(), &load.Plan{Workers: durableClients, Duration: b.slice, Task: task})
		if err != nil {
			return nil, err
		}
		mine = append(mine, s)
		latency.Merge(&result.Latency)
		rate, err := serial.run(ctx, b.slice)
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	m, rate, sync := median(mine), medianOf(rates), serial.syncs.Quantile(0.5)
	aim := "10"
	if sync < time.Millisecond {
		aim = "none: fdatasync takes less than 1 ms"
	}
	return []string{
		"PUT 4 KiB, durability `sync`", fmt.Sprintf("%.0f", m.rate), m.cells(), short(latency.Quantile(0.5)), short(latency.Quantile(0.99)),
		fmt.Sprintf("%.0f", rate), short(sync), fmt.Sprintf("%.1f", m.rate/rate), aim,
	}, nil
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// serial is the plain program: it makes each file durable before the next.
type serial struct {
	dir   string
	body  []byte
	next  int
	syncs load.Histogram
}

func newSerial(dir string) (*serial, error) {
	return &serial{dir: dir, body: small.payload(false).data[:small.size]}, os.MkdirAll(dir, 0o755)
}

// run writes files for a time and returns how many a second.
func (s *serial) run(ctx context.Context, duration time.Duration) (rate float64, err error) {
	began, files := time.Now(), 0
	for time.Since(began) < duration && ctx.Err() == nil {
		if err := s.write(filepath.Join(s.dir, fmt.Sprint(s.next%small.count))); err != nil {
			return 0, err
		}
		s.next++
		files++
	}
	return float64(files) / time.Since(began).Seconds(), ctx.Err()
}

func (s *serial) write(path string) error {
	fd, err := unix.Open(path+".new", unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, s.body); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), unix.Close(fd))
	}
	began := time.Now()
	if err := unix.Fdatasync(fd); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), unix.Close(fd))
	}
	s.syncs.Add(time.Since(began))
	if err := unix.Close(fd); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
