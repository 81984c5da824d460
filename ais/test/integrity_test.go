package test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

// What is told of corruption, from the disk to the client.
//
//	a bucket made again is empty    TestIntegrityWithoutValidation; core: TestNothingOfADestroyedBucketIsSeenAgain
//	names tell no state             core: TestNamesTellWhatAFileIs
//	p beside p/q                    TestHostileNames
//	long names                      TestHostileNames; core: TestPlaceOfALongNameDependsOnTheNameAlone
//	found before the first byte     TestCorruptionEndToEnd
//	validation of warm reads        TestCorruptionEndToEnd, TestIntegrityWithoutValidation
//	quarantine                      TestCorruptionEndToEnd, TestIntegrityWithoutValidation

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(data[at:at+1], int64(at))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flipRecord changes one bit of an object's record.
func flipRecord(t *testing.T, path string) {
	t.Helper()
	record := make([]byte, 4096)
	n, err := unix.Getxattr(path, "user.ais.lom", record)
	if err == nil {
		record[n/2] ^= 1
		err = unix.Setxattr(path, "user.ais.lom", record[:n], 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCorruptionEndToEnd damages objects on the disks of real targets in every
// way and reads them in every way: corrupt bytes are never sent, the read that
// finds them says so, later ones find nothing, and an operator is told.
func TestCorruptionEndToEnd(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	p := c.nodes[0]
	content := strings.Repeat("0123456789abcdef", 8<<10) // 128 KiB
	large := strings.Repeat("v", 2000)
	sidecar := func(path string) string {
		root, _, _ := strings.Cut(path, "/%ob/")
		matches, err := filepath.Glob(root + "/%md/*/*")
		if err != nil || len(matches) != 1 {
			t.Fatalf("%q, %v", matches, err)
		}
		return matches[0]
	}
	type damage struct {
		name    string
		content bool // HEAD, which reads no content, does not see it
		do      func(path string)
	}
	damages := []damage{
		{"bit", true, func(path string) { flip(t, path, 70_000) }},
		{"record", false, func(path string) { flipRecord(t, path) }},
		{"sidecar", false, func(path string) { flip(t, sidecar(path), 300) }},
		{"truncated", false, func(path string) {
			if err := os.Truncate(path, 70_000); err != nil {
				t.Fatal(err)
			}
		}},
	}
	read := map[string]func(bucket string) answer{
		"GET":   func(b string) answer { return call(t, http.MethodGet, objectURL(p, b, "o"), "") },
		"range": func(b string) answer { return call(t, http.MethodGet, objectURL(p, b, "o"), "", "Range", "bytes=5-9") },
		"HEAD":  func(b string) answer { return call(t, http.MethodHead, objectURL(p, b, "o"), "") },
		"copy": func(b string) answer {
			return call(t, http.MethodPut, objectURL(p, b, "o")+"?object_to=ais/@%23/"+b+"/copied", "")
		},
	}
	quarantine := 0
	for _, kind := range []string{"xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"} {
		for _, d := range damages {
			if kind != "xxhash2" && !d.content {
				continue // has nothing to do with the type
			}
			for name, ask := range read {
				bucket := kind + "-" + d.name + "-" + strings.ToLower(name)
				createBucket(t, p, bucket, `{"checksum":{"type":"`+kind+`","validate_warm_get":true},"durability":"none"}`)
				headers := []string{"Ais-Custom-Md", "k=" + large}
				must(t, http.StatusOK, http.MethodPut, objectURL(p, bucket, "o"), content, headers...)
				d.do(c.fileOf(bucket, "o"))
				a := ask(bucket)
				if name == "HEAD" && d.content {
					if a.status != http.StatusOK || a.header.Get("Ais-Checksum-Value") == "" {
						t.Errorf("%s: HEAD: %d", bucket, a.status)
					}
					a = read["GET"](bucket)
				}
				message := a.body
				if name == "HEAD" && !d.content {
					message = a.header.Get("Hdr-Error")
				}
				if a.status != http.StatusInternalServerError || !strings.Contains(message, "BAD DATA CHECKSUM:") || strings.Contains(a.body, "0123456789abcdef") {
					t.Errorf("%s: %d %.200s", bucket, a.status, message)
				}
				quarantine++
				if a := ask(bucket); a.status != http.StatusNotFound {
					t.Errorf("%s, again: %d %.200s", bucket, a.status, a.body)
				}
				if names := listAll(t, c.proxies(), bucket, "", 0); len(names) != 0 {
					t.Errorf("%s: %q are listed", bucket, names)
				}
			}
		}
	}
	var dirs []string
	for _, n := range c.targets() {
		for i := 1; i <= c.Mountpaths; i++ {
			found, err := filepath.Glob(filepath.Join(c.Mountpath(n, i), ".ais.quarantine", "*"))
			if err != nil {
				t.Fatal(err)
			}
			dirs = append(dirs, found...)
		}
	}
	if len(dirs) != quarantine {
		t.Errorf("%d in quarantine, want %d", len(dirs), quarantine)
	}
	for _, n := range c.targets() {
		if text := must(t, http.StatusOK, http.MethodGet, n.URL()+"/metrics", "").body; strings.Contains(text, `ais_target_quarantine_count{node_id="`+c.nodeID(n)+`"} 0`) || !strings.Contains(text, "ais_target_quarantine_count") {
			t.Error("the metric does not count what is in quarantine")
		}
		c.wantFlags(n, 6|1<<13)
	}
	// An operator has looked at it.
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.targets() {
		c.wantFlags(n, 6)
	}
}

func TestIntegrityWithoutValidation(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 2)
	p := c.nodes[0]
	t.Run("a bucket made again is empty", func(t *testing.T) {
		names := []string{"plain", "d/e", "d", "a//b", strings.Repeat("n", 300)}
		for round := range 3 {
			createBucket(t, p, "again", `{"durability":"none"}`)
			for _, name := range names {
				must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "again", name), "")
			}
			if got := listAll(t, c.proxies(), "again", "", 0); len(got) != 0 {
				t.Errorf("round %d: %q", round, got)
			}
			for _, name := range names {
				a := must(t, http.StatusOK, http.MethodPut, objectURL(p, "again", name), "x", "Ais-Custom-Md", "k="+strings.Repeat("v", 2000))
				if a.header.Get("Ais-Version") != "1" {
					t.Errorf("round %d: %.20q has version %s", round, name, a.header.Get("Ais-Version"))
				}
			}
			must(t, http.StatusOK, http.MethodDelete, p.URL()+"/v1/buckets/again", `{"action":"destroy-bck"}`, "Content-Type", jsonType)
		}
	})
	t.Run("without validation the checksum tells", func(t *testing.T) {
		createBucket(t, p, "warm", "")
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "warm", "o"), "some content that rots")
		flip(t, c.fileOf("warm", "o"), 3)
		must(t, http.StatusOK, http.MethodGet, objectURL(p, "warm", "o"), "")
		client, err := api.New(api.Options{URL: p.URL()})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		bck := wire.Bck{Name: "warm", Provider: wire.ProviderAIS}
		_, _, err = client.GetObject(context.Background(), bck, "o", &bytes.Buffer{}, api.GetArgs{Validate: true})
		if !errors.Is(err, api.ErrChecksumMismatch) {
			t.Errorf("a validating client: %v", err)
		}
		// Type none: there is nothing to compare with, and nothing is refused.
		createBucket(t, p, "none", `{"checksum":{"type":"none","validate_warm_get":true}}`)
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "none", "o"), "some content that rots")
		flip(t, c.fileOf("none", "o"), 3)
		must(t, http.StatusOK, http.MethodGet, objectURL(p, "none", "o"), "")
	})
	t.Run("without validation", func(t *testing.T) {
		createBucket(t, p, "size", "")
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "size", "o"), "precious bytes")
		if err := os.Truncate(c.fileOf("size", "o"), 3); err != nil {
			t.Fatal(err)
		}
		quarantined(t, c, "size", "o", "pre")
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "size", "o"), "precious bytes")
		if err := os.Truncate(c.fileOf("size", "o"), 3); err != nil {
			t.Fatal(err)
		}
		// Overwritten before anybody read it: the damaged file is kept too.
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "size", "o"), "new bytes")
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "size", "o"), ""); a.body != "new bytes" {
			t.Errorf("%q", a.body)
		}
	})
}
