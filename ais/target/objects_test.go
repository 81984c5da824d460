package target_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/fs"

	"github.com/aistore-go/aistore/ais/aistest"
)

// randomBytes are the same for the same seed.
func randomBytes(n int, seed uint64) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(data)
	return data
}

// TestBytesComeBack, of every size at which the way of sending changes.
func TestBytesComeBack(t *testing.T) {
	t.Parallel()
	c := cluster(t, 3, `{"durability":"none"}`)
	p := c.Proxies[0]
	for _, size := range []int{0, 1, 4096, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20, 5<<20 + 3} {
		data := randomBytes(size, uint64(size))
		name := "dir/size " + strconv.Itoa(size)
		put, _ := expect(t, 200, follower, "PUT", object(p, name), bytes.NewReader(data))
		get, body := expect(t, 200, follower, "GET", object(p, name), nil)
		if body != string(data) {
			t.Fatalf("%d bytes: %d came back", size, len(body))
		}
		head, _ := expect(t, 200, follower, "HEAD", object(p, name), nil)
		sum, err := cksum.Of(cksum.XXHash2, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, res := range []*http.Response{put, get, head} {
			if res.Header.Get("Ais-Checksum-Type") != "xxhash2" || res.Header.Get("Ais-Checksum-Value") != sum.Value || res.Header.Get("Ais-Version") != "1" ||
				res.Header.Get("Ais-Atime") == "" {
				t.Errorf("%s of %d bytes: %v", res.Request.Method, size, res.Header)
			}
		}
		if get.ContentLength != int64(size) || get.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("GET: %v", get.Header)
		}
		if size == 0 && head.Header["Content-Length"] != nil || size > 0 && head.ContentLength != int64(size) {
			t.Errorf("HEAD of %d bytes: %v", size, head.Header)
		}
		for _, key := range []string{"Ais-Present: true", "Ais-Name: " + name, "Ais-Bucket-Name: b", "Ais-Bucket-Provider: ais", "Ais-Mirror-Copies: 1"} {
			k, want, _ := strings.Cut(key, ": ")
			if got := head.Header.Get(k); got != want {
				t.Errorf("HEAD: %s is %q, want %q", k, got, want)
			}
		}
		if loc := head.Header.Get("Ais-Location"); !strings.HasPrefix(loc, "t[target-00") || !strings.Contains(loc, "]:mp[/") {
			t.Errorf("location %q", loc)
		}
		if paths := head.Header.Get("Ais-Mirror-Paths"); !strings.HasPrefix(paths, "[/") || !strings.HasSuffix(paths, "]") {
			t.Errorf("paths %q", paths)
		}
	}
}

// onlyReader hides the size of a body, so that it is sent in chunks.
type onlyReader struct{ io.Reader }

