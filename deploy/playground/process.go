package playground

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aistore-go/aistore/cmn/delay"
)

// killTimeout is how long a node may take to stop before it is killed.
const killTimeout = 7 * time.Second

// Start runs a node in the background; it goes on when this program ends.
// More command-line options may be given.
func (c *Cluster) Start(n *Node, options ...string) error {
	output, err := os.OpenFile(n.outputFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	args := append([]string{"-role", n.Role, "-config", n.ClusterFile(), "-local_config", n.LocalFile()}, options...)
	args = append([]string{filepath.Join(c.Bin, "aisnode")}, args...)
	if c.Launcher != nil {
		args = append(c.Launcher(n), args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, output.Close())
	}
	if err := os.WriteFile(n.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		return errors.Join(err, cmd.Process.Kill(), output.Close())
	}
	// Somebody must wait for the child, or it stays a zombie while we live.
	go func() { _ = cmd.Wait() }()
	return output.Close()
}

// PID returns the process id of a running node, 0 if it does not run. A
// recycled id of another program is not taken for the node: the command line
// must name the node's own file.
func (n *Node) PID() int {
	data, err := os.ReadFile(n.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	switch {
	case err != nil:
		return 0
	case len(line) == 0 && beginning(pid):
		return pid
	case !bytes.Contains(line, []byte(n.LocalFile())):
		return 0
	}
	return pid
}

// beginning tells a process without a command line that is just being made
// from one that has ended and from those of the kernel.
func beginning(pid int) bool {
	fields := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	const kernel = "2" // the parent of the kernel's threads
	return len(fields) > 1 && fields[0] != "Z" && fields[0] != "X" && fields[1] != kernel
}

// Signal sends a signal to a node; a node that does not run is no error. After
// SIGSTOP no thread of the node runs any more: the kernel leaves that to the
// threads themselves, which a busy machine lets wait.
func (n *Node) Signal(sig syscall.Signal) error {
	pid := n.PID()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %v to %s: %w", sig, n.Name(), err)
	}
	if sig != syscall.SIGSTOP {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	for runs(pid) {
		if err := delay.For(ctx, pollInterval); err != nil {
			return fmt.Errorf("%s has not halted after %v: %w", n.Name(), sig, err)
		}
	}
	return nil
}

// runs tells a process that has a thread which is not stopped.
func runs(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		fields := statFields(thread)
		// stopped, stopped by a tracer, ended
		if len(fields) > 0 && !slices.Contains([]string{"T", "t", "Z", "X"}, fields[0]) {
			return true
		}
	}
	return false
}

// statFields returns what follows the name in a stat file of /proc: the state,
// the parent and so on; nothing for a process or thread that is gone.
func statFields(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	// The second field, in brackets, may hold blanks.
	_, rest, _ := strings.Cut(string(data), ") ")
	return strings.Fields(rest)
}

// WaitStopped waits until the process is gone.
func (n *Node) WaitStopped(ctx context.Context) error {
	for n.PID() != 0 {
		if err := delay.For(ctx, pollInterval); err != nil {
			return fmt.Errorf("%s has not stopped: %w", n.Name(), err)
		}
	}
	return nil
}

// Stop stops all nodes, the last first, so that the first proxy can record
// who left; a node that does not stop in time is killed and reported.
func (c *Cluster) Stop(ctx context.Context, report func(string)) (stopped int, err error) {
	nodes := c.Nodes()
	for i := len(nodes) - 1; i >= 0; i-- {
		if nodes[i].PID() == 0 {
			continue
		}
		if err := nodes[i].Signal(syscall.SIGINT); err != nil {
			return stopped, err
		}
		stopped++
	}
	waitCtx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	for _, n := range nodes {
		if n.WaitStopped(waitCtx) == nil {
			continue
		}
		report(fmt.Sprintf("%s did not stop within %v: killed", n.Name(), killTimeout))
		if err := n.Signal(syscall.SIGKILL); err != nil {
			return stopped, err
		}
	}
	return stopped, nil
}

// Running tells whether any node runs.
func (c *Cluster) Running() bool {
	for _, n := range c.Nodes() {
		if n.PID() != 0 {
			return true
		}
	}
	return false
}

// Output is all that the node printed to its standard output and error.
func (n *Node) Output() string {
	data, err := os.ReadFile(n.outputFile())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

// CheckPorts fails if a port of the cluster is taken.
func (c *Cluster) CheckPorts() error {
	for _, n := range c.Nodes() {
		for _, port := range []int{n.Port, n.Port + 1000, n.Port + 2000} {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", n.Host, port))
			if err != nil {
				return fmt.Errorf("port %d is taken: choose another with PORT=, or stop what uses it (%w)", port, err)
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
