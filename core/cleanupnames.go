package core

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// leftKind is what is wrong with a file at a place of a name, as far as can be told
// without the name's lock.
type leftKind uint8

const (
	leftNoRecord  leftKind = iota + 1 // nobody committed it
	leftDamaged                       // its record cannot be read
	leftStrange                       // it is of another incarnation of the bucket, or of another name
	leftMisplaced                     // another mountpath is the name's
	leftSurplus                       // a copy more than the bucket is to have
	leftEmpty                         // it has no content
)

// left is a file that may have to go.
type left struct {
	kind leftKind
	name string
	path string
	size int64
}

// names looks at the files of all names on a mountpath: so many at a time, and then,
// without a slot, at those with which something may be wrong.
func (c *cleanup) names(b *bucket, entry meta.BucketEntry, mp *fsys.Mountpath) error {
	after := ""
	for {
		var suspects []left
		var last string
		visited, ended := 0, true
		err := c.onMountpath(mp, func() error {
			opts := fsys.WalkOptions{After: after, TrueName: c.trueName(b, mp)}
			return mp.Walk(c.ctx, b.bck, opts, func(e fsys.WalkEntry) error {
				if visited >= c.opts.Batch && e.Name != last { // both places of a name in one batch
					ended = false
					return fsys.ErrStopWalk
				}
				visited++
				last = e.Name
				kind, size, err := c.judge(b, entry.Props, mp, &e)
				if err != nil {
					return err
				}
				if kind != 0 {
					suspects = append(suspects, left{kind, e.Name, e.Path, size})
				}
				return nil
			})
		})
		c.counts.Visits.Add(int64(visited))
		if err != nil {
			return c.failed(mp.IOError("clean up "+b.bck.String(), err))
		}
		for i := range suspects {
			if err := c.failed(c.settleLeft(entry, mp, &suspects[i])); err != nil {
				return err
			}
		}
		if err := c.opts.Pause(c.ctx); err != nil || ended {
			return err
		}
		after = last
	}
}

// trueName finds the names of files in the escaped place. Those that do not say
// are the verification's concern.
func (c *cleanup) trueName(b *bucket, mp *fsys.Mountpath) func(path string) (string, bool, error) {
	return func(path string) (string, bool, error) {
		rec, found, err := c.s.recordAt(mp, b.bck, path)
		if errors.Is(err, errRecordDamaged) {
			return "", false, nil
		}
		return rec.name, found && rec.name != "", err
	}
}

// judge tells by the record of a file whether anything may be wrong with it. It
// takes no lock: what it says has to be looked at again.
func (c *cleanup) judge(b *bucket, props *meta.Bprops, mp *fsys.Mountpath, e *fsys.WalkEntry) (kind leftKind, size int64, err error) {
	s := c.s
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	frame, found, err := s.frameAt(mp, e.Path, buf.Bytes())
	if err == nil && found == withRecord {
		var rec record
		o := object{Key: Key{Bck: b.bck, Name: e.Name}, bucket: b, set: c.set, mp: mp}
		if err = s.decodeRecord(mp, &o, frame, &rec); err == nil {
			return c.judgeRecord(b, props, mp, e.Name, &rec), rec.size, nil
		}
	}
	switch {
	case errors.Is(err, errRecordDamaged):
		return leftDamaged, 0, nil
	case err != nil:
		return 0, 0, err
	case found == noRecord:
		return leftNoRecord, 0, nil
	}
	return 0, 0, nil // gone meanwhile
}

func (c *cleanup) judgeRecord(b *bucket, props *meta.Bprops, mp *fsys.Mountpath, name string, rec *record) leftKind {
	var uname [512]byte
	switch {
	case rec.bid != b.bid, rec.name != "" && rec.name != name:
		return leftStrange
	case rec.kind == KindECReplica:
		return 0 // it lies where the owner of the object wants it
	case rec.isReplica(mp.ID):
		wanted := 1
		if props.Mirror.Enabled {
			wanted = int(props.Mirror.Copies)
		}
		if len(rec.copies)+1 > wanted && (!c.opts.DryRun || slices.Index(rec.copies, mp.ID)+1 >= wanted) && !c.opts.KeepMisplaced && !props.IsRemote(b.bck) {
			return leftSurplus
		}
		return 0
	case len(c.set.Paths) > 1 && c.set.Owner(hrw.DigestBytes(b.bck.AppendUname(uname[:0], name))) != mp:
		return leftMisplaced
	case c.opts.ZeroSize && rec.kind == KindObject && rec.size == 0:
		return leftEmpty
	}
	return 0
}

