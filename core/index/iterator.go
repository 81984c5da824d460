package index

import (
	"github.com/cockroachdb/pebble/v2"
)

// Iterator is the current names of a bucket with a prefix, in order, as they
// were when it was made. It is for one goroutine.
type Iterator struct {
	index   *Index
	it      *pebble.Iterator
	bid     uint64
	name    []byte
	seek    []byte // to go on there, nil: the next one
	started bool
}

// Iterate returns the names that begin with a prefix and are greater than
// another. What was published before Sync was called, before it, is there. It
// must be closed.
func (x *Index) Iterate(bid uint64, prefix, after string) (*Iterator, error) {
	if err := x.Err(); err != nil {
		return nil, err
	}
	x.using.RLock()
	if x.closed {
		x.using.RUnlock()
		return nil, ErrFailed
	}
	lower := appendEscaped(appendBID(nil, bid), prefix)
	if after != "" && after >= prefix {
		lower = appendAfter(lower[:0], bid, after)
	}
	if prefix == "" && after == "" {
		lower = append(lower, 0, terminator) // past the mark
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: appendPast(nil, bid, prefix)})
	if err != nil {
		x.using.RUnlock()
		return nil, err
	}
	return &Iterator{index: x, it: it, bid: bid}, nil
}

// Next returns the next name and its value; both are valid until the call
// after. ok is false at the end, or after an error.
func (i *Iterator) Next() (name, value []byte, ok bool, err error) {
	for {
		switch {
		case i.seek != nil:
			ok = i.it.SeekGE(i.seek)
			i.seek = nil
		case !i.started:
			ok = i.it.First()
		default:
			ok = i.it.Next()
		}
		i.started = true
		if !ok {
			return nil, nil, false, i.it.Error()
		}
		var current, good bool
		i.name, current, good = appendName(i.name[:0], i.it.Key())
		if !good || !current {
			continue
		}
		value, err := i.it.ValueAndErr()
		return i.name, value, err == nil, err
	}
}

// SeekPast makes Next go on after all names with a prefix.
func (i *Iterator) SeekPast(prefix string) { i.seek = appendPast(nil, i.bid, prefix) }

// Close ends the iterator.
func (i *Iterator) Close() error {
	defer i.index.using.RUnlock()
	return i.it.Close()
}
