package target_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/cksum"
)

// uploadOf begins an upload through a gateway.
func uploadOf(t *testing.T, address string) string {
	t.Helper()
	res, id := expect(t, 200, follower, "POST", address, strings.NewReader(`{"action":"mpt-upload"}`))
	if len(id) < 8 || strings.ContainsAny(id, " /\n") || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("upload id %q, %v", id, res.Header)
	}
	return id
}

func partURL(address, id string, number any) string {
	return fmt.Sprintf("%s?uploadId=%s&partNumber=%v", address, id, number)
}

// completion is the body that completes an upload.
func completion(numbers ...int) *strings.Reader {
	type part struct {
		Number int    `json:"part-number"`
		ETag   string `json:"etag"`
	}
	parts := []part{}
	for _, n := range numbers {
		parts = append(parts, part{Number: n})
	}
	text, _ := json.Marshal(map[string]any{"action": "mpt-complete", "value": parts})
	return strings.NewReader(string(text))
}

func oneTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i + 1
	}
	return numbers
}

// TestMultipart: an upload through a gateway, in order and not, its attributes,
// every kind of read, overwrite and delete.
func TestMultipart(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"sync","checksum":{"type":"md5"}}`)
	p := c.Proxies[0]
	var parts [][]byte
	for i := range 12 {
		parts = append(parts, randomBytes(100_000+i*7919, uint64(i)))
	}
	whole := bytes.Join(parts, nil)
	sums := map[string]string{}
	for _, kind := range []string{"md5", "crc32c"} {
		sum, err := cksum.Of(kind, whole)
		if err != nil {
			t.Fatal(err)
		}
		sums[kind] = sum.Value
	}
	for _, name := range []string{"in order", "shuffled"} {
		address := object(p, "d/"+name)
		expect(t, 200, follower, "PUT", address, strings.NewReader("old"))
		id := uploadOf(t, address)
		kind := "md5"
		if name == "shuffled" {
			kind = "crc32c"
			var wg sync.WaitGroup
			for _, i := range rand.Perm(len(parts)) {
				wg.Go(func() {
					expect(t, 200, follower, "PUT", partURL(address, id, i+1), bytes.NewReader(parts[i]))
				})
			}
			wg.Wait()
		} else {
			for i := range parts {
				res, body := expect(t, 200, follower, "PUT", partURL(address, id, i+1), bytes.NewReader(parts[i]))
				if body != "" || res.Header.Get("Etag") != "" {
					t.Errorf("a part is answered %q, %v", body, res.Header)
				}
			}
		}
		if _, body := expect(t, 200, follower, "GET", address, nil); body != "old" {
			t.Fatalf("%s: visible before it is complete: %d bytes", name, len(body))
		}
		res, body := expect(t, 200, follower, "POST", address+"?uploadId="+id, completion(oneTo(len(parts))...))
		if body != "" || res.Header.Get("Ais-Checksum-Type") != kind {
			t.Errorf("%s: completion is answered %q, %v", name, body, res.Header)
		}
		res, body = expect(t, 200, follower, "GET", address, nil)
		if body != string(whole) || res.Header.Get("Ais-Checksum-Type") != kind || res.Header.Get("Ais-Checksum-Value") != sums[kind] ||
			res.Header.Get("Ais-Version") != "2" {
			t.Errorf("%s: %d bytes of %d, %v", name, len(body), len(whole), res.Header)
		}
		for range 20 {
			start := rand.IntN(len(whole))
			end := start + rand.IntN(min(len(whole)-start, 1+rand.IntN(400_000)))
			if _, body := expect(t, 206, follower, "GET", address, nil, fmt.Sprintf("Range: bytes=%d-%d", start, end)); body != string(whole[start:end+1]) {
				t.Fatalf("%s: another range %d-%d: %d bytes", name, start, end, len(body))
			}
		}
		res, _ = expect(t, 200, follower, "HEAD", address+"?props=size,chunked", nil)
		if res.Header.Get("Ais-Chunks-Count") != "12" || res.Header.Get("Ais-Chunks-Max-Chunk-Size") != strconv.Itoa(len(parts[11])) ||
			res.Header.Get("Content-Length") != strconv.Itoa(len(whole)) {
			t.Errorf("%s: HEAD %v", name, res.Header)
		}
		_, list := expect(t, 200, follower, "GET", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"list","value":{"props":"name,size","prefix":"d/`+name+`"}}`))
		if want := fmt.Sprintf(`"size":"%d","flags":%d`, len(whole), 64+8192); !strings.Contains(list, want) {
			t.Errorf("%s: listing %s, want %s", name, list, want)
		}
		for method, body := range map[string]string{
			"POST": `{"action":"mpt-complete","value":[{"part-number":1,"etag":""}]}`, "DELETE": `{"action":"mpt-abort"}`,
		} {
			expect(t, 404, follower, method, address+"?uploadId="+id, strings.NewReader(body))
		}
		expect(t, 404, follower, "PUT", partURL(address, id, 1), strings.NewReader("x"))
		expect(t, 200, follower, "DELETE", address, nil)
		expect(t, 404, follower, "GET", address, nil)
	}
	noChunks(t, c)
}

