package core

import (
	"errors"
	"iter"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	fsys "github.com/aistore-go/aistore/fs"
)

// walkStream is the entries of a mountpath as its files say.
type walkStream struct {
	pull func() (listed, bool)
	stop func()
}

func (l *listing) walk(mp *fsys.Mountpath) *walkStream {
	pull, stop := iter.Pull(l.files(mp))
	return &walkStream{pull, stop}
}

func (s *walkStream) next() (listed, bool) { return s.pull() }
func (s *walkStream) close()               { s.stop() }

// files walks a mountpath.
func (l *listing) files(mp *fsys.Mountpath) iter.Seq[listed] {
	return func(yield func(listed) bool) {
		opts := fsys.WalkOptions{
			Prefix: l.opts.Prefix, After: l.opts.After, Limit: l.share(),
			TrueName: func(path string) (string, bool, error) { return l.trueName(mp, path) },
		}
		// A name that is in both places comes twice in a row: the greater
		// stamp counts.
		var before listed
		err := mp.Walk(l.ctx, l.bucket.bck, opts, func(found fsys.WalkEntry) error {
			if l.err != nil {
				return fsys.ErrStopWalk
			}
			dir := ""
			if l.opts.NoRecursion {
				dir = l.directoryOf(found.Name)
			}
			if dir != "" && dir <= l.opts.After {
				return fsys.SkipPast(dir)
			}
			item, ok, err := l.entry(mp, &found, dir != "")
			if err != nil || !ok {
				return err
			}
			if dir != "" {
				if !l.yieldLast(yield, &before, listed{Entry: Entry{Name: dir, Flags: wire.EntryIsDir}}) {
					return fsys.ErrStopWalk
				}
				return fsys.SkipPast(dir)
			}
			if !l.yieldLast(yield, &before, item) {
				return fsys.ErrStopWalk
			}
			return nil
		})
		if err != nil && l.err == nil {
			l.err = mp.IOError("list "+l.bucket.bck.String(), err)
		}
		if err == nil && l.err == nil && before.Name != "" {
			yield(before)
		}
	}
}

// yieldLast hands over the entry before, when it is certain that none of the
// same name follows.
func (l *listing) yieldLast(yield func(listed) bool, before *listed, item listed) bool {
	if before.Name == item.Name {
		if item.stamp.Compare(before.stamp) > 0 {
			*before = item
		}
		return true
	}
	last := *before
	*before = item
	if last.Name == "" {
		return true
	}
	if !yield(last) {
		before.Name = ""
		return false
	}
	return true
}

// entry reads what a page needs of a file; ok is false if it is not an object
// of this bucket at its place. proof asks for no more than that.
func (l *listing) entry(mp *fsys.Mountpath, found *fsys.WalkEntry, proof bool) (item listed, ok bool, err error) {
	l.uname = l.bucket.bck.AppendUname(l.uname[:0], found.Name)
	digest := hrw.DigestBytes(l.uname)
	if !l.opts.Missing && !l.belongs(mp, digest, &item) {
		return item, false, nil
	}
	frame, ok, err := l.frame(mp, found.Path)
	if err != nil || !ok {
		return item, false, err
	}
	form, content, err := openFrame(frame)
	if err != nil {
		// Open looks there, too; without it, it answers with an error.
		if frame, ok = l.second(found.Path); !ok {
			return item, false, nil
		}
		form, content, err = openFrame(frame)
	}
	if err != nil {
		return item, false, nil //nolint:nilerr // Open answers with an error, not with an object
	}
	item.Name, item.Flags = found.Name, wire.EntryPresent
	if form == formInline && (proof || l.opts.Props == 0) && !l.opts.Missing {
		stamp, bid, place, ok := peek(content)
		item.stamp = stamp
		l.mark(&item, kindOf(content))
		return item, ok && bid == l.bucket.bid && (place == PlaceEscaped) == found.Escaped && !(proof && item.Tombstone), nil
	}
	rec, ok, err := l.record(mp, found.Name, found.Path, frame)
	if err != nil || !ok {
		return item, false, err
	}
	item.stamp = rec.stamp
	l.mark(&item, rec.kind)
	if l.opts.Missing {
		item.replica = rec.isReplica(mp.ID)
		if !l.belongs(mp, digest, &item) {
			return item, false, nil
		}
	}
	if item.Tombstone {
		return item, !proof, nil
	}
	if proof || l.opts.Props == 0 {
		return item, true, nil
	}
	return item, true, l.fill(mp, digest, found.Path, &rec, &item.Entry)
}

