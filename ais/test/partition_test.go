package test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// A primary that is cut off from the majority takes no more changes within an
// election timeout, and says so; the majority goes on under another primary;
// and when the network is whole again there is one cluster with everything
// that was acknowledged.
func TestPartitionedPrimaryRefusesChangesAndTheMajorityGoesOn(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	nw := newNetwork(t, 3, 3)
	nw.up()
	createBucket(t, nw.nodes[0], "before", "")
	old := nw.primary(nw.nodes[0])
	oldID := nw.smap(old).Primary.ID
	var rest []*playground.Node
	for _, n := range nw.proxies() {
		if n != old {
			rest = append(rest, n)
		}
	}
	nw.isolate(old)
	cutAt := time.Now()

	// What the old primary accepts after an election timeout would be lost.
	quick := &http.Client{Timeout: 30 * time.Second}
	var refused answer
	for i := 0; ; i++ {
		began := time.Now()
		a, err := try(quick, http.MethodPost, old.URL()+fmt.Sprintf("/v1/buckets/minority-%d", i), `{"action":"create-bck","value":null}`, "Content-Type", jsonType)
		if err != nil {
			t.Fatal(err)
		}
		if a.status == http.StatusServiceUnavailable {
			refused = a
			// An election timeout is at most 2 s; the rest is a busy machine's.
			if took := time.Since(cutAt); took > 6*time.Second {
				t.Errorf("the minority refused %v after the cut", took)
			}
			t.Logf("refused %v after the cut, within %v: %s", began.Sub(cutAt).Round(time.Millisecond), time.Since(began).Round(time.Millisecond), a.body)
			break
		}
		t.Fatalf("the minority answered %d %s", a.status, a.body)
	}
	if !strings.Contains(refused.body, "majority") || refused.header.Get("Retry-After") == "" {
		t.Errorf("the refusal says neither why nor when to come back: %s %v", refused.body, refused.header)
	}

	nw.eventually("a new primary", func() error {
		m := nw.smap(rest[0])
		if m.Primary.ID == oldID {
			return errors.New("still the old one")
		}
		return nil
	})
	t.Logf("the majority has a primary %v after the cut", time.Since(cutAt).Round(time.Millisecond))
	createBucket(t, rest[0], "during", "")

	// Reads of metadata at the minority are marked.
	a, err := try(quick, http.MethodHead, old.URL()+"/v1/buckets/before", "")
	if err != nil || a.status != http.StatusOK || a.header.Get("Ais-Stale") != "true" {
		t.Errorf("HEAD at the minority: %v %d %v, want 200 marked Ais-Stale", err, a.status, a.header)
	}

	nw.heal()
	for _, n := range nw.proxies() {
		nw.eventually("one cluster as seen by "+n.Name(), func() error {
			m := nw.smap(n)
			if len(m.Pmap) != 3 || len(m.Tmap) != 3 || m.Primary.ID == oldID {
				return fmt.Errorf("%d proxies, %d targets, primary %s", len(m.Pmap), len(m.Tmap), m.Primary.ID)
			}
			for _, name := range []string{"before", "during"} {
				a, err := try(client, http.MethodHead, n.URL()+"/v1/buckets/"+name, "")
				if err != nil {
					return err
				}
				if a.status != http.StatusOK || a.header.Get("Ais-Stale") != "" {
					return fmt.Errorf("%s: %d stale %q", name, a.status, a.header.Get("Ais-Stale"))
				}
			}
			return nil
		})
		if a := must(t, http.StatusOK, http.MethodGet, n.URL()+"/v1/cluster?what=bmd", ""); strings.Contains(a.body, "minority-") {
			t.Errorf("%s knows a bucket whose creation was refused: %s", n.Name(), a.body)
		}
	}
}

// A primary that only cannot send to some nodes neither splits the cluster nor
// makes them flap: there is one primary in the end, and changes go through.
func TestOneWayLossLeavesOnePrimary(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	nw := newNetwork(t, 3, 2)
	nw.up()
	old := nw.primary(nw.nodes[0])
	for _, n := range nw.nodes {
		if n != old {
			nw.dead(old, n)
		}
	}
	var others []*playground.Node
	for _, n := range nw.proxies() {
		if n != old {
			others = append(others, n)
		}
	}
	oldURL := old.URL()
	nw.eventually("the others have a primary that can be heard", func() error {
		if url := nw.smap(others[0]).Primary.Public.URL; url == oldURL {
			return errors.New("still the old one")
		}
		a, err := try(client, http.MethodPost, others[0].URL()+"/v1/buckets/after", `{"action":"create-bck","value":null}`, "Content-Type", jsonType)
		if err == nil && a.status != http.StatusOK && a.status != http.StatusConflict {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	for range 3 {
		first, second := nw.smap(others[0]), nw.smap(others[1])
		if first.Primary.ID != second.Primary.ID {
			nw.eventually("agreement", func() error {
				a, b := nw.smap(others[0]), nw.smap(others[1])
				if a.Primary.ID != b.Primary.ID {
					return fmt.Errorf("%s and %s", a.Primary.ID, b.Primary.ID)
				}
				return nil
			})
		}
	}
}
