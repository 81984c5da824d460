package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/memsys"
)

// Options of an endpoint. The zero value of a field means its default.
type Options struct {
	NodeID string // of this node
	// URL is the base URL of a node's intra-data network; an error means that
	// it cannot be reached now.
	URL func(nodeID string) (string, error)
	// Dial makes a connection to the stream endpoint of the node at a base
	// URL, already switched to frames; the node is told the incarnation.
	Dial func(ctx context.Context, url string, incarnation uint64) (net.Conn, error)

	Settings func() Settings // asked when a stream is opened; default: DefaultSettings
	Memory   *memsys.Pool    // default: a pool of its own
	Logger   *slog.Logger    // default slog.Default()

	Heartbeat   time.Duration // silence after which a sign of life is sent, default 3 s
	DeadAfter   time.Duration // silence after which the peer is taken for dead, default 15 s
	DialTimeout time.Duration // default 5 s
	Pause       time.Duration // before the second attempt to reach a peer, default 50 ms; it doubles up to 40 times as long
	SessionIdle time.Duration // after which a session without connection and work ends, default 10 min
	ReceiveMost int64         // bytes of bodies of all streams that are granted and unread, default 256 MiB
}

// Settings are the tunables of section "transport" of the configuration.
type Settings struct {
	MaxHeader    int           // longest header of a message, bytes
	Burst        int           // unanswered messages of a stream whose options do not say
	IdleTeardown time.Duration // a connection that has nothing to do for so long ends
	LZ4Block     int           // bytes that are compressed at a time: 64 KiB, 256 KiB, 1 MiB or 4 MiB
	LZ4RawSum    bool          // compressed parts carry a checksum of the uncompressed bytes
}

// DefaultSettings are those of a new cluster.
func DefaultSettings() Settings {
	return Settings{MaxHeader: 4096, Burst: 1024, IdleTeardown: 4 * time.Second, LZ4Block: 256 << 10}
}

// ErrClosed is the verdict of messages whose stream or endpoint was closed
// before they had one.
var ErrClosed = errors.New("the stream was closed")

// Endpoint is a node's end of all streams. It is safe for concurrent use.
type Endpoint struct {
	opts        Options
	incarnation uint64
	memory      *memsys.Pool
	big         sync.Pool // of *[]byte, see buffer
	count       counters
	connIDs     atomic.Uint64
	streamIDs   atomic.Uint32
	granted     atomic.Int64 // bytes of bodies that senders may send, or have sent, and nobody has read

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	links    map[string]*link
	flows    map[string]*flow
	sessions map[sessionKey]*session
	peers    map[string]uint64 // the incarnation that a node connected with last
	accepted map[*conn]struct{}
}

// New returns an endpoint; Close ends it.
func New(opts Options) *Endpoint {
	setDefault(&opts.Heartbeat, 3*time.Second)
	setDefault(&opts.DeadAfter, 15*time.Second)
	setDefault(&opts.DialTimeout, 5*time.Second)
	setDefault(&opts.Pause, 50*time.Millisecond)
	setDefault(&opts.SessionIdle, 10*time.Minute)
	setDefault(&opts.ReceiveMost, 256<<20)
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Memory == nil {
		opts.Memory = memsys.New(0)
	}
	if opts.Settings == nil {
		opts.Settings = DefaultSettings
	}
	e := &Endpoint{
		opts: opts, incarnation: rand.Uint64() | 1, memory: opts.Memory,
		links: make(map[string]*link), flows: make(map[string]*flow), sessions: make(map[sessionKey]*session),
		peers: make(map[string]uint64), accepted: make(map[*conn]struct{}),
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.wg.Go(e.expire)
	return e
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Incarnation tells this process from another one of the same node.
func (e *Endpoint) Incarnation() uint64 { return e.incarnation }

// Close breaks off everything and waits for all handlers and callbacks:
// unanswered messages get ErrClosed.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		e.wg.Wait()
		return nil
	}
	e.closed = true
	var streams []*Stream
	var conns []*conn
	for _, l := range e.links {
		s, c := l.parts()
		streams, conns = append(streams, s...), append(conns, c...)
	}
	for c := range e.accepted {
		conns = append(conns, c)
	}
	e.mu.Unlock()
	e.cancel(ErrClosed)
	for _, s := range streams {
		s.abort(ErrClosed)
	}
	for _, c := range conns {
		c.fail(ErrClosed)
	}
	e.wg.Wait()
	return nil
}

