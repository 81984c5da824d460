package target_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// readOnCase is a read of which a disk fails in the midst.
type readOnCase struct {
	name   string // of the object
	path   string // part of the path of the file that fails
	op     faultfs.Op
	nth    int // call
	begun  bool
	ranges string // header Range
	never  bool   // all calls from that one on fail
}

var readOnCases = []readOnCase{
	{name: "plain-large", path: "/%ob/", op: faultfs.OpSend, nth: 1},
	{name: "plain-large", path: "/%ob/", op: faultfs.OpSend, nth: 2, begun: true},
	{name: "plain-large", path: "/%ob/", op: faultfs.OpSend, nth: 2, begun: true, ranges: "bytes=1000-9000000"},
	{name: "plain", path: "/%ob/", op: faultfs.OpRead, nth: 1},
	{name: "chunked-large", path: "/%ob/", op: faultfs.OpSend, nth: 1},
	{name: "chunked-large", path: "/%ob/", op: faultfs.OpSend, nth: 2, begun: true},
	{name: "chunked-large", path: "/%ch/", op: faultfs.OpSend, nth: 1, begun: true},
	{name: "chunked-large", path: "/%ch/", op: faultfs.OpSend, nth: 2, begun: true},
	{name: "chunked-large", path: "/%ch/", op: faultfs.OpSend, nth: 2, begun: true, ranges: "bytes=5000000-15000000"},
	{name: "chunked-large", path: "/%ch/", op: faultfs.OpOpen, nth: 1, begun: true},
	{name: "chunked", path: "/%ob/", op: faultfs.OpRead, nth: 1},
	{name: "chunked", path: "/%ch/", op: faultfs.OpRead, nth: 1},
	{name: "chunked", path: "/%ch/", op: faultfs.OpRead, nth: 2},
}

// arm makes the call of a case fail: with EIO, or because the file loses its
// end just before.
func (x *readOnCase) arm(disk *faultfs.System, truncate bool) {
	if !truncate {
		times := 1
		if x.never {
			times = -1
		}
		disk.Inject(faultfs.Fault{Op: x.op, Path: x.path, Nth: x.nth, Times: times, Err: unix.EIO})
		return
	}
	var seen atomic.Int64
	disk.Before(func(call faultfs.Call) {
		if call.Op == x.op && strings.Contains(call.Path, x.path) && seen.Add(1) == int64(x.nth) {
			if err := os.Truncate(call.Path, 1); err != nil {
				panic(err)
			}
		}
	})
}

// put stores the object of a case anew.
func (x *readOnCase) put(t *testing.T, n *aistest.Node) string {
	t.Helper()
	parts, size := 1, 12<<20
	if strings.HasPrefix(x.name, "chunked") {
		parts, size = 3, 6<<20
	}
	if !strings.HasSuffix(x.name, "large") {
		size = 3000
	}
	var all []byte
	var id string
	if parts > 1 {
		id = uploadOf(t, object(n, x.name))
	}
	for i := 1; i <= parts; i++ {
		part := randomBytes(size, uint64(size+i))
		all = append(all, part...)
		if parts == 1 {
			expect(t, 200, follower, "PUT", object(n, x.name), bytes.NewReader(part))
		} else {
			expect(t, 200, follower, "PUT", partURL(object(n, x.name), id, i), bytes.NewReader(part))
		}
	}
	if parts > 1 {
		expect(t, 200, follower, "POST", object(n, x.name)+"?uploadId="+id, completion(1, 2, 3))
	}
	return string(all)
}

// get reads the object of a case.
func (x *readOnCase) get(t *testing.T, n *aistest.Node) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequest("GET", object(n, x.name), nil)
	if err != nil {
		t.Fatal(err)
	}
	if x.ranges != "" {
		req.Header.Set("Range", x.ranges)
	}
	res, err := follower.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

// of is what a read of the case is to return.
func (x *readOnCase) of(content string) (status int, body string) {
	if x.ranges == "" {
		return 200, content
	}
	var from, to int
	if _, err := fmt.Sscanf(x.ranges, "bytes=%d-%d", &from, &to); err != nil {
		panic(err)
	}
	return 206, content[from : to+1]
}

