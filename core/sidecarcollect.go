package core

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	fsys "github.com/aistore-go/aistore/fs"
)

// A sidecar has its place before the record that refers to it; and it goes after
// that record. What a crash, or a failure, leaves between the two is collected.

// sidecarsUnderWay is the sidecars, by path, whose records writes are about to
// give their names: nothing refers to them yet.
type sidecarsUnderWay struct {
	mu    sync.Mutex
	paths map[string]struct{}
}

func (u *sidecarsUnderWay) add(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.paths == nil {
		u.paths = make(map[string]struct{})
	}
	u.paths[path] = struct{}{}
}

// done says that there is a record now, or that there will be none.
func (u *sidecarsUnderWay) done(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.paths, path)
}

func (u *sidecarsUnderWay) has(path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, yes := u.paths[path]
	return yes
}

// straySidecars returns the sidecars among what belongs to a name to which no
// record refers and that no write is about to use. certain is false if a record
// cannot be read: it may refer to any. The exclusive name lock must be held, and
// a slot of the mountpath of o.
func (s *Store) straySidecars(o *object, all []Belonging) (strays []Belonging, certain bool) {
	used := map[Stamp]bool{}
	for i := range all {
		switch b := &all[i]; b.Kind {
		case BelongsObject, BelongsCopy, BelongsOlder, BelongsVersion:
			if b.Damage != nil {
				return nil, false
			}
			used[b.written] = true
		case BelongsDamaged:
			return nil, false
		}
	}
	for _, b := range all {
		if b.Kind != BelongsSidecar || used[b.Stamp] || s.sidecars.has(b.Path) {
			continue
		}
		referred := false
		err := s.withSlot(b.Mountpath, o.mp, func() (err error) {
			referred, err = s.refersToSidecar(o.on(b.Mountpath), b.Stamp)
			return err
		})
		if err != nil {
			s.log.Warn("it is not known which sidecars a name has", "object", o.Cname(), "err", err)
			return nil, false
		}
		if !referred {
			strays = append(strays, b)
		}
	}
	return strays, true
}

// refersToSidecar tells whether a file at a place of a name on one mountpath, of
// which a slot must be held, refers to a sidecar. It asks the attributes alone: a
// file that is left of an earlier bucket of the same name belongs to nothing, but
// says so in its sidecar.
func (s *Store) refersToSidecar(at object, stamp Stamp) (bool, error) {
	places := []string{at.escapedPath()}
	if at.plain != "" {
		places = append(places, at.plain)
	}
	versions, err := s.namesIn(at.mp, at.versionsDir(), nil)
	if err != nil {
		return false, err
	}
	for _, name := range versions {
		if _, ok := stampOfInverted(name); ok {
			places = append(places, at.versionsDir()+"/"+name)
		}
	}
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	for _, path := range places {
		frame, found, err := s.frameAt(at.mp, path, buf.Bytes())
		if err != nil {
			return false, err
		}
		if found != withRecord {
			continue
		}
		form, content, err := openFrame(frame)
		if err != nil {
			return false, err
		}
		if form == formInline {
			continue
		}
		ref, err := decodeReference(content)
		if err != nil || ref.stamp == stamp {
			return err == nil, err
		}
	}
	return false, nil
}

// straySidecarsHere is straySidecars of one mountpath, of which a slot must be
// held. A failure to look is told in the log: the collection tries again.
func (s *Store) straySidecarsHere(o *object) []Belonging {
	all, err := s.belongingsHere(o)
	if err != nil {
		s.log.Warn("sidecars of a name may stay until they are collected", "object", o.Cname(), "err", err)
		return nil
	}
	strays, _ := s.straySidecars(o, all)
	return strays
}

// judged is which sidecars of a bucket a collection has looked at: all that did
// not change after a time, on a set of mountpaths.
type judged struct {
	set   *fsys.Set
	until int64 // ns
}

// sidecarSuspect is a sidecar that may be garbage.
type sidecarSuspect struct {
	suspectFile
	stamp Stamp
	name  string // "": it cannot be read
}