func TestChunkedPut(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	data := randomBytes(3<<20, 1)
	url := object(c.Targets[0], "o")
	expect(t, 200, strict, "PUT", url, onlyReader{bytes.NewReader(data)}, "Ais-Smap-Version: 1")
	if _, body := expect(t, 200, strict, "GET", url, nil); body != string(data) {
		t.Fatal("other bytes came back")
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	target := c.Targets[0]
	for _, size := range []int{1000, 1 << 20} {
		data := randomBytes(size, 7)
		name := "o" + strconv.Itoa(size)
		expect(t, 200, follower, "PUT", object(c.Proxies[0], name), bytes.NewReader(data))
		sum, err := cksum.Of(cksum.XXHash2, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			header     string
			start, end int // inclusive
		}{
			{"bytes=0-0", 0, 0}, {"bytes=1-9", 1, 9}, {"bytes=10-", 10, size - 1}, {"bytes=-3", size - 3, size - 1}, {"bytes=0-", 0, size - 1},
			{"bytes=5-99999999", 5, size - 1}, {"bytes=-99999999", 0, size - 1}, {"bytes=" + strconv.Itoa(size-1) + "-", size - 1, size - 1},
			{"bytes=100-" + strconv.Itoa(size-100), 100, size - 100},
		} {
			res, body := expect(t, 206, strict, "GET", object(target, name), nil, "Range: "+tc.header)
			if body != string(data[tc.start:tc.end+1]) {
				t.Errorf("%s of %d: %d bytes", tc.header, size, len(body))
			}
			if got, want := res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", tc.start, tc.end, size); got != want {
				t.Errorf("%s: %q, want %q", tc.header, got, want)
			}
			if res.Header.Get("Accept-Ranges") != "bytes" || res.Header.Get("Ais-Checksum-Value") != sum.Value {
				t.Errorf("%s: %v", tc.header, res.Header)
			}
		}
		for _, header := range []string{"bytes=" + strconv.Itoa(size) + "-", "bytes=" + strconv.Itoa(size) + "-99999999"} {
			res, body := expect(t, 416, strict, "GET", object(target, name), nil, "Range: "+header)
			if e := message(t, res, body); e.TypeCode != "ErrRangeNotSatisfiable" || res.Header.Get("Content-Range") != "bytes */"+strconv.Itoa(size) {
				t.Errorf("%s: %v %v", header, e, res.Header)
			}
		}
		for _, header := range []string{"potatoes=0-1", "bytes", "bytes=", "bytes=0--1", "bytes=1-0", "bytes=-1-0", "bytes=--1", "bytes=a-b", "bytes=1"} {
			res, _ := expect(t, 416, strict, "GET", object(target, name), nil, "Range: "+header)
			if res.Header.Get("Content-Range") != "" {
				t.Errorf("%s: %v", header, res.Header)
			}
		}
		res, body := expect(t, 416, strict, "GET", object(target, name), nil, "Range: bytes=1-2,4-6")
		if e := message(t, res, body); e.TypeCode != "ErrUnsupp" {
			t.Error(e)
		}
		expect(t, 416, strict, "GET", object(target, name), nil, "Range: bytes=1-2", "Range: bytes=4-6")
	}
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "empty"), nil)
	res, _ := expect(t, 416, strict, "GET", object(target, "empty"), nil, "Range: bytes=0-")
	if res.Header.Get("Content-Range") != "bytes */0" {
		t.Error(res.Header)
	}
}

func TestRangeChecksum(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none","checksum":{"type":"md5","enable_read_range":true}}`)
	data := randomBytes(400<<10, 3)
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "o"), bytes.NewReader(data))
	for header, part := range map[string][]byte{"bytes=10-19": data[10:20], "bytes=5-": data[5:], "bytes=0-": data} {
		res, _ := expect(t, 206, follower, "GET", object(c.Proxies[0], "o"), nil, "Range: "+header)
		sum := md5.Sum(part)
		if got := res.Header.Get("Ais-Checksum-Value"); got != hex.EncodeToString(sum[:]) || res.Header.Get("Ais-Checksum-Type") != "md5" {
			t.Errorf("%s: %v", header, res.Header)
		}
	}
}

