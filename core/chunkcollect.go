package core

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// Collected counts what a collection has removed.
type Collected struct {
	Files int
	Bytes int64
}

// CollectGarbage removes what crashes have left in a bucket: sidecars, chunks and
// manifests that no record refers to and that belong to no upload. A file goes if an earlier process has left it, or if it
// was last changed more than age ago; what is in use stays. An upload that was
// begun and neither completed nor aborted is not garbage, however old it is.
//
// While a mountpath that the node knows is out of use or leaves, nothing is
// removed, because the records that refer to them may lie there. Of one
// that is not known any more, because it was detached for example, the same is
// true, and it may come back: what is older than its leave stays for good. It
// works at most half of the time, so that requests come first.
//
// Errors: 404 no such bucket; 500 I/O; 503 a mountpath is busy. What was removed
// before an error is counted.
func (s *Store) CollectGarbage(ctx context.Context, bck wire.Bck, props *meta.Bprops, age time.Duration) (Collected, error) {
	return s.collectGarbage(ctx, bck, props, age, false)
}

// collectGarbage is CollectGarbage; with dryRun it counts what that would remove.
func (s *Store) collectGarbage(ctx context.Context, bck wire.Bck, props *meta.Bprops, age time.Duration, dryRun bool) (Collected, error) {
	b := s.bucket(bck, props)
	if b == nil {
		return Collected{}, apierr.BucketNotFound(bck)
	}
	c := collection{
		s: s, ctx: ctx, bucket: b, props: props, set: s.options.FS.Available(), dryRun: dryRun,
		before: max(s.options.Clock().Add(-age).UnixNano(), s.started), since: s.options.FS.LastLeft(),
	}
	if last := b.judged.Load(); last != nil && last.set == c.set {
		c.judged = last.until
	}
	groups, err := c.groups()
	if err != nil {
		return c.done, err
	}
	for _, group := range groups { // so that memory does not grow with the bucket
		if !c.allThere() {
			return c.done, nil
		}
		began := time.Now()
		if err := c.collectGroup(group); err != nil {
			return c.done, err
		}
		if err := c.collectSidecars(group); err != nil {
			return c.done, err
		}
		if err := delay.For(ctx, time.Since(began)); err != nil {
			return c.done, err
		}
	}
	if !c.undecided && !dryRun && c.allThere() {
		b.judged.Store(&judged{set: c.set, until: c.before})
	}
	return c.done, nil
}

// collection is one call of CollectGarbage.
type collection struct {
	s      *Store
	ctx    context.Context
	bucket *bucket
	props  *meta.Bprops
	set    *fsys.Set // that all of it is about
	before int64     // ns: what was changed later stays
	since  int64     // ns: what was written before stays
	dryRun bool
	done   Collected

	judged    int64 // ns: sidecars that did not change later are in use
	undecided bool  // of a sidecar it could not be told

	walked  bool
	live    map[string]bool // upload ids in records, and stamps of sidecars, once walked
	certain bool            // all records could be read
}

// allThere tells that all mountpaths that the node knows are in use, and the
// same as when the collection began.
func (c *collection) allThere() bool {
	return c.s.AllMountpathsInUse() && c.s.options.FS.Available() == c.set
}

