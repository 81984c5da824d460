package membership

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// pollPause is how often a request looks how far its operation is, and the
	// engine whether what it waits for has come.
	pollPause = 25 * time.Millisecond
	// retryPause is the pause after something has failed.
	retryPause = 500 * time.Millisecond
	// idlePause is how often the engine looks although nobody has notified it.
	idlePause = 5 * time.Second
	// commitTime bounds one commit.
	commitTime = 20 * time.Second
	// tellTime bounds one attempt to tell a node: it may have disks to clean.
	tellTime = 30 * time.Second
	// askTime bounds one question to a node.
	askTime = 10 * time.Second
)

// Options are what an Engine is made of.
type Options struct {
	Self    *meta.Snode
	Control Control
	Nodes   Nodes
	Logger  *slog.Logger
	Now     func() time.Time                                          // nil: time.Now
	Begin   func(*meta.View, *meta.PendingMap) ([]meta.Change, error) // see Facts.Begin
}

// Engine carries out operations. Its methods may be called from any goroutine.
type Engine struct {
	o    Options
	wake chan struct{}

	mu    sync.Mutex
	mover Mover  // nil: nothing moves data
	id    string // operation that facts are about
	facts Facts
	waits string // what the operation waits for, for messages

	givenUp map[string]chan struct{} // by operation: see toldAll
}

// New makes an engine; Run makes it work.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Engine{o: o, wake: make(chan struct{}, 1)}
}

// SetMover hands over the job that moves data. Without one, what has to move
// data is refused.
func (e *Engine) SetMover(m Mover) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mover = m
}

func (e *Engine) theMover() Mover {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mover
}

// Notify tells that the documents have changed. It does not block.
func (e *Engine) Notify() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Conditions returns what decides whether an operation may begin.
func (e *Engine) Conditions(ctx context.Context) (*Conditions, error) {
	c := &Conditions{Now: e.o.Now(), Self: e.o.Self.String()}
	mover := e.theMover()
	if mover == nil {
		return c, nil
	}
	c.CanMove = true
	if rmd := e.o.Control.View().RMD.Ver(); rmd > 0 {
		done, err := mover.State(ctx, rmd)
		if !done && err == nil {
			c.Running = rmd
		}
	}
	return c, nil
}

// Do carries out a request of an operator, on the primary. It returns the id
// of the rebalance that has begun, or "" when the operation has ended. If ctx
// ends first, the operation goes on, and the error says so.
func (e *Engine) Do(ctx context.Context, r *Request) (rebalance string, err error) {
	c, err := e.Conditions(ctx)
	if err != nil {
		return "", err
	}
	id := meta.CommandID(ctx)
	if id == "" {
		id = meta.NewJobID()
	}
	if e.o.Control.View().Operations.Find(id) == nil { // else it is repeated, because a primary died with it
		if err := e.ask(ctx, r, c); err != nil {
			return "", err
		}
	}
	v, err := e.o.Control.Commit(ctx, r.Action, func(v *meta.View) ([]meta.Change, error) {
		if v.Operations.Find(id) != nil {
			return nil, nil
		}
		op, err := Admit(v, r, c, id)
		if err != nil || op == nil {
			return nil, err
		}
		change, err := meta.NewChange(v, meta.KindOperations, &meta.OperationsPatch{Current: op})
		return []meta.Change{change}, err
	})
	if err != nil || v.Operations.Find(id) == nil && e.o.Control.View().Operations.Find(id) == nil {
		return "", err
	}
	e.warn(r)
	e.Notify()
	return e.await(ctx, id)
}

// warn writes a line where an operator may not have meant it.
func (e *Engine) warn(r *Request) {
	for _, id := range r.Nodes {
		node := e.o.Control.View().Smap.Node(id)
		if r.Action == wire.ActShutdownNode && node != nil && node.Flags&meta.FlagDecommission != 0 {
			e.o.Logger.Warn("shutting down a node that is being decommissioned", "node", node.String())
		}
	}
}

// await waits for the end of an operation, or for its rebalance to begin.
func (e *Engine) await(ctx context.Context, id string) (string, error) {
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	for {
		op := e.o.Control.View().Operations.Find(id)
		switch {
		case op == nil: // not in effect here yet
		case op.Step == StepFailed:
			return "", apierr.New(http.StatusConflict, wire.CodeFailedTo, "%s of %v failed: %s", op.Action, op.Nodes, op.Error)
		case op.Rebalance > 0 && (op.Step == StepMoving || op.Step == StepFinal || op.Step == StepDone):
			return meta.RebalanceID(op.Rebalance), Everywhere(ctx, e.o.Control)
		case op.Ended != 0:
			return "", Everywhere(ctx, e.o.Control)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", e.errGoesOn(ctx, op)
		}
	}
}

