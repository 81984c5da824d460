package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunFollowsRedirectsAndCounts(t *testing.T) {
	t.Parallel()
	var puts, gets atomic.Int64
	owner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			t.Error(err)
		case r.Method == http.MethodPut && len(body) == 100000:
			puts.Add(1)
		case r.Method == http.MethodGet && r.URL.RawQuery == "pid=x":
			gets.Add(1)
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write(make([]byte, 5000))
		default:
			t.Errorf("%s %s with %d bytes", r.Method, r.URL, len(body))
		}
	}))
	defer owner.Close()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/missing") {
			http.NotFound(w, r)
			return
		}
		http.Redirect(w, r, owner.URL+r.URL.Path+"?pid=x", http.StatusTemporaryRedirect)
	}))
	defer gateway.Close()
	body := make([]byte, 100000)
	result, err := Run(context.Background(), &Plan{Workers: 4, Operations: 90, Seed: 1, Task: func(_ context.Context, w *Worker) bool {
		addr := strings.TrimPrefix(gateway.URL, "http://")
		switch w.Number % 3 {
		case 0:
			w.Request.Reset("PUT", addr)
			w.Request.Path = fmt.Appendf(w.Request.Path, "/o%d", w.Number)
			w.Request.Body, w.Request.Gateway = body, true
		case 1:
			w.Request.Reset("GET", addr)
			w.Request.Path = append(w.Request.Path, "/o"...)
		default:
			w.Request.Reset("GET", addr)
			w.Request.Path = append(w.Request.Path, "/missing"...)
		}
		_, _ = w.Do(0)
		return true
	}})
	if err != nil {
		t.Fatal(err)
	}
	if result.Operations+result.Errors != 90 || result.Operations != puts.Load()+gets.Load() || result.Errors == 0 {
		t.Errorf("%d operations, %d errors; the server saw %d PUT, %d GET", result.Operations, result.Errors, puts.Load(), gets.Load())
	}
	if want := puts.Load()*100000 + gets.Load()*5000; result.Bytes != want {
		t.Errorf("%d bytes, want %d", result.Bytes, want)
	}
	if result.FirstError == nil || !strings.Contains(result.FirstError.Error(), "404") {
		t.Errorf("first error: %v", result.FirstError)
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h, other Histogram
	for i := 1; i <= 1000; i++ {
		target := &h
		if i%2 == 0 {
			target = &other
		}
		target.Add(time.Duration(i) * time.Microsecond)
	}
	h.Merge(&other)
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		if got := h.Quantile(q); got < want*31/32 || got > want*33/32 {
			t.Errorf("quantile %v = %v, want about %v", q, got, want)
		}
	}
	if h.Min() != time.Microsecond || h.Max() != time.Millisecond || h.Mean() != 500500*time.Nanosecond {
		t.Errorf("min %v, max %v, mean %v", h.Min(), h.Max(), h.Mean())
	}
}