// settleLeft looks at a file again, under the lock of its name, and removes it or
// moves it aside if it is to go.
func (c *cleanup) settleLeft(entry meta.BucketEntry, mp *fsys.Mountpath, l *left) error {
	key := Key{Bck: entry.Bck, Props: entry.Props, Name: l.name}
	o, err := c.s.resolve(key)
	if err != nil {
		return err
	}
	at := o.on(mp)
	if fresh, err := c.tooFresh(&at, l.path); fresh || err != nil {
		return err
	}
	switch l.kind {
	case leftNoRecord:
		return c.setAside(&at, l, errors.New("a file without a metadata record: nobody committed it"))
	case leftDamaged:
		report, err := c.s.VerifyObject(c.ctx, key, VerifyOptions{SkipContent: true, Repair: !c.opts.DryRun})
		if n := report.Quarantined + report.Reported; n > 0 {
			c.removed(&c.counts.Invalid, l.path, n, 0)
		}
		return err
	case leftStrange:
		return c.retainStrange(&at, l)
	case leftMisplaced:
		return c.misplaced(&o, &at)
	case leftSurplus:
		if c.opts.DryRun {
			c.removed(&c.counts.SurplusCopies, l.path, 1, l.size)
			return nil
		}
		// It verifies before it removes.
		arranged, err := c.s.Arrange(c.ctx, key)
		if n := int64(arranged.Removed); n > 0 {
			c.removed(&c.counts.SurplusCopies, l.path, n, n*l.size)
		}
		return err
	case leftEmpty:
		return c.empty(&o)
	}
	return nil
}

// tooFresh tells whether a file changed lately, or is gone.
func (c *cleanup) tooFresh(at *object, path string) (fresh bool, err error) {
	err = c.onMountpath(at.mp, func() error {
		info, err := c.s.system.Stat(path)
		switch {
		case isNotExist(err):
			fresh = true
		case err != nil:
			return at.mp.IOError("stat "+path, err)
		case max(info.Mtime, info.Ctime) >= c.before:
			c.counts.TooFresh.Add(1)
			fresh = true
		}
		return nil
	})
	return fresh, err
}

// setAside moves a file without a record to quarantine.
func (c *cleanup) setAside(at *object, l *left, why error) error {
	s := c.s
	if err := s.lockThere(c.ctx, at); err != nil {
		return err
	}
	defer s.unlock(at, true)
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	if _, found, err := s.frameAt(at.mp, l.path, buf.Bytes()); err != nil || found != noRecord {
		return nil //nolint:nilerr // another look will tell
	}
	info, err := s.system.Stat(l.path)
	if err != nil || info.Kind != fsys.KindFile {
		return nil //nolint:nilerr // the same
	}
	if !c.opts.DryRun {
		if _, err := s.quarantine(at, l.path, why); err != nil {
			return err
		}
	}
	c.removed(&c.counts.Invalid, l.path, 1, info.Size)
	return nil
}

// retainStrange moves the file of an earlier bucket of the same name, or one that
// somebody gave another name, to the trash, which keeps it for a day.
func (c *cleanup) retainStrange(at *object, l *left) error {
	if !c.opts.Strangers || c.opts.Confirmed == nil || !c.opts.Confirmed() {
		c.counts.KeepUnknown.Add(1)
		return nil
	}
	s := c.s
	if err := s.lockThere(c.ctx, at); err != nil {
		return err
	}
	defer s.unlock(at, true)
	if err := at.enter(); err != nil {
		return err
	}
	defer at.bucket.gate.RUnlock()
	info, err := s.system.Stat(l.path)
	if err != nil || max(info.Mtime, info.Ctime) >= c.before {
		return nil //nolint:nilerr // another look will tell
	}
	var e existing
	if err := s.lookAt(at, l.path, PlacePlain, &e); err != nil || e.found || e.damaged != "" {
		return err
	}
	moved, err := c.retain(at.mp, l.path)
	if moved {
		c.removed(&c.counts.Invalid, l.path, 1, info.Size)
	}
	return err
}

