package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
)

var bucket = wire.Bck{Provider: wire.ProviderAIS, Name: "b1"}

// onceReader can be read only once.
type onceReader struct{ r io.Reader }

func (o onceReader) Read(buf []byte) (int, error) { return o.r.Read(buf) }

func TestObjectRoundTrip(t *testing.T) {
	t.Parallel()
	small, large := []byte("hello world"), bytes.Repeat([]byte("0123456789abcdef"), 300<<10)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, large, 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := api.File(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, direct := range []bool{false, true} {
		for _, tt := range []struct {
			name   string
			object string
			body   api.Payload
			want   []byte
		}{
			{"memory", "o1", api.Bytes(small), small},
			{"empty", "empty", api.Bytes(nil), nil},
			{"file", "dir/large", fromFile, large},
			{"stream of unknown length", "s1", api.Stream(onceReader{bytes.NewReader(large)}, -1), large},
			{"stream of known length", "s2", api.Stream(onceReader{bytes.NewReader(large)}, int64(len(large))), large},
			{"short stream", "s3", api.Stream(onceReader{bytes.NewReader(small)}, -1), small},
			{"section", "x", api.Section(bytes.NewReader(large), 5, 1000), large[5:1005]},
			{"odd name", "d//a b?c#d%e+f&ж=\"\\~x..y", api.Bytes(small), small},
			{"leading slash", "/x", api.Bytes(small), small},
		} {
			t.Run(tt.name, func(t *testing.T) {
				f := newFakeCluster(t, "tgtAAAAA1", "tgtBBBBB2")
				c := f.client(t, func(o *api.Options) { o.Direct = direct })
				sum, err := cksum.Of(cksum.MD5, tt.want)
				if err != nil {
					t.Fatal(err)
				}
				put := api.PutArgs{Body: tt.body, Checksum: sum, Custom: map[string]string{"k": "v=w", "a": "b"}}
				attrs, err := c.PutObject(t.Context(), bucket, tt.object, put)
				if err != nil {
					t.Fatalf("PUT: %v", err)
				}
				if attrs.Version != "1" || attrs.Checksum.IsNone() || attrs.Custom["k"] != "v=w" || attrs.Custom["a"] != "b" {
					t.Fatalf("PUT attributes: %+v", attrs)
				}
				head, err := c.HeadObject(t.Context(), bucket, tt.object, api.HeadArgs{Props: []string{"name", "size"}})
				if err != nil || head.Size != int64(len(tt.want)) || !head.Present || head.Atime.IsZero() {
					t.Fatalf("HEAD: %+v, %v", head, err)
				}
				var got bytes.Buffer
				_, n, err := c.GetObject(t.Context(), bucket, tt.object, &got, api.GetArgs{Validate: true})
				if err != nil || n != int64(len(tt.want)) || !bytes.Equal(got.Bytes(), tt.want) {
					t.Fatalf("GET: %d bytes, %v", n, err)
				}
				if err := c.DeleteObject(t.Context(), bucket, tt.object); err != nil {
					t.Fatalf("DELETE: %v", err)
				}
				_, _, err = c.GetObject(t.Context(), bucket, tt.object, io.Discard, api.GetArgs{})
				if !api.IsNotFound(err) || api.TypeCode(err) != wire.CodeNotFound || !strings.Contains(err.Error(), bucket.Cname(tt.object)) {
					t.Fatalf("GET after DELETE: %v", err)
				}
				if _, err = c.HeadObject(t.Context(), bucket, tt.object, api.HeadArgs{}); !api.IsNotFound(err) || !strings.Contains(err.Error(), "does not exist") {
					t.Fatalf("HEAD after DELETE: %v", err)
				}
			})
		}
	}
}

func TestRangeAndValidation(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, nil)
	if _, err := c.PutObject(t.Context(), bucket, "o", api.PutArgs{Body: api.Bytes([]byte("0123456789"))}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args api.GetArgs
		want string
	}{
		{api.GetArgs{Offset: 2, Length: 3}, "234"}, {api.GetArgs{Offset: 7}, "789"}, {api.GetArgs{Length: 4}, "0123"}, {api.GetArgs{}, "0123456789"},
	} {
		var got strings.Builder
		if _, _, err := c.GetObject(t.Context(), bucket, "o", &got, tt.args); err != nil || got.String() != tt.want {
			t.Errorf("%+v: %q, %v", tt.args, got.String(), err)
		}
	}
	if _, _, err := c.GetObject(t.Context(), bucket, "o", io.Discard, api.GetArgs{Offset: 1, Validate: true}); err == nil {
		t.Error("a range was validated")
	}
	if _, _, err := c.GetObject(t.Context(), bucket, "o", io.Discard, api.GetArgs{Offset: -1}); err == nil {
		t.Error("negative offset")
	}

	f.setHook(func(node string, w http.ResponseWriter, r *http.Request) bool {
		if node == "proxy" {
			return false
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/bad"):
			w.Header().Set(wire.HeaderObjChecksumType, "md5")
			w.Header().Set(wire.HeaderObjChecksumValue, "00")
		case strings.HasSuffix(r.URL.Path, "/short"):
			w.Header().Set("Content-Length", "100")
		}
		_, _ = w.Write([]byte("data"))
		return true
	})
	if _, _, err := c.GetObject(t.Context(), bucket, "bad", io.Discard, api.GetArgs{Validate: true}); !errors.Is(err, api.ErrChecksumMismatch) {
		t.Errorf("wrong content: %v", err)
	}
	if _, _, err := c.GetObject(t.Context(), bucket, "none", io.Discard, api.GetArgs{Validate: true}); !errors.Is(err, api.ErrNotChecksummed) {
		t.Errorf("no checksum: %v", err)
	}
	if _, _, err := c.GetObject(t.Context(), bucket, "short", io.Discard, api.GetArgs{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short body: %v", err)
	}
}

func TestWrongChecksumIsRefused(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, nil)
	_, err := c.PutObject(t.Context(), bucket, "o", api.PutArgs{
		Body: api.Bytes([]byte("x")), Checksum: cksum.Value{Type: cksum.CRC32C, Value: "badchecksum"},
	})
	if api.HTTPStatus(err) != http.StatusInternalServerError || api.TypeCode(err) != wire.CodeBadChecksum || !strings.HasPrefix(err.Error(), "BAD DATA CHECKSUM: crc32c(badchecksum != ") {
		t.Fatalf("%v", err)
	}
	if len(f.requests()) != 2 {
		t.Fatalf("a refused object was sent again: %+v", f.requests())
	}
}

