package target_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
)

// messages counts what targets have accepted of each other.
func (l *leaving) messages() (n int64) {
	for _, target := range l.c.Targets {
		n += target.Streams.Counts().OutMessages
	}
	return n
}

// streams are open now.
func (l *leaving) streams() (n int64) {
	for _, target := range l.c.Targets {
		n += target.Streams.Counts().Streams
	}
	return n
}

// stop stops a rebalance, and waits for its end.
func (l *leaving) stop(id, value string) {
	l.t.Helper()
	expect(l.t, 200, follower, http.MethodPut, l.url+"/cluster", strings.NewReader(fmt.Sprintf(`{"action":"stop","value":%s}`, value)))
	l.ended(id)
}

// reader reads objects until it is stopped: each is there with what was written, or the
// answer is 503.
func (l *leaving) reader(sizes ...int) (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; ; i = (i + 7) % 40 {
			select {
			case <-end:
				return
			default:
			}
			name := fmt.Sprintf("dir%d/%d", i%2, i)
			res, err := follower.Get(l.url + "/objects/b1/" + name)
			if err != nil {
				l.t.Error(err)
				return
			}
			body, err := io.ReadAll(res.Body)
			if closed := res.Body.Close(); err != nil || closed != nil {
				l.t.Error(err, closed)
				return
			}
			if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "" {
				continue
			}
			if want := l.content(name, sizes[i%len(sizes)]); res.StatusCode != 200 || string(body) != want {
				l.t.Errorf("GET %s: %d, %d bytes of %d: %.100q", name, res.StatusCode, len(body), len(want), body)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() { close(end); done.Wait() })
	l.t.Cleanup(stop)
	return stop
}

// TestAHundredRebalancesAreStopped: whenever a rebalance is stopped, by its id, its kind
// or both, and however much it has moved by then, nothing of it stays that keeps the next
// one from starting; objects are read all the time, and the last one moves everything.
func TestAHundredRebalancesAreStopped(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1000, 500_000} // the last ones are sent from their files
	l := newLeaving(t, nil, sizes...)
	stopReading := l.reader(sizes...)
	comes := l.c.Targets[2].Snode()
	random := rand.New(rand.NewPCG(288, 288))
	stopped, away := 0, true
	for i := range 100 {
		if l.c.Metadata.View().Placement.Settled() { // the last one had come to its end before it was stopped
			if away = !away; away {
				l.c.ChangeSmap(t, maintenance(comes))
			} else {
				l.c.ChangeSmap(t, &meta.SmapPatch{Put: []*meta.Snode{comes}})
			}
		}
		enough := l.messages() + random.Int64N(12)
		id := l.start(200, "", `{"Kind":"rebalance"}`)
		if want := fmt.Sprintf("g%d", i+1); id != want {
			t.Fatalf("%s was started, want %s", id, want)
		}
		eventually(t, id+" is in its middle", func() bool { return l.messages() >= enough || l.status(id).EndTime != 0 })
		l.stop(id, []string{`{"ID":"` + id + `"}`, `{"Kind":"rebalance"}`, `{"ID":"` + id + `","Kind":"rebalance"}`}[i%3])
		switch s := l.status(id); {
		case s.Aborted:
			stopped++
			if !strings.Contains(s.Error, "user abort") {
				t.Errorf("%s: %+v", id, s)
			}
		case s.Error != "":
			t.Errorf("%s: %+v", id, s)
		}
		eventually(t, "streams of "+id+" are closed", func() bool { return l.streams() == 0 })
	}
	t.Logf("%d of 100 were stopped in their middle", stopped)
	if stopped < 50 {
		t.Errorf("only %d of 100 were stopped in their middle", stopped)
	}
	l.c.ChangeSmap(t, maintenance(comes))
	l.run("", `{"Kind":"rebalance"}`)
	stopReading()
	if left := append(l.stay("b1"), l.stay("b2")...); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	l.check(sizes...)
	if !l.c.Metadata.View().Placement.Settled() {
		t.Error("the placement is not settled")
	}
}
