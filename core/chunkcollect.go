package core

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// Collected counts what a collection has removed.
type Collected struct {
	Files int
	Bytes int64
}

// CollectChunks removes what crashes have left of chunked objects and of
// uploads in a bucket: chunks and manifests that no record refers to and that
// belong to no upload. What was changed less than age ago stays, and so does
// what is in use. An upload that was begun and neither completed nor aborted is
// not garbage, however old it is.
//
// Errors: 404 no such bucket; 500 I/O; 503 a mountpath is busy. What was removed
// before an error is counted.
func (s *Store) CollectChunks(ctx context.Context, bck wire.Bck, props *meta.Bprops, age time.Duration) (Collected, error) {
	b := s.bucket(bck, props)
	if b == nil {
		return Collected{}, apierr.BucketNotFound(bck)
	}
	c := collection{s: s, ctx: ctx, bucket: b, props: props, before: s.options.Clock().Add(-age).UnixNano()}
	for group := range 256 { // so that memory does not grow with the bucket
		if err := c.collectGroup(fmt.Sprintf("%02x", group)); err != nil {
			return c.done, err
		}
	}
	return c.done, nil
}

// collection is one call of CollectChunks.
type collection struct {
	s      *Store
	ctx    context.Context
	bucket *bucket
	props  *meta.Bprops
	before int64 // ns: what was changed later stays
	done   Collected

	walked  bool
	live    map[string]bool // upload ids in records, once walked
	certain bool            // all records could be read
}

// suspect is everything of one upload id.
type suspect struct {
	id     string
	name   string // of the object, from a manifest; "": there is none that can be read
	upload bool   // it may be continued
	newest int64  // ns
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
	for _, mp := range c.s.options.FS.Available().All() {
		for _, content := range [...]string{fsys.ContentManifest, fsys.ContentChunk} {
			if err := c.gather(mp, content, group, found); err != nil {
				return mp.IOError("collect chunks of "+c.bucket.bck.String(), err)
			}
		}
	}
	for _, x := range found {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if x.newest >= c.before || c.s.generations.isHeld(x.id) || c.s.uploads.has(x.id) {
			continue
		}
		if err := c.decide(x); err != nil {
			return err
		}
	}
	return nil
}

