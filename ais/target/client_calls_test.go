package target_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

// TestGoClientCalls: append, copy, rename and metadata through the Go client,
// by the gateway and straight to the owner, in a bucket of a namespace.
func TestGoClientCalls(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	bucket(t, c, "b", "?namespace=%23ns", `{}`)
	for _, direct := range []bool{false, true} {
		for _, b := range []wire.Bck{{Name: "b"}, {Name: "b", Ns: wire.Ns{Name: "ns"}}} {
			client, err := api.New(api.Options{URL: c.Proxies[0].URL(), Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx := context.Background()
			check := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("direct %v, %s: %v", direct, b, err)
				}
			}
			name := fmt.Sprint("dir/a b%?#+|x", direct)
			handle, want := "", ""
			for _, piece := range []string{"one ", strings.Repeat("two", 100_000), ""} {
				handle, err = client.AppendObject(ctx, b, name, handle, api.Bytes([]byte(piece)))
				check(err)
				want += piece
			}
			if err := client.FlushObject(ctx, b, name, handle, cksum.Value{Type: "xxhash2", Value: "0123456789abcdef"}); api.TypeCode(err) != wire.CodeBadChecksum {
				t.Errorf("%v", err)
			}
			sum, err := cksum.Of("xxhash2", []byte(want))
			check(err)
			check(client.FlushObject(ctx, b, name, handle, sum))
			if err := client.FlushObject(ctx, b, name, handle, sum); !api.IsNotFound(err) {
				t.Errorf("a second flush: %v", err)
			}
			check(client.SetCustom(ctx, b, name, map[string]string{"k": "v=1", "l": "w"}, false))
			check(client.SetCustom(ctx, b, name, map[string]string{"k": "v=2"}, false))
			for _, to := range []string{"copy 1", "copy/2", "copy3", name} {
				check(client.CopyObject(ctx, b, name, b, to))
				check(client.CopyObject(ctx, b, name, b, to))
			}
			check(client.RenameObject(ctx, b, "copy 1", "renamed/%41"))
			for _, have := range []string{name, "renamed/%41", "copy/2", "copy3"} {
				var content bytes.Buffer
				attrs, _, err := client.GetObject(ctx, b, have, &content, api.GetArgs{Validate: true})
				check(err)
				if content.String() != want || attrs.Version != "1" || len(attrs.Custom) != 2 || attrs.Custom["k"] != "v=2" {
					t.Errorf("%s: %d bytes %+v", have, content.Len(), attrs)
				}
			}
			check(client.DeleteObject(ctx, b, "copy3"))
			if _, err := client.HeadObject(ctx, b, "copy 1", api.HeadArgs{}); !api.IsNotFound(err) {
				t.Errorf("%v", err)
			}
			check(client.SetCustom(ctx, b, name, nil, true))
			if attrs, err := client.HeadObject(ctx, b, name, api.HeadArgs{}); err != nil || len(attrs.Custom) != 0 {
				t.Errorf("%v %v", attrs.Custom, err)
			}
			if state, err := client.CheckLock(ctx, b, name); err != nil || state != api.Unlocked {
				t.Errorf("%v %v", state, err)
			}
			reader, _, err := client.GetObjectReader(ctx, b, name, api.GetArgs{})
			check(err)
			_ = reader.Close()
			for err, status := range map[error]int{
				client.RenameObject(ctx, b, "none", "x"):                          404,
				client.RenameObject(ctx, b, name, name):                           400,
				client.CopyObject(ctx, b, "none", b, "x"):                         404,
				client.CopyObject(ctx, b, name, wire.Bck{Name: "no"}, "x"):        404,
				client.SetCustom(ctx, b, "none", nil, false):                      404,
				client.SetCustom(ctx, b, name, map[string]string{"": "x"}, false): 400,
			} {
				if api.HTTPStatus(err) != status {
					t.Errorf("%v, want %d", err, status)
				}
			}
		}
	}
}

