package test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
)

// TestTargetIsKilledWhileItResilvers: a mountpath that is to leave does so after a
// restart, by itself, with nothing lost and nothing left on it.
func TestTargetIsKilledWhileItResilvers(t *testing.T) {
	t.Parallel()
	c, n, all := startThreeDisks(t)
	objects := c.putObjects(400)
	for round, leaves := range all[:2] {
		before := len(onDisk(t, leaves))
		c.mountpath(n, "disable-mp", leaves, "", 200)
		if round > 0 { // the first time at its beginning, then in its midst
			c.eventually("objects move", func() error {
				if now := len(onDisk(t, leaves)); now >= before {
					return fmt.Errorf("%d of %d are there", now, before)
				}
				return nil
			})
		}
		c.restartTarget(n, syscall.SIGKILL)
		c.eventually("the mountpath leaves", func() error {
			if have := c.mountpaths(n); !slices.Contains(have.Disabled, leaves) || len(have.Waiting) > 0 {
				return fmt.Errorf("%+v", have)
			}
			return nil
		})
		if left := onDisk(t, leaves); len(left) > 0 {
			t.Errorf("objects on it: %q", left)
		}
		c.wantObjects(objects)
	}
}