// gather notes the files of one content type on one mountpath.
func (c *collection) gather(mp *fsys.Mountpath, content, group string, found map[string]*suspect) error {
	dir := mp.BucketDir(c.bucket.bck, content) + "/" + group
	return c.s.withSlot(mp, nil, func() error {
		return c.entries(dir, func(hash string) error {
			return c.entries(dir+"/"+hash, func(name string) error {
				path := dir + "/" + hash + "/" + name
				id, _, ok := parseChunkName(name)
				if content == fsys.ContentManifest {
					id, _, ok = parseManifestName(name)
				}
				if !ok {
					return nil // not ours
				}
				info, err := c.s.system.Stat(path)
				if err != nil {
					return ignoreMissing(err)
				}
				x := found[id]
				if x == nil {
					x = &suspect{id: id}
					found[id] = x
				}
				x.files = append(x.files, suspectFile{mp: mp, path: path, size: info.Size})
				x.newest = max(x.newest, info.Mtime, info.Ctime)
				if content == fsys.ContentManifest {
					return c.identify(mp, path, x)
				}
				return nil
			})
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

// entries calls do for the names in a directory.
func (c *collection) entries(dir string, do func(name string) error) error {
	var names []string
	err := c.s.system.ReadDir(dir, func(name []byte, _ fsys.EntryKind) error {
		names = append(names, string(name))
		return nil
	})
	if err != nil {
		return ignoreMissing(err)
	}
	for _, name := range names {
		if err := do(name); err != nil {
			return err
		}
	}
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
		if c.live[x.id] || !c.certain {
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
	if c.s.generations.isHeld(x.id) {
		return nil
	}
	refers, certain, err := c.s.anyRefersTo(&o, x.id)
	switch {
	case err != nil:
		return err
	case refers && x.upload: // finished: a crash kept the mark of the upload
		return c.removeUpload(&o, x)
	case refers, x.upload, !certain:
		return nil
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
	c.s.log.Info("chunks of no object were removed", "bucket", c.bucket.bck.String(), "object", x.name, "upload", x.id, "files", len(x.files))
	return nil
}

func (c *collection) unlink(f *suspectFile, held *fsys.Mountpath) error {
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
// manifest says whose they are. It is rare: a crash in the midst of a write, or
// a lost manifest.
func (c *collection) walk() error {
	if c.walked {
		return nil
	}
	c.walked, c.certain, c.live = true, true, map[string]bool{}
	for _, mp := range c.s.options.FS.Available().All() {
		l := &listing{s: c.s, ctx: c.ctx, bucket: c.bucket, buf: c.s.memory.Get(recordBuffer)}
		err := c.s.withSlot(mp, nil, func() error {
			if err := c.walkPlaces(mp, l); err != nil {
				return err
			}
			return c.walkVersions(mp)
		})
		l.buf.Free()
		if err != nil {
			return mp.IOError("collect chunks of "+c.bucket.bck.String(), err)
		}
	}
	return nil
}

// walkPlaces reads the current generations on a mountpath.
func (c *collection) walkPlaces(mp *fsys.Mountpath, l *listing) error {
	opts := fsys.WalkOptions{TrueName: func(path string) (string, bool, error) {
		name, ok, err := l.trueName(mp, path)
		if err == nil && !ok {
			c.note(mp, &object{Key: Key{Bck: c.bucket.bck}, mp: mp}, path)
		}
		return name, ok, err
	}}
	return mp.Walk(c.ctx, c.bucket.bck, opts, func(e fsys.WalkEntry) error {
		c.note(mp, &object{Key: Key{Bck: c.bucket.bck, Name: e.Name}, mp: mp}, e.Path)
		return nil
	})
}

// walkVersions reads the noncurrent generations on a mountpath.
func (c *collection) walkVersions(mp *fsys.Mountpath) error {
	root := mp.BucketDir(c.bucket.bck, fsys.ContentVersion)
	return c.entries(root, func(group string) error {
		return c.entries(root+"/"+group, func(hash string) error {
			dir := root + "/" + group + "/" + hash
			return c.entries(dir, func(name string) error {
				if name != versionsNameFile {
					c.note(mp, nil, dir+"/"+name)
				}
				return nil
			})
		})
	})
}

// note takes note of the upload id in a file's record. A record that cannot be
// read may have any.
func (c *collection) note(mp *fsys.Mountpath, o *object, path string) {
	buf := c.s.memory.Get(recordBuffer)
	defer buf.Free()
	n, err := c.s.system.GetXattr(path, XattrRecord, buf.Bytes())
	if isNotExist(err) || errors.Is(err, unix.ENODATA) {
		return
	}
	var rec record
	if err == nil {
		if o == nil || o.Name == "" {
			err = c.s.decodeUnnamed(mp, c.bucket.bck, path, buf.Bytes()[:n], &rec)
		} else {
			err = c.s.decodeRecord(mp, o, buf.Bytes()[:n], &rec)
		}
	}
	if err != nil {
		c.certain = false
		return
	}
	if rec.chunks.upload != "" {
		c.live[strings.Clone(rec.chunks.upload)] = true
	}
}

// decodeUnnamed is decodeRecord for a file of which only the path is known,
// which has the hash of the name.
func (s *Store) decodeUnnamed(mp *fsys.Mountpath, bck wire.Bck, path string, frame []byte, rec *record) error {
	form, content, err := openFrame(frame)
	if err != nil {
		return err
	}
	if form == formInline {
		return rec.decodeBody(content)
	}
	ref, err := decodeReference(content)
	if err != nil {
		return err
	}
	beside := path
	if strings.Contains(path, "/"+fsys.ContentVersion+"/") {
		beside = filepath.Dir(path)
	}
	return s.readSidecar(mp, sidecarBeside(mp, bck, beside, ref.stamp), ref, rec)
}