// collectSidecars handles the sidecars of the names whose hash begins with two
// digits. One that was found in use is not looked at again before the next start,
// unless it changes: a bucket may have as many as objects.
func (c *collection) collectSidecars(group string) error {
	var all []sidecarSuspect
	for _, mp := range c.set.All() {
		dir := mp.BucketDir(c.bucket.bck, fsys.ContentSidecar) + "/" + group
		err := c.s.withSlot(mp, nil, func() error {
			return c.s.eachIn(mp, dir, func(path string) error {
				x, is, err := c.suspectSidecar(mp, path)
				if is {
					all = append(all, x)
				}
				return err
			})
		})
		if err != nil {
			return mp.IOError("collect sidecars of "+c.bucket.bck.String(), err)
		}
	}
	slices.SortStableFunc(all, func(a, b sidecarSuspect) int { return strings.Compare(a.name, b.name) })
	for len(all) > 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n := 1
		for n < len(all) && all[n].name == all[0].name {
			n++
		}
		decide := c.decideSidecars
		if all[0].name == "" {
			decide = c.decideUnnamedSidecars
		}
		if err := decide(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// suspectSidecar looks at a file. What is too young is none, and what an earlier
// collection has looked at.
func (c *collection) suspectSidecar(mp *fsys.Mountpath, path string) (x sidecarSuspect, is bool, err error) {
	base := filepath.Base(path)
	suffix := filepath.Ext(base)
	if suffix == "" || c.s.sidecars.has(path) {
		return x, false, nil
	}
	stamp, null, err := parseVersionID(suffix[1:])
	if err != nil || null {
		return x, false, nil //nolint:nilerr // not ours
	}
	info, err := c.s.system.Stat(path)
	if err != nil {
		return x, false, ignoreMissing(err)
	}
	last := max(info.Mtime, info.Ctime)
	if info.Kind != fsys.KindFile || last >= c.before || info.Mtime <= c.since || last < c.judged {
		return x, false, nil
	}
	x = sidecarSuspect{suspectFile: suspectFile{mp: mp, path: path, size: info.Size}, stamp: stamp}
	file, err := c.s.readSmall(mp, path, maxRecordBody+sidecarHead+frameSum)
	if err != nil {
		return x, false, ignoreMissing(err)
	}
	x.name = nameInSidecar(file)
	if x.name != "" && mp.HashedPath(c.bucket.bck, fsys.ContentSidecar, x.name, suffix) != path {
		x.name = ""
	}
	return x, true, nil
}

// nameInSidecar is whose a sidecar is, "" if it cannot be read.
func nameInSidecar(file []byte) string {
	body, err := openSidecar(file, sidecarRef{length: uint32(len(file)), sum: xxhash.Sum64(file)})
	var rec record
	if err != nil || rec.decodeBody(body) != nil {
		return ""
	}
	return rec.name
}

// decideSidecars removes those of one name that are garbage.
func (c *collection) decideSidecars(all []sidecarSuspect) error {
	o, err := c.s.resolve(Key{Bck: c.bucket.bck, Props: c.props, Name: all[0].name})
	if err != nil {
		return err
	}
	if err := c.s.lock(c.ctx, &o, true); err != nil {
		return err
	}
	defer c.s.unlock(&o, true)
	if !c.allThere() {
		return nil
	}
	belongings, err := c.s.belongings(&o)
	if err != nil {
		return err
	}
	strays, certain := c.s.straySidecars(&o, belongings)
	if !certain {
		c.undecided = true
	}
	all = slices.DeleteFunc(all, func(x sidecarSuspect) bool {
		return !slices.ContainsFunc(strays, func(b Belonging) bool { return b.Path == x.path })
	})
	if len(all) == 0 {
		return nil
	}
	if !c.dryRun {
		if err := c.settle(&o, belongings); err != nil {
			return err
		}
	}
	return c.removeSidecars(all, o.mp)
}

// settle makes what a name holds, and what it does not hold, durable: after a
// write, or a removal, whose last flush failed, a loss of power could bring back
// the record that a sidecar belongs to.
func (c *collection) settle(o *object, all []Belonging) error {
	for _, mp := range c.set.All() {
		at := o.on(mp)
		places := []string{filepath.Dir(at.escapedPath()), at.versionsDir()}
		if at.plain != "" {
			places = append(places, filepath.Dir(at.plain))
		}
		err := c.s.withSlot(mp, o.mp, func() error {
			f := securing{s: c.s}
			defer f.close()
			for i := range all {
				switch b := &all[i]; b.Kind {
				case BelongsObject, BelongsCopy, BelongsOlder:
					if b.Mountpath != mp {
						continue
					}
					if err := f.add(mp, b.Path, 0); err != nil {
						return err
					}
				}
			}
			request := f.flushes.Of(mp)
			for _, dir := range places {
				if info, err := c.s.system.Stat(dir); err == nil && info.Kind == fsys.KindDir && !slices.Contains(request.Dirs, dir) {
					request.Dirs = append(request.Dirs, dir)
				}
			}
			return f.flush(context.WithoutCancel(c.ctx))
		})
		if err != nil {
			return mp.IOError("collect sidecars of "+o.Cname(), err)
		}
	}
	return nil
}

// decideUnnamedSidecars removes those that cannot be read, as a crash within a
// write leaves them, unless a record of the bucket refers to them.
func (c *collection) decideUnnamedSidecars(all []sidecarSuspect) error {
	if err := c.walk(); err != nil {
		return err
	}
	if !c.certain || !c.allThere() {
		c.undecided = true
		return nil
	}
	all = slices.DeleteFunc(all, func(x sidecarSuspect) bool { return c.live[x.stamp.fileSuffix()] })
	return c.removeSidecars(all, nil)
}

func (c *collection) removeSidecars(all []sidecarSuspect, held *fsys.Mountpath) error {
	for i := range all {
		x := &all[i]
		if err := c.unlink(&x.suspectFile, held); err != nil {
			return err
		}
		if c.dryRun {
			continue
		}
		c.s.log.Info("a sidecar of no object was removed", "bucket", c.bucket.bck.String(), "object", x.name, "path", x.path)
	}
	return nil
}
