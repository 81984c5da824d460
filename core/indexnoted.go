package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/core/index"
	"github.com/aistore-go/aistore/core/journal"
	fsys "github.com/aistore-go/aistore/fs"
)

// noted is a change of a name on one mountpath, between the moment before it
// touches a file and the moment at which its outcome is known. One of publish
// and gone follows, under the exclusive lock of the name, or neither: then settle
// has the files looked at, or cancel says that nothing was touched.
type noted struct {
	s      *Store
	o      *object
	mp     *fsys.Mountpath // of the object then
	m      *mountIndex     // nil: it has no index
	ticket index.Ticket
	done   bool

	// versions: noncurrent versions may have come or gone, too.
	versions bool
}

// announce writes a frame of the mountpath's journal: a name is about to change. It
// never fails the change. durable: the change will be acknowledged when it is on
// stable storage; then journal is flushed before anything changes.
func (s *Store) announce(o *object, durable bool) noted {
	n := noted{s: s, o: o, mp: o.mp, m: (*s.indexing.table.Load())[o.mp]}
	if n.m != nil {
		n.ticket = n.m.ix.Begin(journal.Commit, o.bucket.bid, o.Name, durable)
		n.trust()
	}
	return n
}

// note is announce, and the flush. The error is that of the flush.
func (s *Store) note(ctx context.Context, o *object, durable bool) (noted, error) {
	n := s.announce(o, durable)
	if file := n.journal(); durable && file != nil {
		if err := o.mp.Filesystem().Flush(ctx, fsys.FlushRequest{Journal: file}); err != nil {
			n.cancel()
			return n, err
		}
		n.trust()
	}
	return n, nil
}

// trust is called after a flush of the journal. If any round of the filesystem
// has failed before, the frame may be lost all the same.
func (n *noted) trust() {
	if n.m != nil && n.m.failed != n.m.mp.Filesystem().FailedRounds() {
		n.m.ix.Distrust()
	}
}

// holds tells that the frame is one for a change of an object now.
func (n *noted) holds(o *object) bool {
	return n.s != nil && !n.done && n.mp == o.mp && n.m == (*n.s.indexing.table.Load())[o.mp]
}

// journal is what has to be flushed before the change, nil if nothing.
func (n *noted) journal() fsys.File { return n.ticket.Journal() }

// cancel ends a change that has touched nothing.
func (n *noted) cancel() {
	if n.s != nil && !n.done && n.m != nil {
		n.m.ix.Cancel(n.ticket)
	}
	n.done = true
}

// publish tells that the name holds an object with a record now.
func (n *noted) publish(rec *record) {
	n.done = true
	var buf [512]byte
	n.end(appendValue(buf[:0], rec, n.o.mp.ID), n.o.bucket.owes(rec, n.o.mp.ID))
}

// gone tells that the name holds nothing any more on its mountpath.
func (n *noted) gone() {
	n.done = true
	n.end(nil, n.o.bucket.owes(nil, ""))
}

// end publishes the outcome in the index of the ticket, and in the one of now:
// it may have been made again meanwhile, and have passed the name.
func (n *noted) end(value []byte, owed owed) {
	ix := n.ticket.Index()
	owed.note(ix, n.o)
	switch {
	case ix == nil:
	case value == nil:
		ix.Remove(n.ticket, n.o.bucket.bid, n.o.Name)
	default:
		ix.Publish(n.ticket, n.o.bucket.bid, n.o.Name, value)
	}
	if now := n.s.indexing.of(n.o.mp); now != nil && now != ix {
		owed.note(now, n.o)
		now.Settle(n.o.bucket.bid, n.o.Name, value)
	}
}

// keep tells that the current generation is what it was.
func (n *noted) keep() {
	n.done = true
	if ix := n.ticket.Index(); ix != nil {
		ix.Keep(n.ticket)
	}
}

// setVersion tells that there is a noncurrent version with a record now. The
// change goes on.
func (n *noted) setVersion(rec *record) {
	var buf [512]byte
	n.version(rec.stamp, appendValue(buf[:0], rec, n.o.mp.ID))
}

// dropVersion tells that there is no noncurrent version with a stamp any more.
func (n *noted) dropVersion(stamp Stamp) { n.version(stamp, nil) }

func (n *noted) version(stamp Stamp, value []byte) {
	v := stamp.indexVersion()
	for _, ix := range n.indexes() {
		if ix != nil {
			ix.SetVersion(n.o.bucket.bid, n.o.Name, &v, value)
		}
	}
}

// indexes are that of the ticket, and that of now if it is another one.
func (n *noted) indexes() [2]*index.Index {
	all := [2]*index.Index{n.ticket.Index(), n.s.indexing.of(n.o.mp)}
	if all[1] == all[0] {
		all[1] = nil
	}
	return all
}

// settle ends the change. If its outcome is not known, the files decide; if
// they cannot be read, they are looked at later, and until then the bucket is
// listed by walking. What they say need not be on stable storage.
func (n *noted) settle() {
	if n.done || n.s == nil {
		return
	}
	if n.m != nil {
		n.m.ix.Unflushed(n.o.bucket.bid)
	}
	n.look()
}

// look is settle where what the files say is on stable storage, or another change
// of the name is under way that tells of it.
func (n *noted) look() {
	if n.done {
		return
	}
	n.done = true
	var err error
	if n.versions {
		for _, ix := range n.indexes() {
			if ix != nil && err == nil {
				_, err = n.s.examineVersions(context.Background(), ix, n.o, false)
			}
		}
		if errors.Is(err, index.ErrFailed) {
			err = nil // it is not believed any more
		}
	}
	var value []byte
	var owed owed
	if err == nil {
		value, owed, err = n.s.examine(n.o)
	}
	if err == nil {
		n.end(value, owed)
		return
	}
	n.s.log.Warn("the outcome of a change is not known to the listing index yet", "object", n.o.Cname(), "err", err)
	for i, ix := range n.indexes() {
		switch {
		case ix == nil:
		case i == 0:
			ix.Abandon(n.ticket, n.o.bucket.bid, n.o.Name)
		default:
			ix.Abandon(index.Ticket{}, n.o.bucket.bid, n.o.Name)
		}
	}
	n.s.indexing.wakeAll()
}

// examine returns the index's value for what an object's mountpath holds of its
// current generation, nil for nothing, and what it owes. It is called under the
// name lock.
func (s *Store) examine(o *object) ([]byte, owed, error) {
	e, err := s.here(o)
	if err != nil {
		return nil, owed{}, err
	}
	if !e.found {
		return nil, o.bucket.owes(nil, ""), nil
	}
	return appendValue(nil, &e.rec, o.mp.ID), o.bucket.owes(&e.rec, o.mp.ID), nil
}
