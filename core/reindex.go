package core

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/index"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

const (
	// mendPage is how many names a walk that mends an index takes at a time.
	mendPage = 16 << 10
	// mendStep is after how many names it looks whether others want the disk.
	mendStep = 256
	// mendBacklog is how many bytes it lets the index have in memory only.
	mendBacklog = 8 << 20
	mendWait    = 20 * time.Millisecond
	// tendAgain is when what failed is tried again.
	tendAgain = 5 * time.Second
)

// Reindex has the listing index of every mountpath compared with the files, in
// the background: for files that were added, changed or removed by hand. Until
// a bucket has been compared it is listed by walking.
func (s *Store) Reindex() {
	for _, m := range *s.indexing.table.Load() {
		s.reindex(m)
	}
}

// ReindexMountpath is Reindex of one mountpath. An index that was given up, or
// could not be opened, is made again at once. Errors: 400 the mountpath is not in
// use; 503 its disk does not take an index, which is tried again within a minute.
func (s *Store) ReindexMountpath(path string) error {
	for _, mp := range s.options.FS.Available().All() {
		if mp.Path != path {
			continue
		}
		switch m := (*s.indexing.table.Load())[mp]; {
		case m == nil:
			return s.indexing.openMissing(mp)
		case m.ix.Err() != nil:
			s.indexing.replace(m)
		default:
			s.reindex(m)
		}
		return nil
	}
	return apierr.New(apierr.StatusBadRequest, wire.CodeInvalidMountpath, "mountpath %q is not in use", path)
}

// openMissing opens the index of a mountpath that has none.
func (t *indexing) openMissing(mp *fsys.Mountpath) error {
	t.refresh(true)
	t.changing.Lock()
	defer t.changing.Unlock()
	if (*t.table.Load())[mp] == nil && !t.closing[mp] {
		return apierr.Unavailable(t.retry, "mountpath %q has no index, and none can be made at the moment: it will be tried again", mp.Path)
	}
	return nil
}

func (s *Store) reindex(m *mountIndex) {
	for _, b := range *s.buckets.Load() {
		m.ix.Doubt(b.bid)
	}
	m.poke()
}

// MountpathIndex tells how a mountpath is listed.
type MountpathIndex struct {
	Mountpath *fsys.Mountpath
	Usable    bool // there is an index; else all buckets are listed by walking
	Buckets   int
	Ready     int // buckets that are listed from the index

	Comparing string // the bucket that is being compared with the files, "" for none
	Compared  int64  // how many of its names have been
}

// Indexes returns how each mountpath in use is listed.
func (s *Store) Indexes() []MountpathIndex {
	table, buckets := *s.indexing.table.Load(), *s.buckets.Load()
	var all []MountpathIndex
	for _, mp := range s.options.FS.Available().All() {
		state := MountpathIndex{Mountpath: mp, Buckets: len(buckets)}
		if m := table[mp]; m != nil && m.ix.Err() == nil {
			state.Usable = true
			for _, b := range buckets {
				if m.ix.Ready(b.bid) {
					state.Ready++
				}
			}
			if b := m.comparing.Load(); b != nil {
				state.Comparing, state.Compared = b.bck.String(), m.compared.Load()
			}
		}
		all = append(all, state)
	}
	return all
}

// IndexState tells how a bucket is listed.
type IndexState struct {
	Mountpath *fsys.Mountpath
	Ready     bool // from the index; else by walking
}

// IndexStates returns how a bucket is listed on each mountpath.
func (s *Store) IndexStates(bid uint64) []IndexState {
	set := s.options.FS.Available()
	states := make([]IndexState, 0, len(set.Paths))
	for _, mp := range set.All() {
		ix := s.indexing.of(mp)
		states = append(states, IndexState{mp, ix != nil && ix.Ready(bid)})
	}
	return states
}

