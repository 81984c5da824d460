package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/deploy/playground"
)

// outTimeout bounds the waits for a silent target to leave the map, which
// takes a minute.
const outTimeout = 2 * time.Minute

// owned sorts names of a bucket by whether a target owns them.
func (c *cluster) owned(bucket string, by *playground.Node, names []string) (its, others []string) {
	c.t.Helper()
	m := c.smap(c.nodes[0])
	bck := wire.Bck{Name: bucket, Provider: wire.ProviderAIS}
	own := c.id(by)
	for _, name := range names {
		best, highest := "", uint64(0)
		for id := range m.Tmap {
			if weight := hrw.Weight(hrw.Digest(id), hrw.Digest(bck.Uname(name))); best == "" || weight > highest {
				best, highest = id, weight
			}
		}
		if best == own {
			its = append(its, name)
		} else {
			others = append(others, name)
		}
	}
	return its, others
}

// id of a target that is in the map.
func (c *cluster) id(n *playground.Node) string {
	c.t.Helper()
	for id, raw := range c.smap(c.nodes[0]).Tmap {
		var node meta.Snode
		if err := json.Unmarshal(raw, &node); err != nil {
			c.t.Fatal(err)
		}
		if node.Public.URL == n.URL() {
			return id
		}
	}
	c.t.Fatalf("%s is not in the map", n.Name())
	return ""
}

// within waits longer than eventually.
func (c *cluster) within(limit time.Duration, what string, check func() error) {
	c.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: still after %v: %v", what, limit, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// isOut tells that a target is not in the map that a gateway shows.
func (c *cluster) isOut(gateway *playground.Node, id string) error {
	if _, there := c.smap(gateway).Tmap[id]; there {
		return errors.New("it is in the map")
	}
	return nil
}

func numbered(count int) (names []string) {
	for i := range count {
		names = append(names, fmt.Sprintf("o%d", i))
	}
	return names
}

// expectStatus reads an object until the answer has the status.
func (c *cluster) expectStatus(status int, method, url, body string) (last answer) {
	c.t.Helper()
	c.within(outTimeout, fmt.Sprintf("%s %s: %d", method, url, status), func() error {
		var err error
		if last, err = try(client, method, url, body); err == nil && last.status != status {
			err = fmt.Errorf("%d %s", last.status, last.body)
		}
		return err
	})
	return last
}

// TestKilledTargetIsDownThenOutAndReturns with all that was acknowledged.
func TestKilledTargetIsDownThenOutAndReturns(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	gateway := c.nodes[0]
	createBucket(t, gateway, "b", "")
	names := numbered(60)
	for _, name := range names {
		must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "b", name), "old "+name)
	}
	dead := c.targets()[1]
	id := c.id(dead)
	its, others := c.owned("b", dead, names)
	if len(its) < 4 || len(others) < 4 {
		t.Fatalf("%d and %d names", len(its), len(others))
	}
	killed := time.Now()
	if err := dead.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Down: its names are 503, all others as ever.
	c.within(15*time.Second, "down", func() error {
		a, err := try(client, http.MethodPut, objectURL(gateway, "b", its[0]), "x")
		switch {
		case err != nil:
			return err // redirected to a dead process, before it is down
		case a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "":
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	if _, there := c.smap(gateway).Tmap[id]; !there {
		t.Fatal("out of the map as soon as it was down")
	}
	for _, name := range others {
		if got := must(t, http.StatusOK, http.MethodGet, objectURL(gateway, "b", name), "").body; got != "old "+name {
			t.Fatalf("%s holds %q", name, got)
		}
		must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "b", name), "old "+name)
	}
	for _, name := range its {
		must(t, http.StatusServiceUnavailable, http.MethodGet, objectURL(gateway, "b", name), "")
	}
	c.within(outTimeout-time.Since(killed), "out", func() error { return c.isOut(gateway, id) })
	t.Logf("out %v after kill -9", time.Since(killed).Round(time.Second))

	// Out: others own its names. What only it has cannot be read, and is never
	// said not to exist; the names can be written and deleted.
	for _, n := range c.proxies() {
		c.within(stepTimeout, "map of "+n.Name(), func() error { return c.isOut(n, id) })
	}
	c.expectStatus(http.StatusOK, http.MethodPut, objectURL(gateway, "b", its[0]), "new")
	c.expectStatus(http.StatusOK, http.MethodDelete, objectURL(gateway, "b", its[1]), "")
	must(t, http.StatusNotFound, http.MethodGet, objectURL(gateway, "b", its[1]), "")
	for _, name := range its[2:] {
		must(t, http.StatusServiceUnavailable, http.MethodGet, objectURL(gateway, "b", name), "")
	}
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(gateway, "b", its[0]), "").body; got != "new" {
		t.Fatalf("%s holds %q", its[0], got)
	}

	c.start(dead)
	c.waitReady()
	if got := must(t, http.StatusOK, http.MethodGet, objectURL(gateway, "b", its[0]), "").body; got != "new" {
		t.Fatalf("%s holds %q after the return", its[0], got)
	}
	must(t, http.StatusNotFound, http.MethodGet, objectURL(gateway, "b", its[1]), "")
	for _, name := range slices.Concat(its[2:], others) {
		if got := must(t, http.StatusOK, http.MethodGet, objectURL(gateway, "b", name), "").body; got != "old "+name {
			t.Fatalf("%s holds %q after the return", name, got)
		}
	}
	listed := listAll(t, c.proxies(), "b", "", 7)
	want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == its[1] })
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Fatalf("listed %q, want %q", listed, want)
	}
}