func TestPutChecksums(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	for _, kind := range []string{"xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512"} {
		sum, err := cksum.Of(kind, []byte("hello world"))
		if err != nil {
			t.Fatal(err)
		}
		res, body := expect(t, 500, follower, "PUT", object(p, "bad-"+kind), strings.NewReader("hello world"),
			"Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: badchecksum")
		if e := message(t, res, body); e.TypeCode != "ErrBadCksum" || !strings.HasPrefix(e.Message, "BAD DATA CHECKSUM: "+kind+"(badchecksum != "+sum.Value+")") {
			t.Error(e)
		}
		expect(t, 404, follower, "GET", object(p, "bad-"+kind), nil)
		expect(t, 200, follower, "PUT", object(p, "good-"+kind), strings.NewReader("hello world"),
			"Ais-Checksum-Type: "+kind, "Ais-Checksum-Value: "+sum.Value)
	}
	expect(t, 500, follower, "PUT", object(p, "good-md5"), strings.NewReader("other"), "Ais-Checksum-Type: md5", "Ais-Checksum-Value: 00")
	if _, body := expect(t, 200, follower, "GET", object(p, "good-md5"), nil); body != "hello world" {
		t.Errorf("after a bad overwrite: %q", body)
	}
	res, body := expect(t, 400, follower, "PUT", object(p, "x"), strings.NewReader("x"), "Ais-Checksum-Type: sha1", "Ais-Checksum-Value: 00")
	if e := message(t, res, body); !strings.Contains(e.Message, "sha1") || !strings.Contains(e.Message, "xxhash2") {
		t.Error(e)
	}
	expect(t, 200, follower, "PUT", object(p, "no-value"), strings.NewReader("x"), "Ais-Checksum-Type: md5")
	for _, more := range []string{"Accept: */*", "X-Other: 1"} { // in the loop and outside it
		res, body = expect(t, 400, follower, "PUT", object(p, "good-md5"), strings.NewReader("hello"), "Ais-Checksum-Value: 5d41402abc4b2a76b9719d911017c592", more)
		if e := message(t, res, body); !strings.Contains(e.Message, "Ais-Checksum-Type is missing") {
			t.Error(e)
		}
	}
	if _, body = expect(t, 200, follower, "GET", object(p, "good-md5"), nil); body != "hello world" {
		t.Errorf("after a refused overwrite: %q", body)
	}

	expect(t, 200, follower, "POST", p.URL()+"/v1/buckets/none", strings.NewReader(`{"action":"create-bck","value":{"checksum":{"type":"none"}}}`))
	res, _ = expect(t, 200, follower, "PUT", p.URL()+"/v1/objects/none/o", strings.NewReader("x"), "Ais-Checksum-Type: md5", "Ais-Checksum-Value: 00")
	if res.Header["Ais-Checksum-Type"] != nil {
		t.Error(res.Header)
	}
	if res, _ = expect(t, 200, follower, "GET", p.URL()+"/v1/objects/none/o", nil); res.Header["Ais-Checksum-Value"] != nil {
		t.Error(res.Header)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	sum, err := cksum.Of(cksum.XXHash2, []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		body, query, header, want string
	}{
		{"one", "", "", "1"},
		{"two", "", "", "2"},
		{"two", "", "Ais-Checksum-Type: xxhash2\nAis-Checksum-Value: " + sum.Value, "2"}, // identical
		{"x", "", "Ais-Version: 77", "78"},
		{"y", "", "", "79"},
		{"y", "", "Ais-Version: abc", "abc"},
		{"y", "", "", "abc"},
		{"z", "?skip_vc=true", "", "1"},
		{"z", "", "", "2"},
	} {
		var headers []string
		if step.header != "" {
			headers = strings.Split(step.header, "\n")
		}
		res, _ := expect(t, 200, follower, "PUT", object(p, "o")+step.query, strings.NewReader(step.body), headers...)
		if got := res.Header.Get("Ais-Version"); got != step.want {
			t.Errorf("PUT %q %s: version %q, want %q", step.body, step.header, got, step.want)
		}
		if _, body := expect(t, 200, follower, "GET", object(p, "o"), nil); body != step.body {
			t.Errorf("content %q, want %q", body, step.body)
		}
	}
	expect(t, 200, follower, "DELETE", object(p, "o"), strings.NewReader("{}"))
	if res, _ := expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("a")); res.Header.Get("Ais-Version") != "1" {
		t.Error("a re-created object starts at 1")
	}
	expect(t, 200, follower, "PATCH", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"set-bprops","value":{"versioning":{"enabled":false}}}`))
	if res, _ := expect(t, 200, follower, "PUT", object(p, "n"), strings.NewReader("a")); res.Header["Ais-Version"] != nil {
		t.Error("version without versioning")
	}
}

func TestCustomMetadata(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	lines := func(method string) []string {
		t.Helper()
		res, _ := expect(t, 200, follower, method, object(p, "o"), nil)
		list := slices.Clone(res.Header["Ais-Custom-Md"])
		slices.Sort(list)
		return list
	}
	res, _ := expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("1"), "Ais-Custom-Md: k=v", "Ais-Custom-Md: e=a=b", "Ais-Custom-Md: empty=")
	if want := []string{"e=a=b", "empty=", "k=v"}; !slices.Equal(res.Header["Ais-Custom-Md"], want) || !slices.Equal(lines("GET"), want) || !slices.Equal(lines("HEAD"), want) {
		t.Errorf("PUT %q GET %q", res.Header["Ais-Custom-Md"], lines("GET"))
	}
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("2"), "Ais-Custom-Md: k=w")
	if got := lines("GET"); !slices.Equal(got, []string{"e=a=b", "empty=", "k=w"}) {
		t.Errorf("other keys survive an overwrite: %q", got)
	}
	expect(t, 200, follower, "PUT", object(p, "o")+"?skip_vc=true", strings.NewReader("3"), "Ais-Custom-Md: new=1")
	if got := lines("GET"); !slices.Equal(got, []string{"new=1"}) {
		t.Errorf("skip_vc drops old keys: %q", got)
	}
	for _, bad := range []string{"novalue", "=x", "k=" + strings.Repeat("v", 3000)} {
		res, body := expect(t, 400, follower, "PUT", object(p, "bad"), strings.NewReader("x"), "Ais-Custom-Md: "+bad)
		if e := message(t, res, body); !strings.Contains(e.Message, "custom metadata") {
			t.Error(e)
		}
	}
	expect(t, 404, follower, "HEAD", object(p, "bad"), nil)
	expect(t, 200, follower, "PUT", object(p, "tagged"), strings.NewReader("x"), "Ais-Custom-Md: ETag=abc")
	if res, _ := expect(t, 200, follower, "GET", object(p, "tagged"), nil); res.Header.Get("Etag") != `"abc"` {
		t.Errorf("Etag %q", res.Header.Get("Etag"))
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "here"), strings.NewReader("1234"))
	for _, tc := range []struct {
		presence string
		here     int
		props    bool
	}{{"", 200, true}, {"0", 200, true}, {"abc", 200, true}, {"1", 200, false}, {"2", 200, true}, {"3", 200, false}, {"4", 200, true}, {"5", 400, false}} {
		for _, props := range []string{"", "checksum"} {
			query := "?presence=" + tc.presence + "&props=" + props
			res, _ := expect(t, tc.here, follower, "HEAD", object(p, "here")+query, nil)
			if tc.here == 400 {
				if e := message(t, res, ""); !strings.Contains(e.Message, "is present (vs requested 'flt-outside'(5))") {
					t.Error(e)
				}
			} else if got := res.Header.Get("Ais-Checksum-Value") != ""; got != tc.props {
				t.Errorf("presence %q: attributes %v, want %v", tc.presence, got, tc.props)
			}
			expect(t, 404, follower, "HEAD", object(p, "nowhere")+query, nil)
		}
	}
}

func TestHeadWithProps(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "dir/o"), strings.NewReader("hello world"), "Ais-Custom-Md: a=b")
	expect(t, 200, follower, "PUT", object(p, "empty"), nil)
	res, _ := expect(t, 200, follower, "HEAD", object(p, "empty")+"?props=size", nil)
	if res.Header.Get("Content-Length") != "0" || res.Header.Get("Ais-Present") != "true" {
		t.Error(res.Header)
	}
	always := []string{"Ais-Present", "Content-Length", "Date"}
	for props, want := range map[string][]string{
		"name":            {"Ais-Name"},
		"size":            {},
		" checksum , ,":   {"Ais-Checksum-Type", "Ais-Checksum-Value"},
		"atime,version":   {"Ais-Atime", "Ais-Version"},
		"custom":          {"Ais-Custom-Md"},
		"last-modified":   {"Last-Modified"},
		"etag":            {"Etag"},
		"location,copies": {"Ais-Location", "Ais-Mirror-Copies", "Ais-Mirror-Paths"},
		"ec,chunked":      {},
		"name,size,checksum,atime,version,last-modified,etag,copies,ec,custom,location,chunked": {
			"Ais-Name", "Ais-Checksum-Type", "Ais-Checksum-Value", "Ais-Atime", "Ais-Version", "Last-Modified", "Etag",
			"Ais-Mirror-Copies", "Ais-Mirror-Paths", "Ais-Custom-Md", "Ais-Location",
		},
	} {
		res, _ := expect(t, 200, follower, "HEAD", object(p, "dir/o")+"?props="+strings.ReplaceAll(props, " ", "%20"), nil)
		var got []string
		for key := range res.Header {
			got = append(got, key)
		}
		want = append(slices.Clone(always), want...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || res.ContentLength != 11 {
			t.Errorf("props=%s: %q, want %q", props, got, want)
		}
		if strings.Contains(props, "etag") && !strings.HasPrefix(res.Header.Get("Etag"), `"v1-45ab6734b21e6968-`) {
			t.Errorf("Etag %q", res.Header.Get("Etag"))
		}
		if mod := res.Header.Get("Last-Modified"); mod != "" {
			if at, err := http.ParseTime(mod); err != nil || time.Since(at) > time.Minute {
				t.Errorf("Last-Modified %q: %v", mod, err)
			}
		}
	}
	for _, bad := range []string{"cached", "status", "present", "name,size,bogus"} {
		res, _ := expect(t, 400, follower, "HEAD", object(p, "dir/o")+"?props="+bad, nil)
		word := bad[strings.LastIndexByte(bad, ',')+1:]
		if e := message(t, res, ""); e.Message != fmt.Sprintf("invalid property %q in props list", word) {
			t.Error(e)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	for _, body := range []string{"", "{}", `{"action":""}`} {
		expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("x"))
		if _, text := expect(t, 200, follower, "DELETE", object(p, "o"), strings.NewReader(body)); text != "" {
			t.Errorf("body %q", text)
		}
		expect(t, 404, follower, "HEAD", object(p, "o"), nil)
		res, text := expect(t, 404, follower, "DELETE", object(p, "o"), strings.NewReader(body))
		if e := message(t, res, text); e.TypeCode != "" || !strings.Contains(e.Message, "ais://b/o doesn't exist") {
			t.Error(e)
		}
	}
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("x"))
	for body, status := range map[string]int{
		"not JSON": 400, `{"action":"evict-listrange","name":"/b/o"}`: 400, `{"action":"dance"}`: 400, `{"action":"mpt-abort"}`: 400,
	} {
		expect(t, status, follower, "DELETE", object(p, "o"), strings.NewReader(body))
	}
	expect(t, 200, follower, "GET", object(p, "o"), nil)
}

