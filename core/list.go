package core

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// List returns one page of the objects that this target holds, sorted bytewise
// by name. Fewer entries than the limit mean that there are no more. What Open
// finds is listed and nothing else. A page is whole or an error, never short
// because a disk failed.
//
// With NoRecursion a prefix "dir" lists what "dir/" lists, and beside it the
// names at its own level that begin with "dir"; the prefix "/" is the top
// level. A directory's entry has a name with a trailing slash, the flags
// wire.EntryIsDir, and nothing else. (Whether "dir/" exists anywhere else in
// the cluster is for the caller to know.)
//
// Errors: 400 a prefix that is too long; 404 no such bucket; 500 I/O; 503 a mountpath is busy.
func (s *Store) List(ctx context.Context, bck wire.Bck, props *meta.Bprops, opts ListOptions) ([]Entry, error) {
	if opts.NoRecursion && opts.Prefix == "/" {
		opts.Prefix = ""
	}
	if len(opts.Prefix) > naming.MaxObjectName {
		return nil, apierr.BadRequest("invalid prefix: longer than %d bytes", naming.MaxObjectName)
	}
	b := s.bucket(bck, props)
	if b == nil {
		return nil, apierr.BucketNotFound(bck)
	}
	if opts.Limit <= 0 {
		opts.Limit = DefaultListLimit
	}
	l := &listing{s: s, ctx: ctx, bucket: b, opts: opts}
	l.base = opts.Prefix[:strings.LastIndexByte(opts.Prefix, '/')+1]
	l.buf = s.memory.Get(recordBuffer)
	defer l.buf.Free()
	if err := l.acquire(); err != nil {
		return nil, err
	}
	defer l.release(l.all)
	page := l.page()
	if l.err != nil {
		return nil, l.err
	}
	return page, nil
}

// listing is the making of one page. The streams of the mountpaths are run in
// turn, never at the same time, so they share its state.
type listing struct {
	s      *Store
	ctx    context.Context
	bucket *bucket
	opts   ListOptions
	set    *fsys.Set
	all    []*fsys.Mountpath // of the set
	base   string            // the prefix up to its last slash
	buf    memsys.Buffer
	uname  []byte
	err    error // the first failure of any stream
}

// acquire takes a slot of every mountpath in use.
func (l *listing) acquire() error {
	for {
		l.set = l.s.options.FS.Available()
		l.all = l.set.All()
		var err error
		for i, mp := range l.all {
			if err = mp.Acquire(l.ctx); err != nil {
				l.release(l.all[:i])
				break
			}
		}
		if l.s.options.FS.Available() == l.set {
			if len(l.set.Paths) == 0 {
				l.release(l.all)
				return apierr.Unavailable(time.Second, "%s has no mountpath in use", l.s.nodeName)
			}
			return err
		}
		if err == nil {
			l.release(l.all)
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
	}
}

func (l *listing) release(held []*fsys.Mountpath) {
	for _, mp := range held {
		mp.Release()
	}
}

// listed is an entry on its way into the page.
type listed struct {
	Entry
	stamp  Stamp
	hidden bool // a tombstone that is not asked for: it hides older objects of its name
}

// page merges the streams of all mountpaths.
func (l *listing) page() []Entry {
	page := make([]Entry, 0, min(l.opts.Limit, 1024))
	if len(l.all) == 1 {
		var last listed
		for item := range l.stream(l.all[0]) {
			if page = l.add(page, &last, item); len(page) > l.opts.Limit {
				break
			}
		}
		return page[:min(len(page), l.opts.Limit)]
	}
	type head struct {
		item listed
		next func() (listed, bool)
	}
	var heads []*head
	for _, mp := range l.all {
		next, stop := iter.Pull(l.stream(mp))
		defer stop()
		if item, ok := next(); ok {
			heads = append(heads, &head{item, next})
		}
	}
	var last listed
	for len(heads) > 0 && l.err == nil {
		least := 0
		for i := 1; i < len(heads); i++ {
			if heads[i].item.Name < heads[least].item.Name {
				least = i
			}
		}
		h := heads[least]
		if page = l.add(page, &last, h.item); len(page) > l.opts.Limit {
			break
		}
		var more bool
		if h.item, more = h.next(); !more {
			heads = append(heads[:least], heads[least+1:]...)
		}
	}
	return page[:min(len(page), l.opts.Limit)]
}

// add appends an entry. Of two of one name the greater stamp counts; that is
// why the page is filled one entry beyond its limit.
func (l *listing) add(page []Entry, last *listed, item listed) []Entry {
	if last.Name != "" && last.Name == item.Name {
		if item.stamp.Compare(last.stamp) <= 0 {
			return page
		}
		if !last.hidden {
			page = page[:len(page)-1]
		}
	}
	*last = item
	if item.hidden {
		return page
	}
	return append(page, item.Entry)
}

// stream is the ordered entries of one mountpath.
func (l *listing) stream(mp *fsys.Mountpath) iter.Seq[listed] {
	return func(yield func(listed) bool) {
		opts := fsys.WalkOptions{
			Prefix: l.opts.Prefix, After: l.opts.After, Limit: l.share(),
			TrueName: func(path string) (string, bool, error) { return l.trueName(mp, path) },
		}
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
				item = listed{Entry: Entry{Name: dir, Flags: wire.EntryIsDir}}
			}
			if !yield(item) {
				return fsys.ErrStopWalk
			}
			if dir != "" {
				return fsys.SkipPast(dir)
			}
			return nil
		})
		if err != nil && l.err == nil {
			l.err = mp.IOError("list "+l.bucket.bck.String(), err)
		}
	}
}

