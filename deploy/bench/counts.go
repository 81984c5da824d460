package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/deploy/playground"
)

// count is one check: what one process needs an operation.
type count struct {
	id, name   string
	node       *playground.Node
	operations int64   // that are traced
	mostCalls  float64 // system calls
	mostBytes  float64 // allocated on the heap
	next       load.Task
}

// counts are the operations whose calls and allocations are counted. What
// moves a megabyte needs more calls the slower its client is, so those bounds
// leave room.
func counts(ours *cluster) []count {
	proxy, target, objects := address(ours.proxy()), address(ours.target()), "/v1/objects/"+bucket
	gateway, owner := ours.Nodes()[0], ours.Nodes()[1]
	return []count{
		{"redirect", "redirect of a GET, gateway", gateway, 2000, 2.7, 500, small.reads(proxy, objects)},
		{"get-4k", "GET 4 KiB, target", owner, 2000, 7.5, 400, small.reads(target, objects)},
		{"put-4k", "PUT 4 KiB, target", owner, 2000, 11.5, 1800, small.writes(target, objects, ours.directHead(), false, false)},
		{"get-1m", "GET 1 MiB, target", owner, 500, 20, 1200, middle.reads(target, objects)},
		{"put-1m", "PUT 1 MiB, target", owner, 500, 40, 4000, middle.writes(target, objects, ours.directHead(), false, true)},
	}
}

// quiet are calls of the runtime's scheduler and of timers: their number
// depends on the machine, not on the work.
var quiet = map[string]bool{
	"futex": true, "nanosleep": true, "epoll_pwait": true, "epoll_wait": true, "sched_yield": true, "tgkill": true, "getpid": true,
	"rt_sigreturn": true, "madvise": true, "mmap": true, "munmap": true, "clone": true, "clone3": true, "timer_settime": true, "restart_syscall": true,
	"rt_sigprocmask": true, "sigaltstack": true, "gettid": true, "epoll_ctl": true, "prctl": true, "rseq": true, "set_robust_list": true, "exit": true,
}

// checkCounts compares system calls and allocated bytes an operation with
// fixed bounds.
func (b *bench) checkCounts(ctx context.Context) error {
	strace, err := findStrace(ctx)
	if err != nil {
		return err
	}
	ours, err := b.ours(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, c := range counts(ours) {
		bytes, err := c.allocated(ctx, b.options)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		shown, calls, err := c.trace(ctx, strace, b.workers)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Printf("%-27s %5.0f bytes allocated an operation (at most %.0f), %4.1f system calls (at most %.1f): %s\n",
			c.name, bytes, c.mostBytes, calls, c.mostCalls, shown)
		if bytes > c.mostBytes || calls > c.mostCalls {
			failed = errors.Join(failed, fmt.Errorf("%s needs more than it may", c.name))
		}
	}
	return failed
}

var calls = &section{
	title: "System calls an operation",
	notes: func(*bench) []string {
		return []string{
			"`strace -f -c` on one process, one client; calls of the runtime's scheduler and timers (futex, epoll_wait, nanosleep and the like) left out.",
			"Plain HTTP, durability `none`, warm page cache, straight from the owner but for the redirect.",
		}
	},
	head: []string{"operation, process", "calls", "which"},
}

// callRows count the calls of each operation with one client: how the work of
// several falls together is chance.
func callRows() []row {
	var rows []row
	for i, c := range counts(&cluster{Cluster: &playground.Cluster{Proxies: 1, Targets: 1}}) {
		rows = append(rows, row{id: "calls-" + c.id, section: calls, title: "system calls: " + c.name,
			measure: func(ctx context.Context, b *bench) ([]string, error) {
				strace, err := findStrace(ctx)
				if err != nil {
					return nil, err
				}
				ours, err := b.ours(ctx)
				if err != nil {
					return nil, err
				}
				shown, n, err := counts(ours)[i].trace(ctx, strace, 1)
				return []string{c.name, fmt.Sprintf("%.1f", n), shown}, err
			}})
	}
	return rows
}

// allocated is how many bytes the process takes from its heap an operation.
func (c *count) allocated(ctx context.Context, o *options) (float64, error) {
	operations := 10 * c.operations
	before, err := heapAllocated(ctx, c.node)
	if err != nil {
		return 0, err
	}
	result, err := load.Run(ctx, &load.Plan{Workers: o.workers, Operations: operations, Task: c.next})
	if err != nil {
		return 0, err
	}
	if result.Errors > 0 {
		return 0, result.FirstError
	}
	after, err := heapAllocated(ctx, c.node)
	return (after - before) / float64(operations), err
}

// heapAllocated reads the runtime's counter from the node's metrics.
func heapAllocated(ctx context.Context, n *playground.Node) (float64, error) {
	const name = "go_gc_heap_allocs_bytes_total"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(line, name) {
			return strconv.ParseFloat(fields[len(fields)-1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s in its metrics", n.Name(), name)
}

// trace counts the calls of a process while a fixed number of operations run.
func (c *count) trace(ctx context.Context, strace string, workers int) (shown string, perOperation float64, err error) {
	dir, err := os.MkdirTemp("", "aistore-strace-")
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// The first operations open connections: not counted.
	if _, err := load.Run(ctx, &load.Plan{Workers: 1, Operations: 10, Task: c.next}); err != nil {
		return "", 0, err
	}
	report := filepath.Join(dir, "report")
	cmd := exec.CommandContext(ctx, strace, "-f", "-c", "-U", "calls,name", "-o", report, "-p", strconv.Itoa(c.node.PID()))
	attached, err := cmd.StderrPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	// strace says "Process N attached" when it counts.
	if !bufio.NewScanner(attached).Scan() {
		return "", 0, errors.Join(errors.New("strace could not attach"), cmd.Wait())
	}
	result, err := load.Run(ctx, &load.Plan{Workers: workers, Operations: c.operations, Task: c.next})
	if err != nil {
		return "", 0, err
	}
	if result.Errors > 0 {
		return "", 0, result.FirstError
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		return "", 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done: //nolint:errcheck // strace ends by the signal, and its exit status says only that
	case <-time.After(10 * time.Second):
		return "", 0, errors.Join(errors.New("strace does not end"), cmd.Process.Kill())
	}
	return readReport(report, float64(c.operations))
}

func readReport(path string, operations float64) (shown string, perOperation float64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", 0, err
	}
	var parts []string
	total := 0.0
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || quiet[fields[1]] || fields[1] == "total" {
			continue
		}
		calls, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			continue // headings
		}
		total += calls
		if calls/operations >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", fields[1], calls/operations))
		}
	}
	if total == 0 {
		return "", 0, fmt.Errorf("strace counted nothing:\n%s", data)
	}
	return strings.Join(parts, ", "), total / operations, nil
}

func findStrace(ctx context.Context) (string, error) {
	if found, err := exec.LookPath("strace"); err == nil {
		return found, nil
	}
	if os.Geteuid() != 0 {
		return "", errors.New("strace is missing and only root may install it: apt-get install strace")
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "strace"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("strace is missing and cannot be installed: apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return exec.LookPath("strace")
}
