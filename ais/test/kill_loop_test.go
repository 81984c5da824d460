package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// killLoopClient writes, overwrites, deletes, reads and lists names of its own,
// one call after the other, and knows what each may hold: what was acknowledged
// last, and what failed since. "" stands for a name that is not there.
type killLoopClient struct {
	url    string
	prefix string
	random *rand.Rand
	names  map[string][]string
	serial int
	acked  int
	listed int
	report func(format string, args ...any)
}

func (k *killLoopClient) step() {
	name := fmt.Sprintf("%s%d", k.prefix, k.random.IntN(12))
	if k.random.IntN(4) == 0 {
		name += "/below" // beside the object whose name it begins with
	}
	switch k.random.IntN(8) {
	case 0, 1:
		a, err := try(client, http.MethodDelete, k.url+"/v1/objects/b/"+name, "")
		k.note(name, "", err == nil && (a.status == http.StatusOK || a.status == http.StatusNotFound))
	case 2:
		a, err := try(client, http.MethodGet, k.url+"/v1/objects/b/"+name, "")
		k.check(name, a, err)
	case 3:
		k.list(false)
	default:
		k.serial++
		content := strings.Repeat(fmt.Sprintf("%s:%d ", name, k.serial), 1+k.random.IntN(k.random.IntN(6000)+1))
		sum, err := cksum.Of(cksum.XXHash2, []byte(content))
		if err != nil {
			k.report("%v", err)
			return
		}
		a, err := try(client, http.MethodPut, k.url+"/v1/objects/b/"+name, content,
			"Ais-Checksum-Type", sum.Type, "Ais-Checksum-Value", sum.Value)
		k.note(name, content, err == nil && a.status == http.StatusOK)
	}
}

// note is the outcome of a change.
func (k *killLoopClient) note(name, content string, acknowledged bool) {
	if acknowledged {
		k.names[name] = []string{content}
		k.acked++
		return
	}
	if k.names[name] == nil {
		k.names[name] = []string{""}
	}
	k.names[name] = append(k.names[name], content)
}

// check compares an answer with what the name may hold; other statuses than
// 200 and 404 are those of a target that is away.
func (k *killLoopClient) check(name string, a answer, err error) (settled bool) {
	if err != nil || a.status != http.StatusOK && a.status != http.StatusNotFound {
		return false
	}
	possible := k.names[name]
	if possible == nil {
		possible = []string{""}
	}
	if !slices.Contains(possible, a.body) && a.status == http.StatusOK || !slices.Contains(possible, "") && a.status == http.StatusNotFound {
		k.report("%s: status %d, %d bytes %.30q; it may hold one of %.30q", name, a.status, len(a.body), a.body, possible)
	}
	if a.status == http.StatusNotFound {
		a.body = ""
	}
	// From here on it is known: what was read stays.
	k.names[name] = []string{a.body}
	return true
}

// list compares a listing with the names; only a listing that is answered whole
// counts, unless it must be.
func (k *killLoopClient) list(must bool) {
	message := map[string]any{"prefix": k.prefix, "pagesize": 5, "props": "name"}
	listed := make(map[string]int)
	for {
		body, err := json.Marshal(map[string]any{"action": "list", "value": message})
		if err != nil {
			k.report("%v", err)
			return
		}
		a, err := try(client, http.MethodGet, k.url+"/v1/buckets/b", string(body), "Content-Type", jsonType)
		if err != nil || a.status != http.StatusOK {
			if must {
				k.report("listing of %s: %d %s, %v", k.prefix, a.status, a.body, err)
			}
			return
		}
		var page listedPage
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			k.report("page: %v", err)
			return
		}
		for _, e := range page.Entries {
			listed[e.Name]++
		}
		if page.Token == "" {
			break
		}
		message["uuid"], message["continuation_token"] = page.UUID, page.Token
	}
	k.listed++
	for name, possible := range k.names {
		absent := slices.Contains(possible, "")
		present := !absent || len(slices.Compact(slices.Sorted(slices.Values(possible)))) > 1
		if listed[name] > 1 || listed[name] == 0 && !absent || listed[name] == 1 && !present {
			k.report("%s is listed %d times; it may hold one of %.30q", name, listed[name], possible)
		}
		delete(listed, name)
	}
	if len(listed) > 0 {
		k.report("listed, and never written: %q", slices.Collect(maps.Keys(listed)))
	}
}

// TestKillLoop kills targets again and again while clients write, overwrite,
// delete, read and list; whatever was acknowledged is there afterwards, whole,
// and listed.
func TestKillLoop(t *testing.T) {
	t.Parallel()
	kills := 12
	if longTests() {
		kills = 150
	}
	c := startCluster(t, 1, 2)
	createBucket(t, c.nodes[0], "b", "")
	clients := make([]*killLoopClient, 8)
	var ended atomic.Bool
	var working sync.WaitGroup
	for i := range clients {
		clients[i] = &killLoopClient{
			url: c.nodes[0].URL(), prefix: fmt.Sprintf("c%d/", i), random: rand.New(rand.NewPCG(uint64(i), 11)),
			names: make(map[string][]string), report: t.Errorf,
		}
		working.Go(func() {
			for !ended.Load() {
				clients[i].step()
			}
		})
	}
	stop := sync.OnceFunc(func() {
		ended.Store(true)
		working.Wait()
	})
	defer stop()
	random := rand.New(rand.NewPCG(1, 12))
	for range kills {
		victim := c.targets()[random.IntN(2)]
		<-time.After(time.Duration(100+random.IntN(600)) * time.Millisecond) // at any moment of the work
		if err := victim.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.waitStopped(victim)
		c.start(victim)
		c.waitReady()
	}
	stop()
	acked, lists := 0, 0
	for _, k := range clients {
		for _, name := range slices.Sorted(maps.Keys(k.names)) {
			c.eventually("read "+name, func() error {
				a, err := try(client, http.MethodGet, objectURL(c.nodes[0], "b", name), "")
				if !k.check(name, a, err) {
					return fmt.Errorf("status %d, %w", a.status, err)
				}
				return nil
			})
		}
		k.list(true)
		acked, lists = acked+k.acked, lists+k.listed
	}
	t.Logf("%d kills, %d acknowledged changes, %d whole listings", kills, acked, lists)
}
