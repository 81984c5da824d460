package target_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aistore-go/aistore/ais/aistest"
	"github.com/aistore-go/aistore/core"
)

// What clients do to one object, and what they saw.
type objectOp struct {
	kind   string // put, get, delete, begin (of an append), flush
	name   string
	client int
	piece  string // of put and flush
	// unsettled: names change owners meanwhile. Then each of several DELETEs at the same
	// time may answer that it has deleted the object, and an upload or an append that began
	// at a former owner cannot be completed at the next one (404).
	unsettled bool
}

type objectResult struct {
	status  int // 0: the outcome is not known
	content string
}

// objectState is an object as the model has it, and what each client's append has
// begun with: pieces, each ended by a comma. "-": it does not exist.
type objectState struct {
	content string
	begun   [historyClients]string
}

const historyClients = 4

var objectModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			by[op.Input.(objectOp).name] = append(by[op.Input.(objectOp).name], op)
		}
		for _, part := range by {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{objectState{content: "-"}} },
	Step: func(state, input, output any) []any {
		now, op, result := state.(objectState), input.(objectOp), output.(objectResult)
		next, status := now, http.StatusOK
		switch op.kind {
		case "put":
			next.content = op.piece + ","
		case "begin":
			next.begun[op.client] = strings.TrimPrefix(now.content, "-")
		case "flush":
			next.content = now.begun[op.client] + op.piece + ","
		case "delete":
			next.content = "-"
			fallthrough
		case "get":
			if now.content == "-" && (!op.unsettled || result.status != http.StatusOK) {
				status = http.StatusNotFound
			}
		}
		switch {
		case result.status == 0:
			return []any{now, next}
		case op.unsettled && (op.kind == "put" || op.kind == "flush") && result.status == http.StatusNotFound:
			return []any{now}
		case result.status != status, op.kind == "get" && status == http.StatusOK && result.content != now.content:
			return nil
		}
		return []any{next}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// pieceOf is a piece as it is sent.
func pieceOf(tag string) string {
	size := 0
	for _, c := range tag {
		size = size*31 + int(c)
	}
	return "<" + tag + ">" + strings.Repeat(".", size%9000)
}

// piecesIn is the reverse for a whole content.
func piecesIn(content string) (pieces string, err error) {
	whole := ""
	for rest := content; rest != ""; {
		tag, after, ok := strings.Cut(strings.TrimPrefix(rest, "<"), ">")
		if !ok {
			return "", fmt.Errorf("%.40q is no piece", rest)
		}
		pieces += tag + ","
		whole += pieceOf(tag)
		rest = strings.TrimLeft(after, ".")
	}
	if whole != content {
		return "", fmt.Errorf("%d bytes of %s, which have %d", len(content), pieces, len(whole))
	}
	return pieces, nil
}

// objectHistory collects what clients do to the bucket "b".
type objectHistory struct {
	t         *testing.T
	node      *aistest.Node
	unsettled bool // names change owners meanwhile
	began     time.Time

	phase   atomic.Int64 // a part of the names, so that no history is long
	breaks  atomic.Bool  // a target stops: connections may break
	over    atomic.Bool
	clients sync.WaitGroup

	mu   sync.Mutex
	ops  []porcupine.Operation
	seen map[int]int // answers by status; 0: none
}

// beginHistory has clients do random things to objects through a node until end is
// called. unsettled: names change owners meanwhile.
func beginHistory(t *testing.T, node *aistest.Node, unsettled bool) *objectHistory {
	t.Helper()
	h := &objectHistory{t: t, node: node, unsettled: unsettled, began: time.Now(), seen: map[int]int{}}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for id := range historyClients {
		h.clients.Go(func() { h.client(id, rand.New(rand.NewPCG(seed, uint64(id)))) })
	}
	t.Cleanup(h.halt)
	return h
}

func (h *objectHistory) halt() {
	h.over.Store(true)
	h.clients.Wait()
}

// more waits until so many more operations were successful.
func (h *objectHistory) more(count int) {
	h.t.Helper()
	done := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.seen[http.StatusOK]
	}
	enough := done() + count
	eventually(h.t, fmt.Sprintf("%d more operations", count), func() bool { return done() >= enough })
}

