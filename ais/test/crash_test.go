package test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// TestKillATargetDuringAThousandPuts: what was acknowledged is whole after
// the restart, and the rest is absent or whole.
func TestKillATargetDuringAThousandPuts(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	createBucket(t, c.nodes[0], "b", "")
	rounds := 2
	if longTests() {
		rounds = 30
	}
	for round := range rounds {
		killDuringPuts(t, c, round)
	}
}

func killDuringPuts(t *testing.T, c *cluster, round int) {
	const writers, perWriter = 50, 20
	victim := c.targets()[round%3]
	random := rand.New(rand.NewPCG(uint64(round), 7))
	killAfter := int64(100 + random.IntN(600))
	type object struct {
		name    string
		content string
		acked   bool
	}
	objects := make([]object, writers*perWriter)
	var acks sync.WaitGroup
	acknowledged := make(chan struct{}, len(objects))
	for w := range writers {
		acks.Add(1)
		go func() {
			defer acks.Done()
			for i := range perWriter {
				o := &objects[w*perWriter+i]
				o.name = fmt.Sprintf("r%d/w%d/o%d", round, w, i)
				o.content = strings.Repeat(o.name+" ", 1+(w*i*37)%3000)
				sum, err := cksum.Of(cksum.XXHash2, []byte(o.content))
				if err != nil {
					t.Error(err)
					return
				}
				a, err := try(client, http.MethodPut, objectURL(c.nodes[0], "b", o.name), o.content,
					"Ais-Checksum-Type", sum.Type, "Ais-Checksum-Value", sum.Value)
				o.acked = err == nil && a.status == http.StatusOK
				if o.acked {
					acknowledged <- struct{}{}
				}
			}
		}()
	}
	timeout := time.After(stepTimeout)
	for range killAfter {
		select {
		case <-acknowledged:
		case <-timeout:
			t.Fatal("the writers are stuck")
		}
	}
	if err := victim.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	acks.Wait()
	c.waitStopped(victim)
	c.start(victim)
	c.waitReady()
	var acked, absent, unacked int
	for i := range objects {
		o := &objects[i]
		var a answer
		c.eventually("read "+o.name, func() (err error) {
			if a, err = try(client, http.MethodGet, objectURL(c.nodes[0], "b", o.name), ""); err == nil && a.status == http.StatusServiceUnavailable {
				err = errors.New(a.body)
			}
			return err
		})
		whole := a.status == http.StatusOK && sha256.Sum256([]byte(a.body)) == sha256.Sum256([]byte(o.content))
		switch {
		case whole && o.acked:
			acked++
		case whole:
			unacked++
		case a.status == http.StatusNotFound && !o.acked:
			absent++
		default:
			t.Errorf("%s (acknowledged: %v): status %d, %d of %d bytes", o.name, o.acked, a.status, len(a.body), len(o.content))
		}
	}
	for _, file := range c.filesBelow(victim) {
		if strings.Contains(file, "/%wk/") {
			t.Errorf("a work file was left over: %s", file)
		}
	}
	t.Logf("round %d: killed after %d acknowledgements; %d acknowledged and whole, %d whole without, %d absent", round, killAfter, acked, unacked, absent)
}

// TestKilledAndStoppedTargetComesBackUnderItsID also removes what a crash left.
func TestKilledTargetComesBackUnderItsID(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	before := c.smap(c.nodes[0]).Tmap
	for round := range 4 {
		n := c.targets()[round%2]
		if err := n.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.waitStopped(n)
		c.start(n)
		c.waitReady()
		for id := range c.smap(c.nodes[0]).Tmap {
			if _, ok := before[id]; !ok {
				t.Fatalf("round %s: a new id %s", strconv.Itoa(round), id)
			}
		}
	}
}
