package target

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/transport"
)

const (
	// sliceFlow carries slices and replicas to their holders.
	sliceFlow = "ec"
	// sliceRetry is how long a holder is tried that cannot be reached.
	sliceRetry = 10 * time.Second
	// sliceSettle is how long a holder may take no byte of a slice, or give no
	// verdict on one that was sent whole, before it is given up.
	sliceSettle = time.Minute
)

// sliceMessage begins the body of such a message; the slice follows.
type sliceMessage struct {
	Bck   wire.Bck `json:"bck"`
	BID   uint64   `json:"bid,string"`
	Name  []byte   `json:"name"`  // need not be UTF-8
	Slice []byte   `json:"slice"` // core.Slice.AppendSlice
}

// sliceStreams are the streams to holders of slices, one for each of them and
// the settings of buckets. What has carried nothing for timeout.ec_streams_time is closed.
type sliceStreams struct {
	open func(node string, o transport.StreamOptions) *transport.Stream
	idle func() time.Duration // negative: never
	stop func()               // ends the receiver

	mu   sync.Mutex
	live map[sliceStreamKey]*sliceStream // nil: closed
}

// sliceStreamKey tells streams apart.
type sliceStreamKey struct {
	node     string
	compress bool
	bundle   int
	burst    int
}

type sliceStream struct {
	*transport.Stream
	users int
	timer *time.Timer // runs while nobody uses it; nil: it stays
}

// newSliceStreams registers the receiver. Without streams the target cannot send
// slices to others.
func (t *Target) newSliceStreams() *sliceStreams {
	s := &sliceStreams{
		live: make(map[sliceStreamKey]*sliceStream), stop: func() {},
		idle: func() time.Duration { return t.node.Config().Timeout.ECStreams.D() },
	}
	if t.streams == nil {
		return s
	}
	s.open = func(node string, o transport.StreamOptions) *transport.Stream {
		return t.streams.Open(node, sliceFlow, o)
	}
	stop, err := t.streams.Receive(sliceFlow, t.receiveSlice)
	if err != nil { // the streams are closed: the target is stopping
		t.logger.Error("slices of other targets are not received", "err", err)
		return s
	}
	s.stop = stop
	return s
}

// close ends all streams, and the receiver.
func (s *sliceStreams) close() {
	s.mu.Lock()
	live := s.live
	s.live = nil
	s.mu.Unlock()
	for _, stream := range live {
		if stream.timer != nil {
			stream.timer.Stop()
		}
		stream.Abort(errStopping)
	}
	s.stop()
}

// use returns the stream to a holder with the settings of a bucket. What it returns beside
// it is called when the message has its verdict.
func (s *sliceStreams) use(node string, conf *config.ECConf) (stream *transport.Stream, done func(), err error) {
	key := sliceStreamKey{node: node, compress: conf.Compression == config.CompressAlways, bundle: conf.BundleMultiplier, burst: conf.BurstBuffer}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.live == nil:
		return nil, nil, errStopping
	case s.open == nil:
		return nil, nil, apierr.Unavailable(objreq.RetryAfter, "no streams go out from this target")
	}
	live := s.live[key]
	if live == nil {
		live = &sliceStream{Stream: s.open(node, transport.StreamOptions{
			Compress: key.compress, Connections: key.bundle, Burst: key.burst, RetryTime: sliceRetry,
		})}
		s.live[key] = live
	}
	live.users++
	if live.timer != nil {
		live.timer.Stop()
		live.timer = nil
	}
	return live.Stream, func() { s.unuse(key, live) }, nil
}

// unuse closes a stream when nobody has used it for a while.
func (s *sliceStreams) unuse(key sliceStreamKey, live *sliceStream) {
	idle := s.idle()
	s.mu.Lock()
	defer s.mu.Unlock()
	if live.users--; live.users > 0 || idle < 0 || s.live == nil {
		return
	}
	live.timer = time.AfterFunc(idle, func() {
		s.mu.Lock()
		unused := live.users == 0 && s.live[key] == live
		if unused {
			delete(s.live, key)
		}
		s.mu.Unlock()
		if unused {
			live.Abort(transport.ErrClosed) // nothing is without a verdict
		}
	})
}