// Open returns a stream to a node. Nothing is sent yet. The stream takes part
// in the memory and the connections of all streams to that node; Close it.
func (e *Endpoint) Open(nodeID, flow string, o StreamOptions) *Stream {
	set := e.opts.Settings()
	if o.Burst <= 0 {
		o.Burst = set.Burst
	}
	o.Burst = min(o.Burst, maxBurst)
	o.Connections = min(max(o.Connections, 1), maxConnections)
	setDefault(&o.RetryTime, time.Minute)
	s := &Stream{
		e: e, id: e.streamIDs.Add(1), node: nodeID, flow: flow, opts: o, set: set,
		ledger: newOutLedger(uint64(spanOfBurst * o.Burst)), out: make(map[uint64]*outgoing),
		slots: make(chan struct{}, o.Burst),
	}
	s.ctx, s.cancel = context.WithCancelCause(e.ctx)
	s.changed = sync.NewCond(&s.mu)
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.links[nodeID]
	if l == nil {
		l = newLink(e, nodeID)
		e.links[nodeID] = l
	}
	s.link = l
	if e.closed || len(flow) > maxFlow {
		s.failed = ErrClosed
		if !e.closed {
			s.failed = fmt.Errorf("the name of a flow has %d bytes, at most %d are allowed", len(flow), maxFlow)
		}
		s.cancel(s.failed)
		return s
	}
	l.add(s)
	e.count.streams.Add(1)
	return s
}

// Accept takes a connection that another node's endpoint has dialed; in is
// what was read of it already, followed by the rest. It returns when the
// connection has ended. The connection is closed in any case.
func (e *Endpoint) Accept(nc net.Conn, in io.Reader, nodeID string, incarnation uint64) error {
	if nodeID == "" || incarnation == 0 {
		return errors.Join(protocolError("a connection from node %q, incarnation %d", nodeID, incarnation), nc.Close())
	}
	r := &receiving{e: e, node: nodeID, incarnation: incarnation, sessions: make(map[uint32]*session)}
	c := newConn(e, nc, in, r)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errors.Join(ErrClosed, nc.Close())
	}
	e.accepted[c] = struct{}{}
	e.wg.Add(1)
	defer e.wg.Done()
	var old []*session
	if e.peers[nodeID] != incarnation {
		// Connections of the earlier process are dead, or about to be.
		for key, s := range e.sessions {
			if key.node == nodeID && key.incarnation == e.peers[nodeID] {
				delete(e.sessions, key)
				old = append(old, s)
			}
		}
		e.peers[nodeID] = incarnation
	}
	e.mu.Unlock()
	for _, s := range old {
		s.end(fmt.Errorf("node %s was restarted", nodeID))
	}
	e.count.connections.Add(1)
	c.run()
	e.count.connections.Add(-1)
	e.mu.Lock()
	delete(e.accepted, c)
	e.mu.Unlock()
	if err := c.failure(); !errors.Is(err, errBye) && !errors.Is(err, errPeerClosed) {
		return err
	}
	return nil
}

// expire ends sessions that nobody uses, until Close.
func (e *Endpoint) expire() {
	tick := time.NewTicker(e.opts.SessionIdle / 4)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			e.mu.Lock()
			for key, s := range e.sessions {
				if s.unusedSince(now, e.opts.SessionIdle) {
					delete(e.sessions, key)
				}
			}
			e.mu.Unlock()
		}
	}
}

// tick is how often a connection looks at its idle time and signs of life.
func (e *Endpoint) tick() time.Duration {
	return max(min(e.opts.Heartbeat, e.opts.Settings().IdleTeardown)/4, 5*time.Millisecond)
}
