package startup

import (
	"sync"
	"time"
)

// Every does something at an interval, which is asked for before each round,
// until the returned function is called; when that returns, the last round
// has ended.
func Every(interval func() time.Duration, do func()) (stop func()) {
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			timer := time.NewTimer(max(time.Second, interval()))
			select {
			case <-end:
				timer.Stop()
				return
			case <-timer.C:
				do()
			}
		}
	})
	return func() {
		close(end)
		running.Wait()
	}
}
