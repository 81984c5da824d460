package xact

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
)

const (
	// leastPermits is what all jobs of a node have together however much users ask
	// for, so that every job ends: a tenth of one goroutine's time.
	leastPermits = 0.1
	// mostPermits is what they have at most while users are served.
	mostPermits = 64
	// burst is for what time permits that nobody has used are kept.
	burst = 10 * time.Millisecond
	// mostDebt bounds what is owed for pieces that took longer than was thought.
	mostDebt = time.Second
	// pieceCharge and byteCharge are what a piece of work is charged at most, so that
	// jobs get on where everything takes long because others have the machine: for
	// itself, and for each byte (a second for 128 MiB).
	pieceCharge = 10 * time.Millisecond
	byteCharge  = float64(time.Second) / (128 << 20)
	// costWeight is that of one piece in the mean of what pieces cost.
	costWeight = 1.0 / 16
	// urgentTurns is how many pieces of repair are begun for each other one while both wait.
	urgentTurns = 3
)

// Governor decides when the work of jobs is begun on one node, so that users keep
// what they need of it: the work of all goroutines of all jobs together, and what is
// done for jobs of other nodes. While no user is served, all of it is begun at once.
//
// Work is done in pieces, an object or so each. Its measure is the permit, one
// goroutine's whole time: jobs that have 0.5 permits work half of the time one
// piece at a time, or less of it several at a time. How many permits there are the
// control loop decides, see Run. To wait for a permit never waits for another
// piece to end: a permit is time, which passes. So work may wait for work on
// another node that waits for a permit there.
//
// Its methods may be called from any goroutine. A nil Governor never holds back.
type Governor struct {
	load Load
	disk func() *config.DiskConf

	free   atomic.Bool // everything is begun at once, and not charged
	wanted atomic.Bool // work has been begun since it was last looked
	wake   chan struct{}

	mu      sync.Mutex
	permits float64
	account float64   // ns of work that may be begun; below 0: owed
	at      time.Time // when that was so
	quiet   bool      // nothing is begun, see harm
	cost    float64   // ns, of a piece, the mean
	queues  [2][]*turn
	turns   int         // of repair since the last other one
	timer   *time.Timer // grants what waits; nil: it does not run
}

// The queues.
const (
	ordinary = iota
	urgent
)

// turn is who waits for a permit.
type turn struct {
	granted chan struct{} // closed when it has it
	charged float64       // ns, then
}

// NewGovernor returns the governor of a node. It holds nothing back before Run.
func NewGovernor(load Load, disk func() *config.DiskConf) *Governor {
	g := &Governor{load: load, disk: disk, wake: make(chan struct{}, 1), permits: leastPermits, cost: float64(time.Millisecond)}
	g.free.Store(true)
	return g
}

// Piece is a piece of work that was begun. It is for one goroutine. nil is one that
// is not charged.
type Piece struct {
	g       *Governor
	began   time.Time
	rested  time.Duration // in which the work was another node's
	charged float64       // ns, in advance
}

// Begin waits until a piece of work may be begun; the Piece's End says that it is done.
// The error is the cause of the context.
func (g *Governor) Begin(ctx context.Context) (*Piece, error) { return g.begin(ctx, ordinary) }

// BeginRepair is Begin for work that brings objects back to their level of
// protection: it comes before other work, but not instead of it.
func (g *Governor) BeginRepair(ctx context.Context) (*Piece, error) { return g.begin(ctx, urgent) }

func (g *Governor) begin(ctx context.Context, queue int) (*Piece, error) {
	if g != nil && !g.wanted.Load() && !g.wanted.Swap(true) {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if g == nil || g.free.Load() {
		return nil, nil
	}
	t := &turn{granted: make(chan struct{})}
	g.mu.Lock()
	g.queues[queue] = append(g.queues[queue], t)
	g.grantLocked()
	g.mu.Unlock()
	select {
	case <-t.granted:
		return &Piece{g: g, began: time.Now(), charged: t.charged}, nil
	case <-ctx.Done():
		g.leave(queue, t)
		return nil, context.Cause(ctx)
	}
}

// leave takes back who does not wait any more.
func (g *Governor) leave(queue int, t *turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, waits := range g.queues[queue] {
		if waits == t {
			g.queues[queue] = append(g.queues[queue][:i], g.queues[queue][i+1:]...)
			return
		}
	}
	g.account += t.charged // it had been granted
	g.grantLocked()
}

// End ends a piece of work on so many bytes, -1 if that is not known. A piece whose
// end is never told is charged what pieces cost on average.
func (p *Piece) End(bytes int64) {
	if p == nil {
		return
	}
	took := max(0, time.Since(p.began)-p.rested)
	if bytes >= 0 {
		took = min(took, pieceCharge+time.Duration(float64(bytes)*byteCharge))
	}
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cost += costWeight * (float64(took) - g.cost)
	g.refillLocked()
	g.account = max(g.account+p.charged-float64(took), -float64(mostDebt))
	g.grantLocked()
}

// Rest says that from now on the piece waits for another node, whose governor
// charges what is done there. The function that is returned ends that.
func (p *Piece) Rest() (resume func()) {
	if p == nil {
		return func() {}
	}
	began := time.Now()
	return func() { p.rested += time.Since(began) }
}

// Spread is how many pieces of work may be on their way to other nodes at a time,
// of so many where nobody is to be spared: what waits there keeps names busy here.
func (g *Governor) Spread(most int) int {
	const least, forEach = 4, 8 // pieces for each permit
	if g == nil || g.free.Load() {
		return most
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return min(most, max(least, int(g.permits*forEach)))
}

// refillLocked brings the account up to date.
func (g *Governor) refillLocked() {
	now := time.Now()
	if !g.at.IsZero() {
		most := max(g.account, g.permits*float64(burst))
		g.account = min(g.account+g.permits*float64(now.Sub(g.at)), most)
	}
	g.at = now
}

// grantLocked begins what may be begun, and sees to it that the rest is.
func (g *Governor) grantLocked() {
	g.refillLocked()
	free := g.free.Load()
	for !g.quiet && (free || g.account > 0) {
		t := g.nextLocked()
		if t == nil {
			return
		}
		if !free {
			t.charged = g.cost
			g.account -= t.charged
		}
		close(t.granted)
	}
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if g.quiet || len(g.queues[ordinary])+len(g.queues[urgent]) == 0 {
		return // the control loop goes on when it is not quiet any more
	}
	g.timer = time.AfterFunc(time.Duration(-g.account/g.permits)+time.Microsecond, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.grantLocked()
	})
}

// nextLocked takes who comes next out of its queue; nil: nobody waits.
func (g *Governor) nextLocked() *turn {
	queue := urgent
	if len(g.queues[urgent]) == 0 || len(g.queues[ordinary]) > 0 && g.turns >= urgentTurns {
		queue = ordinary
	}
	if len(g.queues[queue]) == 0 {
		return nil
	}
	if g.turns++; queue == ordinary {
		g.turns = 0
	}
	t := g.queues[queue][0]
	g.queues[queue][0] = nil
	g.queues[queue] = g.queues[queue][1:]
	return t
}

// set puts a decision of the control loop into force.
func (g *Governor) set(free, quiet bool, permits float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refillLocked() // at the former rate
	g.free.Store(free)
	g.quiet, g.permits = quiet && !free, permits
	if free {
		g.account = 0
	}
	g.grantLocked()
}
