package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

// row is one line of the table: an operation of ours beside the reference's.
type row struct {
	name            string
	bound           float64 // the ratio that is aimed at
	ours, reference load.Operation
}

// sample is what one slice of one server cost.
type sample struct {
	user, system float64 // microseconds of CPU an operation
	rate         float64 // operations a second
}

func (s sample) cpu() float64 { return s.user + s.system }

func compare(ctx context.Context, o *options, ours *cluster, reference *nginx) error {
	proxy, target, nginx := address(ours.proxy()), address(ours.target()), address(reference.url())
	objects := "/v1/objects/" + bucket
	small := payload(smallSize)
	rows := []row{
		{"GET 4 KiB, through the gateway's redirect", 7, reads(proxy, objects), reads(nginx, "")},
		{"GET 4 KiB, straight from the owner", 3.5, reads(target, objects), reads(nginx, "")},
		{"PUT 4 KiB, through the gateway's redirect", 6, writes(proxy, objects, "", small), writes(nginx, "", "", small)},
		{"PUT 4 KiB, straight to the owner", 0, writes(target, objects, ours.directHead(), small), writes(nginx, "", "", small)},
		{"GET 32 MiB, through the gateway's redirect", 1.3, readsLarge(proxy, objects), readsLarge(nginx, "")},
	}
	fmt.Printf("CPU of all server processes an operation; %d clients, %d rounds of %v, medians; data in %s;\n", o.workers, o.rounds, o.slice, orDisk(memoryFolder()))
	fmt.Printf("durability none, checksum xxhash2 (nginx: none), no TLS, warm page cache\n\n")
	table := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
	fmt.Fprintln(table, "operation\tours us (user+sys)\tops/s\tnginx us (user+sys)\tops/s\tratio\taim\tnginx/nginx")
	for _, r := range rows {
		var mine, theirs, again []sample
		for range o.rounds {
			for _, slice := range []struct {
				into *[]sample
				pids []int
				next load.Operation
			}{{&mine, ours.processes(), r.ours}, {&theirs, reference.processes(), r.reference}, {&again, reference.processes(), r.reference}} {
				s, err := measure(ctx, o, slice.pids, slice.next)
				if err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
				*slice.into = append(*slice.into, s)
			}
		}
		m, t, a := median(mine), median(theirs), median(again)
		aim := "-"
		if r.bound > 0 {
			aim = fmt.Sprintf("%.1f", r.bound)
		}
		fmt.Fprintf(table, "%s\t%.1f (%.1f+%.1f)\t%.0f\t%.1f (%.1f+%.1f)\t%.0f\t%.2f\t%s\t%.2f\n", r.name,
			m.cpu(), m.user, m.system, m.rate, t.cpu(), t.user, t.system, t.rate, m.cpu()/t.cpu(), aim, a.cpu()/t.cpu())
	}
	return table.Flush()
}

func measure(ctx context.Context, o *options, pids []int, next load.Operation) (sample, error) {
	userBefore, systemBefore, err := cpuTime(pids)
	if err != nil {
		return sample{}, err
	}
	result, err := load.Run(ctx, &load.Plan{Workers: o.workers, Duration: o.slice, Seed: 1, Next: next})
	if err != nil {
		return sample{}, err
	}
	if result.Errors > 0 {
		return sample{}, fmt.Errorf("%d of %d operations failed: %w", result.Errors, result.Operations+result.Errors, result.FirstError)
	}
	userAfter, systemAfter, err := cpuTime(pids)
	if err != nil {
		return sample{}, err
	}
	n := float64(result.Operations)
	return sample{
		user:   float64((userAfter - userBefore).Microseconds()) / n,
		system: float64((systemAfter - systemBefore).Microseconds()) / n,
		rate:   n / result.Elapsed.Seconds(),
	}, nil
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux platform.
const tick = 10 * time.Millisecond

// cpuTime is the user and system time of processes since they started.
func cpuTime(pids []int) (user, system time.Duration, err error) {
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, 0, err
		}
		// The second field may hold blanks; the state follows its last bracket.
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		const utime, stime = 11, 12
		if len(fields) <= stime {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
		}
		u, errUser := strconv.ParseInt(fields[utime], 10, 64)
		s, errSystem := strconv.ParseInt(fields[stime], 10, 64)
		if errUser != nil || errSystem != nil {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, data)
		}
		user += time.Duration(u) * tick
		system += time.Duration(s) * tick
	}
	return user, system, nil
}

// median takes the sample with the median of the whole CPU time.
func median(samples []sample) sample {
	if len(samples) == 0 {
		return sample{user: math.NaN()}
	}
	sorted := slices.Clone(samples)
	slices.SortFunc(sorted, func(a, b sample) int {
		switch {
		case a.cpu() < b.cpu():
			return -1
		case a.cpu() > b.cpu():
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}

func orDisk(folder string) string {
	if folder == "" {
		return "a folder on disk (this machine has no tmpfs)"
	}
	return folder
}
