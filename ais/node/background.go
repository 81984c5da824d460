package node

import (
	"context"
	"sync"
)

// background is work of a node that no request waits for. It ends with the
// node. The zero value is ready.
type background struct {
	mu     sync.Mutex
	wg     sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
	ended  bool
}

// run starts do, with a context that ends with the node; after that it does
// nothing.
func (b *background) run(do func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	if b.ctx == nil {
		b.ctx, b.cancel = context.WithCancel(context.Background())
	}
	ctx := b.ctx
	b.wg.Go(func() { do(ctx) })
}

// end ends all of it and waits.
func (b *background) end() {
	b.mu.Lock()
	b.ended = true
	if b.cancel != nil {
		b.cancel()
	}
	b.mu.Unlock()
	b.wg.Wait()
}
