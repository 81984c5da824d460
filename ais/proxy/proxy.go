package proxy

import (
	"log/slog"
	"sync"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/membership"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Proxy is the gateway's part of a node: its handlers and what they call.
type Proxy struct {
	node    *node.Node
	control node.ControlPlane
	metrics *metrics.Registry
	logger  *slog.Logger

	membership *membership.Engine
	jobs       *jobs.Engine
	rebalances *rebalances
	rates      rateLimits
	pages      sync.Pool // of *[]byte, for bodies of pages of names
}

// New returns the gateway's part of a node; see Register.
func New(n *node.Node, control node.ControlPlane, logger *slog.Logger) *Proxy {
	p := &Proxy{node: n, control: control, metrics: n.Metrics(), logger: logger}
	p.membership = p.newMembership()
	p.jobs = jobs.New(jobs.Options{
		Node: n.Name(), Control: control, Targets: node.JobTargets{Node: n}, Config: n.Config, Logger: logger,
	})
	p.jobs.OnEnd(wire.ActCopyBucket, endCopyBucket)
	p.jobs.OnEnd(wire.ActMoveBucket, endRename)
	n.SetJobs(p.jobs)
	p.rebalances = newRebalances(p)
	return p
}
