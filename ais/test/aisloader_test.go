package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAisloader: the program writes, reads straight from the owners and
// verifies, is stopped by a signal with its statistics, and removes its bucket.
func TestAisloader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	command := func(args string) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(filepath.Join(programs, "aisloader"), strings.Fields(args)...)
		cmd.Env = append(os.Environ(), "AIS_ENDPOINT="+c.nodes[0].URL())
		out := &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		return cmd, out
	}
	for _, args := range []string{
		"-bucket=ais://load -cleanup=false -pctput=100 -minsize=4K -maxsize=4K -maxputs=300 -numworkers=4 -direct",
		"-bucket=ais://load -cleanup=false -epochs=1 -verifyhash -numworkers=4",
		"-bucket=ais://load -cleanup=false -epochs=1 -verifyhash -numworkers=4 -direct",
	} {
		cmd, out := command(args)
		if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "  300  ") || strings.Contains(out.String(), "Error:") {
			t.Fatalf("aisloader %s: %v\n%s", args, err, out)
		}
	}
	cmd, out := command("-bucket=ais://stop -cleanup=true -duration=0s -stoppable -pctput=100 -minsize=1K -maxsize=1K -numworkers=2")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	c.eventually("objects of the loader", func() error {
		a, err := try(http.DefaultClient, http.MethodGet, c.nodes[0].URL()+"/v1/buckets/stop", `{"action":"list","value":{"props":"name"}}`)
		if err == nil && !strings.Contains(a.body, `"name":`) {
			err = fmt.Errorf("status %d: %.100s", a.status, a.body)
		}
		return err
	})
	// Two changes of tracing on the way do not end it.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGHUP, os.Interrupt} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	err := cmd.Wait()
	ended = true
	if err != nil || !strings.Contains(out.String(), "Actual run duration") || !strings.Contains(out.String(), "p99.9") {
		t.Errorf("stopped: %v\n%s", err, out)
	}
	if a, err := try(http.DefaultClient, http.MethodHead, c.nodes[0].URL()+"/v1/buckets/stop?dont_add_remote_bck_md=true", ""); err != nil || a.status != http.StatusNotFound {
		t.Errorf("the bucket is there: %v, %d", err, a.status)
	}
}
