//go:build gatedjobs

package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/xact/rebalance"
)

// heldRebalances holds rebalances in their middle, in binaries that tests
// build: while there is a file "hold" beside the program. It has one line:
// "send N" lets so many messages of each rebalance go out from each target,
// "body N" has the bodies of those behind them stop halfway, and "answer N"
// keeps their answers back.
func heldRebalances(s rebalance.Streams) rebalance.Streams {
	program, err := os.Executable()
	if err != nil {
		return s
	}
	return &heldStreams{Streams: s, file: filepath.Join(filepath.Dir(program), "hold")}
}

type heldStreams struct {
	rebalance.Streams
	file string
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

// rule is what the file says; "" without one.
func (s *heldStreams) rule() (kind string, after int64) {
	data, err := os.ReadFile(s.file)
	if err != nil {
		return "", 0
	}
	_, _ = fmt.Sscan(string(data), &kind, &after) // a file that is being written holds nothing yet
	return kind, after
}

// wait waits until there is no file.
func (s *heldStreams) wait(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(s.file); errors.Is(err, iofs.ErrNotExist) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

type heldStream struct {
	rebalance.Stream
	of    *heldStreams
	count *atomic.Int64
}

// Send implements rebalance.Stream.
func (s *heldStream) Send(ctx context.Context, size int64, open func() (io.ReadCloser, error), done func([]byte, error)) error {
	number := s.count.Add(1)
	kind, after := s.of.rule()
	if number <= after {
		kind = ""
	}
	switch kind {
	case "send":
		if err := s.of.wait(ctx); err != nil {
			return err
		}
	case "body":
		whole := open
		open = func() (io.ReadCloser, error) {
			body, err := whole()
			if err != nil {
				return nil, err
			}
			wait := &heldBody{of: s.of, ctx: ctx}
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(body, size/2), wait, body), body}, nil
		}
	case "answer":
		tell := done
		done = func(answer []byte, err error) {
			go func() {
				if stopped := s.of.wait(ctx); stopped != nil {
					answer, err = nil, stopped
				}
				tell(answer, err)
			}()
		}
	}
	return s.Stream.Send(ctx, size, open, done)
}

// heldBody ends when there is no file any more.
type heldBody struct {
	of  *heldStreams
	ctx context.Context
}

// Read implements io.Reader.
func (w *heldBody) Read([]byte) (int, error) {
	if err := w.of.wait(w.ctx); err != nil {
		return 0, err
	}
	return 0, io.EOF
}
