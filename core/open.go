package core

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	fsys "github.com/aistore-go/aistore/fs"
)

// Reader is an object opened for reading: its attributes and its content at
// the moment of opening. An overwrite or a delete that follows does not touch
// it. The caller must Close it when all is sent, also if OSFile took the
// descriptor: until then the name counts as being read (see LockState). The
// zero Reader is ready for Store.OpenInto, and so is a closed one, which costs
// no allocation.
//
// File is the content, or the first chunk of it: see IsChunked, and Prepare
// before anything is sent. Whoever reads it for a client says so with Touch.
type Reader struct {
	Attrs
	File fsys.File // positioned at 0; sendfile through OSFile; nil once closed

	spare   fsys.File       // closed, for the next OpenInto
	chunked *chunkedContent // nil: the content is one file
	store   *Store          // nil: the name does not count as being read
	digest  uint64
	opened  int64 // ns; 0: not the current version
	key     Key   // of the current version; no Props: copies and slices are not looked for
	detours atomic.Pointer[detours]
}

// Close releases the files. A second call does nothing.
func (r *Reader) Close() error {
	if r.File == nil {
		return nil
	}
	if r.store != nil {
		r.store.locks.endSending(r.digest)
	}
	var err error
	if d := r.detours.Swap(nil); d != nil {
		err = d.close()
	}
	f := r.File
	r.File, r.spare, r.store, r.key = nil, f, nil, Key{}
	if r.chunked != nil {
		c := r.chunked
		r.chunked = nil
		return errors.Join(err, f.Close(), c.close())
	}
	return errors.Join(err, f.Close())
}

// Touch notes that the object is read: its access time is that of the opening
// from now on. Attrs keeps the time of the access before. The Reader is open.
func (r *Reader) Touch() {
	if r.opened != 0 {
		r.store.access.touch(r.digest, r.File.Path(), r.opened, r.Atime)
	}
}

// Fd is the open file's descriptor, for sendfile with an offset of the
// caller's. It is the Reader's until Close.
func (r *Reader) Fd() uintptr { return r.File.Fd() }

