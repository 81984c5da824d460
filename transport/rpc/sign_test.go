package rpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/trust"
)

func keyring(t testing.TB, id string, keys ...trust.Key) *trust.Keyring {
	t.Helper()
	identity, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	k := trust.New(trust.Options{NodeID: id, Identity: identity})
	if len(keys) > 0 {
		k.Ring().Set(keys, time.Now())
	}
	return k
}

// verifier answers what it could verify of a request: how it was signed.
func verifier(receiver *trust.Keyring, memberKey []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, passes := r.Header["Ais-Caller-Passes-On"]
		call := &trust.Call{Method: r.Method, Host: r.Host, URI: r.RequestURI, Caller: r.Header.Get("Ais-Caller-Id"), Passes: passes}
		caller, err := receiver.Verify(call, trust.Signature{Code: r.Header.Get("Ais-Caller-Sig"), Nonce: r.Header.Get("Ais-Caller-Nonce")}, memberKey, true)
		if err != nil {
			w.Header().Set("Ais-Caller-Sig", SignAsYourself)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, err.Error())
			return
		}
		covered := "its body"
		switch signed := call.Body; {
		case signed.Kind == trust.BodyStreamed:
			covered = fmt.Sprintf("%d bytes", signed.Length)
		case signed != trust.BufferedBody(body):
			covered = "another body"
		}
		by := "a cluster key"
		if caller.Key != nil {
			by = "itself"
		}
		_, _ = fmt.Fprintf(w, "signed by %s for %s %q", by, covered, body)
	}
}

func TestRequestsAreSigned(t *testing.T) {
	t.Parallel()
	key := trust.Key{ID: 3, Secret: [trust.KeySize]byte{1}}
	for _, tc := range []struct {
		name             string
		sender, receiver []trust.Key
		path, want       string
	}{
		{"by a cluster key", []trust.Key{key}, []trust.Key{key}, "/v1/x?y=%20z", "signed by a cluster key"},
		{"without a key", nil, []trust.Key{key}, "/v1/x", "signed by itself"},
		{"with a key that the receiver lacks", []trust.Key{key}, nil, "/v1/x", "signed by itself"},
		{"to introduce itself", []trust.Key{key}, []trust.Key{key}, "/v1/metasync/join", "signed by itself"},
		{"not to introduce itself", []trust.Key{key}, []trust.Key{key}, "/v1/metasync/join/x", "signed by a cluster key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sender := keyring(t, "proxy0001", tc.sender...)
			c, url := newPair(t, func(o *Options) { o.Trust = sender }, verifier(keyring(t, "proxy0002", tc.receiver...), sender.Public()))
			ctx := context.Background()
			for _, body := range []string{"", "hello"} {
				got, _, err := c.Request(ctx, Control, http.MethodPost, url+tc.path, "", []byte(body))
				if want := fmt.Sprintf("%s for its body %q", tc.want, body); err != nil || string(got) != want {
					t.Errorf("%q %v, want %q", got, err, want)
				}
			}
			// passed on, with the headers of a client
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, url+tc.path, strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Ais-Caller-Passes-On", "true")
			res, err := c.DoBuffered(Control, req, []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if want := tc.want + ` for its body "hello"`; string(got) != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestStreamsAreSigned: by their length, and they cannot be repeated.
func TestStreamsAreSigned(t *testing.T) {
	t.Parallel()
	key := trust.Key{ID: 3, Secret: [trust.KeySize]byte{1}}
	sender := keyring(t, "proxy0001", key)
	c, url := newPair(t, func(o *Options) { o.Trust = sender }, verifier(keyring(t, "proxy0002", key), nil))
	stranger, strangerURL := newPair(t, func(o *Options) { o.Trust = sender }, verifier(keyring(t, "proxy0002"), nil))
	for _, tc := range []struct {
		client *Client
		url    string
		length int64
		status int
		want   string
	}{
		{c, url, 5, 200, `signed by a cluster key for 5 bytes "hello"`},
		{c, url, -1, 200, `signed by a cluster key for -1 bytes "hello"`},
		{stranger, strangerURL, 5, 403, "the request was signed with cluster key 3, which this node does not hold"},
	} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, tc.url, io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = tc.length
		res, err := tc.client.Do(Data, req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != tc.status || string(got) != tc.want {
			t.Errorf("%d bytes: %d %q, want %q", tc.length, res.StatusCode, got, tc.want)
		}
	}
}

// TestAnotherServerCannotAskForever: a request is made twice at most.
func TestAnotherServerCannotAskForever(t *testing.T) {
	t.Parallel()
	var count atomic.Int32
	c, url := newPair(t, func(o *Options) { o.Trust = keyring(t, "proxy0001", trust.Key{ID: 3}) }, func(w http.ResponseWriter, _ *http.Request) {
		count.Add(1)
		w.Header().Set("Ais-Caller-Sig", SignAsYourself)
		w.WriteHeader(http.StatusForbidden)
	})
	if _, err := c.Call(context.Background(), url, "/v1/x", bytes.Repeat([]byte("x"), 1000), ""); err == nil || count.Load() != 2 {
		t.Errorf("%v after %d requests", err, count.Load())
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, trusting := range map[string]bool{"signed": true, "unsigned": false} {
		b.Run(name, func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			defer srv.Close()
			opts := Options{NodeID: "proxy0001"}
			if trusting {
				opts.Trust = keyring(b, "proxy0001", trust.Key{ID: 3})
			}
			c := New(opts)
			defer c.Close()
			body := bytes.Repeat([]byte("x"), 200)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.Request(context.Background(), Control, http.MethodPost, srv.URL+"/v1/metasync/push", "", body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