// groups returns the first digits of the hashes of all names that may have
// chunks or sidecars. Most buckets have none.
func (c *collection) groups() ([]string, error) {
	var all []string
	for _, mp := range c.set.All() {
		for _, content := range [...]string{fsys.ContentManifest, fsys.ContentChunk, fsys.ContentSidecar} {
			err := c.s.withSlot(mp, nil, func() error {
				names, err := c.s.namesIn(mp, mp.BucketDir(c.bucket.bck, content), nil)
				all = append(all, names...)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// suspect is everything of one upload id.
type suspect struct {
	id     string
	name   string // of the object, from a manifest; "": there is none that can be read
	upload bool   // it may be continued
	used   bool
	newest int64 // ns, of contents and attributes
	oldest int64 // ns, of contents
	files  []suspectFile
}

type suspectFile struct {
	mp   *fsys.Mountpath
	path string
	size int64
}

// collectGroup handles the names whose hash begins with two digits.
func (c *collection) collectGroup(group string) error {
	found := map[string]*suspect{}
	for _, mp := range c.set.All() {
		for _, content := range [...]string{fsys.ContentManifest, fsys.ContentChunk} {
			dir := mp.BucketDir(c.bucket.bck, content) + "/" + group
			err := c.s.withSlot(mp, nil, func() error { return c.gather(mp, content, dir, found) })
			if err != nil {
				return mp.IOError("collect garbage of "+c.bucket.bck.String(), err)
			}
		}
	}
	for _, x := range found {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if x.newest >= c.before || x.oldest <= c.since || x.used || c.used(x.id) {
			continue
		}
		if err := c.decide(x); err != nil {
			return err
		}
	}
	return nil
}

// used tells that somebody reads or writes what has an upload id.
func (c *collection) used(id string) bool { return c.s.generations.isHeld(id) || c.s.uploads.has(id) }

// gather notes the files of one content type and group on one mountpath. What is
// in use when it is first seen stays, although that may end meanwhile: it may
// have become an object after the records were read.
func (c *collection) gather(mp *fsys.Mountpath, content, dir string, found map[string]*suspect) error {
	return c.s.eachIn(mp, dir, func(hash string) error {
		return c.s.eachIn(mp, hash, func(path string) error {
			id, _, ok := parseChunkName(filepath.Base(path))
			if content == fsys.ContentManifest {
				id, _, ok = parseManifestName(filepath.Base(path))
			}
			if !ok {
				return nil // not ours
			}
			x := found[id]
			if x == nil {
				x = &suspect{id: id, oldest: math.MaxInt64}
				found[id] = x
			}
			x.used = x.used || c.used(id)
			info, err := c.s.system.Stat(path)
			if err != nil {
				return ignoreMissing(err)
			}
			x.files = append(x.files, suspectFile{mp: mp, path: path, size: info.Size})
			x.newest = max(x.newest, info.Mtime, info.Ctime)
			x.oldest = min(x.oldest, info.Mtime)
			if content == fsys.ContentManifest {
				return c.identify(mp, path, x)
			}
			return nil
		})
	})
}

// identify reads whose a manifest is.
func (c *collection) identify(mp *fsys.Mountpath, path string, x *suspect) error {
	file, err := c.s.readSmall(mp, path, maxManifest)
	if err != nil {
		return ignoreMissing(err)
	}
	m, err := decodeManifest(file)
	if err != nil || m.upload != x.id || m.bid != c.bucket.bid {
		return nil //nolint:nilerr // damaged, or of a destroyed bucket: it says nothing
	}
	x.name = m.name
	x.upload = x.upload || m.state == stateUpload
	return nil
}

func ignoreMissing(err error) error {
	if isNotExist(err) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// decide removes a suspect that is garbage.
func (c *collection) decide(x *suspect) error {
	if x.name == "" {
		if err := c.walk(); err != nil {
			return err
		}
		if c.live[x.id] || !c.certain || !c.allThere() {
			return nil
		}
		return c.remove(x, nil)
	}
	o, err := c.s.resolve(Key{Bck: c.bucket.bck, Props: c.props, Name: x.name})
	if err != nil {
		return err
	}
	if err := c.s.lock(c.ctx, &o, true); err != nil {
		return err
	}
	defer c.s.unlock(&o, true)
	if c.used(x.id) || !c.allThere() {
		return nil
	}
	refers, certain, err := c.s.anyRefersTo(&o, x.id)
	switch {
	case err != nil:
		return err
	case refers && x.upload: // finished: a crash kept the mark of the upload
		return c.removeUpload(&o, x)
	case refers, !certain:
		return nil
	case x.upload:
		was, err := c.s.wasObject(&o, x.id, o.mp)
		if was && err == nil { // the rest goes with the next collection: it tells what this is
			err = c.removeUpload(&o, x)
		}
		return err
	}
	return c.remove(x, o.mp)
}

// anyRefersTo tells whether any generation of a name has the chunks of an
// upload id; certain is false if a record cannot be read. The name lock must be
// held.
func (s *Store) anyRefersTo(o *object, id string) (refers, certain bool, err error) {
	now, err := s.current(o)
	if err != nil {
		return false, false, err
	}
	certain = now.damaged == ""
	for i := range now.others {
		certain = certain && now.others[i].damaged == ""
	}
	if now.refersTo(id) {
		return true, certain, nil
	}
	all, err := s.versionsOf(o)
	for i := range all {
		if all[i].rec.chunks.upload == id {
			return true, certain, err
		}
		certain = certain && all[i].Damage == nil
	}
	return false, certain, err
}

func (c *collection) removeUpload(o *object, x *suspect) error {
	for i := range x.files {
		f := &x.files[i]
		if f.path != uploadPath(f.mp, o, x.id) {
			continue
		}
		if err := c.unlink(f, o.mp); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) remove(x *suspect, held *fsys.Mountpath) error {
	for i := range x.files {
		if err := c.unlink(&x.files[i], held); err != nil {
			return err
		}
	}
	if c.dryRun {
		return nil
	}
	c.s.log.Info("chunks of no object were removed", "bucket", c.bucket.bck.String(), "object", x.name, "upload", x.id, "files", len(x.files))
	return nil
}

func (c *collection) unlink(f *suspectFile, held *fsys.Mountpath) error {
	if c.dryRun {
		c.done.Files++
		c.done.Bytes += f.size
		return nil
	}
	return c.s.withSlot(f.mp, held, func() error {
		err := c.s.system.Unlink(f.path)
		if err == nil {
			c.done.Files++
			c.done.Bytes += f.size
		}
		return f.mp.IOError("remove "+f.path, ignoreMissing(err))
	})
}

// walk reads the records of all files of the bucket, for chunks of which no
// manifest says whose they are, and sidecars that cannot be read. It is rare: a crash in the midst of a write, or
// a lost manifest.
func (c *collection) walk() error {
	if c.walked {
		return nil
	}
	c.walked, c.certain, c.live = true, true, map[string]bool{}
	moves := c.s.indexing.moves.Load()
	for _, mp := range c.set.All() {
		err := c.s.withSlot(mp, nil, func() error {
			// Generations go from the one place to the other meanwhile, in
			// both directions.
			if err := c.walkVersions(mp); err != nil {
				return err
			}
			if err := c.walkPlaces(mp); err != nil {
				return err
			}
			return c.walkVersions(mp)
		})
		if err != nil {
			return mp.IOError("collect garbage of "+c.bucket.bck.String(), err)
		}
	}
	c.certain = c.certain && c.s.indexing.moves.Load() == moves
	return nil
}

// walkPlaces reads the current generations on a mountpath.
func (c *collection) walkPlaces(mp *fsys.Mountpath) error {
	opts := fsys.WalkOptions{TrueName: func(path string) (string, bool, error) {
		rec, found, err := c.s.recordAt(mp, c.bucket.bck, path)
		c.note(&rec, found, err)
		return "", false, nil
	}}
	return mp.Walk(c.ctx, c.bucket.bck, opts, func(e fsys.WalkEntry) error {
		var rec record
		o := object{Key: Key{Bck: c.bucket.bck, Name: e.Name}, mp: mp}
		buf := c.s.memory.Get(recordBuffer)
		defer buf.Free()
		frame, is, err := c.s.frameAt(mp, e.Path, buf.Bytes())
		if err == nil && is == withRecord {
			err = c.s.decodeRecord(mp, &o, frame, &rec)
		}
		c.note(&rec, is == withRecord, err)
		return nil
	})
}

// walkVersions reads the noncurrent generations on a mountpath.
func (c *collection) walkVersions(mp *fsys.Mountpath) error {
	return c.s.eachHashed(mp, mp.BucketDir(c.bucket.bck, fsys.ContentVersion), func(dir string) error {
		return c.s.eachIn(mp, dir, func(path string) error {
			if filepath.Base(path) != versionsNameFile {
				rec, found, err := c.s.recordAt(mp, c.bucket.bck, path)
				c.note(&rec, found, err)
			}
			return c.ctx.Err()
		})
	})
}

// note takes note of the upload id and the sidecar of a record. One that cannot be read may
// have any.
func (c *collection) note(rec *record, found bool, err error) {
	switch {
	case err != nil:
		c.certain = false
	case found:
		if rec.chunks.upload != "" {
			c.live[strings.Clone(rec.chunks.upload)] = true
		}
		if rec.sidecar {
			c.live[rec.written().fileSuffix()] = true
		}
	}
}