// Stage implements ec.Holders.
func (h ecHolders) Stage(ctx context.Context, id string, key core.Key, sl *core.Slice, body ec.Body) (v core.SliceVerdict, err error) {
	head, err := encodeFrame(&sliceMessage{Bck: key.Bck, BID: key.Props.BID, Name: []byte(key.Name), Slice: sl.AppendSlice(nil)})
	if err != nil {
		return v, err
	}
	stream, done, err := h.t.slicing.use(id, &key.Props.EC)
	if err != nil {
		return v, err
	}
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(sliceSettle, func() {
		cancel(apierr.Unavailable(objreq.RetryAfter, "t[%s] takes no byte of a slice of %s", id, key.Cname()))
	})
	defer watch.Stop()
	type verdict struct {
		answer []byte
		err    error
	}
	got := make(chan verdict, 1)
	m := &transport.Message{
		Size: int64(len(head)) + body.Size(), SelfVerifying: true,
		Open: func() (io.ReadCloser, error) {
			r, err := body.Open()
			if err != nil {
				return nil, err
			}
			watched := watchedBody{head: bytes.NewReader(head), body: r, watch: watch}
			if blocks, ok := r.(ec.Blocks); ok {
				return &watchedBlocks{watchedBody: watched, first: head, blocks: blocks}, nil
			}
			return &watched, nil
		},
		Done: func(answer []byte, err error) { got <- verdict{answer, err} },
	}
	if err := stream.Send(ctx, m); err != nil {
		return v, causeOf(ctx, err)
	}
	var last verdict
	select {
	case last = <-got:
	case <-ctx.Done():
		stream.Cancel(m, context.Cause(ctx))
		last = <-got
	}
	switch {
	case transport.IsUnreachable(last.err):
		return v, apierr.Unavailable(objreq.RetryAfter, "%v", last.err)
	case last.err != nil:
		return v, last.err
	}
	return v, json.Unmarshal(last.answer, &v)
}

// watchedBody is the body of a message with a slice. The time that it takes itself
// is not the holder's.
type watchedBody struct {
	head  *bytes.Reader
	body  io.ReadCloser
	watch *time.Timer
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	if b.head.Len() > 0 {
		return b.head.Read(p)
	}
	running := b.watch.Stop()
	n, err := b.body.Read(p)
	if running {
		b.watch.Reset(sliceSettle)
	}
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error { return b.body.Close() }

// watchedBlocks is a watchedBody that has its bytes in memory.
type watchedBlocks struct {
	watchedBody
	first  []byte
	blocks ec.Blocks
}

// SourceHead implements transport.BlockSource.
func (b *watchedBlocks) SourceHead() []byte { return b.first }

// NextBlock implements transport.BlockSource.
func (b *watchedBlocks) NextBlock(most int) (data []byte, lease transport.Lease, err error) {
	running := b.watch.Stop()
	data, lease, err = b.blocks.NextBlock(most)
	if running {
		b.watch.Reset(sliceSettle)
	}
	return data, lease, err
}

// receiveSlice takes in a slice that another target sends.
func (t *Target) receiveSlice(ctx context.Context, m *transport.Incoming) ([]byte, error) {
	var head sliceMessage
	if err := decodeFrame(m, &head); err != nil {
		return nil, err
	}
	key := core.Key{Bck: head.Bck, Name: string(head.Name)}
	var err error
	if key.Props, err = objreq.Bucket(ctx, t.control, key.Bck); err != nil {
		return nil, err
	}
	if key.Props.BID != head.BID {
		return nil, apierr.BucketNotFound(key.Bck)
	}
	sl, err := core.DecodeSlice(head.Slice)
	if err != nil {
		return nil, apierr.BadRequest("the description of a slice of %s cannot be read: %v", key.Cname(), err)
	}
	v, err := t.stageSlice(ctx, key, &sl, m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(&v)
}

// stageSlice takes a slice in, and shows that as work of a job.
func (t *Target) stageSlice(ctx context.Context, key core.Key, sl *core.Slice, body io.Reader) (core.SliceVerdict, error) {
	done := t.sliceJob(key.Bck, kindECResp)
	v, err := t.store.StageSlice(ctx, key, sl, body)
	if v.Done {
		done(1, sl.Length)
	} else {
		done(0, 0)
	}
	return v, err
}
