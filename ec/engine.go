package ec

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/memsys"
)

const (
	// callTime bounds one question to another target, and one step without a body.
	callTime = 10 * time.Second
	// verifyTime bounds the reading of what a target holds of one object.
	verifyTime = 10 * time.Minute
	// retryAfter is when a client should come back whose object is out of reach.
	retryAfter = time.Second
)

// Options are the parts of an Engine. All but Logger are required.
type Options struct {
	Store   *core.Store
	Cluster Cluster
	Holders Holders
	Memory  *memsys.Pool
	Logger  *slog.Logger // nil: slog.Default
	// OnRestored, if set, is told of each object that was rebuilt.
	OnRestored func(key core.Key, size int64)
	// OnMade, if set, is told of slices and replicas that were made, and their bytes.
	OnMade func(pieces int, bytes int64)
}

// Engine keeps the objects that this target owns as slices and replicas on
// others, and rebuilds them. It is the core.Slices of the store.
type Engine struct {
	store      *core.Store
	local      Local
	cluster    Cluster
	holders    Holders
	codec      *Codec
	memory     *memsys.Pool
	logger     *slog.Logger
	onRestored func(core.Key, int64)
	onMade     func(int, int64)

	passing  chan struct{}   // one for each of the passes
	askAgain []time.Duration // see pausesOfAsking

	mu       sync.Mutex
	restores map[restoreID]*restoreRun // under way
	protects map[restoreID]*protectRun // the same
	repaired map[uint64][]string       // by bucket id: the targets of the cluster when the last whole RecoverHeld began
	Troubles Troubles
}

// New returns an engine. It does nothing by itself: see Work.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Engine{
		store: o.Store, local: Local{o.Store}, cluster: o.Cluster, holders: o.Holders, codec: NewCodec(o.Memory), memory: o.Memory,
		logger: o.Logger, onRestored: o.OnRestored, onMade: o.OnMade, passing: make(chan struct{}, passes), askAgain: pausesOfAsking(), restores: make(map[restoreID]*restoreRun), protects: make(map[restoreID]*protectRun), repaired: make(map[uint64][]string), Troubles: Troubles{names: map[string]string{}},
	}
}

// UseHolders sets the port Holders, before the first operation.
func (e *Engine) UseHolders(h Holders) { e.holders = h }

// owns tells that this target owns a name.
func (e *Engine) owns(key core.Key) bool {
	order := e.cluster.Order(key)
	return len(order) > 0 && order[0] == e.cluster.Self()
}

// toAll calls do for each of some targets, all at the same time, and returns their
// errors. One that is known to be down is not waited for.
func (e *Engine) toAll(ctx context.Context, ids []string, do func(ctx context.Context, i int, id string) error) []error {
	return e.toAllWithin(ctx, callTime, ids, do)
}

// toAllWithin is toAll for what may take longer.
func (e *Engine) toAllWithin(ctx context.Context, limit time.Duration, ids []string, do func(ctx context.Context, i int, id string) error) []error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		if !e.here(id) && e.cluster.Down(id) {
			errs[i] = apierr.Unavailable(retryAfter, "t[%s] does not answer", id)
			continue
		}
		all.Go(func() { errs[i] = do(ctx, i, id) })
	}
	all.Wait()
	return errs
}

// maxTroubles bounds the names that are remembered.
const maxTroubles = 1000

// Troubles are the objects that could not be protected or rebuilt when that was
// tried last, by name.
type Troubles struct {
	mu    sync.Mutex
	names map[string]string
	more  int64 // that did not fit
}

func (t *Troubles) set(key core.Key, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := key.Cname()
	if err == nil {
		delete(t.names, name)
		return
	}
	if _, known := t.names[name]; !known && len(t.names) >= maxTroubles {
		t.more++
		return
	}
	t.names[name] = err.Error()
}

// All returns the names and why, and how many more there were.
func (t *Troubles) All() (names map[string]string, more int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	names = make(map[string]string, len(t.names))
	for name, why := range t.names {
		names[name] = why
	}
	return names, t.more
}

// Count is how many there are.
func (t *Troubles) Count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.names)) + t.more
}