// TestShortBody: a body that ends before its length leaves nothing.
func TestShortBody(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	target := c.Targets[0]
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "old"), strings.NewReader("old"))
	for _, name := range []string{"old", "new"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(target.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "PUT /v1/objects/b/%s HTTP/1.1\r\nHost: x\r\nAis-Smap-Version: 1\r\nContent-Length: 100000\r\n\r\nonly this", name); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn) // may end in a reset
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 500 ")) {
			t.Errorf("%s: %q", name, answer)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, body := expect(t, 200, follower, "GET", object(c.Proxies[0], "old"), nil); body != "old" {
		t.Errorf("content %q", body)
	}
	expect(t, 404, follower, "GET", object(c.Proxies[0], "new"), nil)
}

func TestOutOfSpaceBeforeTheBody(t *testing.T) {
	t.Parallel()
	// Nothing may be used: the disk is over the mark from the start.
	c := aistest.New(t, aistest.Options{Space: fs.Watermarks{Cleanup: -3, Low: -2, High: -1, OutOfSpace: -1}})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck"}`))
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.Targets[0].URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // of a test
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nAis-Smap-Version: 1\r\nContent-Length: 100000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 507 ")) || !bytes.Contains(buf[:n], []byte("out of space: used ")) {
		t.Errorf("%q %v", buf[:n], err)
	}
}