// Everywhere returns when what is in effect here is in effect on all nodes
// that can be waited for.
func Everywhere(ctx context.Context, control Control) error {
	// A repeated request must not get the answer of its first commit.
	_, err := control.Commit(meta.WithCommandID(ctx, ""), "", func(*meta.View) ([]meta.Change, error) { return nil, nil })
	if apierr.CodeOf(err) == wire.CodeNotPrimary {
		return nil // the next one is waiting for them
	}
	return err
}

func (e *Engine) errGoesOn(ctx context.Context, op *meta.Operation) error {
	what := "the operation"
	if op != nil {
		what = fmt.Sprintf("%s of %v", op.Action, op.Nodes)
	}
	err := apierr.Unavailable(5*time.Second, "%s goes on, it has not ended in time", what)
	e.mu.Lock()
	if e.waits != "" {
		err.Message += ": it waits for " + e.waits
	}
	e.mu.Unlock()
	err.Cause = ctx.Err()
	return err
}

// Run carries out what is under way, as long as this node is the primary,
// until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	for {
		pause := e.once(ctx)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// once does the next thing and returns how long nothing needs to be done
// unless something changes.
func (e *Engine) once(ctx context.Context) time.Duration {
	v := e.o.Control.View()
	op := v.Operations.Now()
	if op == nil || !e.o.Control.IsPrimary() {
		e.forget()
		if op == nil {
			return idlePause
		}
		return retryPause // this node may become primary
	}
	d, err := Next(v, e.known(op.ID))
	if err != nil {
		e.o.Logger.Error("membership operation cannot go on", "operation", op.ID, "action", op.Action, "err", err)
		return retryPause
	}
	e.waitsFor(op, d.Wait)
	switch {
	case len(d.Changes) > 0:
		if err := e.commit(ctx, op); err != nil && ctx.Err() == nil {
			e.o.Logger.Warn("membership operation: change not committed", "operation", op.ID, "action", op.Action, "step", op.Step, "err", err)
			return retryPause
		}
		return 0
	case d.Effect != "":
		return e.effect(ctx, v, op, d)
	}
	return pollPause
}

// commit commits what Next says of the newest documents.
func (e *Engine) commit(ctx context.Context, op *meta.Operation) error {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	_, err := e.o.Control.Commit(ctx, op.Action, func(v *meta.View) ([]meta.Change, error) {
		if now := v.Operations.Now(); now == nil || now.ID != op.ID {
			return nil, nil
		}
		d, err := Next(v, e.known(op.ID))
		return d.Changes, err
	})
	if err == nil {
		e.report(op)
	}
	return err
}

// report writes a line for each step.
func (e *Engine) report(before *meta.Operation) {
	after := e.o.Control.View().Operations.Find(before.ID)
	if after == nil || after.Step == before.Step {
		return
	}
	level := slog.LevelInfo
	if after.Step == StepFailed || after.Error != "" {
		level = slog.LevelWarn
	}
	args := []any{"operation", after.ID, "action", after.Action, "nodes", after.Nodes, "from", before.Step, "step", after.Step}
	if after.Rebalance > 0 {
		args = append(args, "rebalance", meta.RebalanceID(after.Rebalance))
	}
	if after.Error != "" {
		args = append(args, "err", after.Error)
	}
	e.o.Logger.Log(context.Background(), level, "membership operation", args...)
}

func (e *Engine) waitsFor(op *meta.Operation, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if what != "" && what != e.waits {
		e.o.Logger.Info("membership operation waits", "operation", op.ID, "action", op.Action, "for", what)
	}
	e.waits = what
}

// forget drops what this primary has found out.
func (e *Engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.id, e.facts, e.waits = "", Facts{}, ""
}

// known returns a copy of the facts about an operation.
func (e *Engine) known(id string) *Facts {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.id != id {
		e.id, e.facts = id, Facts{Told: map[string]*Contact{}, Left: map[string]*Contact{}}
	}
	f := e.facts
	f.Now, f.Begin = e.o.Now(), e.o.Begin
	f.Told, f.Left = copyContacts(f.Told), copyContacts(f.Left)
	return &f
}

func copyContacts(m map[string]*Contact) map[string]*Contact {
	next := make(map[string]*Contact, len(m))
	for id, c := range m {
		own := *c
		next[id] = &own
	}
	return next
}

// learn changes the facts about an operation, unless another has come.
func (e *Engine) learn(id string, f func(*Facts)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.id == id {
		f(&e.facts)
	}
}
