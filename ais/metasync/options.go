package metasync

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// Options is what an Agent is made of. Self, Network, Storage are required.
type Options struct {
	Self          *meta.Snode     // as it wants to be in the cluster map; Flags: only meta.FlagNonElectable
	Network       Network         //
	Storage       Storage         //
	Clock         Clock           // nil: SystemClock
	Logger        *slog.Logger    // nil: nothing is logged
	InitialConfig *config.Cluster // first cluster configuration if this node founds the cluster
	// Seeds are intra-control base URLs to ask for a cluster, in this order.
	// They are only places to ask: with stored state, the stored members are
	// asked as well. One that is this node's own URL is ignored.
	Seeds []string
	// MayFound allows a proxy without stored state to found a cluster if no
	// seed knows one.
	MayFound bool
	Timeouts Timeouts // zero fields take their defaults
	// OnKeepalive is told of each keepalive call of this node: how long it
	// took and how it ended. It may be nil and must not block.
	OnKeepalive func(took time.Duration, err error)
	// Origin is what the node knows of its past besides Storage.
	Origin Origin
	// Signer signs announcements, nil: they are not signed.
	Signer Signer
	// Trust holds the node's identity and the cluster keys; nil: nobody has to
	// prove anything, which is for tests.
	Trust *trust.Keyring
}

// Timeouts are all times of the control plane.
type Timeouts struct {
	Tick          time.Duration // of the Raft clock, default 100 ms; heartbeats are sent every second one
	ElectionTicks int           // default 10: an election starts after 10 to 20 ticks without a leader
	Keepalive     time.Duration // interval, default 1 s
	Down          time.Duration // without a sign of life: down, default 5 s
	Out           time.Duration // without a sign of life: removed from the map, default 60 s
	Lease         time.Duration // of a target to commit writes, default 45 s; shorter than Out by a quarter or more
	RemovalWindow time.Duration // at most a third of the targets (at least 1) is removed in it, default 10 min
	Caretaker     time.Duration // the primary may come back for so long, default 4 s
	Ack           time.Duration // silence after which a node no longer delays commits, default 6 s
	ReplaceVoter  time.Duration // without contact: a voter is replaced, default 30 s
	Barrier       time.Duration // longest wait for a majority by a read, default 2 s
	Call          time.Duration // deadline of one call between nodes, default 2 s
	KeyLife       time.Duration // of a cluster key before the next one is made, default 24 h
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(field *time.Duration, value time.Duration) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&t.Tick, 100*time.Millisecond)
	if t.ElectionTicks <= 1 {
		t.ElectionTicks = 10
	}
	set(&t.Keepalive, time.Second)
	set(&t.Down, 5*time.Second)
	set(&t.Out, time.Minute)
	set(&t.RemovalWindow, 10*time.Minute)
	set(&t.Caretaker, 4*time.Second)
	set(&t.Ack, 6*time.Second)
	set(&t.ReplaceVoter, 30*time.Second)
	set(&t.Barrier, 2*time.Second)
	set(&t.Call, 2*time.Second)
	set(&t.KeyLife, 24*time.Hour)
	set(&t.Lease, min(45*time.Second, t.Out*4/5-grantFresh*t.Keepalive))
	return t
}

// leaseEndsFirst tells that a lease ends before its target counts as silent
// long enough to be out, also by clocks of which one is a tenth too slow and
// the other one a tenth too fast.
func (t Timeouts) leaseEndsFirst() bool {
	return (t.Lease+grantFresh*t.Keepalive)*5 <= t.Out*4
}

// election is the shortest time without a leader before an election.
func (t Timeouts) election() time.Duration { return t.Tick * time.Duration(t.ElectionTicks) }

func (o *Options) check() error {
	switch {
	case o.Self == nil:
		return errors.New("metasync: no node given")
	case o.Self.Role != meta.RoleProxy && o.Self.Role != meta.RoleTarget:
		return fmt.Errorf("metasync: invalid role %q of node %q, expecting %q or %q", o.Self.Role, o.Self.ID, meta.RoleProxy, meta.RoleTarget)
	case o.Self.ID == "" || o.Self.IntraControl.URL == "":
		return fmt.Errorf("metasync: node %q needs an id and an intra-control URL", o.Self.ID)
	case o.Network == nil || o.Storage == nil:
		return errors.New("metasync: network and storage are required")
	case o.MayFound && o.Self.Role != meta.RoleProxy:
		return fmt.Errorf("metasync: %s may not found a cluster, it is not a proxy", o.Self)
	case !o.Timeouts.withDefaults().leaseEndsFirst():
		return errors.New("metasync: an owner lease must end before its target can be taken out: Lease and two Keepalive intervals in at most 0.8 of Out")
	case o.MayFound && o.InitialConfig == nil:
		return errors.New("metasync: a node that may found a cluster needs an initial configuration")
	}
	return nil
}
