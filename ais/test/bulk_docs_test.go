package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBulkPage runs every command of docs/bulk.md, in order, in a cluster of three targets
// with three equal buckets of eleven objects, and two files that can be promoted.
func TestBulkPage(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 3)
	content := strings.Repeat("x", 20000)
	for _, bucket := range []string{"src", "archive", "backup"} {
		createBucket(t, c.nodes[0], bucket, "")
		must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], bucket, "readme"), content)
		for i := range 10 {
			must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], bucket, fmt.Sprintf("shards/shard-%04d.tar", i)), content)
		}
	}
	promote := filepath.Join(c.Root, "promote")
	if err := os.MkdirAll(filepath.Join(promote, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.jpg", "b.jpg"} {
		if err := os.WriteFile(filepath.Join(promote, "images", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page{name: "bulk.md", stderr: true, dir: t.TempDir(), env: []string{
		"AIS_ENDPOINT=" + c.nodes[0].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT=", "PROMOTE=" + promote,
	}}.run(t)
}
