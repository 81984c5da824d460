package test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestChunksOfAKilledPutAreRemoved: a target that is killed in the midst of a
// large PUT removes what is left of it when it is back; an upload that waits for
// its next part goes on.
func TestChunksOfAKilledPutAreRemoved(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	proxy, target := c.nodes[0], c.nodes[1]
	createBucket(t, proxy, "b", `{"chunks":{"max_monolithic_size":"1GiB","chunk_size":"64KiB"}}`)
	upload := objectURL(proxy, "b", "upload")
	id := must(t, http.StatusOK, http.MethodPost, upload, `{"action":"mpt-upload"}`).body
	must(t, http.StatusOK, http.MethodPut, upload+"?uploadId="+id+"&partNumber=1", "one ")
	before := chunkFiles(c)

	where := location(t, single(t, http.StatusTemporaryRedirect, http.MethodPut, objectURL(proxy, "b", "large"), ""))
	conn := dial(t, target)
	if _, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 2147483648\r\n\r\n%s", where.RequestURI(), where.Host, strings.Repeat("large ", 500_000)); err != nil {
		t.Fatal(err)
	}
	c.eventually("chunks of the PUT", func() error {
		if n := len(chunkFiles(c)); n < len(before)+10 {
			return fmt.Errorf("%d files", n)
		}
		return nil
	})
	if err := target.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.waitStopped(target)
	if n := len(chunkFiles(c)); n < len(before)+10 {
		t.Fatalf("the crash has left %d files, nothing to remove", n)
	}
	c.start(target)
	c.waitReady()
	c.eventually("removal of the chunks", func() error {
		if now := chunkFiles(c); fmt.Sprint(now) != fmt.Sprint(before) {
			return fmt.Errorf("%d files, want %d", len(now), len(before))
		}
		return nil
	})
	c.eventually("count of what was removed", func() error {
		if text := must(t, http.StatusOK, http.MethodGet, target.URL()+"/metrics", "").body; !strings.Contains(text, "ais_target_cleanup_store_count") || strings.Contains(text, `ais_target_cleanup_store_count{node_id="`+c.nodeID(target)+`"} 0`) {
			return fmt.Errorf("not in the metrics")
		}
		return nil
	})
	must(t, http.StatusOK, http.MethodPut, upload+"?uploadId="+id+"&partNumber=2", "two")
	must(t, http.StatusOK, http.MethodPost, upload+"?uploadId="+id, `{"action":"mpt-complete","value":[{"part-number":1,"etag":""},{"part-number":2,"etag":""}]}`)
	if a := must(t, http.StatusOK, http.MethodGet, upload, ""); a.body != "one two" {
		t.Errorf("the upload became %q", a.body)
	}
}

// chunkFiles are the chunks, parts, manifests and uploads on all targets.
func chunkFiles(c *cluster) (files []string) {
	for _, n := range c.nodes[1:] {
		for _, path := range c.filesBelow(n) {
			if strings.Contains(path, "/%ch/") || strings.Contains(path, "/%ut/") {
				files = append(files, path)
			}
		}
	}
	return files
}