// share is how many names of a page come from one mountpath, roughly.
func (l *listing) share() int {
	n := len(l.all)
	if n == 1 {
		return l.opts.Limit + 1
	}
	return l.opts.Limit/n*5/4 + 64
}

// directoryOf returns the virtual directory that stands for a name in a
// listing without recursion, "" if the name stands for itself.
func (l *listing) directoryOf(name string) string {
	base := l.base
	i := strings.IndexByte(name[len(base):], '/')
	if i >= 0 && len(l.opts.Prefix) > len(base) && name[:len(base)+i] == l.opts.Prefix {
		base = name[:len(base)+i+1] // "dir" is "dir/"
		i = strings.IndexByte(name[len(base):], '/')
	}
	if i < 0 {
		return ""
	}
	return name[:len(base)+i+1]
}

// entry reads what a page needs of a file; ok is false if it is not an object
// of this bucket at its place. proof asks for no more than that.
func (l *listing) entry(mp *fsys.Mountpath, found *fsys.WalkEntry, proof bool) (item listed, ok bool, err error) {
	l.uname = l.bucket.bck.AppendUname(l.uname[:0], found.Name)
	digest := hrw.DigestBytes(l.uname)
	if len(l.all) > 1 && !l.set.Unsettled && l.set.Owner(digest) != mp {
		return item, false, nil // on another mountpath than Open looks at
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
	if form == formInline && kindOf(content).IsDeleted() {
		item.Tombstone, item.hidden = true, !l.opts.Stamps
		if proof {
			return item, false, nil
		}
	}
	if form == formInline && kindOf(content) == KindChunked {
		item.Flags |= wire.EntryIsChunked
	}
	if form == formInline && (proof || l.opts.Props == 0) {
		stamp, bid, place, ok := peek(content)
		item.stamp = stamp
		if l.opts.Stamps {
			item.Attrs.Stamp = stamp
		}
		return item, ok && bid == l.bucket.bid && (place == PlaceEscaped) == found.Escaped, nil
	}
	rec, ok, err := l.record(mp, found.Name, found.Path, frame)
	if err != nil || !ok {
		return item, false, err
	}
	item.stamp = rec.stamp
	if l.opts.Stamps {
		item.Attrs.Stamp = rec.stamp
	}
	if rec.kind.IsDeleted() { // also one whose record is in a sidecar
		item.Tombstone, item.hidden = true, !l.opts.Stamps
		return item, !proof, nil
	}
	if rec.kind == KindChunked {
		item.Flags |= wire.EntryIsChunked
	}
	if proof || l.opts.Props == 0 {
		return item, true, nil
	}
	return item, true, l.fill(mp, digest, found.Path, &rec, &item.Entry)
}

// frame reads the attribute of a file into the listing's buffer.
func (l *listing) frame(mp *fsys.Mountpath, path string) (frame []byte, ok bool, err error) {
	n, err := l.s.system.GetXattr(path, XattrRecord, l.buf.Bytes())
	switch {
	case err == nil:
		return l.buf.Bytes()[:n], true, nil
	case isNotExist(err), errors.Is(err, unix.ENODATA), errors.Is(err, unix.ERANGE), errors.Is(err, unix.ENOTDIR):
		return nil, false, nil // gone meanwhile, or not an object
	}
	return nil, false, mp.IOError("read the record of "+path, err)
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
	return rec, false, nil
}

// trueName reads the name of an object in the escaped place.
func (l *listing) trueName(mp *fsys.Mountpath, path string) (name string, ok bool, err error) {
	frame, ok, err := l.frame(mp, path)
	if err != nil || !ok {
		return "", false, err
	}
	form, content, err := openFrame(frame)
	if err != nil {
		if frame, ok = l.second(path); ok {
			form, content, err = openFrame(frame)
		}
	}
	if err != nil {
		return "", false, nil //nolint:nilerr // a damaged record names nothing
	}
	var rec record
	if form == formInline {
		err = rec.decodeBody(content)
	} else {
		var ref sidecarRef
		if ref, err = decodeReference(content); err == nil {
			err = l.s.readSidecar(mp, sidecarBeside(mp, l.bucket.bck, path, ref.stamp), ref, &rec)
		}
	}
	if errors.Is(err, errRecordDamaged) {
		return "", false, nil
	}
	return rec.name, err == nil && rec.bid == l.bucket.bid && rec.name != "", err
}

// fill sets the attributes that were asked for.
func (l *listing) fill(mp *fsys.Mountpath, digest uint64, path string, rec *record, e *Entry) error {
	want := l.opts.Props
	all := rec.attrs(mp)
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
		e.Attrs.Mountpath = mp
	}
	if want&ListCopies != 0 {
		e.Attrs.Copies = all.Copies
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
