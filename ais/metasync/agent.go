package metasync

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// Agent is the control plane of one node: a machine, driven by one goroutine,
// one that stores, one that puts views into effect, and one for each outgoing
// call. All methods
// are safe for concurrent use; those without a context neither block nor lock.
type Agent struct {
	o       Options
	log     *slog.Logger
	machine *machine
	onApply func(old, new *meta.View) error

	inbox   chan func()               // inputs of the machine, run one after another
	waiting map[uint64]chan<- reply   // by token; of the goroutine that drives the machine
	tokens  uint64                    // last one given; of that goroutine
	turn    chan struct{}             // one commit at a time is built and proposed
	applyCh chan *meta.View           // the newest view to put into effect
	fatal   chan error                //
	latest  atomic.Pointer[meta.View] // applied, perhaps not yet in effect
	view    atomic.Pointer[meta.View] // in effect
	status  atomic.Pointer[Status]
	// leaseSent is when the keepalive was sent that gave the owner lease.
	leaseSent atomic.Pointer[time.Time]
	broken    atomic.Pointer[string] // why nothing can be stored at the moment
	saving    saveQueue

	ctx     context.Context // ends all work
	cancel  context.CancelFunc
	started atomic.Bool
	wg      sync.WaitGroup
}

const (
	inboxSize   = 4096
	maxBody     = maxFrame + 1<<20 // bytes of an incoming call
	retrySave   = time.Second
	retryApply  = time.Second
	retryCommit = 50 * time.Millisecond
)

// New makes the control plane of a node from its options and what it has
// stored. It is an error if the stored state is damaged, or is another node's.
func New(o Options) (*Agent, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	st, err := load(o.Storage)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		o: o, log: o.Logger,
		onApply: func(_, _ *meta.View) error { return nil },
		inbox:   make(chan func(), inboxSize),
		waiting: map[uint64]chan<- reply{},
		turn:    make(chan struct{}, 1),
		applyCh: make(chan *meta.View, 1),
		fatal:   make(chan error, 1),
		saving:  saveQueue{some: make(chan struct{}, 1)},
	}
	a.machine, err = newMachine(machineOptions{
		self: o.Self, incarnation: randomID(), newID: randomID, seeds: o.Seeds, mayFound: o.MayFound,
		founding: func(now time.Time, raftID uint64) (*meta.View, error) {
			return withFirstKey(o.Trust, o.Self, o.InitialConfig, now, raftID)
		},
		times: o.Timeouts.withDefaults(), log: o.Logger, now: o.Clock.Now(),
		origin: o.Origin, signer: o.Signer, trust: o.Trust,
	}, st)
	if err != nil {
		return nil, err
	}
	if err := a.saveFirst(); err != nil {
		return nil, err
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.view.Store(&meta.View{})
	a.machine.installKeys()
	a.latest.Store(a.machine.view())
	a.status.Store(&Status{})
	return a, nil
}

// randomID is never 0, and none of the ids that raft keeps for itself.
func randomID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])>>1 | 1
}

// OnApply sets what is called with every new view before it is in effect, that
// is before View returns it and before this node acknowledges it. Views come
// in the order of the log; one call may stand for several changes. The first
// call after a start has an empty old view. If it fails it is called again
// with the newest view, until it does not. Call OnApply before Start.
func (a *Agent) OnApply(f func(old, new *meta.View) error) { a.onApply = f }

// Start begins to work, until ctx ends or Stop or Kill is called. Calls made
// before it wait for it.
func (a *Agent) Start(ctx context.Context) {
	a.started.Store(true)
	context.AfterFunc(ctx, a.cancel)
	a.wg.Go(a.drive)
	a.wg.Go(a.apply)
	a.wg.Go(a.save)
}

// Stop leaves the cluster in good order: the primary is told, and if this is
// the primary, leadership is handed to its successor. It then ends all work;
// if ctx ends earlier, without good order.
func (a *Agent) Stop(ctx context.Context) error {
	var err error
	if a.started.Load() {
		_, err = a.request(ctx, func(m *machine, token uint64) { m.leave(token) })
	}
	a.Kill()
	if errors.Is(err, errStopped) {
		err = nil
	}
	return err
}

