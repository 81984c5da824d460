package target

import (
	"context"
	"io"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/transport"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rebalance"
)

// streamRetry is how long a target that cannot be reached is tried before the
// rebalance goes on with other names, and comes back to it.
const streamRetry = 10 * time.Second

// rebalanceStreams carries what rebalances send, as section "rebalance" of the
// configuration has it. Their content is held against the checksum of the
// object, so that it needs none on the way.
type rebalanceStreams struct {
	*transport.Endpoint
	config func() *config.Cluster
}

// Receive implements rebalance.Streams.
func (s rebalanceStreams) Receive(flow string, r rebalance.Receiver) (stop func(), err error) {
	return s.Endpoint.Receive(flow, func(ctx context.Context, m *transport.Incoming) ([]byte, error) {
		return r(ctx, m.From, m)
	})
}

// Open implements rebalance.Streams.
func (s rebalanceStreams) Open(nodeID, flow string) rebalance.Stream {
	return rebalanceStream{s.Endpoint.Open(nodeID, flow, rebalanceOptions(&s.config().Rebalance))}
}

// rebalanceOptions are the streams that the configuration asks for.
func rebalanceOptions(conf *config.RebalanceConf) transport.StreamOptions {
	return transport.StreamOptions{
		Compress: conf.Compression == config.CompressAlways, Connections: conf.BundleMultiplier, Burst: conf.BurstBuffer, RetryTime: streamRetry,
	}
}

type rebalanceStream struct{ *transport.Stream }

// Send implements rebalance.Stream.
func (s rebalanceStream) Send(ctx context.Context, size int64, open func() (io.ReadCloser, error), done func(answer []byte, err error)) error {
	return s.Stream.Send(ctx, &transport.Message{Size: size, Open: open, SelfVerifying: true, Done: done})
}

// Close implements rebalance.Stream.
func (s rebalanceStream) Close() { s.Stream.Abort(transport.ErrClosed) }

// movers makes this target's part of rebalances, and returns the job.
func (t *Target) movers() []xact.Registration {
	if t.streams == nil {
		return nil
	}
	mover, err := rebalance.New(heldRebalances(rebalanceStreams{t.streams, t.node.Config}))
	if err != nil { // the streams are closed: the target is stopping
		t.logger.Error("no rebalance can ask this target how far it is", "err", err)
	}
	t.mover = mover
	return []xact.Registration{mover.Registration()}
}
