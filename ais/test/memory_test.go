package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

const mib = 1 << 20

// TestMemoryIsBoundedByNoObject streams an object in and out and looks at
// what the processes grew by; the page cache does not count.
func TestMemoryIsBoundedByNoObject(t *testing.T) {
	c := startCluster(t, 1, 1)
	size := int64(1 << 30)
	if longTests() {
		size = 10 << 30
	}
	createBucket(t, c.nodes[0], "b", `{"durability":"none"}`)
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "warm"), strings.Repeat("x", 4*mib))
	must(t, http.StatusOK, http.MethodGet, objectURL(c.nodes[0], "b", "warm"), "")
	before := anonymous(t, c.nodes...)
	stop, peaks := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for {
			select {
			case <-stop:
				peaks <- peak
				return
			case <-time.After(50 * time.Millisecond):
				peak = max(peak, anonymous(t, c.nodes...))
			}
		}
	}()
	owner := c.targets()[0]
	req, err := http.NewRequest(http.MethodPut, objectURL(owner, "b", "large"), io.LimitReader(&pattern{}, size))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Ais-Smap-Version", c.smap(c.nodes[0]).Version)
	patient := &http.Client{Timeout: 20 * time.Minute}
	resp, err := patient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("PUT: %s", resp.Status)
	}
	resp, err = patient.Get(objectURL(c.nodes[0], "b", "large"))
	if err != nil {
		t.Fatal(err)
	}
	if err := compareStreams(resp.Body, io.LimitReader(&pattern{}, size)); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	close(stop)
	peak := <-peaks
	t.Logf("object of %d MiB: anonymous memory %d MiB before, %d MiB at most", size/mib, before/mib, peak/mib)
	if grown := peak - before; grown > 64*mib {
		t.Errorf("anonymous memory grew by %d MiB, more than 64", grown/mib)
	}
}

// anonymous is the sum of the nodes' anonymous resident memory, in bytes.
func anonymous(t *testing.T, nodes ...*playground.Node) (sum int64) {
	for _, n := range nodes {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
		if err != nil {
			t.Error(err)
			return 0
		}
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
				if err != nil {
					t.Error(err)
				}
				sum += kib << 10
			}
		}
	}
	return sum
}

// pattern is an endless stream that does not repeat at any block size.
type pattern struct{ state uint64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		if p.state%8 == 0 {
			p.state += 8 * 0x9e3779b97f4a7c1
		}
		b[i] = byte(p.state >> 32)
		p.state++
	}
	return len(b), nil
}

func compareStreams(got, want io.Reader) error {
	a, b := make([]byte, mib), make([]byte, mib)
	for offset := int64(0); ; offset += mib {
		n, errGot := io.ReadFull(got, a)
		m, errWant := io.ReadFull(want, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("streams differ in the block at %d (%d and %d bytes): %w", offset, n, m, errors.Join(errGot, errWant))
		}
		if n < mib {
			return nil
		}
	}
}
