package core

// A write is refused before its body is read when the mountpath of its name is
// full. The others of the node go on: one small disk must not make all of them
// read-only.

// Room returns the 507 of a write of a size (not known: 0 or less) to a name;
// other errors are left to the write itself.
func (s *Store) Room(key Key, size int64) error {
	if c := s.options.FS.Capacity(); !c.OutOfSpace() && size <= c.Least() {
		return nil
	}
	o, err := s.resolve(key)
	if err != nil {
		return nil //nolint:nilerr // the write says it better
	}
	return o.room(size)
}

// room returns the 507 of a write of a size to the mountpath of an object. What
// is stored in chunks goes to all mountpaths: of that only the first chunk
// counts.
func (o *object) room(size int64) error {
	if limit := int64(o.Props.Chunks.MaxMonolithicSize); limit > 0 && size > limit {
		size = int64(o.Props.Chunks.ChunkSize)
	}
	return o.mp.Room(size)
}