// A large body waits for the redirect: the proxy receives nothing of it.
func TestLargeBodyIsNotSentToTheProxy(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, nil)
	data := bytes.Repeat([]byte("x"), 1<<20)
	var bodies []*meteredBody
	body := api.Opener(int64(len(data)), func() (io.ReadCloser, error) {
		bodies = append(bodies, &meteredBody{r: bytes.NewReader(data), total: make(chan int, 1)})
		return bodies[len(bodies)-1], nil
	})
	if _, err := c.PutObject(t.Context(), bucket, "o", api.PutArgs{Body: body}); err != nil {
		t.Fatal(err)
	}
	requests := f.requests()
	if len(requests) != 2 || requests[0].header.Get("Expect") != "100-continue" || requests[1].body != int64(len(data)) {
		t.Fatalf("%+v", requests)
	}
	if len(bodies) != 2 {
		t.Fatalf("opened %d times", len(bodies))
	}
	if first := <-bodies[0].total; first != 0 {
		t.Fatalf("the proxy was sent %d bytes", first)
	}
}

// meteredBody reports at Close how much of it was read.
type meteredBody struct {
	r     io.Reader
	n     int
	total chan int
	done  bool
}

func (m *meteredBody) Read(buf []byte) (int, error) {
	n, err := m.r.Read(buf)
	m.n += n
	return n, err
}

func (m *meteredBody) Close() error {
	if !m.done {
		m.done = true
		m.total <- m.n
	}
	return nil
}

func TestHeadersOfRequests(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, func(o *api.Options) { o.Token = "secret"; o.UserAgent = "ais/cli" })
	ns := wire.Bck{Provider: "s3", Name: "b1", Ns: wire.Ns{Name: "n1"}}
	if _, err := c.PutObject(t.Context(), ns, "o", api.PutArgs{Body: api.Bytes([]byte("x")), SkipVC: true}); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.requests() {
		if r.header.Get("Authorization") != "Bearer secret" || r.header.Get("User-Agent") != "ais/cli" || r.header.Get("Accept-Encoding") != "" {
			t.Errorf("%s: headers %v", r.node, r.header)
		}
		if _, sent := r.header["X-Idempotency-Key"]; sent {
			t.Error("the transport's mark was sent")
		}
		if !strings.Contains(r.query, "provider=aws") || !strings.Contains(r.query, "namespace=%40%23n1") || !strings.Contains(r.query, "skip_vc=true") {
			t.Errorf("%s: query %s", r.node, r.query)
		}
	}
}

func TestContextEndsACall(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, nil)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	f.setHook(func(string, http.ResponseWriter, *http.Request) bool { <-release; return true })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.HeadObject(ctx, bucket, "o", api.HeadArgs{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
}