// failed tells that an answer, or none, says more than that it is to be tried again.
// broke: connections could break when the request was made.
func (h *objectHistory) failed(broke bool, status int, err error) bool {
	switch {
	case err != nil:
		return !broke && !h.breaks.Load()
	case status == http.StatusServiceUnavailable, status == http.StatusNotFound && (h.unsettled || broke):
		return false // with 404 an upload or an append has another owner, or one that has lost its disks
	}
	return status != http.StatusOK
}

// do does one operation; handle is that of an append.
func (h *objectHistory) do(op objectOp, method, query, body string) (handle string, ok bool) {
	broke := h.breaks.Load()
	called := time.Since(h.began)
	req, err := http.NewRequest(method, object(h.node, op.name)+query, strings.NewReader(body))
	if err != nil {
		h.t.Error(err)
		return "", false
	}
	var content []byte
	res, err := follower.Do(req)
	if err == nil {
		content, err = io.ReadAll(res.Body)
		err = errors.Join(err, res.Body.Close())
	}
	returned := time.Since(h.began)
	result := objectResult{}
	if err == nil {
		result.status = res.StatusCode
	}
	unanswered := err
	if op.kind == "get" && result.status == http.StatusOK {
		if result.content, err = piecesIn(string(content)); err != nil {
			h.t.Errorf("%s: %v", op.name, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[result.status]++
	done := int64(returned)
	switch result.status {
	case http.StatusOK, http.StatusNotFound:
	default:
		if h.failed(broke, result.status, unanswered) {
			h.t.Errorf("%s %s: status %d %.300s (%v)", op.kind, op.name, result.status, content, err)
		}
		if op.kind == "get" || op.kind == "begin" {
			return "", false
		}
		result.status, done = 0, math.MaxInt64
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: op.client, Input: op, Call: int64(called), Output: result, Return: done})
	if err == nil {
		handle = res.Header.Get("Ais-Append-Handle")
	}
	return handle, result.status == http.StatusOK
}

// parts begins an upload and sends three parts; false: the node was busy.
func (h *objectHistory) parts(op objectOp) (id string, ok bool) {
	ask := func(method, address, body string) (string, bool) {
		broke := h.breaks.Load()
		req, err := http.NewRequest(method, address, strings.NewReader(body))
		if err != nil {
			h.t.Error(err)
			return "", false
		}
		res, err := follower.Do(req)
		var text []byte
		status := 0
		if err == nil {
			status = res.StatusCode
			text, err = io.ReadAll(res.Body)
			err = errors.Join(err, res.Body.Close())
		}
		if h.failed(broke, status, err) {
			h.t.Errorf("part of %s: %d %.300s, %v", op.name, status, text, err)
		}
		return string(text), err == nil && status == http.StatusOK
	}
	address := object(h.node, op.name)
	if id, ok = ask(http.MethodPost, address, `{"action":"mpt-upload"}`); !ok {
		return "", false
	}
	content := pieceOf(op.piece)
	for i := range 3 {
		part := content[i*len(content)/3 : (i+1)*len(content)/3]
		if _, ok := ask(http.MethodPut, partURL(address, id, i+1), part); !ok {
			return "", false
		}
	}
	return id, true
}

// client does random things to objects until the end.
func (h *objectHistory) client(id int, rng *rand.Rand) {
	for n := 0; !h.over.Load(); n++ {
		op := objectOp{name: fmt.Sprintf("o%d-%d", h.phase.Load(), rng.IntN(4)), client: id, piece: fmt.Sprintf("%d.%d", id, n), unsettled: h.unsettled}
		switch rng.IntN(8) {
		case 0:
			op.kind = "put"
			h.do(op, http.MethodPut, "", pieceOf(op.piece))
		case 1:
			op.kind = "put"
			if id, ok := h.parts(op); ok {
				body, _ := io.ReadAll(completion(1, 2, 3)) // never fails
				h.do(op, http.MethodPost, "?uploadId="+id, string(body))
			}
		case 2:
			op.kind = "delete"
			h.do(op, http.MethodDelete, "", "")
		case 3:
			op.kind = "begin"
			handle, ok := h.do(op, http.MethodPut, "?append_type=append&append_handle=", pieceOf(op.piece))
			if ok {
				op.kind = "flush"
				h.do(op, http.MethodPut, "?append_type=flush&append_handle="+url.QueryEscape(handle), "")
			}
		default:
			op.kind = "get"
			h.do(op, http.MethodGet, "", "")
		}
	}
}

// end has the clients end, and compares what they saw with what one machine would have
// shown that did one thing after the other.
func (h *objectHistory) end() {
	h.t.Helper()
	h.halt()
	h.t.Logf("%d operations, answers by status: %v", len(h.ops), h.seen)
	if h.seen[http.StatusOK] < 100 {
		h.t.Errorf("only %d operations were successful: this shows nothing", h.seen[http.StatusOK])
	}
	model := objectModel.ToModel()
	verdict, info := porcupine.CheckOperationsVerbose(model, h.ops, 2*time.Minute)
	if verdict == porcupine.Ok {
		return
	}
	path := h.t.ArtifactDir() + "/history.html"
	h.t.Errorf("the history is not linearizable (%s), see %s (kept with -artifacts): %v", verdict, path, porcupine.VisualizePath(model, info, path))
	for _, part := range objectModel.Partition(h.ops) {
		if porcupine.CheckOperations(model, part) {
			continue
		}
		for _, op := range part {
			h.t.Logf("%d %v..%v %s", op.ClientId, time.Duration(op.Call), time.Duration(op.Return), objectModel.DescribeOperation(op.Input, op.Output))
		}
	}
}

// TestHistoryOfObjectsIsLinearizable: objects, also in chunks, are written, read,
// deleted and appended to through HTTP while mountpaths leave and come back, and
// while copies are made and removed.
func TestHistoryOfObjectsIsLinearizable(t *testing.T) {
	t.Parallel()
	c := aistest.New(t, aistest.Options{Mountpaths: 3})
	expect(t, 200, follower, "POST", c.Proxies[0].URL()+"/v1/buckets/b", strings.NewReader(`{"action":"create-bck","value":{"mirror":{"enabled":true,"copies":2}}}`))
	h := beginHistory(t, c.Proxies[0], false)
	target := c.Targets[0]
	settled := func(available, disabled int) {
		t.Helper()
		h.phase.Add(1)
		eventually(t, "everything is where it belongs", func() bool {
			l := target.Disks.Lists()
			return len(l.Available) == available && len(l.WaitingDD) == 0 && len(l.Disabled) == disabled && !target.Disks.Available().Unarranged
		})
	}
	copies := func(n int) {
		t.Helper()
		h.phase.Add(1)
		last := ""
		defer func() {
			if t.Failed() {
				t.Log(last)
			}
		}()
		eventually(t, "the number of copies is changed", func() bool {
			res, err := follower.Post(c.Proxies[0].URL()+"/v1/buckets/b", "application/json", strings.NewReader(fmt.Sprintf(`{"action":"make-n-copies","value":%d}`, n)))
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body) // only to be told
			_ = res.Body.Close()
			last = string(text)
			return res.StatusCode == 200
		})
	}
	mountpath(t, c, 200, "disable-mp", target.Paths[0], "")
	settled(2, 1)
	mountpath(t, c, 200, "enable-mp", target.Paths[0], "")
	settled(3, 0)
	copies(3)
	mountpath(t, c, 200, "detach-mp", target.Paths[1], "")
	settled(2, 0)
	mountpath(t, c, 200, "attach-mp", target.Paths[1], "")
	settled(3, 0)
	copies(1)
	mountpath(t, c, 200, "disable-mp", target.Paths[2], "") // and back before it is empty
	mountpath(t, c, 200, "enable-mp", target.Paths[2], "")
	settled(3, 0)
	copies(2)
	mountpath(t, c, 200, "detach-mp", target.Paths[2], "")
	settled(2, 0)
	mountpath(t, c, 200, "attach-mp", target.Paths[2], "")
	settled(3, 0)
	h.end()
	eventually(t, "nothing is pending", func() bool { return target.Store.PendingStats(core.WorkCopies).Count == 0 })
}
