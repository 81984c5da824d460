package metasync

import (
	"context"
	"time"
)

// Kinds of calls between nodes, see Network.Call and Agent.Handle.
const (
	KindRaft      = "raft"      // messages of the Raft group; best effort, the answer is empty
	KindPush      = "push"      // primary to node: committed commands
	KindPull      = "pull"      // node to primary: what has been committed since
	KindJoin      = "join"      // node to primary: admit me
	KindKeepalive = "keepalive" // node to primary: I am alive
	KindLeave     = "leave"     // node to primary: I am about to stop
	KindReadIndex = "readindex" // node to primary: how far must I have applied to read
	KindWhois     = "whois"     // anybody to node: who are you, and who is primary
)

// Network carries calls between nodes. A url is the base URL of a node's
// intra-control network.
type Network interface {
	// Send queues a message for the Handle(KindRaft) of the node at url. It
	// never blocks and is best effort: messages may be lost, repeated and
	// reordered. Several queued bodies for one url may be sent as one, by
	// appending them to each other.
	Send(url string, body []byte)
	// Call is one request to the Handle of the node at url. An error that
	// Handle returned comes back as *apierr.Error with the same status, code
	// and message. The context always has a deadline.
	Call(ctx context.Context, url, kind string, body []byte) ([]byte, error)
}

// Storage keeps what a node must not forget, as byte strings under a bucket
// name and a number. Its contents are written by this package alone.
type Storage interface {
	// Load calls visit for every pair, bucket by bucket, in ascending order
	// of the keys of a bucket. The value must not be kept or changed. A pair
	// that is not what was stored is an error.
	Load(visit func(bucket string, key uint64, value []byte) error) error
	// Save calls fill once with functions that set one value, and that remove
	// all values of a bucket with from <= key < to. All of it takes effect
	// atomically, in the order of the calls, and is on stable storage when
	// Save returns. If Save fails, nothing has changed and it may be repeated.
	Save(fill func(put func(bucket string, key uint64, value []byte) error, remove func(bucket string, from, to uint64) error) error) error
}

// Clock is the time as this package sees it.
type Clock interface {
	Now() time.Time
	// NewTicker returns a channel that receives about every d (ticks may be
	// dropped, not queued), and a function that stops it.
	NewTicker(d time.Duration) (ticks <-chan time.Time, stop func())
}

// SystemClock is the clock of the machine.
type SystemClock struct{}

// Now returns the current time, with its monotonic reading.
func (SystemClock) Now() time.Time { return time.Now() }

// NewTicker starts a time.Ticker.
func (SystemClock) NewTicker(d time.Duration) (ticks <-chan time.Time, stop func()) {
	t := time.NewTicker(d)
	return t.C, t.Stop
}
