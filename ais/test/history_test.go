package test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aistore-go/aistore/deploy/playground"
)

// What clients do to one bucket, and what they saw.
type bucketOp struct {
	kind   string // create, destroy, set, head
	bucket string
	access uint64 // of create and set
}

type bucketResult struct {
	status int    // 0: the outcome is not known
	access uint64 // of head
}

// bucketState is a bucket as the model has it; 0: it does not exist.
type bucketState uint64

// bucketModel is a bucket that exists or not and has one property. An
// operation whose outcome is not known may have taken effect or not.
var bucketModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			name := op.Input.(bucketOp).bucket
			by[name] = append(by[name], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range by {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{bucketState(0)} },
	Step: func(state, input, output any) []any {
		now, op, result := state.(bucketState), input.(bucketOp), output.(bucketResult)
		next, status := now, http.StatusOK
		switch {
		case op.kind == "create" && now != 0:
			status = http.StatusConflict
		case op.kind == "create" || op.kind == "set" && now != 0:
			next = bucketState(op.access)
		case now == 0:
			status = http.StatusNotFound
		case op.kind == "destroy":
			next = 0
		}
		switch {
		case result.status == 0:
			return []any{now, next}
		case result.status != status || op.kind == "head" && status == http.StatusOK && result.access != uint64(now):
			return nil
		}
		return []any{next}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// historian collects what clients do.
type historian struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
	seen  map[int]int // answers by status
	said  map[int]string
}

// do runs one operation through a gateway and remembers it. An answer that
// says itself that it may be old is left out.
func (h *historian) do(hc *http.Client, client int, gateway string, op bucketOp) {
	called := time.Since(h.began)
	url := gateway + "/v1/buckets/" + op.bucket
	var a answer
	var err error
	switch op.kind {
	case "create":
		a, err = try(hc, http.MethodPost, url, fmt.Sprintf(`{"action":"create-bck","value":{"access":"%d"}}`, op.access), "Content-Type", jsonType)
	case "set":
		a, err = try(hc, http.MethodPatch, url, fmt.Sprintf(`{"action":"set-bprops","value":{"access":"%d"}}`, op.access), "Content-Type", jsonType)
	case "destroy":
		a, err = try(hc, http.MethodDelete, url, `{"action":"destroy-bck"}`, "Content-Type", jsonType)
	case "head":
		a, err = try(hc, http.MethodHead, url, "")
	}
	returned := time.Since(h.began)
	result := bucketResult{status: a.status}
	known := err == nil && (a.status == http.StatusOK || a.status == http.StatusNotFound || a.status == http.StatusConflict)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[a.status]++
	if h.said[a.status] == "" && a.body != "" {
		h.said[a.status] = fmt.Sprintf("%v after the start: %.300s", called.Round(time.Millisecond), a.body)
	}
	switch {
	case !known && op.kind == "head", a.header.Get("Ais-Stale") != "":
		return
	case !known:
		result.status, returned = 0, math.MaxInt64
	case op.kind == "head" && a.status == http.StatusOK:
		var props struct {
			Access string `json:"access"`
		}
		if json.Unmarshal([]byte(a.header.Get("Ais-Bucket-Props")), &props) == nil {
			result.access, _ = strconv.ParseUint(props.Access, 10, 64) // 0 fails the check
		}
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: op, Call: int64(called), Output: result, Return: int64(returned)})
}

