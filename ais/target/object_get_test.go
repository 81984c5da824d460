package target_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// putObjects stores plain and chunked objects, small and large, and returns
// their contents by name.
func putObjects(t *testing.T, n *aistest.Node) map[string]string {
	t.Helper()
	contents := map[string]string{}
	for name, size := range map[string]int{"plain": 3000, "plain-large": 300_000} {
		contents[name] = string(randomBytes(size, uint64(size)))
		expect(t, 200, follower, "PUT", object(n, name), strings.NewReader(contents[name]))
	}
	for name, size := range map[string]int{"chunked": 1000, "chunked-large": 100_000} {
		id := uploadOf(t, object(n, name))
		for i := 1; i <= 3; i++ {
			part := randomBytes(size, uint64(size+i))
			contents[name] += string(part)
			expect(t, 200, follower, "PUT", partURL(object(n, name), id, i), bytes.NewReader(part))
		}
		expect(t, 200, follower, "POST", object(n, name)+"?uploadId="+id, completion(1, 2, 3))
	}
	return contents
}

// TestAnswersTellTheAccessBefore: GET shows when the object was read before, and
// a range that cannot be served is no reading.
func TestAnswersTellTheAccessBefore(t *testing.T) {
	t.Parallel()
	for _, props := range []string{`{}`, `{"checksum":{"validate_warm_get":true}}`, `{"checksum":{"enable_read_range":true}}`} {
		c := cluster(t, 1, props)
		ask := connect(t, c.Targets[0])
		for name, content := range putObjects(t, c.Proxies[0]) {
			path := "/v1/objects/b/" + name
			shown := func(res *http.Response) int64 {
				t.Helper()
				at, err := strconv.ParseInt(res.Header.Get("Ais-Atime"), 10, 64)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				return at
			}
			res, _ := ask(200, "HEAD", path, "", "")
			last := [2]int64{shown(res), shown(res)}
			for i, header := range []string{"", "", "Range: bytes=10-2000\r\n", "Range: bytes=1500-\r\n", "Ais-Unknown: x\r\n", ""} {
				status, from, to := 200, 0, len(content)
				switch i {
				case 2:
					status, from, to = 206, 10, 2001
				case 3:
					status, from = 206, 1500
				}
				before := time.Now().UnixNano()
				res, body := ask(status, "GET", path, header, "")
				after := time.Now().UnixNano()
				if at := shown(res); body != content[from:to] || at < last[0] || at > last[1] {
					t.Fatalf("%s, %s, %q: %d bytes, access time %d, want one in %d", name, props, header, len(body), at, last)
				}
				last = [2]int64{before, after}
				for _, bad := range []string{"bytes=300000-", "bytes=5-3", "bytes=1-2,5-6"} {
					res, _ := ask(416, "GET", path, "Range: "+bad+"\r\n", "")
					if got, want := res.Header.Get("Content-Range"), "bytes */"+strconv.Itoa(len(content)); (got == want) != (bad == "bytes=300000-") {
						t.Errorf("%s, %s: Content-Range %q", name, bad, got)
					}
				}
				res, _ = ask(200, "HEAD", path, "", "")
				if at := shown(res); at < last[0] || at > last[1] {
					t.Fatalf("%s, %s, %q: HEAD shows %d, want one in %d", name, props, header, at, last)
				}
			}
		}
	}
}

// TestReadsOpenOnce: whatever a read is answered with, its files are opened and
// its content is summed once.
func TestReadsOpenOnce(t *testing.T) {
	t.Parallel()
	for _, validated := range []bool{false, true} {
		disk := faultfs.New(nil)
		c := aistest.New(t, aistest.Options{System: disk})
		expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"checksum":{"validate_warm_get":`+strconv.FormatBool(validated)+`}}}`))
		ask := connect(t, c.Targets[0])
		contents := putObjects(t, c.Proxies[0])
		for _, name := range []string{"plain-large", "chunked-large"} {
			ask(200, "GET", "/v1/objects/b/"+name, "", "")
			for status, header := range map[int]string{200: "", 206: "Range: bytes=50000-250000\r\n", 416: "Range: bytes=999999-\r\n"} {
				disk.Reset()
				ask(status, "GET", "/v1/objects/b/"+name, header, "")
				read, opened := 0, map[string]int{}
				for _, call := range disk.Calls() {
					inChunk := strings.Contains(call.Path, "/%ch/")
					if !inChunk && !strings.Contains(call.Path, "/%ob/") {
						continue
					}
					switch call.Op {
					case faultfs.OpRead:
						read += call.Bytes
					case faultfs.OpOpen:
						opened[call.Path]++
					}
				}
				want := 0 // it is sent by the kernel
				if validated {
					want = len(contents[name])
				}
				if read != want {
					t.Errorf("%s, validated %v, %d: %d bytes were read, want %d", name, validated, status, read, want)
				}
				for path, times := range opened {
					most := 1
					if validated && status != 416 && strings.Contains(path, "/%ch/") {
						most = 2 // to be summed, and to be sent
					}
					if times > most {
						t.Errorf("%s, validated %v, %d: %s was opened %d times", name, validated, status, path, times)
					}
				}
				if len(opened) == 0 {
					t.Errorf("%s, %d: no file was opened", name, status)
				}
			}
		}
	}
}

// TestLargeAppendKeepsTheConnection: whoever appends much goes on with the
// connection, and what is refused by its size is refused at once.
func TestLargeAppendKeepsTheConnection(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	ask := connect(t, c.Targets[0])
	body := strings.Repeat("0123456789abcdef", 64<<10)
	header := "Ais-Smap-Version: 1\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	path, handle := "/v1/objects/b/o?append_type=append", ""
	for range 3 {
		res, _ := ask(200, "PUT", path+handle, header, body)
		if res.Close {
			t.Fatalf("%v", res.Header)
		}
		handle = "&append_handle=" + url.QueryEscape(res.Header.Get("Ais-Append-Handle"))
	}
	ask(200, "PUT", "/v1/objects/b/o?append_type=flush"+handle, "Ais-Smap-Version: 1\r\nContent-Length: 0\r\n", "")
	if _, got := ask(200, "GET", "/v1/objects/b/o", "", ""); got != body+body+body {
		t.Errorf("%d bytes", len(got))
	}
}
