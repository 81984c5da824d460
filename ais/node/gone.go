package node

import (
	"sync"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

const (
	// goneTime is how long a node that took itself out of the map can still be
	// reached through the primary, under its last addresses.
	goneTime = 10 * time.Minute
	// maxGone bounds how many are remembered.
	maxGone = 100
)

// gone are nodes that took themselves out of the map a while ago: they run, and
// operators still ask them.
type gone struct {
	mu    sync.Mutex
	nodes map[string]goneNode
}

type goneNode struct {
	node *meta.Snode
	at   time.Time
}

// RememberGone keeps the addresses of a node that took itself out of the map.
func (n *Node) RememberGone(node *meta.Snode) {
	g := &n.gone
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nodes == nil {
		g.nodes = map[string]goneNode{}
	}
	for id, old := range g.nodes {
		if time.Since(old.at) >= goneTime || len(g.nodes) >= maxGone {
			delete(g.nodes, id)
		}
	}
	g.nodes[node.ID] = goneNode{node: node, at: time.Now()}
}

// goneNode returns such a node, nil if there is none with this id.
func (n *Node) goneNode(id string) *meta.Snode {
	g := &n.gone
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.nodes[id]; ok && time.Since(old.at) < goneTime {
		return old.node
	}
	return nil
}
