package rebalance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// Args are the arguments of a rebalance: those of the generic call (Name is a
// prefix of names, with a bucket only), and the placement.
type Args struct {
	xact.StartArgs
	// Placement is the version of the placement that it moves names for: when
	// that changes the job ends, and another one begins.
	Placement int64 `json:"placement,string,omitempty"`
}

// cleanup tells that nothing is sent: what the owner has, verified, is removed
// here.
func (a *Args) cleanup() bool { return a.Flags&xact.FlagCleanup != 0 }

// partial tells that names may stay which have to move.
func (a *Args) partial(spec *xact.Spec) bool {
	return spec.Bck.Name != "" || len(a.Buckets) > 0 || a.cleanup()
}

// ArgsOf reads the arguments of a rebalance. Errors are 400.
func ArgsOf(spec *xact.Spec) (*Args, error) {
	a := &Args{}
	if len(spec.Args) > 0 {
		if err := json.Unmarshal(spec.Args, a); err != nil {
			return nil, apierr.BadRequest("rebalance: failed to unmarshal the arguments: %v", err)
		}
	}
	if a.Name != "" && spec.Bck.Name == "" {
		return nil, apierr.BadRequest("cannot start %q: prefix %.64q needs a bucket", xact.KindRebalance, a.Name)
	}
	return a, nil
}

// Number makes a rebalance the one with a number, for the placement of a view.
func Number(spec *xact.Spec, v *meta.View, rebalance int64) error {
	a, err := ArgsOf(spec)
	if err != nil {
		return err
	}
	a.Placement = v.Placement.Ver()
	spec.Kind, spec.ID = xact.KindRebalance, meta.RebalanceID(rebalance)
	spec.Args, err = json.Marshal(a)
	return err
}

// Next makes a rebalance the one with the next number. It returns the change of
// the RMD that goes with it. due: one that moves everything is owed, and follows
// if this one does not.
func Next(v *meta.View, spec *xact.Spec, due bool) ([]meta.Change, error) {
	if err := Number(spec, v, v.RMD.Ver()+1); err != nil {
		return nil, err
	}
	a, err := ArgsOf(spec)
	if err != nil {
		return nil, err
	}
	partial := a.partial(spec)
	change, err := meta.NewChange(v, meta.KindRMD, &meta.RMDPatch{Partial: partial, Due: partial && due})
	return []meta.Change{change}, err
}

// Settles tells that with the end of a rebalance without an error every name on
// the targets that took part is where a placement has it.
func Settles(spec *xact.Spec, placement int64) bool {
	a, err := ArgsOf(spec)
	return err == nil && !a.partial(spec) && a.Placement == placement
}

// Mover is what a target has for rebalances: its streams, and how far it is
// with which of them.
type Mover struct {
	streams Streams
	ledger  ledger
	stop    func()
	timing  timing
}

// timing are pauses and patience; tests shorten them.
type timing struct {
	pause     time.Duration // between passes that left something, and between questions
	mostPause time.Duration
	tries     int // passes that move nothing before the job gives up on names that are damaged
}

// New returns a target's part of rebalances, which answers other targets how
// far it is; Close ends it.
func New(streams Streams) (*Mover, error) {
	m := &Mover{streams: streams, timing: timing{pause: 50 * time.Millisecond, mostPause: 2 * time.Second, tries: 3}}
	stop, err := streams.Receive(progressFlow, m.ledger.answer)
	m.stop = stop
	return m, err
}

// Close ends the answers.
func (m *Mover) Close() {
	if m.stop != nil {
		m.stop()
	}
}

// Registration makes the job known to a target.
func (m *Mover) Registration() xact.Registration {
	return xact.Registration{Kind: xact.KindRebalance, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		args, err := ArgsOf(spec)
		if err != nil {
			return nil, err
		}
		return &job{mover: m, env: env, spec: spec, args: args}, nil
	}}
}

// job is one rebalance on one target.
type job struct {
	mover *Mover
	env   *xact.Env
	spec  *xact.Spec
	args  *Args
}

// ErrPlacement ends a rebalance during which the owners of names have changed.
var ErrPlacement = errors.New("the targets of the cluster have changed: another rebalance goes on")

// Run implements xact.Job: it receives, sends, and returns when all targets
// have sent everything.
func (j *job) Run(ctx context.Context, x *xact.Xaction) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if errors.Is(err, context.Canceled) {
			err = context.Cause(ctx) // what the watch has found
		}
		cancel(nil)
	}()
	go j.watch(ctx, cancel)
	stop, err := j.mover.streams.Receive(flow(j.spec.ID), (&receiver{env: j.env, x: x}).receive)
	if err != nil {
		return err
	}
	defer stop()
	j.mover.ledger.begin(j.spec.ID)
	defer j.mover.ledger.leave(j.spec.ID)
	s := newSender(j, x)
	defer s.close()
	x.SetControl(s.control)
	if err := s.sendAll(ctx); err != nil {
		return err
	}
	if err := j.env.Store.SettleRemovals(ctx); err != nil {
		return err
	}
	j.mover.ledger.sent(j.spec.ID)
	return j.agree(ctx)
}

// watch ends the job when the placement changes: a message may wait for a
// target that does not take part any more.
func (j *job) watch(ctx context.Context, end context.CancelCauseFunc) {
	for delay.For(ctx, 2*j.mover.timing.pause) == nil {
		if err := j.check(); err != nil {
			end(err)
			return
		}
	}
}

// agree waits until all targets have sent everything.
func (j *job) agree(ctx context.Context) error {
	asked := map[string]bool{} // true: it is done
	for pause := j.mover.timing.pause; ; pause = min(2*pause, j.mover.timing.mostPause) {
		if err := j.check(); err != nil {
			return err
		}
		waits := 0
		for _, sn := range j.peers() {
			if !asked[sn.ID] {
				asked[sn.ID] = j.mover.hasSent(ctx, sn.ID, j.spec.ID)
			}
			if !asked[sn.ID] {
				waits++
			}
		}
		if waits == 0 {
			return j.check()
		}
		if err := delay.For(ctx, pause); err != nil {
			return err
		}
	}
}

// check ends the job if it moves names for an earlier placement.
func (j *job) check() error {
	if now := j.env.View().Placement.Ver(); now != j.args.Placement {
		return fmt.Errorf("%w (placement %d, now %d)", ErrPlacement, j.args.Placement, now)
	}
	return nil
}

// peers are the other targets that take part.
func (j *job) peers() (list []*meta.Snode) {
	for id, sn := range j.env.View().Smap.Tmap {
		if id != j.env.NodeID && j.spec.Concerns(id) {
			list = append(list, sn)
		}
	}
	return list
}

// buckets are those that the job goes through.
func (j *job) buckets() []meta.BucketEntry {
	return j.env.View().BMD.Buckets(func(b wire.Bck, p *meta.Bprops) bool {
		return !p.IsRemote(b) && (j.spec.Bck.Name == "" || b == j.spec.Bck) &&
			(len(j.args.Buckets) == 0 || slices.Contains(j.args.Buckets, b))
	})
}

// owns tells whether this target owns a name.
func (j *job) owns(smap *meta.Smap) func(unameDigest uint64) bool {
	return func(digest uint64) bool {
		owner, err := smap.Owner(digest)
		return err != nil || owner.ID == j.env.NodeID // without targets nothing moves
	}
}

// flow carries what a rebalance sends.
func flow(id string) string { return "rebalance." + id }
