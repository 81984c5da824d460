package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A node whose key file is damaged keeps it aside, makes itself a new key, and
// is a member again once nobody holds its id: nothing is repaired by hand.
func TestDamagedNodeKey(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	createBucket(t, c.nodes[0], "b", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "o"), "data")
	for _, n := range c.nodes[1:3] { // a gateway, a target
		before := c.idOf(n)
		c.signal(n, syscall.SIGKILL)
		c.waitStopped(n)
		path := filepath.Join(n.Dir, ".ais.node_key")
		if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.start(n)
		c.waitReady()
		if after := c.idOf(n); after != before {
			t.Errorf("%s came back as %s, it was %s", n.Name(), after, before)
		}
		kept, err := filepath.Glob(path + ".damaged.*")
		if err != nil || len(kept) != 1 {
			t.Errorf("the damaged file was not kept: %v %v", kept, err)
		}
	}
	c.readBack(c.nodes[0], "b", "o", "data")
	c.eventually("the log says what happened", func() error {
		logs, err := filepath.Glob(filepath.Join(c.nodes[2].LogDir(), "*"))
		if err != nil {
			return err
		}
		for _, path := range logs {
			if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), "this node has a new key") {
				return nil
			}
		}
		return fmt.Errorf("not in %v", logs)
	})
}