// noChunks waits until no chunks and manifests are left: the last reader of a
// replaced object removes them when its handler returns, which may be after its
// client has everything.
func noChunks(t *testing.T, c *aistest.Cluster) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		left := chunkFiles(t, c)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %q", left)
		}
	}
}

// chunkFiles are the files of chunks and manifests on all mountpaths.
func chunkFiles(t *testing.T, c *aistest.Cluster) (found []string) {
	t.Helper()
	for _, target := range c.Targets {
		for _, root := range target.Paths {
			err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) {
					return nil // being removed
				}
				if err == nil && !entry.IsDir() && (strings.Contains(path, "/%ch/") || strings.Contains(path, "/%ut/")) {
					found = append(found, path)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return found
}

// TestMultipartRefused: what clients get wrong, with the statuses and texts
// that they compare.
func TestMultipartRefused(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	id := uploadOf(t, address)
	check := func(what string, status int, text, method, url string, body *strings.Reader, headers ...string) {
		t.Helper()
		res, answer := expect(t, status, follower, method, url, body, headers...)
		if e := message(t, res, answer); !strings.Contains(e.Message, text) {
			t.Errorf("%s: %q, want %q", what, e.Message, text)
		}
	}
	x := func() *strings.Reader { return strings.NewReader("x") }
	check("nothing uploaded", 400, "no chunks", "POST", address+"?uploadId="+id, completion())
	check("no number", 400, "partNumber", "PUT", address+"?uploadId="+id, x())
	check("number is a text", 400, "partNumber", "PUT", partURL(address, id, "one"), x())
	check("number 0", 500, "invalid chunk number", "PUT", partURL(address, id, 0), x())
	check("number -5", 500, "invalid chunk number", "PUT", partURL(address, id, -5), x())
	check("number 10000", 500, "exceeds the maximum allowed", "PUT", partURL(address, id, 10000), x())
	check("a very large number", 500, "exceeds the maximum allowed", "PUT", partURL(address, id, "99999999999999999999999"), x())
	check("empty part", 400, "put-part invalid size (0)", "PUT", partURL(address, id, 1), strings.NewReader(""))
	res, answer := expect(t, 400, strict, "PUT", partURL(object(c.Targets[0], "o"), id, 1), onlyReader{x()}, "Ais-Smap-Version: 1")
	if e := message(t, res, answer); !strings.Contains(e.Message, "put-part invalid size (-1)") {
		t.Error(e.Message)
	}
	check("wrong SHA-256", 400, "BAD DATA CHECKSUM: sha256", "PUT", partURL(address, id, 1), x(), "x-amz-content-sha256: "+strings.Repeat("0", 64))
	expect(t, 200, follower, "PUT", partURL(address, id, 1), x(), "x-amz-content-sha256: UNSIGNED-PAYLOAD")
	expect(t, 200, follower, "PUT", partURL(address, id, 1), x(), "x-amz-content-sha256: 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
		"Ais-Checksum-Type: md5", "Ais-Checksum-Value: ignored")
	expect(t, 200, follower, "PUT", partURL(address, id, 3), x())
	check("a gap", 400, "chunk at (1) has invalid number 3 (count=2)", "POST", address+"?uploadId="+id, completion(1, 3))
	check("too few", 400, "partial completion", "POST", address+"?uploadId="+id, completion(1))
	check("twice", 400, "partial completion", "POST", address+"?uploadId="+id, completion(1, 3, 3))
	check("another object", 404, "does not exist", "PUT", partURL(object(c.Proxies[0], "p"), id, 1), x())
	check("abort by POST", 400, "invalid action", "POST", address+"?uploadId="+id, strings.NewReader(`{"action":"mpt-abort"}`))
	expect(t, 404, follower, "GET", address, nil)
	res, _ = expect(t, 200, follower, "DELETE", address+"?uploadId="+id, strings.NewReader(`{"action":"mpt-abort"}`))
	if res.Header.Get("Content-Length") != "0" && res.ContentLength != 0 {
		t.Error(res.Header)
	}
	check("after the abort", 404, "does not exist", "PUT", partURL(address, id, 1), x())
	noChunks(t, c)
}

// TestTruncatedChunk: a chunk that is gone or cut off fails a read before its
// first byte, and the object stays; ranges that avoid it can be read.
func TestTruncatedChunk(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	address := object(c.Proxies[0], "o")
	id := uploadOf(t, address)
	for n := 1; n <= 3; n++ {
		expect(t, 200, follower, "PUT", partURL(address, id, n), bytes.NewReader(bytes.Repeat([]byte{byte('0' + n)}, 1000)))
	}
	expect(t, 200, follower, "POST", address+"?uploadId="+id, completion(1, 2, 3))
	var third string
	for _, path := range chunkFiles(t, c) {
		if strings.HasSuffix(path, ".00003") {
			third = path
		}
	}
	for _, damage := range []func() error{
		func() error { return os.Truncate(third, 999) },
		func() error { return os.Truncate(third, 1001) },
		func() error { return os.Remove(third) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		res, body := expect(t, 500, follower, "GET", address, nil)
		if e := message(t, res, body); !strings.Contains(e.Message, "truncated") || !strings.Contains(e.Message, "ais://b/o") {
			t.Error(e.Message)
		}
		expect(t, 500, follower, "GET", address, nil, "Range: bytes=1990-2010")
		if _, body := expect(t, 206, follower, "GET", address, nil, "Range: bytes=990-1009"); body != "11111111112222222222" {
			t.Errorf("%q", body)
		}
		expect(t, 200, follower, "HEAD", address, nil)
	}
	expect(t, 200, follower, "PUT", address, strings.NewReader("new"))
	if _, body := expect(t, 200, follower, "GET", address, nil); body != "new" {
		t.Errorf("%q", body)
	}
	noChunks(t, c)
}

// A bucket that validates finds a changed chunk before the answer begins.
func TestChangedChunk(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none","checksum":{"validate_warm_get":true}}`)
	address := object(c.Proxies[0], "o")
	id, whole := uploadOf(t, address), ""
	for n := 1; n <= 3; n++ {
		part := strings.Repeat(string(rune('0'+n)), 50_000)
		whole += part
		expect(t, 200, follower, "PUT", partURL(address, id, n), strings.NewReader(part))
	}
	expect(t, 200, follower, "POST", address+"?uploadId="+id, completion(1, 2, 3))
	if _, body := expect(t, 200, follower, "GET", address, nil); body != whole {
		t.Errorf("%d bytes of an object that is whole", len(body))
	}
	for _, path := range chunkFiles(t, c) {
		if !strings.HasSuffix(path, ".00003") {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte("x"), 49_999)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, header := range []string{"Accept: */*", "Range: bytes=0-10"} {
		res, body := expect(t, 500, follower, "GET", address, nil, header)
		if e := message(t, res, body); !strings.Contains(e.Message, "truncated") || !strings.Contains(e.Message, "ais://b/o") {
			t.Errorf("%s: %s", header, e.Message)
		}
	}
	expect(t, 200, follower, "HEAD", address, nil)
	expect(t, 200, follower, "DELETE", address, nil)
	noChunks(t, c)
}