// tend makes an index complete and keeps it so, until it is closed.
func (t *indexing) tend(m *mountIndex) {
	defer close(m.tended)
	verified := make(map[uint64]bool)
	for {
		again := t.tendOnce(m, verified)
		var retry <-chan time.Time
		var timer *time.Timer
		if again {
			timer = time.NewTimer(tendAgain)
			retry = timer.C
		}
		select {
		case <-m.wake:
		case <-retry:
		case <-m.ctx.Done():
		case <-m.ix.Failed():
			t.awaitReplacement(m)
		}
		if timer != nil {
			timer.Stop()
		}
		if m.ctx.Err() != nil {
			return
		}
	}
}

// awaitReplacement has an index that was given up made again after a while.
func (t *indexing) awaitReplacement(m *mountIndex) {
	timer := time.NewTimer(t.retry)
	defer timer.Stop()
	select {
	case <-m.ctx.Done():
	case <-timer.C:
		// Not here: who changes the table of indexes waits for this goroutine.
		t.work.Go(func() { t.replace(m) })
	}
}

// tendOnce does what there is to do for every bucket; again tells that
// something could not be done.
func (t *indexing) tendOnce(m *mountIndex, verified map[uint64]bool) (again bool) {
	for _, b := range *t.s.buckets.Load() {
		if m.ctx.Err() != nil || m.ix.Err() != nil {
			return false
		}
		doubts := m.ix.Doubts(b.bid)
		completed := m.ix.Completed(b.bid)
		err := t.settleUnsure(m, b)
		if err == nil && (!completed || m.verify.Load() && !verified[b.bid]) {
			if err = t.mend(m, b); err == nil && !completed {
				// No frame of the journal names what the walk found.
				if err = m.ix.Checkpoint(m.ctx); err == nil {
					m.ix.Complete(b.bid, doubts)
				}
			}
			verified[b.bid] = verified[b.bid] || err == nil
		}
		if err != nil && m.ctx.Err() == nil && !errors.Is(err, index.ErrFailed) {
			t.s.log.Warn("listing index not complete yet", "bucket", b.bck.String(), "mountpath", m.mp.Path, "err", err)
			again = true
		}
	}
	return again
}

// settleUnsure looks at the names of which the index does not know what they
// hold.
func (t *indexing) settleUnsure(m *mountIndex, b *bucket) error {
	for {
		names := m.ix.Unsure(b.bid, mendPage)
		if len(names) == 0 {
			return nil
		}
		slices.Sort(names)
		x := t.examiner(m, b)
		for _, name := range names {
			if err := x.name(name, nil, true); err != nil {
				return err
			}
		}
	}
}

