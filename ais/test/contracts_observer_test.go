package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// logOf is what a node has logged.
func logOf(t *testing.T, n *playground.Node) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(n.LogDir(), "ais"+n.Role+".INFO"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// logged is a line of a log with the given text, "" if there is none.
func logged(log, text string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestWeaknessW23_OneObserverIsNotEnough: the primary and a target do not
// reach each other, everybody else reaches both. The target stays in the map,
// is not taken for down, and serves reads and writes.
func TestWeaknessW23_OneObserverIsNotEnough(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	nw := newNetwork(t, 3, 3)
	nw.up()
	createBucket(t, nw.nodes[0], "b", "")
	primary, target := nw.primary(nw.nodes[0]), nw.targets()[1]
	its, _ := nw.owned("b", target, numbered(60))
	for _, name := range its {
		nw.putWhenServed(nw.nodes[0], "b", name)
	}
	version := nw.version(primary)
	nw.dead(primary, target)
	nw.dead(target, primary)
	began := time.Now()
	slowest, served := time.Duration(0), 0
	for time.Since(began) < 12*time.Second { // more than twice what makes a node down
		for i, n := range nw.proxies() {
			name := its[(served+i)%len(its)]
			at := time.Now()
			must(t, http.StatusOK, http.MethodPut, objectURL(n, "b", name), "content "+name)
			if got := must(t, http.StatusOK, http.MethodGet, objectURL(n, "b", name), "").body; got != "content "+name {
				t.Fatalf("%s holds %q", name, got)
			}
			slowest = max(slowest, time.Since(at))
		}
		served++
	}
	t.Logf("%d rounds, the slowest object took %v", served, slowest.Round(time.Millisecond))
	if line := logged(logOf(t, primary), "another one reaches it"); line == "" {
		t.Error("the primary has asked nobody else")
	}
	if line := logged(logOf(t, primary), "node is down"); line != "" {
		t.Errorf("the primary decided alone: %s", line)
	}
	if now := nw.version(primary); now != version {
		t.Errorf("the map is v%d, was v%d", now, version)
	}
}

// TestWeaknessW24_LoadDoesNotDelayKeepalives: as many clients as a small
// machine can take write and read at full speed, and as many again hold
// answers up, for longer than a silent node is in the map as live. Nobody is
// taken for down, nobody stands for election, and changes go through.
func TestWeaknessW24_LoadDoesNotDelayKeepalives(t *testing.T) {
	t.Parallel()
	lasting := 12 * time.Second
	if longTests() {
		lasting = 2 * time.Minute
	}
	c := startCluster(t, 2, 3)
	createBucket(t, c.nodes[0], "b", "")
	primary := c.primary(c.nodes[0])
	version := c.version(primary)
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	for i := range 64 {
		c.putWhenServed(c.nodes[i%2], "b", fmt.Sprintf("o%d", i))
	}
	must(t, http.StatusOK, http.MethodPut, objectURL(primary, "b", "large"), string(bytes.Repeat(content, 16)))
	before := map[*playground.Node]int{}
	for _, n := range c.nodes {
		before[n] = len(logOf(t, n))
	}
	end := make(chan struct{})
	var running sync.WaitGroup
	var written, read, failed atomic.Int64
	hc := &http.Client{Timeout: stepTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for i := range 48 {
		running.Go(func() {
			for turn := 0; ; turn++ {
				select {
				case <-end:
					return
				default:
				}
				url := objectURL(c.nodes[(i+turn)%2], "b", fmt.Sprintf("o%d", (i*7+turn)%64))
				method, body, counter := http.MethodPut, string(content), &written
				if turn%3 == 2 {
					method, body, counter = http.MethodGet, "", &read
				}
				if a, err := try(hc, method, url, body); err != nil || a.status != http.StatusOK {
					if failed.Add(1) == 1 {
						t.Errorf("%s: %v %d %s", method, err, a.status, a.body)
					}
					continue
				}
				counter.Add(1)
			}
		})
	}
	var held []io.Closer
	for range 48 { // an answer that nobody reads
		resp, err := hc.Get(objectURL(primary, "b", "large"))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, resp.Body)
	}
	began, slowest, changes := time.Now(), time.Duration(0), 0
	for ; time.Since(began) < lasting; changes++ {
		at := time.Now()
		createBucket(t, c.nodes[changes%2], fmt.Sprintf("bucket-%d", changes), "")
		slowest = max(slowest, time.Since(at))
	}
	close(end)
	running.Wait()
	for _, body := range held {
		_ = body.Close() // there is more to come, and nobody wants it
	}
	t.Logf("%d written, %d read, %d failed; %d buckets created, the slowest in %v", written.Load(), read.Load(), failed.Load(), changes, slowest.Round(time.Millisecond))
	for _, n := range c.nodes {
		log := logOf(t, n)[before[n]:]
		for _, text := range []string{"node is down", "became candidate", "without a sign of life", "does not acknowledge"} {
			if line := logged(log, text); line != "" {
				t.Errorf("%s: %s", n.Name(), line)
			}
		}
		if flags, err := nodeFlags(n); err != nil || flags&(1<<19) != 0 {
			t.Errorf("%s shows keepalive errors: flags %d, %v", n.Name(), flags, err)
		}
	}
	if now := c.version(primary); now != version {
		t.Errorf("the map is v%d, was v%d", now, version)
	}
}
