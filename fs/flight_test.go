package fs

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

func openOne(t testing.TB, change func(*Options)) *Mountpath {
	t.Helper()
	opts := Options{Mountpaths: map[string]string{filepath.Join(t.TempDir(), "mp"): ""}, TestMode: true, NodeID: "t1", HangTime: time.Hour}
	if change != nil {
		change(&opts)
	}
	m, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m.Available().Paths[0]
}

// Nobody waits for ever while slots come free, and there are never too many
// holders.
func TestSlotsAreHandedOn(t *testing.T) {
	t.Parallel()
	const limit, workers, rounds = 3, 32, 300
	mp := openOne(t, func(o *Options) { o.Slots, o.SlotWait = limit, time.Hour })
	holders := make(chan struct{}, limit) // more would block
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range rounds {
				age, err := mp.Enter()
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case holders <- struct{}{}:
				default:
					t.Errorf("more than %d operations", limit)
				}
				<-holders
				mp.Leave(age)
			}
		})
	}
	group.Wait()
	if mp.InFlight() != 0 || mp.flight.waiting.Load() != 0 {
		t.Errorf("%d in flight, %d waiting at the end", mp.InFlight(), mp.flight.waiting.Load())
	}
}

func TestOldOperationsAreAHang(t *testing.T) {
	t.Parallel()
	mp := openOne(t, nil)
	const hang = 800 * time.Millisecond
	now := time.Now()
	age := func(times int) {
		for range times {
			now = now.Add(hang / agesPerHang)
			mp.flight.age(now, hang)
		}
	}
	enter := func() uint32 {
		t.Helper()
		ticket, err := mp.Enter()
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	want := func(what string, hung bool) {
		t.Helper()
		if mp.Hung() != hung {
			t.Fatalf("%s: hung is %v", what, mp.Hung())
		}
		_, err := mp.Enter()
		var refused *apierr.Error
		if hung && (!errors.As(err, &refused) || refused.Status != apierr.StatusServiceUnavailable || refused.RetryAfter <= 0) {
			t.Fatalf("%s: %v, want a 503 with Retry-After", what, err)
		}
		if !hung {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			mp.Leave(mp.flight.current.Load())
		}
	}
	// Operations that come and go are none, however many.
	for range 10 * generations {
		ticket := enter()
		age(1)
		mp.Leave(ticket)
	}
	want("operations that end", false)

	first := enter()
	age(agesPerHang)
	want("as old as allowed", false)
	second := enter()
	age(1)
	want("too old", true)
	if err := mp.Acquire(context.Background()); err == nil {
		t.Error("a slot of a mountpath that hangs")
	}
	age(100 * generations) // for a long time
	want("it goes on", true)
	mp.Leave(first)
	age(1)
	want("another one is old as well", true)
	mp.Leave(second)
	age(1)
	want("both have ended", false)
	third := enter()
	age(agesPerHang + 2)
	want("it hangs again", true)
	mp.Leave(third)
	age(1)
	want("and answers again", false)
	if mp.InFlight() != 0 {
		t.Errorf("%d in flight", mp.InFlight())
	}
	for i := range mp.flight.begun {
		if n := mp.flight.begun[i].Load(); n != 0 {
			t.Errorf("%d operations of generation %d", n, i)
		}
	}
}

func BenchmarkSlot(b *testing.B) {
	mp := openOne(b, nil)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			age, err := mp.Enter()
			if err != nil {
				b.Fatal(err)
			}
			mp.Leave(age)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				age, err := mp.Enter()
				if err != nil {
					b.Error(err)
					return
				}
				mp.Leave(age)
			}
		})
	})
}
