package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMemoryOfAThousandReaders: a target that sends a large object to a
// thousand clients at once stays under 512 MiB. Long tests read to the end.
func TestMemoryOfAThousandReaders(t *testing.T) {
	t.Parallel()
	const readers, size, part, limit = 1000, 100 * mib, 10 * mib, 512 * mib
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", `{"durability":"none"}`)
	content, owner := strings.Repeat("0123456789abcde\n", part/16), c.targets()[0]
	must(t, http.StatusOK, http.MethodPut, objectURL(c.nodes[0], "b", "whole"), strings.Repeat(content, size/part))
	chunked := objectURL(c.nodes[0], "b", "chunked")
	upload := must(t, http.StatusOK, http.MethodPost, chunked, `{"action":"mpt-upload"}`).body
	var parts []string
	for n := 1; n <= size/part; n++ {
		must(t, http.StatusOK, http.MethodPut, fmt.Sprintf("%s?uploadId=%s&partNumber=%d", chunked, upload, n), content)
		parts = append(parts, fmt.Sprintf(`{"part-number":%d,"etag":""}`, n))
	}
	must(t, http.StatusOK, http.MethodPost, chunked+"?uploadId="+upload, `{"action":"mpt-complete","value":[`+strings.Join(parts, ",")+`]}`)
	read := int64(mib)
	if longTests() {
		read = size
	}
	for _, name := range []string{"whole", "chunked"} {
		before := anonymous(t, owner)
		peak := c.readAtOnce(owner.URL(), name, readers, read)
		t.Logf("%s: anonymous memory %d MiB before, %d MiB with %d readers", name, before/mib, peak/mib, readers)
		if peak > limit {
			t.Errorf("%s: %d readers take the target to %d MiB, more than %d", name, readers, peak/mib, limit/mib)
		}
	}
}

// readAtOnce has clients ask for an object of the bucket b, wait until all of
// them are being sent it, and read on. It returns the most memory that the
// target has taken on the way.
func (c *cluster) readAtOnce(url, name string, clients int, length int64) (peak int64) {
	c.t.Helper()
	var begun, done sync.WaitGroup
	begun.Add(clients)
	readOn, ended := make(chan struct{}), make(chan struct{})
	for range clients {
		done.Go(func() {
			if err := readSlowly(url, name, length, begun.Done, readOn); err != nil {
				c.t.Error(err)
			}
		})
	}
	begun.Wait()
	peak = anonymous(c.t, c.targets()[0]) // nobody has read more than the beginning
	close(readOn)
	go func() { done.Wait(); close(ended) }()
	for {
		select {
		case <-ended:
			return peak
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, anonymous(c.t, c.targets()[0]))
		}
	}
}

// readSlowly asks for an object over a connection of its own, says when the
// answer has begun, and reads the content when it may.
func readSlowly(url, name string, length int64, begun func(), readOn <-chan struct{}) error {
	said := sync.OnceFunc(begun)
	defer said() // a client that fails keeps nobody waiting
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), stepTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /v1/objects/b/"+name+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", name, resp.Status)
	}
	said()
	<-readOn
	_, err = io.CopyN(io.Discard, resp.Body, length)
	return errors.Join(err, conn.Close()) // first: closing a body reads it to its end
}

// TestMemoryOfManyObjects: what a target keeps in memory does not grow with the
// objects that it holds. Long tests store a million.
func TestMemoryOfManyObjects(t *testing.T) {
	t.Parallel()
	const few, limit = 10_000, 64 * mib
	many := 20_000
	if longTests() {
		many = 1_000_000
	}
	c := startCluster(t, 1, 1)
	createBucket(t, c.nodes[0], "b", `{"durability":"none"}`)
	store := func(objects int, seed string) {
		cmd := exec.Command(filepath.Join(programs, "aisloader"), "-bucket=ais://b", "-cleanup=false", "-pctput=100", "-minsize=16", "-maxsize=16",
			"-maxputs="+itoa(objects), "-duration=0s", "-numworkers=16", "-direct", "-quiet", "-skiplist", "-seed="+seed)
		cmd.Env = append(os.Environ(), "AIS_ENDPOINT="+c.nodes[0].URL())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	store(few, "1")
	before := anonymous(t, c.targets()[0])
	store(many-few, "2")
	c.eventually("memory at rest", func() error {
		if grown := anonymous(t, c.targets()[0]) - before; grown > limit {
			return fmt.Errorf("%d MiB with %d objects, %d MiB more with %d", before/mib, few, grown/mib, many)
		}
		return nil
	})
	t.Logf("anonymous memory: %d MiB with %d objects, %d MiB with %d", before/mib, few, anonymous(t, c.targets()[0])/mib, many)
}
