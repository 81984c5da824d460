package proxy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
)

// TestListingsAreJobs: a listing of several pages is a job of kind list under its own
// id, on every target, that counts names; one of a single page is none.
func TestListingsAreJobs(t *testing.T) {
	t.Parallel()
	b := newBulk(t, aistest.Options{Targets: 2})
	createBucket(t, b.c, "b")
	b.put("b", numbered("o-%03d", 0, 59)...)
	page := func(value string) (p wire.LsoPage) {
		t.Helper()
		_, body := expect(t, 200, follower, "GET", b.base+"/buckets/b", `{"action":"list","value":`+value+`}`, "Content-Type: application/json")
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	snaps := func(query string) (all []wire.Snap) {
		t.Helper()
		_, body := expect(t, 200, follower, "GET", b.base+"/cluster?what=qryxstats", query)
		var byTarget map[string][]wire.Snap
		if err := json.Unmarshal([]byte(body), &byTarget); err != nil {
			t.Fatal(err)
		}
		for _, list := range byTarget {
			all = append(all, list...)
		}
		return all
	}
	whole := page(`{"props":"name","prefix":"o-"}`)
	if whole.ContinuationToken != "" || len(whole.Entries) != 60 {
		t.Fatalf("%d names, token %q", len(whole.Entries), whole.ContinuationToken)
	}
	if all := snaps(`{"kind":"list"}`); len(all) != 0 {
		t.Errorf("a listing of one page: %+v", all)
	}
	first := page(`{"props":"name","pagesize":10}`)
	names, token := len(first.Entries), first.ContinuationToken
	for token != "" {
		next := page(fmt.Sprintf(`{"props":"name","pagesize":10,"uuid":%q,"continuation_token":%q}`, first.UUID, token))
		if next.UUID != first.UUID {
			t.Errorf("the next page is of listing %q", next.UUID)
		}
		names, token = names+len(next.Entries), next.ContinuationToken
	}
	all := snaps(`{"id":"` + first.UUID + `"}`)
	counted := int64(0)
	for _, s := range all {
		counted += s.Stats.LocalObjects
		if s.Kind != "list" || s.Bck.Name != "b" || s.Aborted || !s.EndTime.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if names != 60 || len(all) != 2 || counted < 60 {
		t.Errorf("%d names listed, %d counted on %d targets", names, counted, len(all))
	}
	_, body := expect(t, 200, follower, "GET", b.base+"/cluster?what=status", `{"id":"`+first.UUID+`"}`)
	var status wire.JobStatus
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.Kind != "list" || status.EndTime != 0 {
		t.Errorf("%s, %v", body, err)
	}
	// An id of another job, or of a job in another bucket, counts nothing there.
	createBucket(t, b.c, "c")
	b.put("c", numbered("o-%03d", 0, 19)...)
	expect(t, 200, follower, "GET", b.base+"/buckets/c", fmt.Sprintf(`{"action":"list","value":{"props":"name","pagesize":10,"uuid":%q}}`, first.UUID), "Content-Type: application/json")
	after := int64(0)
	for _, s := range snaps(`{"id":"` + first.UUID + `"}`) {
		after += s.Stats.LocalObjects
	}
	if after != counted {
		t.Errorf("counted %d, then %d", counted, after)
	}
	// It can be stopped, and the client can go on.
	expect(t, 200, follower, "PUT", b.base+"/cluster", `{"action":"stop","value":{"ID":"`+first.UUID+`"}}`)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		aborted := 0
		for _, s := range snaps(`{"id":"` + first.UUID + `"}`) {
			if s.Aborted && s.AbortError == "user abort" {
				aborted++
			}
		}
		if aborted == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not aborted")
		}
	}
	if p := page(fmt.Sprintf(`{"props":"name","pagesize":10,"uuid":%q,"continuation_token":"o-009"}`, first.UUID)); len(p.Entries) != 10 {
		t.Errorf("after the stop: %d names", len(p.Entries))
	}
}
