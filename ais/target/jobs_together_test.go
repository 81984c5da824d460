package target_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/fs"
)

// together is a cluster in which all jobs run beside each other and beside users.
type together struct {
	t   *testing.T
	c   *aistest.Cluster
	url string
	end time.Time

	mu   sync.Mutex
	runs map[string]int    // of jobs, by kind and how they ended
	said map[string]string // the last error of each kind
	all  map[string]string // contents by bucket and name, "" of what was deleted
}

// agedSystem tells times of change that are two hours in the past, so that age protects
// nothing from cleanup.
type agedSystem struct{ fs.System }

// Stat implements fs.System.
func (s agedSystem) Stat(path string) (fs.FileInfo, error) {
	info, err := s.System.Stat(path)
	info.Mtime -= int64(2 * time.Hour)
	info.Ctime -= int64(2 * time.Hour)
	return info, err
}

// TestJobsBesideEachOther: for minutes (AIS_TEST_LONG=yes; else seconds) all jobs run again
// and again beside each other, over plain, mirrored, encoded and renamed buckets, while users
// write, upload in parts, overwrite and delete, targets come and go with their rebalances, and
// cleanup lets no age protect what it finds. Every object is what was written last, at any
// time and at the end, nothing went to quarantine, and nothing is left behind.
func TestJobsBesideEachOther(t *testing.T) {
	t.Parallel()
	last := 5 * time.Second
	if os.Getenv("AIS_TEST_LONG") != "" {
		last = 3 * time.Minute
	}
	c := aistest.New(t, aistest.Options{Targets: 7, Moving: true, System: agedSystem{fs.Unix()}})
	g := &together{t: t, c: c, url: c.Proxies[0].URL() + "/v1", end: time.Now().Add(last), runs: map[string]int{}, said: map[string]string{}, all: map[string]string{}}
	for name, props := range map[string]string{
		"plain":    `{}`,
		"mirrored": `{"mirror":{"enabled":true,"copies":2}}`,
		"encoded":  `{"ec":{"enabled":true,"data_slices":2,"parity_slices":2,"objsize_limit":1000}}`,
		"named":    `{}`,
	} {
		bucket(t, c, name, "", props)
	}
	var done sync.WaitGroup
	defer done.Wait()
	for id, name := range []string{"plain", "mirrored", "encoded"} {
		for turn := range 2 {
			done.Go(func() { g.user(name, uint64(10*id+turn)) })
		}
	}
	for _, kind := range []string{"cleanup-store", "scrub", "lru"} {
		done.Go(func() { g.again(kind, "PUT", "/cluster", fmt.Sprintf(`{"action":"start","value":{"Kind":%q}}`, kind)) })
	}
	done.Go(func() { // as a target does that is short of space
		g.again("cleanup-store", "PUT", "/cluster", `{"action":"start","value":{"Kind":"cleanup-store","force":true,"flags":8}}`)
	})
	for _, name := range []string{"plain", "mirrored", "encoded"} {
		done.Go(func() {
			g.again("load-lom-cache", "PUT", "/cluster", fmt.Sprintf(`{"action":"start","value":{"Kind":"load-lom-cache","Bck":{"name":%q,"provider":"ais"}}}`, name))
		})
		done.Go(func() {
			g.again("copy-bck", "POST", "/buckets/"+name+"?bck_to=ais/@%23/copy-"+name+"/", `{"action":"copy-bck","value":{}}`)
		})
	}
	done.Go(func() {
		g.again("rechunk", "POST", "/buckets/plain", `{"action":"rechunk","value":{"objsize-limit":10000,"chunk-size":8192}}`,
			`{"action":"rechunk","value":{"objsize-limit":0,"chunk-size":16384}}`)
	})
	done.Go(func() {
		g.again("make-n-copies", "POST", "/buckets/mirrored", `{"action":"make-n-copies","value":1}`, `{"action":"make-n-copies","value":2}`)
	})
	done.Go(func() {
		g.again("ec-encode", "POST", "/buckets/encoded", `{"action":"ec-encode","name":"recover","value":{"data_slices":2,"parity_slices":2,"objsize_limit":1000}}`)
	})
	done.Go(g.rename)
	g.comeAndGo()
	done.Wait()
	if t.Failed() {
		return
	}
	g.check()
}

