package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

// lister serves list-objects for names, in msgpack or JSON.
func lister(t *testing.T, names []string, msgpack bool, breakAt string) *api.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var msg struct {
			Action string      `json:"action"`
			Value  wire.LsoMsg `json:"value"`
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &msg); err != nil || msg.Action != wire.ActList || r.URL.Path != "/v1/buckets/b1" {
			fail(w, r, http.StatusBadRequest, "", "failed to unmarshal %s (%v)", body, err)
			return
		}
		if r.Header.Get("Accept") != wire.ContentMsgpack {
			fail(w, r, http.StatusBadRequest, "", "Accept is %q", r.Header.Get("Accept"))
			return
		}
		if msg.Value.ContinuationToken != "" && msg.Value.UUID != "list-uuid" {
			fail(w, r, http.StatusBadRequest, "", "UUID %q", msg.Value.UUID)
			return
		}
		if breakAt != "" && msg.Value.ContinuationToken >= breakAt {
			fail(w, r, http.StatusServiceUnavailable, "", "a target does not answer")
			return
		}
		size := int(msg.Value.PageSize)
		if size == 0 {
			size = 10
		}
		page := wire.LsoPage{UUID: "list-uuid"}
		for i, name := range names {
			if name <= msg.Value.ContinuationToken || !strings.HasPrefix(name, msg.Value.Prefix) {
				continue
			}
			page.Entries = append(page.Entries, wire.LsoEntry{Name: name, Size: int64(i), Flags: wire.EntryPresent})
			if len(page.Entries) == size {
				page.ContinuationToken = name
				break
			}
		}
		if msgpack {
			w.Header().Set("Content-Type", wire.ContentMsgpack)
			_, _ = w.Write(page.AppendMsgpack(nil))
			return
		}
		w.Header().Set("Content-Type", wire.ContentJSON)
		data, _ := json.Marshal(page)
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	c, err := api.New(api.Options{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestListObjects(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("dir%d/обj-%03d", i%3, i))
	}
	slices.Sort(names)
	for _, msgpack := range []bool{true, false} {
		t.Run("msgpack="+strconv.FormatBool(msgpack), func(t *testing.T) {
			t.Parallel()
			c := lister(t, names, msgpack, "")
			for _, pageSize := range []int64{0, 1, 7, 50, 100, 1000} {
				var got []string
				for entry, err := range c.Objects(t.Context(), bucket, wire.LsoMsg{PageSize: pageSize}) {
					if err != nil {
						t.Fatal(err)
					}
					if entry.Size != int64(len(got)) || !entry.IsPresent() {
						t.Fatalf("entry %+v", entry)
					}
					got = append(got, entry.Name)
				}
				if diff := cmp.Diff(names, got); diff != "" {
					t.Fatalf("pages of %d: %s", pageSize, diff)
				}
			}
			for _, limit := range []int64{1, 9, 10, 11, 99, 100, 101} {
				entries, err := c.ListObjects(t.Context(), bucket, wire.LsoMsg{}, limit)
				if err != nil || len(entries) != int(min(limit, 100)) {
					t.Fatalf("limit %d: %d entries, %v", limit, len(entries), err)
				}
			}
			entries, err := c.ListObjects(t.Context(), bucket, wire.LsoMsg{Prefix: "dir1/"}, 0)
			if err != nil || len(entries) != 33 {
				t.Fatalf("prefix: %d entries, %v", len(entries), err)
			}
		})
	}
}

func TestListingThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c", "d"}
	c := lister(t, names, true, "b")
	if entries, err := c.ListObjects(t.Context(), bucket, wire.LsoMsg{PageSize: 2}, 0); api.HTTPStatus(err) != 503 || entries != nil {
		t.Fatalf("%v, %v", entries, err)
	}
	var last error
	n := 0
	for _, err := range c.Objects(t.Context(), bucket, wire.LsoMsg{PageSize: 2}) {
		last = err
		n++
	}
	if n != 3 || api.HTTPStatus(last) != 503 {
		t.Fatalf("%d elements, %v", n, last)
	}
}
