package index

// VersionSize is the length of a Version.
const VersionSize = 24

// Version names a generation of a name that is not the current one: its stamp
// with every bit flipped, so that the newest sorts first.
type Version [VersionSize]byte

// Entry is one generation of a name. Its memory is valid until the iterator
// goes on.
type Entry struct {
	Name    []byte
	Current bool
	Version Version // unless Current
	Value   []byte
}

func appendVersionKey(dst []byte, bid uint64, name string, v *Version) []byte {
	return append(appendKey(dst, bid, name), v[:]...)
}

// SetVersion writes the entry of a generation that is not the current one, or
// with nil removes it. The caller orders the changes of one name.
func (x *Index) SetVersion(bid uint64, name string, v *Version, value []byte) {
	size := keyLength(name) + VersionSize
	x.mu.Lock()
	if x.ended || x.failure.Load() != nil || x.buckets.dropped(bid) {
		x.mu.Unlock()
		return
	}
	if value == nil {
		op := x.queue.DeleteDeferred(size)
		appendVersionKey(op.Key[:0], bid, name, v)
		_ = op.Finish() // of a plain batch it never fails
	} else {
		op := x.queue.SetDeferred(size, len(value))
		appendVersionKey(op.Key[:0], bid, name, v)
		copy(op.Value, value)
		_ = op.Finish()
	}
	x.enqueued()
}

// Keep ends a change that has left the current generation as it is.
func (x *Index) Keep(t Ticket) { t.release() }

// IterateFrom returns all generations of the names that begin with a prefix and
// are not smaller than another, for NextEntry. What was published before Sync
// was called, before it, is there. It must be closed.
func (x *Index) IterateFrom(bid uint64, prefix, from string) (*Iterator, error) {
	lower := appendEscaped(appendBID(nil, bid), prefix)
	if from > prefix {
		lower = appendKey(lower[:0], bid, from)
	}
	return x.iterate(bid, prefix, lower, from == "")
}

// NextEntry returns the next generation: of each name first the current one, if
// there is one, then the others, the newest first. ok is false at the end, or
// after an error.
func (i *Iterator) NextEntry() (e Entry, ok bool, err error) {
	for i.advance() {
		key := i.it.Key()
		var good bool
		if i.name, e.Current, good = appendName(i.name[:0], key); !good {
			continue
		}
		if e.Name = i.name; !e.Current {
			if len(key) != keyLength(i.name)+VersionSize {
				continue
			}
			e.Version = Version(key[len(key)-VersionSize:])
		}
		e.Value, err = i.it.ValueAndErr()
		return e, err == nil, err
	}
	return e, false, i.it.Error()
}

// SeekPastName makes the iterator go on after all generations of a name.
func (i *Iterator) SeekPastName(name []byte) {
	i.bound = appendAfter(i.bound[:0], i.bid, name)
	i.seek = i.bound
}

// SeekPastVersion makes the iterator go on after a generation of a name that is
// not the current one, whether or not it is there.
func (i *Iterator) SeekPastVersion(name string, v *Version) {
	i.bound = append(appendVersionKey(i.bound[:0], i.bid, name, v), 0)
	i.seek = i.bound
}
