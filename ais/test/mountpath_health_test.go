package test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A disk that is unmounted while the target runs is found, disabled, and stays
// so over a restart, with the alert; the others serve.
func TestUnmountedDiskIsDisabled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	n := c.nodes[len(c.nodes)-1]
	paths := c.configured(n)
	gone, others := paths[0], slices.Clone(paths[1:])
	if err := os.Rename(gone, gone+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(gone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.eventually("the mountpath is disabled", func() error {
		if have := c.mountpaths(n); !slices.Contains(have.Disabled, gone) {
			return errors.New("in use")
		}
		return nil
	})
	c.wantMountpaths(n, others, []string{gone})
	c.wantFlags(n, 6|diskFaultFlag)
	log := tail(filepath.Join(n.LogDir(), "aistarget.INFO"), 1<<20)
	if want := "health check: the disk cannot be relied on, the mountpath is disabled mountpath=" + gone; !strings.Contains(log, want) {
		t.Errorf("not in the log: %s", want)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(gone+".away", gone); err != nil {
		t.Fatal(err)
	}
	c.restartTarget(n, 15)
	c.wantMountpaths(n, others, []string{gone})
	c.wantFlags(n, 6|diskFaultFlag)
	c.mountpath(n, "enable-mp", gone, "", http.StatusOK)
	c.wantMountpaths(n, paths, nil)
	c.wantFlags(n, 6)
}