// mend compares the index of a bucket with the files and writes what differs.
func (t *indexing) mend(m *mountIndex, b *bucket) error {
	began := time.Now()
	m.compared.Store(0)
	m.comparing.Store(b)
	defer m.comparing.Store(nil)
	x := t.examiner(m, b)
	after, seen := "", 0
	for more := true; more; {
		names, err := t.walkNames(m, b, after)
		if err != nil {
			return err
		}
		more = len(names) >= mendPage
		until := ""
		if more {
			until = names[len(names)-1]
		}
		if err := x.compare(names, after, until); err != nil {
			return err
		}
		seen += len(names)
		m.compared.Store(int64(seen))
		after = until
	}
	versioned, changed, err := t.mendVersions(m, b)
	if err != nil {
		return err
	}
	if x.changed += changed; seen > 0 || x.changed > 0 {
		t.s.log.Info("listing index compared with the files", "bucket", b.bck.String(), "mountpath", m.mp.Path,
			"names", seen, "names_with_versions", versioned, "changed", x.changed, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// walkNames returns the names that have files, in order, once each.
func (t *indexing) walkNames(m *mountIndex, b *bucket, after string) ([]string, error) {
	if err := t.s.acquire(m.ctx, m.mp); err != nil {
		return nil, err
	}
	defer m.mp.Release()
	l := &listing{s: t.s, ctx: m.ctx, bucket: b}
	l.buf = t.s.memory.Get(recordBuffer)
	defer l.buf.Free()
	var names []string
	err := m.mp.Walk(m.ctx, b.bck, fsys.WalkOptions{
		After: after, Limit: mendPage,
		TrueName: func(path string) (string, bool, error) { return l.trueName(m.mp, path) },
	}, func(found fsys.WalkEntry) error {
		if n := len(names); n > 0 && names[n-1] == found.Name {
			return nil
		}
		if len(names) == mendPage {
			return fsys.ErrStopWalk
		}
		names = append(names, found.Name)
		return nil
	})
	return names, err
}

// examiner looks at names of one bucket on one mountpath, one after the other.
type examiner struct {
	t       *indexing
	m       *mountIndex
	bucket  *bucket
	props   meta.Bprops
	uname   []byte
	count   int
	since   time.Time
	changed int
}

func (t *indexing) examiner(m *mountIndex, b *bucket) *examiner {
	return &examiner{t: t, m: m, bucket: b, props: meta.Bprops{BID: b.bid}, since: time.Now()}
}

// compare looks at all names that have a file or an entry, beyond one name and
// up to another ("": to the end).
func (x *examiner) compare(names []string, after, until string) (err error) {
	if err := x.m.ix.Sync(x.m.ctx); err != nil {
		return err
	}
	it, err := x.m.ix.Iterate(x.bucket.bid, "", after)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	name, value, ok, err := it.Next()
	for err == nil {
		switch entry := ok && (until == "" || string(name) <= until); {
		case len(names) > 0 && (!entry || names[0] < string(name)):
			err = x.name(names[0], nil, false)
			names = names[1:]
		case !entry:
			return nil
		default:
			if len(names) > 0 && names[0] == string(name) {
				names = names[1:]
			}
			if err = x.name(string(name), value, false); err == nil {
				name, value, ok, err = it.Next()
			}
		}
	}
	return err
}

// name looks at one name under its lock, so that no change of it is under way,
// and publishes what it holds if that is not what is known. With publish it
// does so in any case, and for all versions of the name.
func (x *examiner) name(name string, known []byte, publish bool) error {
	return x.locked(name, func(o *object) error {
		s := x.t.s
		if publish {
			if _, err := s.examineVersions(x.m.ctx, x.m.ix, o, false); err != nil {
				return err
			}
		}
		value, owed, err := s.examine(o)
		if err != nil {
			return err
		}
		switch {
		case publish:
			owed.note(x.m.ix, o)
			x.m.ix.Settle(x.bucket.bid, name, value)
		case !bytes.Equal(value, known):
			owed.note(x.m.ix, o)
			x.m.ix.Set(x.bucket.bid, name, value)
		default:
			return nil
		}
		x.changed++
		return nil
	})
}

// locked looks at a name on the mountpath under its lock and with a slot.
func (x *examiner) locked(name string, look func(o *object) error) error {
	if err := x.yield(); err != nil {
		return err
	}
	s := x.t.s
	x.uname = x.bucket.bck.AppendUname(x.uname[:0], name)
	o := object{
		Key: Key{Bck: x.bucket.bck, Props: &x.props, Name: name}, bucket: x.bucket,
		set: s.options.FS.Available(), digest: hrw.DigestBytes(x.uname),
	}
	o.move(x.m.mp)
	if err := s.locks.lock(x.m.ctx, o.digest, false); err != nil {
		return err
	}
	defer s.locks.unlock(o.digest, false)
	if err := s.acquire(x.m.ctx, x.m.mp); err != nil {
		return err
	}
	defer x.m.mp.Release()
	return look(&o)
}

// yield lets others have the disk half of the time, if there are any, and lets
// the index write what it was given.
func (x *examiner) yield() error {
	if x.count++; x.count%mendStep != 0 {
		return x.m.ctx.Err()
	}
	if x.m.mp.InFlight() > 0 {
		if err := delay.For(x.m.ctx, time.Since(x.since)); err != nil {
			return err
		}
	}
	for x.m.ix.Backlog() > mendBacklog {
		if err := x.m.ix.Err(); err != nil {
			return err
		}
		if err := delay.For(x.m.ctx, mendWait); err != nil {
			return err
		}
	}
	x.since = time.Now()
	return nil
}