// TestVersionsOfCalls: each line of the rules of versions.
func TestVersionsOfCalls(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	bucket(t, c, "off", "", `{"versioning":{"enabled":false}}`)
	bucket(t, c, "other", "", `{}`)
	version := func(bucket, name, want string) {
		t.Helper()
		res, _ := expect(t, 200, follower, "HEAD", at(p, bucket, name), nil)
		if got, present := res.Header["Ais-Version"]; res.Header.Get("Ais-Version") != want || present != (want != "") {
			t.Errorf("%s: version %q, want %q", name, got, want)
		}
	}
	put := func(name, body, query string, headers ...string) {
		t.Helper()
		expect(t, 200, follower, "PUT", object(p, name)+query, strings.NewReader(body), headers...)
	}
	put("o", "first", "")
	version("b", "o", "1")
	put("o", "second", "")
	version("b", "o", "2")
	sum, err := cksum.Of("xxhash2", []byte("second"))
	if err != nil {
		t.Fatal(err)
	}
	put("o", "second", "", "Ais-Checksum-Type: xxhash2", "Ais-Checksum-Value: "+sum.Value)
	version("b", "o", "2") // nothing changed
	expect(t, 200, follower, "PATCH", object(p, "o"), strings.NewReader(`{"value":{"k":"v"}}`))
	version("b", "o", "2")
	res, _ := expect(t, 200, follower, "PUT", object(p, "o")+"?append_type=append", strings.NewReader("x"))
	put("o", "", "?append_type=flush&append_handle="+url.QueryEscape(res.Header.Get("Ais-Append-Handle")))
	version("b", "o", "3")
	expect(t, 200, follower, "PUT", object(p, "o")+"?object_to="+url.QueryEscape("ais/@#/b/copy"), nil)
	version("b", "copy", "3")
	expect(t, 200, follower, "PUT", object(p, "o")+"?object_to="+url.QueryEscape("ais/@#/other/copy"), nil)
	version("other", "copy", "3")
	expect(t, 200, follower, "PUT", object(p, "o")+"?object_to="+url.QueryEscape("ais/@#/off/copy"), nil)
	version("off", "copy", "")
	expect(t, 200, follower, "POST", object(p, "copy"), strings.NewReader(`{"action":"rename-obj","name":"moved"}`))
	version("b", "moved", "3")
	put("moved", "again", "")
	version("b", "moved", "4")
	put("o", "x", "", "Ais-Version: 77")
	version("b", "o", "78")
	put("o", "y", "", "Ais-Version: abc")
	version("b", "o", "abc")
	put("o", "z", "")
	version("b", "o", "abc") // sticks
	put("o", "z", "?skip_vc=true")
	version("b", "o", "1")
	put("s", "1", "", "Ais-Custom-Md: source=aws")
	put("s", "2", "")
	version("b", "s", "1") // of a backend
	expect(t, 200, follower, "DELETE", object(p, "o"), nil)
	put("o", "new", "")
	version("b", "o", "1")
	expect(t, 200, follower, "PUT", at(p, "off", "o"), strings.NewReader("x"))
	version("off", "o", "")
}

// TestHeadValidates: with validate-checksum the content is read, and what is
// wrong with it is told; nothing is moved.
func TestHeadValidates(t *testing.T) {
	t.Parallel()
	c := cluster(t, 1, `{}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader(strings.Repeat("content", 1000)))
	expect(t, 200, follower, "HEAD", object(p, "o")+"?validate-checksum=true&sln=true", nil)
	damage(t, c.Targets[0], "o")
	expect(t, 200, follower, "HEAD", object(p, "o")+"?validate-checksum=false", nil)
	for _, query := range []string{"?validate-checksum=true", "?validate-checksum=1&props=size", "?validate-checksum=yes&presence=3"} {
		res, _ := expect(t, 500, follower, "HEAD", object(p, "o")+query, nil)
		if e := message(t, res, ""); e.TypeCode != wire.CodeBadChecksum || !strings.HasPrefix(e.Message, "BAD DATA CHECKSUM") {
			t.Errorf("%+v", e)
		}
	}
	expect(t, 200, follower, "HEAD", object(p, "o"), nil)
	expect(t, 404, follower, "HEAD", object(p, "none")+"?validate-checksum=true&sln=true", nil)
}

// TestAccessOfCalls: one bit for each.
func TestAccessOfCalls(t *testing.T) {
	t.Parallel()
	c := cluster(t, 2, `{"durability":"none"}`)
	p := c.Proxies[0]
	expect(t, 200, follower, "PUT", object(p, "o"), strings.NewReader("x"))
	bits := map[string]uint64{"PUT": 1 << 2, "APPEND": 1 << 3, "DELETE-OBJECT": 1 << 4, "MOVE-OBJECT": 1 << 5, "UPDATE-OBJECT": 1 << 7}
	calls := []struct{ bit, method, query, body string }{
		{"PUT", "PUT", "", "x"},
		{"PUT", "PUT", "?object_to=" + url.QueryEscape("ais/@#/b/p"), ""},
		{"APPEND", "PUT", "?append_type=append", "x"},
		{"MOVE-OBJECT", "POST", "", `{"action":"rename-obj","name":"p"}`},
		{"UPDATE-OBJECT", "PATCH", "", `{"value":{"k":"v"}}`},
		{"DELETE-OBJECT", "DELETE", "", ""},
		{"", "POST", "", `{"action":"check-lock"}`},
		{"", "HEAD", "", ""},
		{"", "GET", "", ""},
	}
	for denied, bit := range bits {
		access := strconv.FormatUint(1<<64-1-bit, 10)
		expect(t, 200, follower, "PATCH", p.URL()+"/v1/buckets/b", strings.NewReader(`{"action":"set-bprops","value":{"access":"`+access+`"}}`))
		for _, call := range calls {
			if call.bit == "DELETE-OBJECT" && denied != call.bit || call.bit == "MOVE-OBJECT" && denied != call.bit {
				continue // would take the object away
			}
			if call.bit != denied {
				res, err := follower.Do(mustRequest(t, call.method, object(p, "o")+call.query, call.body))
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					t.Errorf("%s denied: %s %s: %s", denied, call.method, call.query, res.Status)
				}
				continue
			}
			res, body := expect(t, 403, follower, call.method, object(p, "o")+call.query, strings.NewReader(call.body))
			if e := message(t, res, body); e.TypeCode != wire.CodeBucketAccessDenied || !strings.HasPrefix(e.Message, "bucket ais://b: "+denied+" access denied (allowed: [") {
				t.Errorf("%+v", e)
			}
		}
	}
}
