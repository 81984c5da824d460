package load

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// coarse is what the runtime's timers may be late by: they wake up in whole
// milliseconds on an idle machine.
const coarse = 2 * time.Millisecond

// sleepUntil waits for a moment, exactly: the last two milliseconds in the
// kernel's own timer. A moment that has passed is not waited for. It returns
// false when the context ended first.
func sleepUntil(ctx context.Context, moment time.Time) bool {
	wait := time.Until(moment)
	if wait > coarse {
		timer := time.NewTimer(wait - coarse)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
	}
	for {
		if wait = time.Until(moment); wait <= 0 {
			return ctx.Err() == nil
		}
		left := unix.NsecToTimespec(int64(wait))
		_ = unix.Nanosleep(&left, nil) // interrupted by signals: the loop goes on
	}
}