// Open opens an object for reading. No lock is held when it returns. Opening
// alone leaves the access time as it is: see Touch.
//
// Errors: 400 bad name; 404 no such bucket or object; 500 BAD DATA CHECKSUM: the
// object is damaged (its record, its size, or its content if the bucket
// validates warm reads) and could not be restored; it was moved to quarantine.
// 503 the mountpath is busy.
func (s *Store) Open(ctx context.Context, key Key) (*Reader, error) {
	r := new(Reader)
	if err := s.OpenInto(ctx, key, r); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenInto is Open into a Reader of the caller's, which must be the zero one or
// closed. It does not allocate for an object whose record is in memory.
func (s *Store) OpenInto(ctx context.Context, key Key, r *Reader) error {
	validate := key.Props.Checksum.ValidateWarmGet
	if !validate && s.openWarm(ctx, &key, r) {
		return nil
	}
	o, err := s.resolve(key)
	if err != nil {
		return err
	}
	c, err := s.openWhole(ctx, &o, validate, true)
	if err != nil {
		return err
	}
	r.Attrs, r.File, r.chunked, r.store, r.digest = c.attrs(s, &o), c.file, c.content, s, o.digest
	r.opened, r.key = s.options.Clock().UnixNano(), key
	r.detours.Store(c.detours)
	s.locks.beginSending(o.digest)
	return nil
}

// Head returns the attributes of an object and leaves its access time alone.
// Errors are those of Open.
func (s *Store) Head(ctx context.Context, key Key) (Attrs, error) {
	var attrs Attrs
	if s.headWarm(ctx, &key, &attrs) {
		return attrs, nil
	}
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	c, err := s.openWhole(ctx, &o, false, false)
	if err != nil {
		return Attrs{}, err
	}
	attrs = c.attrs(s, &o)
	if attrs.Copies > 1 {
		at := o.on(c.mp)
		attrs.Copies = s.instances(ctx, &at, &c.rec)
	}
	if err := c.file.Close(); err != nil {
		return Attrs{}, o.mp.IOError("HEAD "+key.Cname(), err)
	}
	return attrs, nil
}

// candidate is a file opened at one of a name's places.
type candidate struct {
	mp   *fsys.Mountpath
	file fsys.File // nil: nothing there
	info fsys.FileInfo
	rec  record
	// damage is why the file cannot be served; path is where it lies.
	damage error
	path   string
	// held: the files of a chunked generation stay until it is released;
	// content has taken that over.
	held    bool
	content *chunkedContent
	// goesOn: what cannot be read while the content is validated is read from another
	// place, as for a client; detours are the places that failed.
	goesOn  bool
	detours *detours
}

// manifest is that of a chunked object whose content was opened, else nil.
func (c *candidate) manifest() *manifest {
	if c.content == nil {
		return nil
	}
	return c.content.manifest
}

// close gives up what was opened, none of which was written to.
func (c *candidate) close(s *Store) error {
	var err error
	if c.file != nil {
		err = c.file.Close()
	}
	switch {
	case c.content != nil:
		err = errors.Join(err, c.content.close())
	case c.held:
		s.generations.release(c.rec.chunks.upload)
	}
	c.file, c.content, c.held = nil, nil, false
	return err
}

func (c *candidate) attrs(s *Store, o *object) Attrs {
	a := c.rec.attrs(c.mp)
	a.Atime = s.access.get(o.digest, effectiveAtime(c.rec.atime, &c.info))
	return a
}

// openWhole opens the object and repairs it, or takes it out of the way, if it
// is damaged. Only with content can more than the record be read of what is
// chunked.
func (s *Store) openWhole(ctx context.Context, o *object, validate, content bool) (candidate, error) {
	var damage error // of what was taken out of the way and could not be restored
	for attempt := 0; ; attempt++ {
		c, err := s.openOnce(ctx, o, content)
		if err != nil {
			return candidate{}, err
		}
		c.goesOn = true
		if c.held {
			if found, err := s.openContent(ctx, o, &c, validate); found != nil || err != nil {
				again := false
				if found != nil && attempt == 0 {
					at := o.on(c.mp)
					again = s.mendChunks(ctx, &at, &c.rec, c.manifest(), validate)
				}
				_ = c.close(s) // the error is the one to report
				if again {
					continue
				}
				if found != nil {
					s.damagedInPlace(o, c.rec.chunks.upload, validate, found)
				}
				return candidate{}, errors.Join(found, err)
			}
			return c, nil
		}
		if c.file != nil && c.damage == nil && c.rec.kind.IsDeleted() {
			_ = c.file.Close() // it has no content
			return candidate{}, s.notFound(o.Key)
		}
		at := o.on(c.mp)
		if c.damage == nil && validate && c.file != nil {
			c.damage, err = s.verifyContent(ctx, &at, &c)
			if err != nil {
				_ = c.file.Close() // the reading's error is the one to report
				if attempt == 0 && ctx.Err() == nil && s.isRemote(o) && s.fetch(ctx, o) == nil {
					continue
				}
				return candidate{}, err
			}
		}
		switch {
		case c.damage != nil:
			if c.file != nil {
				_ = c.file.Close() // of a file that is not served
			}
			if err := s.takeAside(ctx, &at, &c); err != nil {
				return candidate{}, err
			}
			mirrored := o.Props.Mirror.Enabled
			if attempt > o.Props.Mirror.Copies || attempt > 0 && !mirrored {
				return candidate{}, c.damage
			}
			if !s.restore(ctx, o) {
				if !mirrored {
					return candidate{}, c.damage
				}
				damage = c.damage // a copy can be read where it lies, though it cannot be stored here
			}
		case c.file == nil && damage != nil:
			return candidate{}, damage
		case c.file == nil:
			if err := s.restoreLost(ctx, o, attempt); err != nil {
				return candidate{}, err
			}
		default:
			return c, nil
		}
	}
}

// openOnce opens the file of a name under the shared lock. With hold, what is
// found of a chunked object is held and must be closed with candidate.close.
func (s *Store) openOnce(ctx context.Context, o *object, hold bool) (c candidate, err error) {
	if err := s.lock(ctx, o, false); err != nil {
		return c, err
	}
	defer s.unlock(o, false)
	if hold {
		defer func() { s.holdChunks(&c, err) }()
	}
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	c, err = s.openHere(o, buf.Bytes())
	switch {
	case err == nil && c.rank() == 2, !o.Props.Mirror.Enabled || ctx.Err() != nil:
	default:
		return s.openCopy(ctx, o, c, err, buf.Bytes())
	}
	if err != nil {
		return c, err
	}
	if !o.set.Unsettled {
		s.remember(o, &c)
		if len(c.rec.copies) > 0 && c.rank() == 2 {
			c = s.openBalanced(ctx, o, c, buf.Bytes())
		}
		return c, nil
	}
	if c.rank() > 0 && !o.set.MayBeStale(o.mp) {
		return c, nil
	}
	return s.openElsewhere(ctx, o, c, buf.Bytes())
}

// openHere opens the file of a name on its mountpath.
func (s *Store) openHere(o *object, buf []byte) (c candidate, err error) {
	age := o.mp.Begin()
	defer o.mp.End(age)
	c.mp = o.mp
	if o.plain != "" {
		if err := s.openAt(o, o.plain, buf, &c); err != nil {
			return c, err
		}
		if !o.dirs.mayHoldEscaped(o.Bck) {
			return c, nil
		}
	}
	other := candidate{mp: o.mp}
	if err := s.openAt(o, o.escapedPath(), buf, &other); err != nil {
		if c.file != nil {
			_ = c.file.Close() // the other error is the one to report
		}
		return candidate{}, err
	}
	if c.betterThan(&other) {
		c, other = other, c
	}
	if c.file != nil {
		_ = c.file.Close() // nothing was written to it
	}
	return other, nil
}

// betterThan orders what was found at two places: a whole object before a
// damaged one before nothing, then by stamp.
func (c *candidate) betterThan(o *candidate) bool {
	if c.rank() != o.rank() {
		return c.rank() > o.rank()
	}
	return c.rec.stamp.Compare(o.rec.stamp) > 0
}

func (c *candidate) rank() int {
	switch {
	case c.damage != nil:
		return 1
	case c.file != nil:
		return 2
	}
	return 0
}

// openAt opens one place of a name. Nothing there, or something that is not an
// object of this bucket, leaves c empty; damage is reported in c.
func (s *Store) openAt(o *object, path string, buf []byte, c *candidate) error {
	f, err := s.openFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || fsys.IsNameProblem(err) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		return o.mp.IOError("open "+path, err)
	}
	found, err := s.load(o, f, buf, c)
	if err != nil && errors.Is(err, errRecordDamaged) {
		c.path = path
		c.damage = badRecord(o, err)
		found, err = true, nil
	}
	if err != nil || !found {
		*c = candidate{mp: o.mp}
		_ = f.Close() // nothing was written to it
		return err
	}
	c.file, c.path = f, path
	return nil
}

