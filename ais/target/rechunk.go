package target

import (
	"context"

	"github.com/aistore-go/aistore/core"
)

// Rechunk implements rechunk.Cluster.
func (c clusterObjects) Rechunk(ctx context.Context, key core.Key, chunkSize int64) (core.Rechunked, error) {
	// Nothing older than what a former owner holds may get a new stamp.
	if err := c.t.bringHome(ctx, key); err != nil {
		return core.Rechunked{}, err
	}
	return c.t.store.Rechunk(ctx, key, chunkSize)
}