// TestStoppedTargetAcknowledgesNothingLater stops a target in the middle of a
// PUT, for longer than its lease holds. Others own the name by then, and have
// written it: what the stopped one acknowledges when it is continued comes after
// that, because the owner committed it, or because it is the owner again. The
// version tells: a write counts on from the one that it replaces, and under the
// lease that was lost that would be the first.
func TestStoppedTargetAcknowledgesNothingLater(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		when, call string // the target is stopped by a system call; "": while it receives the body
		committed  bool
		back       bool // it goes on with the write only when it is back in the map
	}{
		{"in the body", "", false, false},
		{"before the commit", "fsetxattr", false, false}, // the work file gets its record
		{"after the commit", "/^rename", true, false},
		{"before the commit, until it is back", "fsetxattr", false, true},
	} {
		t.Run(tc.when, func(t *testing.T) {
			t.Parallel()
			strace, err := exec.LookPath("strace")
			if err != nil && tc.call != "" {
				notTraced(t, err)
			}
			c := startCluster(t, 3, 3)
			gateway := c.nodes[0]
			createBucket(t, gateway, "b", "")
			stopped := c.targets()[2]
			id := c.id(stopped)
			its, _ := c.owned("b", stopped, numbered(60))
			name := its[0]
			must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "b", name), "first")
			file := c.fileOf("b", name)

			const late = "written before the stop, acknowledged after it"
			send, done := c.heldBack(objectURL(gateway, "b", name), late)
			send(late[:10])
			detach := func() {}
			if tc.call == "" {
				if err := stopped.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				send(late[10:]) // it waits in the socket
			} else {
				var calls string
				hold, held := ":signal=SIGSTOP:when=1", "stopped by SIGSTOP"
				if tc.back {
					hold, held = ":delay_exit=3600s:when=1", "DELAYED" // one thread alone; it ends with the tracing
				}
				options := []string{"-e", "trace=" + tc.call, "-e", "inject=" + tc.call + hold}
				if tc.committed {
					options = append(options, "-P", file)
				}
				calls, detach = trace(t, strace, stopped.PID(), options...)
				send(late[10:])
				c.eventually("stopped", func() error {
					data, err := os.ReadFile(calls)
					if err == nil && !strings.Contains(string(data), held) {
						err = errors.New("it runs")
					}
					return err
				})
			}
			if tc.back {
				if err := stopped.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(file)
			if err != nil || (string(data) == late) != tc.committed {
				t.Fatalf("stopped %s: the file holds %q, %v", tc.when, data, err)
			}
			began := time.Now()
			c.within(outTimeout, "out", func() error { return c.isOut(gateway, id) })
			t.Logf("out %v after SIGSTOP", time.Since(began).Round(time.Second))
			c.expectStatus(http.StatusOK, http.MethodPut, objectURL(gateway, "b", name), "by the new owner")
			must(t, http.StatusOK, http.MethodPut, objectURL(gateway, "b", name), "by the new owner", "Ais-Version", "100")
			isBack := func() error {
				if c.isOut(gateway, id) == nil {
					return errors.New("it is not in the map")
				}
				return nil
			}
			if !tc.back {
				detach() // or it stops other threads, too
			}
			if err := stopped.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if tc.back {
				c.within(outTimeout, "return", isBack)
				c.waitReady()
				detach()
			}
			got := <-done
			t.Logf("after SIGCONT: %d %s %v, version %q", got.status, got.body, got.err, got.header.Get("Ais-Version"))
			acknowledged := got.err == nil && got.status < 300
			if version := got.header.Get("Ais-Version"); acknowledged && version != "102" {
				t.Fatalf("acknowledged as version %q: it does not follow what the new owner has acknowledged, version 101", version)
			}
			if tc.back && !acknowledged {
				t.Errorf("not acknowledged, though it is the owner again")
			}
			c.within(outTimeout, "return", isBack)
			c.waitReady()
			// What was not acknowledged may have happened, after the other one.
			last := must(t, http.StatusOK, http.MethodGet, objectURL(gateway, "b", name), "")
			switch version := last.header.Get("Ais-Version"); {
			case last.body == late && version == "102":
			case last.body == "by the new owner" && version == "101" && !acknowledged:
			default:
				t.Fatalf("%s holds %q, version %s; acknowledged: %v", name, last.body, version, acknowledged)
			}
		})
	}
}

// outcome is an answer, or none.
type outcome struct {
	answer
	err error
}

// heldBack begins a PUT, whose redirect it follows, and gives its body to the
// caller to send. The body is the whole of text.
func (c *cluster) heldBack(address, text string) (send func(piece string), done <-chan outcome) {
	t := c.t
	t.Helper()
	strict := &http.Client{Timeout: 2 * outTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at, err := try(strict, http.MethodPut, address, "")
	if err != nil || at.status != http.StatusTemporaryRedirect {
		t.Fatalf("%v %v", at, err)
	}
	body, pipe := io.Pipe()
	req, err := http.NewRequest(http.MethodPut, at.header.Get("Location"), body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(text))
	ended := make(chan outcome, 1)
	go func() {
		res, err := strict.Do(req)
		if err != nil {
			ended <- outcome{err: err}
			return
		}
		data, err := io.ReadAll(res.Body)
		ended <- outcome{answer{res.StatusCode, res.Header, string(data)}, errors.Join(err, res.Body.Close())}
	}()
	sent := 0
	return func(piece string) {
		t.Helper()
		if _, err := io.Copy(pipe, strings.NewReader(piece)); err != nil {
			t.Fatal(err)
		}
		if sent += len(piece); sent == len(text) {
			if err := pipe.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}, ended
}
