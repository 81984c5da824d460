package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

var beside = &section{
	title: "CPU beside nginx",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("CPU time (user + system) of all server processes an operation, in microseconds; %d clients; medians of %d rounds in which ours, nginx and nginx again take turns of %v (%v for each in all; half of it where that is enough for %d operations).", b.workers, b.rounds, b.slice, time.Duration(b.rounds)*b.slice, enoughOperations),
			"One gateway, one target, one mountpath; data in " + orDisk(memoryFolder()) + ", all of them in the page cache; plain HTTP; requests between nodes and redirects are signed; bucket with durability `none` and checksums xxhash2.",
			"nginx: `sendfile on`, WebDAV PUT, 2 workers, no checksums. Its second figure over its first is the spread: no smaller difference can be claimed.",
			"Rows through a gateway count its redirect. A PUT of more than 64 KiB is announced to the gateway without its body; smaller bodies go to the gateway, too.",
		}
	},
	head: []string{"operation", "path", "checksum of the client", "ours us (user + sys)", "ours op/s", "nginx us (user + sys)", "nginx op/s", "ratio", "bound", "nginx / nginx"},
}

// compareRows are the operations of the table, each through a gateway and
// straight from the owner.
func compareRows() []row {
	var rows []row
	for _, kind := range []struct {
		id, title       string
		set             workingSet
		write, checksum bool
		proxied, direct float64 // bounds
	}{
		{"get-4k", "GET 4 KiB", small, false, false, 2.6, 1.6},
		{"put-4k", "PUT 4 KiB", small, true, false, 3.0, 2.0},
		{"get-1m", "GET 1 MiB", middle, false, false, 1.35, 1.2},
		{"put-1m", "PUT 1 MiB", middle, true, true, 1.35, 1.25},
		{"get-32m", "GET 32 MiB", large, false, false, 1.1, 1.05},
		{"put-32m", "PUT 32 MiB", large, true, true, 1.2, 1.15},
	} {
		for _, path := range []struct {
			id, title string
			gateway   bool
			bound     float64
		}{{"proxy", "through a gateway", true, kind.proxied}, {"direct", "straight from the owner", false, kind.direct}} {
			rows = append(rows, row{id: kind.id + "-" + path.id, section: beside, title: kind.title + ", " + path.title,
				measure: func(ctx context.Context, b *bench) ([]string, error) {
					checksum := "-"
					if kind.checksum {
						checksum = "xxhash2"
					}
					cells, err := b.compare(ctx, kind.set, kind.write, kind.checksum, path.gateway, path.bound)
					return append([]string{kind.title, path.title, checksum}, cells...), err
				}})
		}
	}
	return rows
}

// turn is one server's part of a round.
type turn struct {
	samples []sample
	pids    func() []int
	task    load.Task
}

func (b *bench) compare(ctx context.Context, set workingSet, write, checksum, gateway bool, bound float64) ([]string, error) {
	ours, err := b.ours(ctx)
	if err != nil {
		return nil, err
	}
	reference, err := b.nginx(ctx)
	if err != nil {
		return nil, fmt.Errorf("the reference: %w", err)
	}
	server, headers, path := ours.target(), ours.directHead(), "/v1/objects/"+bucket
	if gateway {
		server, headers = ours.proxy(), ""
	}
	mine, theirs := set.reads(address(server), path), set.reads(address(reference.url()), "")
	if write {
		mine = set.writes(address(server), path, headers, gateway, checksum)
		theirs = set.writes(address(reference.url()), "", "", false, checksum)
	}
	turns := []*turn{{pids: ours.processes, task: mine}, {pids: reference.processes, task: theirs}, {pids: reference.processes, task: theirs}}
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		for i := range turns {
			t := turns[(round+i)%len(turns)] // nobody always follows the same one
			s, err := b.sample(ctx, t.pids(), t.task, load.Options{})
			if err != nil {
				return nil, err
			}
			t.samples = append(t.samples, s)
		}
	}
	m, t, a := median(turns[0].samples), median(turns[1].samples), median(turns[2].samples)
	return []string{
		m.cells(), fmt.Sprintf("%.0f", m.rate), t.cells(), fmt.Sprintf("%.0f", t.rate),
		fmt.Sprintf("%.2f", m.cpu()/t.cpu()), fmt.Sprintf("%.2f", bound), fmt.Sprintf("%.2f", a.cpu()/t.cpu()),
	}, nil
}

// enoughOperations is how many operations of a row, in all rounds together,
// make more of them a waste of time.
const enoughOperations = 100_000

// sample runs a task for one turn: half of its time, and the other half unless
// the operations are already the turn's share of what is enough.
func (b *bench) sample(ctx context.Context, pids []int, task load.Task, options load.Options) (sample, error) {
	plan := load.Plan{Workers: b.workers, Duration: b.slice / 2, Seed: 1, Task: task, Options: options}
	first, result, err := b.sampleWith(ctx, pids, &plan)
	if err != nil || result.Operations*int64(b.rounds) >= enoughOperations {
		return first, err
	}
	plan.Seed++
	second, other, err := b.sampleWith(ctx, pids, &plan)
	return joined(first, result, second, other), err
}

// joined is two samples as one: means by operations, and by time.
func joined(first sample, one *load.Result, second sample, two *load.Result) sample {
	if two == nil {
		return first
	}
	a, b := float64(one.Operations), float64(two.Operations)
	return sample{
		user:   (first.user*a + second.user*b) / (a + b),
		system: (first.system*a + second.system*b) / (a + b),
		rate:   (a + b) / (one.Elapsed + two.Elapsed).Seconds(),
	}
}

// sampleWith executes a plan and measures what it costs the processes.
func (b *bench) sampleWith(ctx context.Context, pids []int, plan *load.Plan) (sample, *load.Result, error) {
	userBefore, systemBefore, err := cpuTime(pids)
	if err != nil {
		return sample{}, nil, err
	}
	result, err := load.Run(ctx, plan)
	if err == nil && result.Errors > 0 {
		err = fmt.Errorf("%d of %d operations failed: %w", result.Errors, result.Operations+result.Errors, result.FirstError)
	}
	if err != nil {
		return sample{}, nil, err
	}
	userAfter, systemAfter, err := cpuTime(pids)
	if err != nil {
		return sample{}, nil, err
	}
	n := float64(result.Operations)
	return sample{
		user:   float64((userAfter - userBefore).Microseconds()) / n,
		system: float64((systemAfter - systemBefore).Microseconds()) / n,
		rate:   n / result.Elapsed.Seconds(),
	}, result, nil
}

func orDisk(folder string) string {
	if folder == "" {
		return "a folder on disk (this machine has no tmpfs)"
	}
	return "tmpfs (" + folder + ")"
}
