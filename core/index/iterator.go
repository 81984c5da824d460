package index

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// skipVersions is how many keys of versions are stepped over before it is
// quicker to seek the next name.
const skipVersions = 4

// Iterator is the names of a bucket with a prefix, in order, as they were when
// it was made. It is for one goroutine.
type Iterator struct {
	index   *Index
	it      *pebble.Iterator
	bid     uint64
	name    []byte
	seek    []byte // to go on there, nil: the next one
	bound   []byte // scratch
	started bool
}

// Iterate returns the names that begin with a prefix and are greater than
// another. What was published before Sync was called, before it, is there. It
// must be closed.
func (x *Index) Iterate(bid uint64, prefix, after string) (*Iterator, error) {
	lower := appendEscaped(appendBID(nil, bid), prefix)
	if after != "" && after >= prefix {
		lower = appendAfter(lower[:0], bid, after)
	}
	return x.iterate(bid, prefix, lower, after == "")
}

// Holds tells whether the index has an entry of a bucket, of any generation.
func (x *Index) Holds(ctx context.Context, bid uint64) (holds bool, err error) {
	if err := x.Sync(ctx); err != nil {
		return false, err
	}
	it, err := x.IterateFrom(bid, "", "")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	_, holds, err = it.NextEntry()
	return holds, err
}

// iterate begins at a key; whole tells that this is the first of the prefix.
func (x *Index) iterate(bid uint64, prefix string, lower []byte, whole bool) (*Iterator, error) {
	if err := x.Err(); err != nil {
		return nil, err
	}
	x.using.RLock()
	if x.closed {
		x.using.RUnlock()
		return nil, ErrFailed
	}
	if prefix == "" && whole {
		lower = append(lower, 0, terminator) // past the mark
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: appendPast(nil, bid, prefix)})
	if err != nil {
		x.using.RUnlock()
		return nil, err
	}
	return &Iterator{index: x, it: it, bid: bid}, nil
}

// Next returns the next name that has a current generation, and its value; both
// are valid until the call after. ok is false at the end, or after an error.
func (i *Iterator) Next() (name, value []byte, ok bool, err error) {
	for skipped := 0; i.advance(); {
		var current, good bool
		i.name, current, good = appendName(i.name[:0], i.it.Key())
		switch {
		case good && current:
			value, err := i.it.ValueAndErr()
			return i.name, value, err == nil, err
		case good:
			if skipped++; skipped == skipVersions {
				skipped = 0
				i.SeekPastName(i.name)
			}
		}
	}
	return nil, nil, false, i.it.Error()
}

// advance goes to the next key.
func (i *Iterator) advance() bool {
	seek := i.seek
	i.seek = nil
	switch {
	case seek != nil:
		i.started = true
		return i.it.SeekGE(seek)
	case !i.started:
		i.started = true
		return i.it.First()
	}
	return i.it.Next()
}

// SeekPast makes Next go on after all names with a prefix.
func (i *Iterator) SeekPast(prefix string) { i.seek = appendPast(nil, i.bid, prefix) }

// Close ends the iterator.
func (i *Iterator) Close() error {
	defer i.index.using.RUnlock()
	return i.it.Close()
}
