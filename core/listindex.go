package core

import (
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/index"
	fsys "github.com/aistore-go/aistore/fs"
)

// stream is the ordered entries of one mountpath.
type stream interface {
	// next returns the next entry; ok is false at the end, and after a
	// failure, which is in the listing.
	next() (item listed, ok bool)
	close()
}

// open opens a stream for each mountpath: of its index if that is ready, else
// of its files; walks is the number of those.
func (l *listing) open() (streams []stream, walks int, err error) {
	t := l.s.indexing
	streams = make([]stream, 0, len(l.all))
	if len(l.all) > 1 && !l.held {
		// All indexes as they are at one moment, as far as names move.
		t.moving.Lock()
		defer t.moving.Unlock()
	}
	for _, mp := range l.all {
		ix := t.of(mp)
		if ix == nil || !ix.Ready(l.bucket.bid) {
			walks++
			streams = append(streams, l.walk(mp))
			continue
		}
		s, err := l.fromIndex(mp, ix)
		if err != nil {
			if ix.Err() == nil {
				return streams, walks, err
			}
			walks++
			streams = append(streams, l.walk(mp))
			continue
		}
		streams = append(streams, s)
	}
	return streams, walks, nil
}

// indexStream is the entries of a mountpath's index.
type indexStream struct {
	l     *listing
	mp    *fsys.Mountpath
	ix    *index.Index
	it    *index.Iterator
	paths *object // to make paths of names; nil until the first
}

func (l *listing) fromIndex(mp *fsys.Mountpath, ix *index.Index) (*indexStream, error) {
	if err := ix.Sync(l.ctx); err != nil {
		return nil, err
	}
	it, err := ix.Iterate(l.bucket.bid, l.opts.Prefix, l.opts.After)
	if err != nil {
		return nil, err
	}
	return &indexStream{l: l, mp: mp, ix: ix, it: it}, nil
}

func (s *indexStream) close() {
	if err := s.it.Close(); err != nil {
		s.ix.GiveUp(err)
	}
}

// fail has the page made once more, by walking where the index cannot be read.
func (s *indexStream) fail(err error) {
	s.ix.GiveUp(err)
	s.l.again = true
}

func (s *indexStream) next() (item listed, ok bool) {
	l := s.l
	for count := 0; ; count++ {
		if count%1024 == 1023 {
			if err := l.ctx.Err(); err != nil {
				l.err = err
				return item, false
			}
		}
		raw, data, ok, err := s.it.Next()
		if err != nil {
			s.fail(err)
		}
		if !ok {
			return item, false
		}
		var v entryValue
		if !v.decodeHead(data) {
			s.fail(damaged("value of %q", raw))
			return item, false
		}
		name := string(raw)
		dir := ""
		if l.opts.NoRecursion {
			dir = l.directoryOf(name)
		}
		if dir != "" && dir <= l.opts.After {
			s.it.SeekPast(dir)
			continue
		}
		item, ok = s.entry(name, &v, dir != "")
		if l.err != nil || l.again {
			return item, false
		}
		if !ok {
			continue
		}
		if dir != "" {
			s.it.SeekPast(dir)
			return listed{Entry: Entry{Name: dir, Flags: wire.EntryIsDir}}, true
		}
		return item, true
	}
}

// entry makes the entry of a value; ok is false if it is not to be listed.
func (s *indexStream) entry(name string, v *entryValue, proof bool) (item listed, ok bool) {
	l := s.l
	item.Name, item.Flags, item.stamp = name, wire.EntryPresent, v.stamp
	item.replica = l.opts.Missing && v.flags&valueReplica != 0
	var digest uint64
	if len(l.all) > 1 || l.opts.Owns != nil || l.opts.Props&ListAtime != 0 {
		l.uname = l.bucket.bck.AppendUname(l.uname[:0], name)
		digest = hrw.DigestBytes(l.uname)
		if !l.belongs(s.mp, digest, &item) {
			return item, false
		}
	}
	if l.opts.Stamps {
		item.Attrs.Stamp = v.stamp
	}
	switch {
	case v.kind.IsDeleted():
		item.Tombstone, item.hidden = true, !l.opts.Stamps
		return item, !proof
	case v.kind == KindChunked:
		item.Flags |= wire.EntryIsChunked
	}
	if proof || l.opts.Props == 0 {
		return item, true
	}
	return item, s.fill(name, digest, v, &item.Entry)
}

// fill sets the attributes that were asked for.
func (s *indexStream) fill(name string, digest uint64, v *entryValue, e *Entry) bool {
	l := s.l
	want := l.opts.Props
	if !v.details(want&ListCustom != 0) {
		s.fail(damaged("value of %q", name))
		return false
	}
	e.show(want, &Attrs{
		Size: v.size, Checksum: v.checksum, Version: v.version, Custom: v.custom, Mountpath: s.mp, Copies: 1 + v.copies, Mtime: v.mtime,
	})
	if want&ListCopies != 0 && v.copies > 0 && s.ix.AnyOwed() {
		e.Attrs.Copies = s.instances(name, digest, v)
	}
	if want&ListAtime != 0 {
		e.Attrs.Atime = s.atime(name, digest, v)
	}
	if want&ListETag != 0 {
		e.ETag = v.etag
	}
	if want&ListCustom != 0 && v.flags&valueCustomInRec != 0 {
		return s.custom(name, v, e)
	}
	return l.err == nil
}

// path is where the file of a name lies.
func (s *indexStream) path(name string, v *entryValue) string {
	if s.paths == nil {
		s.paths = &object{Key: Key{Bck: s.l.bucket.bck}, bucket: s.l.bucket, set: s.l.set}
	}
	o := s.paths
	o.Name = name
	o.move(s.mp)
	if v.place() == PlaceEscaped {
		return o.escapedPath()
	}
	return o.plain
}

// instances counts the files of a name whose copies may not be made yet.
func (s *indexStream) instances(name string, digest uint64, v *entryValue) int {
	owes, err := s.ix.Owes(s.l.ctx, WorkCopies, s.l.bucket.bid, name)
	if err != nil || !owes {
		return 1 + v.copies
	}
	o := object{Key: Key{Bck: s.l.bucket.bck, Props: s.l.bucket.props.Load(), Name: name}, bucket: s.l.bucket, set: s.l.set, digest: digest}
	o.move(s.mp)
	n := 1
	for _, mp := range s.l.all {
		if mp == s.mp {
			continue
		}
		at := o.on(mp)
		if e, err := s.l.s.here(&at); err == nil && e.found && e.rec.stamp == v.stamp {
			n++
		}
	}
	return min(n, 1+v.copies)
}

// atime is the last access: as it is known in memory, else as the file says.
func (s *indexStream) atime(name string, digest uint64, v *entryValue) int64 {
	if at, known := s.l.s.access.known(digest); known {
		return max(at, v.atime)
	}
	path := s.path(name, v)
	info, err := s.l.s.system.Stat(path)
	switch {
	case err == nil:
		return effectiveAtime(v.atime, &info)
	case !isNotExist(err):
		s.l.err = s.mp.IOError("stat "+path, err)
	}
	return v.atime
}

// custom reads custom metadata that is too large for the index. What changed
// since the value was read is not of its generation, and yet newer.
func (s *indexStream) custom(name string, v *entryValue, e *Entry) bool {
	path := s.path(name, v)
	frame, ok, err := s.l.frame(s.mp, path)
	if err == nil && ok {
		var rec record
		if rec, ok, err = s.l.record(s.mp, name, path, frame); ok {
			e.Attrs.Custom = rec.custom
		}
	}
	if err != nil {
		s.l.err = err
	}
	return err == nil
}
