package test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// A primary whose disk for the cluster state is full hands its role over, says
// what is wrong, serves on, and is a full member again when there is room.
func TestPrimaryWithAFullStateDiskHandsOver(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	c := newCluster(t, 3, 3)
	first := c.nodes[0]
	c.smallDisk(first, 8<<20)
	c.up()
	createBucket(t, first, "before", "")
	must(t, http.StatusOK, http.MethodPut, objectURL(first, "before", "o"), "data")
	oldURL := c.smap(first).Primary.Public.URL
	if oldURL != first.URL() {
		t.Fatalf("%s is primary, expected the first proxy", oldURL)
	}
	free := fillDisk(t, first.Dir)
	var other *playground.Node
	deadline := time.Now().Add(stepTimeout)
	for i := 0; ; i++ { // changes that need more room than the file has left
		other = c.nodes[1]
		a, err := try(client, http.MethodPost, other.URL()+fmt.Sprintf("/v1/buckets/full-%d", i), `{"action":"create-bck","value":null}`, "Content-Type", jsonType)
		if err != nil || a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
			t.Fatalf("change %d: %v %d %s", i, err, a.status, a.body)
		}
		if url := c.smap(other).Primary.Public.URL; url != oldURL {
			t.Logf("handed over after %d changes", i+1)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the primary with a full disk keeps the role")
		}
	}
	createBucket(t, other, "after", "")
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(other, "before", "o"), "").body; got != "data" {
		t.Fatalf("read %q", got)
	}
	c.eventually("the node says why it is not ready", func() error {
		a, err := try(client, http.MethodGet, first.URL()+"/v1/health?readiness=true", "")
		if err == nil && (a.status != http.StatusServiceUnavailable || a.body == "") {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	free()
	c.eventually("it is back", func() error {
		if m := c.smap(first); len(m.Pmap) != 3 {
			return errors.New("not in the map yet")
		}
		a, err := try(client, http.MethodHead, first.URL()+"/v1/buckets/after", "")
		if err == nil && (a.status != http.StatusOK || a.header.Get("Ais-Stale") != "") {
			err = fmt.Errorf("%d %v", a.status, a.header)
		}
		return err
	})
	c.waitReady()
}
