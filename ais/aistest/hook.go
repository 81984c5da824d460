package aistest

import (
	"sync/atomic"

	"github.com/aistore-go/aistore/ais/target"
	"github.com/aistore-go/aistore/core"
)

// hookedGuard lets a test do something at the last moment before a commit.
type hookedGuard struct {
	*target.Guard
	hook atomic.Pointer[func()]
}

// Begin implements core.Guard.
func (g *hookedGuard) Begin(key core.Key, unameDigest uint64) (core.Ticket, error) {
	if do := g.hook.Swap(nil); do != nil {
		(*do)()
	}
	return g.Guard.Begin(key, unameDigest)
}

// BeforeCommit has a target call do once: when it is about to change a name,
// has received and stored all that it needs for that, holds the name's lock, and
// has not asked yet whether it may.
func (n *Node) BeforeCommit(do func()) { n.guard.hook.Store(&do) }