// mark sets what follows from the kind of a record and from the stamp.
func (l *listing) mark(item *listed, kind Kind) {
	if l.opts.Stamps {
		item.Attrs.Stamp = item.stamp
	}
	switch {
	case kind.IsDeleted():
		item.Tombstone, item.hidden = true, !l.opts.Stamps
	case kind == KindChunked:
		item.Flags |= wire.EntryIsChunked
	}
}

// frame reads the attribute of a file into the listing's buffer.
func (l *listing) frame(mp *fsys.Mountpath, path string) (frame []byte, ok bool, err error) {
	frame, found, err := l.s.frameAt(mp, path, l.buf.Bytes())
	if errors.Is(err, errRecordDamaged) {
		return nil, false, nil // Open answers with an error, not with an object
	}
	return frame, err == nil && found == withRecord, err
}

// second reads the attribute in which a record is written before it replaces
// another one; see patch.
func (l *listing) second(path string) (frame []byte, ok bool) {
	n, err := l.s.system.GetXattr(path, XattrNext, l.buf.Bytes())
	return l.buf.Bytes()[:max(n, 0)], err == nil
}

// record decodes a frame; a sidecar that an overwrite removed meanwhile is
// looked up again.
func (l *listing) record(mp *fsys.Mountpath, name, path string, frame []byte) (rec record, ok bool, err error) {
	o := object{Key: Key{Bck: l.bucket.bck, Name: name}, mp: mp}
	for range 3 {
		err := l.s.decodeRecord(mp, &o, frame, &rec)
		if err == nil {
			return rec, rec.bid == l.bucket.bid && (rec.name == "" || rec.name == name), nil
		}
		if !errors.Is(err, errRecordDamaged) {
			return rec, false, err
		}
		if frame, ok, err = l.frame(mp, path); err != nil || !ok {
			return rec, false, err
		}
	}
	// Its sidecar is damaged: Open looks at the second record, too.
	if frame, ok = l.second(path); ok {
		ok = l.s.decodeRecord(mp, &o, frame, &rec) == nil
	}
	return rec, ok && rec.bid == l.bucket.bid && (rec.name == "" || rec.name == name), nil
}

// trueName reads the name of an object in the escaped place.
func (l *listing) trueName(mp *fsys.Mountpath, path string) (name string, ok bool, err error) {
	rec, found, err := l.s.recordAt(mp, l.bucket.bck, path)
	if errors.Is(err, errRecordDamaged) {
		return "", false, nil // it names nothing
	}
	return rec.name, found && rec.bid == l.bucket.bid && rec.name != "", err
}

// fill sets the attributes that were asked for.
func (l *listing) fill(mp *fsys.Mountpath, digest uint64, path string, rec *record, e *Entry) error {
	want, all := l.opts.Props, rec.attrs(mp)
	e.show(want, &all)
	if want&ListETag != 0 {
		e.ETag, _ = all.CustomValue(CustomETag)
	}
	if want&ListAtime != 0 {
		info, err := l.s.system.Stat(path)
		if err != nil && !isNotExist(err) {
			return mp.IOError("stat "+path, err)
		}
		e.Attrs.Atime = l.s.access.get(digest, effectiveAtime(all.Atime, &info))
	}
	return nil
}

// show copies the attributes that were asked for, but the access time and the
// ETag.
func (e *Entry) show(want ListProps, all *Attrs) {
	if want&ListSize != 0 {
		e.Attrs.Size = all.Size
	}
	if want&ListChecksum != 0 {
		e.Attrs.Checksum = all.Checksum
	}
	if want&ListVersion != 0 {
		e.Attrs.Version = all.Version
	}
	if want&ListCustom != 0 {
		e.Attrs.Custom = all.Custom
	}
	if want&ListLocation != 0 {
		e.Attrs.Mountpath = all.Mountpath
	}
	if want&ListCopies != 0 {
		e.Attrs.Copies = all.Copies
	}
	if want&ListMtime != 0 {
		e.Attrs.Mtime = all.Mtime
	}
}
