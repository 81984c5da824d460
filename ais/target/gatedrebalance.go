//go:build gatedjobs

package target

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/xact/rebalance"
)

// heldRebalances holds rebalances in their middle, in binaries that tests
// build: while there is a file "hold" beside the program. It has one line:
// "send N" lets so many messages of each rebalance go out from each target,
// "body N" has the bodies of those behind them stop halfway, and "answer N"
// keeps their answers back.
func heldRebalances(s rebalance.Streams) rebalance.Streams {
	file, err := newHoldFile()
	if err != nil {
		return s
	}
	return &heldStreams{Streams: s, file: file}
}

type heldStreams struct {
	rebalance.Streams
	file holdFile
	sent sync.Map // flow -> *atomic.Int64: messages
}

// Open implements rebalance.Streams.
func (s *heldStreams) Open(nodeID, flow string) rebalance.Stream {
	stream := s.Streams.Open(nodeID, flow)
	if !strings.HasPrefix(flow, "rebalance.") {
		return stream // questions of one target to another
	}
	count, _ := s.sent.LoadOrStore(flow, new(atomic.Int64))
	return &heldStream{Stream: stream, of: s, count: count.(*atomic.Int64)}
}

type heldStream struct {
	rebalance.Stream
	of    *heldStreams
	count *atomic.Int64
}

// Send implements rebalance.Stream.
func (s *heldStream) Send(ctx context.Context, size int64, open func() (io.ReadCloser, error), done func([]byte, error)) error {
	number := s.count.Add(1)
	kind, after := s.of.file.rule()
	if number <= after {
		kind = ""
	}
	switch kind {
	case "send":
		if err := s.of.file.wait(ctx); err != nil {
			return err
		}
	case "body":
		whole := open
		open = func() (io.ReadCloser, error) { return s.of.file.halfway(ctx, size, whole) }
	case "answer":
		tell := done
		done = func(answer []byte, err error) {
			go func() {
				if stopped := s.of.file.wait(ctx); stopped != nil {
					answer, err = nil, stopped
				}
				tell(answer, err)
			}()
		}
	}
	return s.Stream.Send(ctx, size, open, done)
}
