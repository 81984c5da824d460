package playground

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestSignalHaltsTheNode: after SIGSTOP nothing of the node runs, and a node
// that does not run is no error.
func TestSignalHaltsTheNode(t *testing.T) {
	t.Parallel()
	c := &Cluster{Root: filepath.Join(t.TempDir(), "pg"), Targets: 1, Port: 12345}
	n := c.Nodes()[0]
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	busy := exec.Command("sh", "-c", "while :; do :; done", n.LocalFile())
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = busy.Process.Kill()
		_ = busy.Wait()
	})
	if err := os.WriteFile(n.pidFile(), []byte(strconv.Itoa(busy.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	if !runs(n.PID()) {
		t.Error("the node does not run")
	}
	for range 20 {
		if err := n.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if runs(n.PID()) {
			t.Fatal("the node runs")
		}
		if err := n.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}