// misplaced removes what a name holds on a mountpath that is not its place, if
// the place holds something newer, or the same: then that is read first and
// compared with its checksum.
func (c *cleanup) misplaced(o, at *object) error {
	if c.opts.KeepMisplaced || o.mp == at.mp {
		return nil
	}
	s := c.s
	verified, err := c.verifiedAt(o)
	if err != nil {
		return err
	}
	if err := s.lock(c.ctx, o, true); err != nil {
		return err
	}
	defer s.unlock(o, true)
	if o.mp == at.mp || o.set != c.set {
		return nil // the mountpaths have changed
	}
	home, err := s.here(o)
	if err != nil {
		return err
	}
	var there existing
	err = c.onMountpath(at.mp, func() (err error) {
		there, err = s.here(at)
		return err
	})
	if err != nil || !there.found || there.damaged != "" {
		return err
	}
	newer := home.found && home.rec.stamp.Compare(there.rec.stamp) > 0
	same := home.found && home.rec.stamp == there.rec.stamp && home.rec.written() == verified && !home.rec.isReplica(at.mp.ID)
	if !newer && !same || home.damaged != "" {
		c.counts.KeepMisplaced.Add(1)
		return nil
	}
	home.others = []other{{at: *at, existing: there}}
	home.keepChunks(&home.rec)
	counter := &c.counts.MisplacedLocal
	if same && there.rec.isReplica(at.mp.ID) {
		counter = &c.counts.SurplusCopies
	}
	if c.opts.DryRun {
		c.removed(counter, there.path, 1, there.rec.size)
		return nil
	}
	s.indexing.moving.RLock()
	defer s.indexing.moving.RUnlock()
	s.indexing.moves.Add(1)
	if err := s.removeOther(context.WithoutCancel(c.ctx), &home.others[0], o.Props.SyncWrites()); err != nil {
		return err
	}
	c.removed(counter, there.path, 1, there.rec.size)
	return nil
}

// verifiedAt reads what the place of a name holds and returns the stamp of its last
// writing if it is whole, else the zero stamp.
func (c *cleanup) verifiedAt(o *object) (Stamp, error) {
	s := c.s
	if err := s.lock(c.ctx, o, false); err != nil {
		return Stamp{}, err
	}
	buf := s.memory.Get(recordBuffer)
	found, err := s.openHere(o, buf.Bytes())
	s.holdChunks(&found, err)
	buf.Free()
	s.unlock(o, false)
	if err != nil || !found.whole() {
		return Stamp{}, errors.Join(err, found.close(s))
	}
	stamp := found.rec.written()
	switch {
	case found.rec.kind.IsDeleted():
	case found.held:
		found.damage, err = s.openContent(c.ctx, o, &found, true)
	case found.rec.checksum.IsNone():
		err = errNotComparable
	default:
		found.damage, err = s.verifyContent(c.ctx, o, &found)
	}
	damage := found.damage
	closed := found.close(s)
	if errors.Is(err, errNotComparable) || damage != nil {
		return Stamp{}, closed
	}
	return stamp, errors.Join(err, closed)
}

// errNotComparable: an object has no checksum, so that nobody can tell whether it is whole.
var errNotComparable = errors.New("no checksum")

// empty deletes an object without content that was neither written nor read
// lately.
func (c *cleanup) empty(o *object) error {
	s := c.s
	attrs, err := s.Head(c.ctx, o.Key)
	if err != nil {
		return err
	}
	if attrs.Size != 0 || attrs.Chunks > 0 {
		return nil
	}
	if attrs.Mtime >= c.before {
		c.counts.TooFresh.Add(1)
		return nil
	}
	if attrs.Atime >= c.before {
		c.counts.RecentlyAccessed.Add(1)
		return nil
	}
	if c.opts.DryRun {
		c.removed(&c.counts.Empty, o.Cname(), 1, 0)
		return nil
	}
	if o.Props.IsRemote(o.Bck) {
		kept, err := s.Evict(c.ctx, &Evictable{Key: o.Key, Stamp: attrs.Stamp, Atime: attrs.Atime, chosen: s.options.Clock().UnixNano()})
		if err == nil && kept == KeptNot {
			c.removed(&c.counts.Empty, o.Cname(), 1, 0)
		}
		return err
	}
	if peers := s.options.Ports.Peers; peers != nil {
		if _, settled := peers.Placement(o.digest); !settled {
			return nil // an earlier owner may hold an older one, which would come to light
		}
	}
	if err := s.DeleteUnchanged(c.ctx, o.Key, attrs.LastChange()); err != nil {
		if errors.Is(err, ErrNotOwner) {
			return nil
		}
		return fmt.Errorf("delete empty %s: %w", o.Cname(), err)
	}
	c.removed(&c.counts.Empty, o.Cname(), 1, 0)
	return nil
}