// load reads and checks the record of an open file. The name lock is held.
func (s *Store) load(o *object, f fsys.File, buf []byte, c *candidate) (found bool, err error) {
	// The file is looked at before its attribute is read: if somebody changes
	// the attribute in between, the times do not fit what memory holds then.
	var info fsys.FileInfo
	if info, err = f.Stat(); err != nil {
		return false, o.mp.IOError("stat "+f.Path(), err)
	}
	n, err := f.GetXattr(XattrRecord, buf)
	if err != nil {
		if _, err = presenceOf(err); err != nil && !errors.Is(err, errRecordDamaged) {
			err = o.mp.IOError("read the record of "+f.Path(), err)
		}
		return false, err
	}
	if err := s.decodeRecord(o.mp, o, buf[:n], &c.rec); err != nil {
		if !errors.Is(err, errRecordDamaged) || !s.nextOf(o.mp, o, f.GetXattr, &c.rec) {
			return false, err
		}
	}
	if c.rec.bid != o.Props.BID || c.rec.name != "" && c.rec.name != o.Name {
		return false, nil
	}
	c.info = info
	if c.rec.kind == KindObject && c.info.Size != c.rec.size {
		c.damage = badSize(o, c.rec.size, c.info.Size)
	}
	return true, nil
}

// openFile opens for reading without touching the file's access time.
func (s *Store) openFile(path string) (fsys.File, error) { return s.reopenFile(nil, path, 0) }

// reopenFile is openFile with a closed file that may be used again, or nil, and
// the device on which the file was found before, or 0.
func (s *Store) reopenFile(spare fsys.File, path string, dev uint64) (fsys.File, error) {
	flags := s.openFlags.Load()
	f, err := fsys.Reopen(s.system, spare, path, int(flags), dev)
	if err != nil && flags&unix.O_NOATIME != 0 && errors.Is(err, unix.EPERM) {
		// Files of another user: the kernel keeps their access times.
		s.openFlags.Store(flags &^ unix.O_NOATIME)
		return s.system.Open(path, int(flags&^unix.O_NOATIME), 0)
	}
	return f, err
}

// restore asks the mirror, the slices and the backend for a whole object.
func (s *Store) restore(ctx context.Context, o *object) bool {
	if c := s.options.Ports.Copies; c != nil && c.Restore(ctx, o.Key) == nil {
		return true
	}
	if s.sliced(o) && s.options.Ports.Slices.Restore(ctx, o.Key) == nil {
		return true
	}
	if !s.isRemote(o) {
		return false
	}
	if err := s.fetch(ctx, o); err != nil {
		s.log.Warn("a damaged object cannot be fetched again", "object", o.Cname(), "err", err)
		return false
	}
	return true
}

// isRemote tells that a backend has the object, or may have it.
func (s *Store) isRemote(o *object) bool {
	return s.options.Ports.Remote != nil && o.Props.IsRemote(o.Bck)
}

// fetch stores what the backend has of an object.
func (s *Store) fetch(ctx context.Context, o *object) error {
	body, attrs, err := s.options.Ports.Remote.Fetch(ctx, o.Key)
	if err != nil {
		return err
	}
	w := &write{
		s: s, object: *o, sync: o.Props.SyncWrites(),
		opts: PutOptions{Size: attrs.Size, Checksum: attrs.Checksum, Custom: attrs.Custom, SkipVC: true},
	}
	defer w.discard()
	err = w.receive(ctx, body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	if err == nil {
		_, err = w.commit(ctx)
	}
	if err != nil {
		return w.fail(err)
	}
	return nil
}

// notFound is the 404 of reads: "t[id]: ais://b/o does not exist".
func (s *Store) notFound(key Key) error {
	return apierr.ObjectNotFound(s.nodeName + ": " + key.Cname())
}