// Kill ends all work at once, as a crash would.
func (a *Agent) Kill() {
	a.cancel()
	a.wg.Wait()
}

// Fatal delivers an error after which the node has to exit: another node
// with its id is running. Everything else, a node survives.
func (a *Agent) Fatal() <-chan error { return a.fatal }

// View returns the documents that are in effect on this node; never nil. Its
// Smap is nil before the node belongs to a cluster.
func (a *Agent) View() *meta.View { return a.view.Load() }

// Status returns what this node knows of itself and the cluster; never nil.
func (a *Agent) Status() *Status { return a.status.Load() }

// Joined tells that the cluster has accepted this node since it was started.
func (a *Agent) Joined() bool { return a.status.Load().Joined }

// IsPrimary tells that this node is the primary, as far as it knows.
func (a *Agent) IsPrimary() bool { return a.status.Load().Primary }

// Electing tells that this node has a vote and knows no leader at the moment.
func (a *Agent) Electing() bool {
	s := a.status.Load()
	return s.Joined && s.Voter && s.Leader == ""
}

// Settled is Status().Settled.
func (a *Agent) Settled() bool { return a.status.Load().Settled }

// Stale tells that no primary has answered this node for Timeouts.Down: what
// it knows may be old, and it should catch up before it serves.
func (a *Agent) Stale() bool { return a.status.Load().Stale }

// Fenced says in one sentence why this node may not serve, "" if it may.
func (a *Agent) Fenced() string {
	if broken := a.broken.Load(); broken != nil {
		return *broken
	}
	return a.status.Load().Fenced
}

// IsDown tells a node of the map that does not answer at present.
func (a *Agent) IsDown(nodeID string) bool {
	_, down := a.status.Load().Down[nodeID]
	return down
}

// Commit changes metadata. build makes the changes from the newest view; it is
// called again, with a newer one, when another change came first. No changes
// are a success without effect. Commit returns the view with the change when
// it is in effect here and on every node, other than those that are down or
// have been silent for Timeouts.Ack.
//
// If ctx carries the id of a request (meta.WithCommandID), build is not called
// for a request that was decided before, by this primary or an earlier one:
// it gets its first answer. The commands of one request are told apart by
// their order.
//
// On a node that is not the primary the error has the code errNotPrimary: the
// request is to be made at the primary, under the same id. It has changed
// nothing, unless this node ceased to be primary meanwhile. Without a majority
// the error is 503. After that, and if ctx ends first, the change may still
// take place.
func (a *Agent) Commit(ctx context.Context, action string, build func(*meta.View) ([]meta.Change, error)) (*meta.View, error) {
	request := meta.NextCommandID(ctx)
	for {
		done, view, err := a.commitOnce(ctx, request, action, build)
		if done || err != nil {
			return view, err
		}
		if err := a.pause(ctx, retryCommit); err != nil {
			return nil, err
		}
	}
}

// commitOnce tries once; done is false if it has to be tried again.
func (a *Agent) commitOnce(ctx context.Context, request, action string, build func(*meta.View) ([]meta.Change, error)) (done bool, view *meta.View, err error) {
	var r reply
	err = a.inTurn(ctx, func() error {
		for {
			r, err = a.request(ctx, func(m *machine, token uint64) { m.recall(token, request) })
			if err != nil || r.done {
				return err
			}
			latest := a.latest.Load()
			changes, err := build(latest)
			if err == nil {
				err = checkMoves(latest, action, changes)
			}
			if err != nil {
				return err
			}
			if len(changes) == 0 {
				r = reply{index: latest.Index, view: latest}
				return nil
			}
			id := r.id
			r, err = a.request(ctx, func(m *machine, token uint64) {
				m.commit(token, &meta.Command{ID: id, Action: action, Changes: changes})
			})
			if err == nil || !meta.IsStale(err) {
				return err
			}
		}
	})
	switch {
	case errors.Is(err, errDropped), errors.Is(err, errLost):
		return false, nil, nil
	case err != nil:
		return true, nil, err
	}
	if r, err = a.request(ctx, func(m *machine, token uint64) { m.await(token, r.index, r.view) }); err != nil {
		return true, nil, err
	}
	return true, r.view, nil
}