// TestReadGoesOnElsewhere: a disk fails in the midst of a read, by an error or by a
// file that has lost its end, and the client gets the whole content all the same,
// from copies or from slices. Without those it sees that the answer is short.
func TestReadGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	for kind, props := range map[string]string{
		"mirror": `{"durability":"redundant","mirror":{"enabled":true,"copies":2}}`,
		"slices": `{"durability":"redundant","ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":1000}}`,
		"alone":  `{}`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			targets := 1
			if kind == "slices" {
				targets = 4
			}
			disk := faultfs.New(nil)
			disk.Record(false)
			c := aistest.New(t, aistest.Options{Targets: targets, System: disk})
			expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":`+props+`}`))
			for i := range readOnCases {
				x := &readOnCases[i]
				for _, truncate := range []bool{false, true} {
					if truncate && (x.op == faultfs.OpOpen || x.op == faultfs.OpSend && x.nth > 1) {
						continue // what the kernel is sending loses its bytes with the file
					}
					at := fmt.Sprintf("%s%s %s %d %s truncate=%v", x.name, x.path, x.op, x.nth, x.ranges, truncate)
					content := x.put(t, c.Proxies[0])
					x.arm(disk, truncate)
					status, body, err := x.get(t, c.Proxies[0])
					disk.Heal()
					disk.Before(nil)
					wantStatus, want := x.of(content)
					switch {
					case kind != "alone":
						if err != nil || status != wantStatus || body != want {
							t.Errorf("%s: status %d, %d bytes (right: %v), %v", at, status, len(body), body == want, err)
						}
					case status >= 500 && !x.begun:
					case err == nil && body == want && x.op == faultfs.OpOpen: // it is tried again
					case err == nil || !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset"):
						t.Errorf("%s: status %d, %d bytes, %v: the client is to see that it is short", at, status, len(body), err)
					case !strings.HasPrefix(want, body):
						t.Errorf("%s: %d bytes are not the beginning of the content", at, len(body))
					}
				}
			}
		})
	}
}

// validatedCases are reads of a bucket that verifies content before it is sent; all reads
// of the file fail from some call on, so that what is sent does not come from it.
var validatedCases = []readOnCase{
	{name: "plain", path: "/%ob/", op: faultfs.OpOpen, nth: 1},
	{name: "plain", path: "/%ob/", op: faultfs.OpRead, nth: 1},
	{name: "plain-large", path: "/%ob/", op: faultfs.OpRead, nth: 1},
	{name: "plain-large", path: "/%ob/", op: faultfs.OpRead, nth: 5},
	{name: "plain-large", path: "/%ob/", op: faultfs.OpRead, nth: 5, ranges: "bytes=1000-9000000"},
	{name: "chunked", path: "/%ob/", op: faultfs.OpRead, nth: 1},
	{name: "chunked", path: "/%ch/", op: faultfs.OpOpen, nth: 1},
	{name: "chunked", path: "/%ch/", op: faultfs.OpRead, nth: 1},
	{name: "chunked-large", path: "/%ob/", op: faultfs.OpRead, nth: 3},
	{name: "chunked-large", path: "/%ch/", op: faultfs.OpRead, nth: 3},
	{name: "chunked-large", path: "/%ch/", op: faultfs.OpOpen, nth: 2},
}

// TestValidatedReadGoesOnElsewhere: a disk fails while the content of an object is verified,
// before it is sent, or when it is opened for that, and the client gets the whole content
// all the same, from copies or from slices. Without those it is told 500.
func TestValidatedReadGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	const validate = `"checksum":{"type":"xxhash2","validate_warm_get":true}`
	for kind, props := range map[string]string{
		"mirror": `{"durability":"redundant","mirror":{"enabled":true,"copies":2},` + validate + `}`,
		"slices": `{"durability":"redundant","ec":{"enabled":true,"data_slices":2,"parity_slices":1,"objsize_limit":1000},` + validate + `}`,
		"alone":  `{` + validate + `}`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			targets := 1
			if kind == "slices" {
				targets = 4
			}
			disk := faultfs.New(nil)
			disk.Record(false)
			c := aistest.New(t, aistest.Options{Targets: targets, System: disk})
			expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":`+props+`}`))
			for i := range validatedCases {
				x := validatedCases[i]
				content := x.put(t, c.Proxies[0])
				fails := []bool{false}
				if kind != "mirror" { // which has its copies on the same disk, for this test
					fails = append(fails, true)
				}
				for _, x.never = range fails {
					at := fmt.Sprintf("%s%s %s %d %s never=%v", x.name, x.path, x.op, x.nth, x.ranges, x.never)
					x.arm(disk, false)
					status, body, err := x.get(t, c.Proxies[0])
					disk.Heal()
					wantStatus, want := x.of(content)
					if kind == "alone" {
						if status < 500 && (err == nil && body != want || x.never) {
							t.Errorf("%s: status %d, %d bytes, %v", at, status, len(body), err)
						}
					} else if err != nil || status != wantStatus || body != want {
						t.Errorf("%s: status %d, %d bytes (right: %v), %v %.200s", at, status, len(body), body == want, err, body)
					}
				}
			}
		})
	}
}
