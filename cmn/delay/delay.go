// Package delay waits for a while, or until a context ends.
package delay

import (
	"context"
	"time"
)

// For waits for d. The error is why ctx has ended before; nil: it has not.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
