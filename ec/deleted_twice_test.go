package ec

import (
	"context"
	"testing"
)

// TestDeletedTwice: a second DELETE is 404, also if a target that was not told of the
// first one still has slices.
func TestDeletedTwice(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 7, 2, 2, nil)
		c.put("o", randomContent(1, size))
		c.settle()
		away := c.order("o")[2]
		c.set(c.down, away, true)
		if err := c.owner("o").store.Delete(context.Background(), c.key("o")); err != nil {
			t.Fatal(err)
		}
		c.set(c.down, away, false)
		if err := c.owner("o").store.Delete(context.Background(), c.key("o")); statusOf(err) != 404 {
			t.Errorf("%d bytes: the second DELETE: %v", size, err)
		}
	}
}
