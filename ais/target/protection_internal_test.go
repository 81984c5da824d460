package target

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// TestUnderProtectedAlert: objects that stay below their level of protection are an alert
// after a minute, and no sooner; counted every two seconds, they are shown as one within 62 s
// of the first, and it is gone with the count that finds none. What waits for its copies
// counts from the moment at which the oldest began to wait.
func TestUnderProtectedAlert(t *testing.T) {
	t.Parallel()
	if levelAlert+levelLook > 62*time.Second {
		t.Errorf("%v, looked at every %v", levelAlert, levelLook)
	}
	now := time.Unix(1_700_000_000, 0)
	p := newProtection(&Target{metrics: metrics.New(meta.RoleTarget, "t1")})
	p.now = func() time.Time { return now }
	bck := wire.Bck{Name: "b", Provider: wire.ProviderAIS}
	some, none := map[wire.Bck]int64{bck: 3}, map[wire.Bck]int64{}
	step := func(after time.Duration, counts map[wire.Bck]int64, oldest time.Time, want bool) {
		t.Helper()
		now = now.Add(after)
		p.told(counts, oldest)
		if got := p.forLong(); got != want {
			t.Errorf("%v: alert %v", after, got)
		}
	}
	p.looked[bck] = &lookedAt{below: 3}
	step(0, some, time.Time{}, false)
	for range 29 {
		step(levelLook, some, time.Time{}, false)
	}
	step(levelLook, some, time.Time{}, true) // a minute
	step(time.Hour, some, time.Time{}, true)
	p.looked[bck].below = 0
	step(levelLook, none, time.Time{}, false)
	step(levelLook, some, now, false) // a write, whose copies are about to be made
	for range 100 {
		step(levelLook, some, now, false) // always others
	}
	step(levelLook, some, now.Add(-levelAlert), true) // one does not get its copies
	step(levelLook, none, time.Time{}, false)
}
