package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

// failing answers the first n requests by failure, the rest with 200.
func failing(t *testing.T, n int32, failure http.HandlerFunc) (c *api.Client, requests *atomic.Int32, bodies func() []int) {
	t.Helper()
	requests = new(atomic.Int32)
	var lock sync.Mutex
	var lengths []int
	bodies = func() []int {
		lock.Lock()
		defer lock.Unlock()
		return lengths
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		lock.Lock()
		lengths = append(lengths, len(data))
		lock.Unlock()
		if requests.Add(1) <= n {
			failure(w, r)
		}
	}))
	t.Cleanup(server.Close)
	c, err := api.New(api.Options{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, requests, bodies
}

func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func status(code int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		fail(w, r, code, "", "failure")
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	put := func(t *testing.T, c *api.Client) error {
		_, err := c.PutObject(t.Context(), bucket, "o", api.PutArgs{Body: api.Bytes(bytes.Repeat([]byte("x"), 1000))})
		return err
	}
	head := func(t *testing.T, c *api.Client) error {
		_, err := c.HeadObject(t.Context(), bucket, "o", api.HeadArgs{})
		return err
	}
	create := func(t *testing.T, c *api.Client) error { return c.CreateBucket(t.Context(), bucket, nil) }
	remove := func(t *testing.T, c *api.Client) error { return c.DeleteObject(t.Context(), bucket, "o") }
	for _, tt := range []struct {
		name     string
		failures int32
		failure  http.HandlerFunc
		call     func(*testing.T, *api.Client) error
		requests int32
		status   int // of the result; -1: a connection's failure
	}{
		{"HEAD after resets", 2, reset, head, 3, 200},
		{"PUT after resets", 2, reset, put, 3, 200},
		{"DELETE after a reset", 1, reset, remove, 2, 200},
		{"POST after a reset", 1, reset, create, 1, -1},
		{"resets without end", 100, reset, head, 5, -1},
		{"PUT after 429", 1, status(429, ""), put, 2, 200},
		{"HEAD after 429", 1, status(429, ""), head, 1, 429},
		{"HEAD after 503 with Retry-After", 1, status(503, "1"), head, 2, 200},
		{"HEAD after 503 without Retry-After", 1, status(503, ""), head, 1, 503},
		{"POST after 503 with Retry-After", 1, status(503, "1"), create, 1, 503},
		{"a wait that is too long", 1, status(503, "3600"), head, 1, 503},
		{"PUT after 500", 1, status(500, ""), put, 1, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, requests, bodies := failing(t, tt.failures, tt.failure)
			err := tt.call(t, c)
			if api.HTTPStatus(err) != tt.status || requests.Load() != tt.requests {
				t.Fatalf("%d requests, %v; want %d, status %d", requests.Load(), err, tt.requests, tt.status)
			}
			for _, n := range bodies() {
				if n != bodies()[0] {
					t.Fatalf("bodies of %v bytes", bodies())
				}
			}
		})
	}
}

