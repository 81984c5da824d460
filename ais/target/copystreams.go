package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport"
	"github.com/aistore-go/aistore/xact"
)

const (
	// copyFlow carries the copies that jobs make for other targets.
	copyFlow = "copy"
	// copyRetry is how long the owner of a copy is tried that cannot be reached.
	copyRetry = 10 * time.Second
)

// copyMessage begins the body of such a message; the content follows.
type copyMessage struct {
	Bck  wire.Bck `json:"bck"`
	Name []byte   `json:"name"` // need not be UTF-8
	Smap int64    `json:"smap"` // version of the map by which the sender chose the owner
	Job  string   `json:"job"`
	copyHead
}

// copyStreams are the streams of jobs that copy, one for each owner and
// section of the configuration. They stay open: unused connections end by
// themselves.
type copyStreams struct {
	t    *Target
	mu   sync.Mutex
	open map[copyStreamKey]*copyStream
	stop func() // ends the receiver
}

type copyStreamKey struct {
	node string
	list bool // of jobs on selected objects (section tco), else on buckets (tcb)
}

type copyStream struct {
	*transport.Stream
	conf config.StreamsConf
}

// newCopyStreams registers the receiver.
func (t *Target) newCopyStreams() *copyStreams {
	c := &copyStreams{t: t, open: make(map[copyStreamKey]*copyStream)}
	stop, err := t.streams.Receive(copyFlow, t.receiveCopy)
	if err != nil { // the streams are closed: the target is stopping
		t.logger.Error("copies of other targets are not received", "err", err)
		stop = func() {}
	}
	c.stop = stop
	return c
}

// close ends all streams, and the receiver.
func (c *copyStreams) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.open {
		s.Abort(errStopping)
	}
	c.open = nil
	c.stop()
}

// to returns the stream to an owner with the settings of the moment.
func (c *copyStreams) to(owner *meta.Snode, job string) *transport.Stream {
	t := c.t
	key, all := copyStreamKey{node: owner.ID}, t.node.Config()
	conf := all.TCB
	if x := t.jobs.Find(job); x != nil && x.Kind().Name == wire.ActCopyListRange {
		key.list, conf = true, all.TCO
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.open[key]
	if old != nil && old.conf == conf {
		return old.Stream
	}
	s := &copyStream{conf: conf, Stream: t.streams.Open(owner.ID, copyFlow, transport.StreamOptions{
		Compress: conf.Compression == config.CompressAlways, Connections: conf.BundleMultiplier, Burst: conf.BurstBuffer, RetryTime: copyRetry,
	})}
	if c.open == nil { // closed: nothing is taken
		s.Abort(errStopping)
		return s.Stream
	}
	c.open[key] = s
	if old != nil {
		t.sweeps.Go(func() { _ = old.Close(t.ctx) }) // what it has taken gets its verdicts
	}
	for key, s := range c.open {
		if smap := t.control.View().Smap; key.node != owner.ID && smap.Tmap[key.node] == nil {
			s.Abort(errOut)
			delete(c.open, key)
		}
	}
	return s.Stream
}

// sharedBody is one reading of an object.
type sharedBody struct {
	io.Reader
	io.Closer
}

// errGivenUp: nobody waits for a copy any more.
var errGivenUp = errors.New("the copy was given up")

// send sends an object to the owner of a copy and waits for its verdict. It
// takes over the reader.
func (c *copyStreams) send(ctx context.Context, job string, to core.Key, smap *meta.Smap, owner *meta.Snode, origin *core.Origin, reader *core.Reader) error {
	shared := core.ShareReader(reader)
	defer func() { _ = shared.Close() }() // was only read
	head, err := encodeFrame(&copyMessage{Bck: to.Bck, Name: []byte(to.Name), Smap: smap.Version, Job: job, copyHead: headOf(origin)})
	if err != nil {
		return err
	}
	verdict, size := make(chan error, 1), reader.Size
	m := &transport.Message{
		Size: int64(len(head)) + size, SelfVerifying: true,
		Open: func() (io.ReadCloser, error) {
			if !shared.Retain() {
				return nil, errGivenUp
			}
			return sharedBody{io.MultiReader(bytes.NewReader(head), io.NewSectionReader(shared, 0, size)), shared}, nil
		},
		Done: func(_ []byte, err error) { verdict <- err },
	}
	stream := c.to(owner, job)
	if err := stream.Send(ctx, m); err != nil {
		return err
	}
	defer xact.PieceOf(ctx).Rest()()
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		stream.Cancel(m, context.Cause(ctx))
		return <-verdict
	}
}

// receiveCopy stores the copy of an object that a job of another target sends.
func (t *Target) receiveCopy(ctx context.Context, m *transport.Incoming) ([]byte, error) {
	var head copyMessage
	if err := decodeFrame(m, &head); err != nil {
		return nil, err
	}
	if err := head.check(); err != nil {
		return nil, err
	}
	if head.Smap > t.control.View().Smap.Ver() {
		if err := t.control.Pull(ctx); err != nil {
			return nil, err
		}
	}
	key := core.Key{Bck: head.Bck, Name: string(head.Name)}
	var err error
	if key.Props, err = objreq.Bucket(ctx, t.control, key.Bck); err != nil {
		return nil, err
	}
	piece, err := t.jobEnv.Governor.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer piece.End(head.Size)
	if _, err := t.store.PutCopy(ctx, key, m, head.origin()); err != nil {
		return nil, err
	}
	t.countReceivedOf(head.Job, head.Size)
	return nil, nil
}