// Buckets are created, changed and destroyed through all gateways while
// primaries are killed, stopped and cut off. What clients saw is what one
// machine would have shown that did one thing after the other.
func TestHistoryOfBucketsIsLinearizable(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	const (
		clients = 6
		buckets = 3
		lasting = 45 * time.Second
	)
	nw := newNetwork(t, 3, 3)
	nw.up()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	h := &historian{began: time.Now(), seen: map[int]int{}, said: map[int]string{}}
	end := make(chan struct{})
	var running sync.WaitGroup
	for id := range clients {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(id)))
			hc := &http.Client{Timeout: 10 * time.Second}
			for {
				select {
				case <-end:
					return
				default:
				}
				op := bucketOp{
					kind: []string{"create", "create", "set", "destroy", "head", "head", "head"}[rng.IntN(7)],
					// all that the bucket's own operations need, and some of the rest to tell one value from another
					bucket: fmt.Sprintf("b%d-%d", rng.IntN(buckets), int(time.Since(h.began)/(5*time.Second))), access: 0x3fe00 | 1 + rng.Uint64N(511),
				}
				h.do(hc, id, nw.proxies()[rng.IntN(3)].URL(), op)
				time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
			}
		})
	}
	nw.disturb(rand.New(rand.NewPCG(seed, 100)), lasting)
	close(end)
	running.Wait()
	t.Logf("%d operations, answers by status: %v; some of them: %v", len(h.ops), h.seen, h.said)
	for status := range h.seen {
		switch status {
		case 0, http.StatusOK, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable:
		default:
			t.Errorf("%d answers with status %d, for example %s: a client cannot know that it may try again", h.seen[status], status, h.said[status])
		}
	}
	if h.seen[http.StatusOK] < 200 {
		t.Errorf("only %d operations were successful: this shows nothing", h.seen[http.StatusOK])
	}
	model := bucketModel.ToModel()
	verdict, info := porcupine.CheckOperationsVerbose(model, h.ops, 2*time.Minute)
	if verdict != porcupine.Ok {
		path := t.ArtifactDir() + "/history.html"
		t.Errorf("the history is not linearizable (%s), see %s (kept with -artifacts): %v", verdict, path, porcupine.VisualizePath(model, info, path))
		for _, part := range bucketModel.Partition(h.ops) {
			if porcupine.CheckOperations(model, part) {
				continue
			}
			for _, op := range part {
				t.Logf("%d %v..%v %s", op.ClientId, time.Duration(op.Call), time.Duration(op.Return), bucketModel.DescribeOperation(op.Input, op.Output))
			}
		}
	}
}

// disturb does something bad to the primary, or to another voter, again and
// again, and leaves the cluster whole.
func (nw *network) disturb(rng *rand.Rand, lasting time.Duration) {
	nw.t.Helper()
	for until := time.Now().Add(lasting); time.Now().Before(until); {
		victim := nw.nodes[rng.IntN(len(nw.nodes))]
		if rng.IntN(3) > 0 {
			victim = nw.anyPrimary()
		}
		pause := time.Duration(500+rng.IntN(5000)) * time.Millisecond
		what := rng.IntN(3)
		nw.t.Logf("%s: %s for %v", victim.Name(), []string{"killed", "stopped", "cut off"}[what], pause)
		switch what {
		case 0:
			nw.signal(victim, syscall.SIGKILL)
			nw.waitStopped(victim)
			time.Sleep(pause)
			nw.start(victim)
		case 1:
			nw.signal(victim, syscall.SIGSTOP)
			time.Sleep(pause)
			nw.signal(victim, syscall.SIGCONT)
		case 2:
			nw.isolate(victim)
			time.Sleep(pause)
			nw.heal()
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	}
	nw.waitReady()
}

func (c *cluster) signal(n *playground.Node, sig syscall.Signal) {
	c.t.Helper()
	if err := n.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// anyPrimary is the node that most proxies take for the primary.
func (c *cluster) anyPrimary() *playground.Node {
	c.t.Helper()
	votes := map[*playground.Node]int{}
	var best *playground.Node
	for _, n := range c.proxies() {
		if n.PID() == 0 {
			continue
		}
		p := c.primary(n)
		if votes[p]++; best == nil || votes[p] > votes[best] {
			best = p
		}
	}
	if best == nil {
		c.t.Fatal("no proxy runs")
	}
	return best
}
