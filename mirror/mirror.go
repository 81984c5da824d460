package mirror

import (
	"context"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
)

// Copies is the port of the engine: see core.Copies. The store is set after it
// was made, since each needs the other.
type Copies struct {
	mu    sync.RWMutex
	store *core.Store
}

// Use sets the store, before the first operation.
func (c *Copies) Use(store *core.Store) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store = store
}

// Restore implements core.Copies: an object that went to quarantine, or is
// missing, is made again from a copy that is whole. 404: there is none.
func (c *Copies) Restore(ctx context.Context, key core.Key) error {
	c.mu.RLock()
	store := c.store
	c.mu.RUnlock()
	if store == nil || !key.Props.Mirror.Enabled {
		return apierr.ObjectNotFound(key.Cname())
	}
	did, err := store.ArrangeCopies(ctx, key)
	if err == nil && (did.Instances == 0 || did.Broken) {
		err = apierr.ObjectNotFound(key.Cname())
	}
	return err
}

// Committed implements core.Copies. The pending set knows of the commit already.
func (c *Copies) Committed(core.Key, core.Attrs) {}

var _ core.Copies = (*Copies)(nil)