// The repeated DELETE finds nothing: the first one had been executed.
func TestDeleteThatBrokeOff(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			reset(w, r)
			return
		}
		fail(w, r, http.StatusNotFound, wire.CodeNotFound, "gone")
	}))
	t.Cleanup(server.Close)
	c, err := api.New(api.Options{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteObject(t.Context(), bucket, "o"); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteObject(t.Context(), bucket, "o"); !api.IsNotFound(err) {
		t.Fatalf("a plain miss: %v", err)
	}
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := api.New(api.Options{URL: address, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = c.Ready(t.Context())
	if !api.IsUnreachable(err) || api.HTTPStatus(err) != -1 {
		t.Fatal(err)
	}
	if elapsed := time.Since(began); elapsed < 250*time.Millisecond || elapsed > 10*time.Second {
		t.Fatalf("three attempts took %v", elapsed)
	}
}

// A stream of which too much is gone is not sent again with a hole in it.
func TestStreamIsNotSentTwice(t *testing.T) {
	t.Parallel()
	c, requests, _ := failing(t, 1, reset)
	_, err := c.PutObject(t.Context(), bucket, "o", api.PutArgs{Body: api.Stream(onceReader{bytes.NewReader(make([]byte, 4<<20))}, -1)})
	if !errors.Is(err, api.ErrNotReplayable) || requests.Load() != 1 {
		t.Fatalf("%d requests, %v", requests.Load(), err)
	}
	c, requests, _ = failing(t, 1, reset)
	if _, err := c.PutObject(t.Context(), bucket, "o", api.PutArgs{Body: api.Stream(onceReader{bytes.NewReader(make([]byte, 4<<10))}, -1)}); err != nil || requests.Load() != 2 {
		t.Fatalf("a short stream: %d requests, %v", requests.Load(), err)
	}
}

// A source that does not come does not hold up the end of a call.
func TestBlockedStream(t *testing.T) {
	t.Parallel()
	f := newFakeCluster(t, "tgtAAAAA1")
	c := f.client(t, nil)
	source, feeder := io.Pipe()
	t.Cleanup(func() { _ = feeder.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.PutObject(ctx, bucket, "o", api.PutArgs{Body: api.Stream(source, -1)})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
}

func TestErrorsAreDecoded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		head   bool
		want   api.Error
	}{
		{"JSON", func(w http.ResponseWriter, r *http.Request) { fail(w, r, 404, wire.CodeBckNotFound, "no such bucket") }, false,
			api.Error{ErrorBody: wire.ErrorBody{TypeCode: wire.CodeBckNotFound, Message: "no such bucket", Status: 404}}},
		{"JSON of HEAD", func(w http.ResponseWriter, r *http.Request) { fail(w, r, 404, wire.CodeBckNotFound, "no such bucket") }, true,
			api.Error{ErrorBody: wire.ErrorBody{TypeCode: wire.CodeBckNotFound, Message: "no such bucket", Status: 404}}},
		{"text", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Method Not Allowed", 405) }, false,
			api.Error{ErrorBody: wire.ErrorBody{Message: "Method Not Allowed", Status: 405}}},
		{"text with a type code", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ErrBusy: try later", 409) }, false,
			api.Error{ErrorBody: wire.ErrorBody{TypeCode: "ErrBusy", Message: "try later", Status: 409}}},
		{"starting up", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, false,
			api.Error{ErrorBody: wire.ErrorBody{Message: "AIStore is starting up, please try again later", Status: 503}, StartingUp: true}},
		{"empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, false,
			api.Error{ErrorBody: wire.ErrorBody{Message: "failed to execute GET request: Bad Gateway", Status: 502}}},
		{"JSON that is none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); _, _ = w.Write([]byte(`{"a":`)) }, false,
			api.Error{ErrorBody: wire.ErrorBody{Message: `{"a":`, Status: 400}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _, _ := failing(t, 100, tt.answer)
			var err error
			if tt.head {
				_, err = c.HeadBucket(t.Context(), bucket, true)
			} else {
				_, err = c.Health(t.Context())
			}
			var got *api.Error
			if !errors.As(err, &got) || got.Status != tt.want.Status || got.TypeCode != tt.want.TypeCode ||
				got.Message != tt.want.Message || got.StartingUp != tt.want.StartingUp {
				t.Fatalf("%+v", err)
			}
			if api.HTTPStatus(err) != tt.want.Status || api.IsStartingUp(err) != tt.want.StartingUp {
				t.Fatal("status")
			}
		})
	}
}

func TestRedirectsAreBounded(t *testing.T) {
	t.Parallel()
	c, requests, _ := failing(t, 1000, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	if _, err := c.HeadObject(t.Context(), bucket, "o", api.HeadArgs{}); err == nil || requests.Load() > 20 {
		t.Fatalf("%d requests, %v", requests.Load(), err)
	}
}