// TestClientGone: a reader that leaves is counted and hurts nobody.
func TestClientGone(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	target := c.Targets[0]
	data := randomBytes(32<<20, 9)
	expect(t, 200, follower, "PUT", object(c.Proxies[0], "big"), bytes.NewReader(data))
	conn, err := net.Dial("tcp", strings.TrimPrefix(target.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/objects/b/big HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "count of the broken answer", func() bool { return target.Metrics().Tracker()["err.http.write.n"] > 0 })
	if _, body := expect(t, 200, follower, "GET", object(c.Proxies[0], "big"), nil); body != string(data) {
		t.Error("the next reader gets other bytes")
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{"durability":"none"}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("12345"))
	expect(t, 200, follower, "GET", object(p, "o"), nil)
	expect(t, 206, follower, "GET", object(p, "o"), nil, "Range: bytes=0-1")
	expect(t, 200, follower, "HEAD", object(p, "o"), nil)
	expect(t, 404, follower, "HEAD", object(p, "n"), nil)
	expect(t, 200, follower, "DELETE", object(p, "o"), nil)
	expect(t, 404, follower, "DELETE", object(p, "o"), nil)
	got := c.Targets[0].Metrics().Tracker()
	for name, want := range map[string]int64{
		"put.n": 1, "put.size": 5, "get.n": 2, "get.size": 7, "head.n": 1, "err.head.n": 1, "del.n": 1, "err.del.n": 1, "err.get.n": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
	got = p.Metrics().Tracker()
	for name, want := range map[string]int64{"put.n": 1, "get.n": 2, "del.n": 2} {
		if got[name] != want {
			t.Errorf("gateway: %s is %d, want %d", name, got[name], want)
		}
	}
}
