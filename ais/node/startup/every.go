package startup

import (
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
)

// minInterval is the shortest time between two rounds.
const minInterval = time.Second

// Every does something at the interval that the configuration in force says,
// and that counts from the last round when it is changed. Nothing is done
// while it is 0. When the returned function returns, the last round has ended.
func (s *Settings) Every(interval func(*config.Cluster) time.Duration, do func()) (stop func()) {
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		last := time.Now()
		for {
			changed := s.Live.Changed()
			var due <-chan time.Time
			var timer *time.Timer
			if every := interval(s.Live.Config()); every > 0 {
				timer = time.NewTimer(max(0, max(minInterval, every)-time.Since(last)))
				due = timer.C
			}
			select {
			case <-end:
			case <-changed:
			case <-due:
				do()
				last = time.Now()
			}
			if timer != nil {
				timer.Stop()
			}
			select {
			case <-end:
				return
			default:
			}
		}
	})
	return func() {
		close(end)
		running.Wait()
	}
}