// SetPrimary makes a proxy primary and returns when it is. The present primary
// stays in the map. It is called on the present primary; elsewhere the error
// has the code errNotPrimary. If the proxy does not take over in time, nothing
// has changed. A second change of the primary at the same time is 503.
func (a *Agent) SetPrimary(ctx context.Context, nodeID string) error {
	within := maxHandoff
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)-a.machine.times.Call)
	}
	_, err := a.request(ctx, func(m *machine, token uint64) { m.setPrimary(token, nodeID, within) })
	return err
}

// Lagging are the ids of nodes that do not acknowledge changes and are not
// waited for any more; on the primary only.
func (a *Agent) Lagging() []string { return a.status.Load().Lagging }

// Leaderless tells that nobody has led the cluster for so long that waiting
// for a primary is of little use: there is no majority of the voters.
func (a *Agent) Leaderless() bool {
	since := a.status.Load().NoLeaderSince
	times := &a.machine.times
	return !since.IsZero() && a.o.Clock.Now().Sub(since) > times.election()+times.Caretaker
}

// inTurn runs f while no other commit of this node is built or proposed.
func (a *Agent) inTurn(ctx context.Context, f func() error) error {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
		return f()
	case <-ctx.Done():
		return unanswered(ctx)
	case <-a.ctx.Done():
		return errStopped
	}
}

func (a *Agent) pause(ctx context.Context, d time.Duration) error {
	ticks, stop := a.o.Clock.NewTicker(d)
	defer stop()
	select {
	case <-ticks:
		return nil
	case <-ctx.Done():
		return unanswered(ctx)
	case <-a.ctx.Done():
		return errStopped
	}
}

// Barrier returns when View holds everything that was committed before the
// call. stale tells that no majority could be asked within Timeouts.Barrier;
// View may then be behind. It is an error if the node is in no cluster.
func (a *Agent) Barrier(ctx context.Context) (stale bool, err error) {
	r, err := a.request(ctx, func(m *machine, token uint64) { m.barrier(token, false) })
	return r.stale, err
}

// Pull is Barrier, with an error (503) instead of a stale view.
func (a *Agent) Pull(ctx context.Context) error {
	_, err := a.request(ctx, func(m *machine, token uint64) { m.barrier(token, true) })
	return err
}

// Handle answers a call of another node's Network. body is not kept.
func (a *Agent) Handle(ctx context.Context, kind string, body []byte) ([]byte, error) {
	if len(body) > maxBody {
		return nil, apierr.New(apierr.StatusRequestEntityTooLarge, "", "%q call of %d bytes is longer than %d", kind, len(body), maxBody)
	}
	r, err := a.request(ctx, func(m *machine, token uint64) { m.incomingFrom(trust.CallerOf(ctx), token, kind, body) })
	return r.body, err
}

var errStopped = apierr.Unavailable(time.Second, "the node is stopping")

func unanswered(ctx context.Context) error {
	return apierr.Wrap(ctx.Err(), apierr.StatusServiceUnavailable, "", "no answer from the cluster in time, the outcome is not known")
}

// request gives the machine an input and waits for its reply.
func (a *Agent) request(ctx context.Context, input func(m *machine, token uint64)) (reply, error) {
	ch := make(chan reply, 1)
	run := func() {
		if ctx.Err() != nil {
			return // nobody waits
		}
		a.tokens++
		a.waiting[a.tokens] = ch
		input(a.machine, a.tokens)
	}
	select {
	case a.inbox <- run:
	case <-ctx.Done():
		return reply{}, unanswered(ctx)
	case <-a.ctx.Done():
		return reply{}, errStopped
	}
	select {
	case r := <-ch:
		return r, r.err
	case <-ctx.Done():
		return reply{}, unanswered(ctx)
	case <-a.ctx.Done():
		return reply{}, errStopped
	}
}
