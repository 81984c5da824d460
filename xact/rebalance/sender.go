package rebalance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
)

// inFlight is how many names are on their way at a time: enough that the
// flushes of small objects are shared by many on both sides. What is in memory of
// each is bounded by core.
const inFlight = 192

// sender moves what this target does not own.
type sender struct {
	job *job
	x   *xact.Xaction

	mu      sync.Mutex
	streams map[string]Stream // by node id

	seen, moved atomic.Int64 // names, in this pass; in all
	left        atomic.Int64 // names of this pass that are still here
	stuck       atomic.Pointer[nameError]
	pass        atomic.Int64
}

// nameError is why a name has not left.
type nameError struct {
	name string
	err  error
}

func newSender(j *job, x *xact.Xaction) *sender {
	return &sender{job: j, x: x, streams: map[string]Stream{}}
}

func (s *sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stream := range s.streams {
		stream.Close()
	}
	s.streams = nil
}

// to is the stream to a target.
func (s *sender) to(id string) (Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == nil {
		return nil, errors.New("the rebalance has ended")
	}
	stream := s.streams[id]
	if stream == nil {
		stream = s.job.mover.streams.Open(id, flow(s.job.spec.ID))
		s.streams[id] = stream
	}
	return stream, nil
}

// cleanupMark is in the message of a cleanup, by which clients know one.
const cleanupMark = ":cleanup"

// control is the message of the snapshot.
func (s *sender) control() string {
	text := s.job.spec.Control
	if s.job.args.cleanup() {
		text += cleanupMark
	}
	if text != "" {
		text += ", "
	}
	text += fmt.Sprintf("pass %d: moved %d", s.pass.Load(), s.moved.Load())
	if stuck := s.stuck.Load(); stuck != nil {
		text += fmt.Sprintf(", %d to be tried again (%s: %v)", s.left.Load(), stuck.name, stuck.err)
	}
	return text
}

// sendAll goes through all names, again and again, until it finds none that
// another target owns: what could not be moved is tried again. When that does not
// help any more, the error says why. A cleanup goes through them once.
func (s *sender) sendAll(ctx context.Context) error {
	patience := s.job.env.Config().Rebalance.DestRetryTime.D()
	var waited time.Duration
	still := 0
	for pause := s.job.mover.timing.pause; ; {
		before := s.moved.Load()
		if err := s.once(ctx); err != nil {
			return err
		}
		if err := s.job.check(); err != nil {
			return err
		}
		if s.seen.Load() == 0 || s.job.args.cleanup() {
			return nil
		}
		stuck := s.stuck.Load()
		switch {
		case s.moved.Load() > before:
			waited, still, pause = 0, 0, s.job.mover.timing.pause
			if stuck == nil {
				continue
			}
		case stuck != nil && !passing(stuck.err):
			if still++; still >= s.job.mover.timing.tries {
				return s.giveUp(stuck)
			}
		}
		if waited >= patience {
			return s.giveUp(stuck)
		}
		if err := delay.For(ctx, pause); err != nil {
			return err
		}
		waited += pause
		pause = min(2*pause, s.job.mover.timing.mostPause)
	}
}

func (s *sender) giveUp(stuck *nameError) error {
	if stuck == nil {
		return fmt.Errorf("%d names change while they are moved", s.left.Load())
	}
	return fmt.Errorf("%d names cannot be moved, such as %s: %w", s.left.Load(), stuck.name, stuck.err)
}

// passing tells an error that another try may not have.
func passing(err error) bool {
	status := apierr.StatusOf(err)
	var typed *apierr.Error
	return !errors.As(err, &typed) || status == apierr.StatusServiceUnavailable || status == apierr.StatusInsufficientStorage
}