// ask asks once. Answers other than 2xx are those of a cluster in which much goes on.
func (g *together) ask(method, path, body string) (status int, text string) {
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Error(err)
		return 0, ""
	}
	res, err := follower.Do(req)
	if err != nil {
		g.t.Errorf("%s %s: %v", method, path, err)
		return 0, ""
	}
	data, err := io.ReadAll(res.Body)
	if closed := res.Body.Close(); err != nil || closed != nil {
		g.t.Errorf("%s %s: %v %v", method, path, err, closed)
		return 0, ""
	}
	return res.StatusCode, string(data)
}

// insist asks until the answer is not 503.
func (g *together) insist(method, path, body string) (status int, text string) {
	for deadline := time.Now().Add(time.Minute); ; {
		status, text = g.ask(method, path, body)
		if status != http.StatusServiceUnavailable {
			return status, text
		}
		if time.Now().After(deadline) {
			g.t.Errorf("%s %s is 503 for a minute: %.200s", method, path, text)
			return 0, ""
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (g *together) over() bool { return g.t.Failed() || time.Now().After(g.end) }

// user changes and reads names that nobody else changes.
func (g *together) user(bucket string, seed uint64) {
	random := rand.New(rand.NewPCG(58, seed))
	mine := map[string]string{} // "": there is none
	for change := 0; !g.over(); change++ {
		name := fmt.Sprintf("%s/u%d/o%02d", bucket, seed, random.IntN(30))
		path, content := "/objects/"+name, strings.Repeat(fmt.Sprintf("%s-%d|", name, change), 1+random.IntN(1+random.IntN(8000)))
		switch random.IntN(8) {
		case 0:
			if status, text := g.insist("DELETE", path, ""); status >= 300 && status != http.StatusNotFound {
				g.t.Errorf("DELETE %s: %d %.200s", name, status, text)
			}
			mine[name] = ""
		case 1, 2:
			if status, text := g.insist("PUT", path, content); status != http.StatusOK {
				g.t.Errorf("PUT %s: %d %.200s", name, status, text)
			}
			mine[name] = content
		case 3:
			if !g.upload(path, content) { // whether it is there is not known: it is written over
				if status, text := g.insist("PUT", path, content); status != http.StatusOK {
					g.t.Errorf("PUT %s: %d %.200s", name, status, text)
				}
			}
			mine[name] = content
		default:
			want, status := mine[name], http.StatusOK
			if want == "" {
				status = http.StatusNotFound
			}
			if got, text := g.insist("GET", path, ""); got != status || got == http.StatusOK && text != want {
				g.t.Errorf("GET %s: %d, %d bytes, want %d, %d bytes: %.200s", name, got, len(text), status, len(want), text)
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.Copy(g.all, mine)
}

// upload stores an object in parts; false: its outcome is not known, as when its target
// is not the owner of the name any more.
func (g *together) upload(path, content string) bool {
	status, id := g.insist("POST", path, `{"action":"mpt-upload"}`)
	if status != http.StatusOK {
		return false
	}
	half := len(content) / 2
	for i, part := range []string{content[:half], content[half:]} {
		if status, _ := g.insist("PUT", fmt.Sprintf("%s?uploadId=%s&partNumber=%d", path, id, i+1), part); status != http.StatusOK {
			return false
		}
	}
	status, _ = g.insist("POST", path+"?uploadId="+id, `{"action":"mpt-complete","value":[{"part-number":1,"etag":""},{"part-number":2,"etag":""}]}`)
	return status == http.StatusOK
}

// again starts a job as often as it ends, with the bodies in turns.
func (g *together) again(kind, method, path string, bodies ...string) {
	for i := 0; !g.over(); i++ {
		status, id := g.ask(method, path, bodies[i%len(bodies)])
		if status != http.StatusOK {
			g.count(kind, fmt.Sprintf("refused with %d", status))
			if status == http.StatusBadRequest && !strings.Contains(id, "running") {
				g.t.Errorf("%s: %s", kind, id)
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		g.await(kind, id)
	}
}

// await waits for the end of a job.
func (g *together) await(kind, id string) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		_, body := g.ask("GET", "/cluster?what=status", `{"id":"`+id+`"}`)
		var s wire.JobStatus
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			g.t.Errorf("status of %s: %.200s: %v", id, body, err)
			return
		}
		switch {
		case s.EndTime == 0 && time.Now().After(deadline):
			g.t.Errorf("%s[%s] does not end", kind, id)
			return
		case s.EndTime == 0:
			continue
		case s.Aborted:
			g.count(kind, "aborted")
		case s.Error != "":
			g.count(kind, "ended with errors")
			g.mu.Lock()
			g.said[kind] = s.Error
			g.mu.Unlock()
		default:
			g.count(kind, "ended")
		}
		return
	}
}

func (g *together) count(kind, how string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runs[kind+" "+how]++
}

// rename renames a bucket with objects there and back.
func (g *together) rename() {
	names := []string{"named", "renamed"}
	all := map[string]string{}
	for i := range 20 {
		name := fmt.Sprintf("o%02d", i)
		all[name] = strings.Repeat(name, 1+i*1000)
		if status, text := g.insist("PUT", "/objects/named/"+name, all[name]); status != http.StatusOK {
			g.t.Errorf("PUT %s: %d %s", name, status, text)
		}
	}
	now := 0
	for !g.over() {
		from, to := names[now], names[1-now]
		status, id := g.ask("POST", "/buckets/"+from+"?bck_to=ais/@%23/"+to+"/", `{"action":"move-bck"}`)
		if status != http.StatusOK {
			g.count("move-bck", fmt.Sprintf("refused with %d", status))
			time.Sleep(20 * time.Millisecond)
			continue
		}
		g.await("move-bck", id)
		if now = g.one(names); now < 0 {
			return
		}
		for name, content := range all {
			if status, text := g.insist("GET", "/objects/"+names[now]+"/"+name, ""); status != http.StatusOK || text != content {
				g.t.Errorf("GET %s/%s: %d, %d bytes of %d", names[now], name, status, len(text), len(content))
			}
		}
	}
}

// one waits until one of two buckets is there alone, and tells which; -1: it never is.
func (g *together) one(names []string) int {
	for deadline := time.Now().Add(time.Minute); !g.t.Failed(); time.Sleep(5 * time.Millisecond) {
		first, _ := g.ask("HEAD", "/buckets/"+names[0], "")
		second, _ := g.ask("HEAD", "/buckets/"+names[1], "")
		switch {
		case first == http.StatusOK && second == http.StatusNotFound:
			return 0
		case first == http.StatusNotFound && second == http.StatusOK:
			return 1
		case time.Now().After(deadline):
			g.t.Errorf("a rename has ended, and the buckets are %d and %d", first, second)
		}
	}
	return -1
}

// comeAndGo puts targets into maintenance and back, one at a time.
func (g *together) comeAndGo() {
	settled := func() {
		eventually(g.t, "everything is at its owner", func() bool { return g.c.Metadata.View().Placement.Settled() || g.t.Failed() })
	}
	for i := 0; !g.over(); i++ {
		n := g.c.Targets[i%len(g.c.Targets)]
		setTarget(g.t, g.c, n, false)
		settled()
		setTarget(g.t, g.c, n, true)
		settled()
		g.count("rebalance", "twice")
		// Only now can a bucket be renamed.
		before := g.counted("move-bck")
		eventually(g.t, "a bucket is renamed", func() bool { return g.counted("move-bck") > before || g.over() })
	}
}

// counted is how often a job has ended, in any way.
func (g *together) counted(kind string) (times int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for how, n := range g.runs {
		if rest, ok := strings.CutPrefix(how, kind+" "); ok && !strings.HasPrefix(rest, "refused") {
			times += n
		}
	}
	return times
}

// check reads everything once more when all has come to rest.
func (g *together) check() {
	g.t.Helper()
	g.await("ec-encode", g.must("POST", "/buckets/encoded", `{"action":"ec-encode","name":"recover","value":{"data_slices":2,"parity_slices":2,"objsize_limit":1000}}`))
	g.await("cleanup-store", g.must("PUT", "/cluster", `{"action":"start","value":{"Kind":"cleanup-store"}}`))
	for name, content := range g.all {
		status := http.StatusOK
		if content == "" {
			status = http.StatusNotFound
		}
		if got, text := g.insist("GET", "/objects/"+name, ""); got != status || got == http.StatusOK && text != content {
			g.t.Errorf("GET %s: %d, %d bytes, want %d, %d bytes", name, got, len(text), status, len(content))
		}
	}
	for _, n := range g.c.Targets {
		if count, err := n.Store.QuarantineCount(); count != 0 || err != nil {
			g.t.Errorf("%s has %d in quarantine, %v", n.ID(), count, err)
		}
	}
	for _, how := range slices.Sorted(maps.Keys(g.runs)) {
		g.t.Logf("%5d times: %s", g.runs[how], how)
	}
	for kind, text := range g.said {
		g.t.Logf("an error of %s: %.300s", kind, text)
	}
	g.t.Logf("%d names", len(g.all))
}

func (g *together) must(method, path, body string) string {
	g.t.Helper()
	status, text := g.insist(method, path, body)
	if status != http.StatusOK {
		g.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}