// once goes through all names.
func (s *sender) once(ctx context.Context) error {
	s.pass.Add(1)
	s.seen.Store(0)
	s.left.Store(0)
	s.stuck.Store(nil)
	smap := s.job.env.View().Smap
	movers := crew{
		move: func(key core.Key) { s.name(ctx, smap, key) }, names: make(chan core.Key), ended: make(chan struct{}, 1),
		most: func() int { return s.job.env.Governor.Spread(inFlight) },
	}
	defer movers.wait()
	for _, bucket := range s.job.buckets() {
		err := s.job.env.Store.Misplaced(ctx, bucket.Bck, bucket.Props, core.MisplacedOptions{
			Prefix: s.job.args.Name, Owns: s.job.owns(smap),
		}, func(name string) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.seen.Add(1)
			key := core.Key{Bck: bucket.Bck, Props: bucket.Props, Name: name}
			return movers.give(ctx, key)
		})
		if apierr.IsNotFound(err) {
			continue // destroyed meanwhile
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// crew moves names, inFlight at a time or as many as the node can spare, on
// goroutines that keep the stacks that they have grown for the names after.
type crew struct {
	move   func(core.Key)
	most   func() int // how many names may be on their way now
	names  chan core.Key
	ended  chan struct{} // a name is not on its way any more
	busy   atomic.Int64
	size   int
	active sync.WaitGroup
}

// give gives a name to who is idle, or waits for somebody.
func (c *crew) give(ctx context.Context, key core.Key) error {
	for c.busy.Load() >= int64(c.most()) {
		select {
		case <-c.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	c.busy.Add(1)
	select {
	case c.names <- key:
		return nil
	default:
	}
	if c.size < inFlight {
		c.size++
		c.active.Go(func() {
			for more := true; more; key, more = <-c.names {
				c.move(key)
				c.busy.Add(-1)
				select {
				case c.ended <- struct{}{}:
				default:
				}
			}
		})
		return nil
	}
	c.names <- key // fewer than all are busy
	return nil
}

// wait returns when all that was given has been moved, or could not be.
func (c *crew) wait() {
	close(c.names)
	c.active.Wait()
}

// errUnknownThere: the receiver does not know a bucket yet that is there.
var errUnknownThere = errors.New("its metadata is older")

// unknownThere turns the 404 of a receiver into one that passes, if the bucket is there
// all the same: its version of the buckets is older, and it will have heard of the bucket by
// one of the next passes.
func (s *sender) unknownThere(key *core.Key, owner string, err error) error {
	if !apierr.IsNotFound(err) {
		return err
	}
	if props, ok := s.job.env.View().BMD.Get(key.Bck); !ok || props.BID != key.Props.BID {
		return err // it was destroyed meanwhile
	}
	return apierr.Wrap(errUnknownThere, apierr.StatusServiceUnavailable, "", "t[%s] does not know bucket %s yet", owner, key.Bck)
}

// name moves one name.
func (s *sender) name(ctx context.Context, smap *meta.Smap, key core.Key) {
	piece, err := s.x.Begin(ctx)
	if err != nil {
		return // the job ends
	}
	moved, err := s.move(ctx, smap, key, piece)
	switch {
	case ctx.Err() != nil:
	case err != nil && apierr.IsNotFound(err) && !errors.Is(err, errUnknownThere):
		// The bucket was destroyed, or the name has gone.
	case err != nil:
		s.left.Add(1)
		s.stuck.CompareAndSwap(nil, &nameError{key.Cname(), err})
	case moved:
		s.moved.Add(1)
	default:
		s.left.Add(1)
	}
}

// move sends all generations of a name and removes them when all have arrived.
func (s *sender) move(ctx context.Context, smap *meta.Smap, key core.Key, piece *xact.Piece) (moved bool, err error) {
	size := int64(0)
	defer func() { piece.End(size) }()
	owner, err := smap.Owner(hrw.Digest(key.Bck.Uname(key.Name)))
	if err != nil {
		return false, err
	}
	stream, err := s.to(owner.ID)
	if err != nil {
		return false, err
	}
	d, err := s.job.env.Store.Depart(ctx, key)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if len(d.Parcels()) == 0 {
		return false, apierr.ObjectNotFound(key.Cname()) // it has gone meanwhile
	}
	sent := int64(0)
	for _, p := range d.Parcels() {
		size += p.Size
		resume := piece.Rest()
		arrival, err := s.send(ctx, stream, key, p)
		resume()
		if err != nil || arrival == 0 {
			return false, s.unknownThere(&key, owner.ID, err)
		}
		if arrival == core.ArrivalStored {
			sent += p.Content
			s.x.AddOut(1, p.Content)
		}
	}
	moved, err = d.Remove(ctx)
	if moved && err == nil {
		s.x.AddObjects(1, sent)
	}
	return moved, err
}

// send sends one generation, or, in a cleanup, asks for it, and waits for the
// answer.
func (s *sender) send(ctx context.Context, stream Stream, key core.Key, p *core.Parcel) (core.Arrival, error) {
	about := subject{bck: key.Bck, name: key.Name, head: p.Head}
	var size int64
	var open func() (io.ReadCloser, error)
	if s.job.args.cleanup() {
		size, open = whole(about.encode(kindQuestion))
	} else {
		head := about.encode(kindGeneration)
		size = int64(len(head)) + p.Size
		open = func() (io.ReadCloser, error) {
			content, err := p.Open(ctx)
			if err != nil {
				return nil, err
			}
			return withContent(head, content), nil
		}
	}
	type verdict struct {
		arrival core.Arrival
		err     error
	}
	answered := make(chan verdict, 1)
	err := stream.Send(ctx, size, open, func(answer []byte, err error) {
		v := verdict{err: err}
		switch {
		case err == nil && len(answer) == 1 && answer[0] <= byte(core.ArrivalOlder):
			v.arrival = core.Arrival(answer[0])
		case err == nil:
			v.err = fmt.Errorf("an answer that cannot be read: %.20q", answer)
		}
		answered <- v
	})
	if err != nil {
		return 0, err
	}
	select {
	case v := <-answered:
		return v.arrival, v.err
	case <-ctx.Done():
		// The message may still be read from: Close of the streams ends that.
		s.close()
		<-answered
		return 0, context.Cause(ctx)
	}
}
