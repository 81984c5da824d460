package core

import (
	"context"
	"errors"

	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core/index"
	fsys "github.com/aistore-go/aistore/fs"
)

// indexedVersions makes a page of a bucket's versions from the listing indexes;
// ok is false if one of them cannot be used.
func (s *Store) indexedVersions(ctx context.Context, b *bucket, opts *VersionListOptions) (page []Version, ok bool, err error) {
	l := listing{s: s, ctx: ctx, bucket: b}
	if err := l.acquire(); err != nil {
		return nil, false, err
	}
	defer l.release(l.all)
	p := versionPage{l: &l, opts: opts, page: make([]Version, 0, min(opts.Limit, 1024))}
	defer p.close()
	if ok, err := p.open(); !ok || err != nil {
		return nil, false, err
	}
	if err := p.fill(); err != nil {
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		return nil, false, nil //nolint:nilerr // the index was given up, which was logged
	}
	return p.page, true, nil
}

// versionPage is the making of one page.
type versionPage struct {
	l       *listing
	opts    *VersionListOptions
	streams []*versionStream
	group   []*versionStream // those that have the name
	page    []Version
	scanned int
}

// versionStream is the generations in the index of one mountpath.
type versionStream struct {
	mp    *fsys.Mountpath
	ix    *index.Index
	it    *index.Iterator
	ok    bool // there is a head
	name  string
	now   bool // the head is a current generation
	value entryValue
}

// open opens all streams as they are at one moment, as far as names move.
func (p *versionPage) open() (ok bool, err error) {
	t := p.l.s.indexing
	if len(p.l.all) > 1 {
		t.moving.Lock()
		defer t.moving.Unlock()
	}
	// A page that goes on within a name looks at its current generation first.
	from := ""
	if p.within() {
		from = p.opts.After
	}
	for _, mp := range p.l.all {
		ix := t.of(mp)
		if ix == nil || !ix.Ready(p.l.bucket.bid) {
			return false, nil
		}
		if err := ix.Sync(p.l.ctx); err != nil {
			return false, p.l.ctx.Err()
		}
		it, err := ix.IterateFrom(p.l.bucket.bid, p.opts.Prefix, from)
		if err != nil {
			return false, nil //nolint:nilerr // it was given up, which was logged
		}
		if p.opts.After != "" && from == "" && p.opts.After >= p.opts.Prefix {
			it.SeekPastName([]byte(p.opts.After))
		}
		p.streams = append(p.streams, &versionStream{mp: mp, ix: ix, it: it})
	}
	return true, nil
}

// within tells that the page before ended with a generation of a name that may
// have more.
func (p *versionPage) within() bool {
	return p.opts.After >= p.opts.Prefix && p.opts.After != "" && !p.opts.AfterStamp.IsZero()
}

func (p *versionPage) close() {
	for _, s := range p.streams {
		if err := s.it.Close(); err != nil {
			s.ix.GiveUp(err)
		}
	}
}

// advance goes to the next generation of a stream.
func (p *versionPage) advance(s *versionStream) error {
	if p.scanned++; p.scanned%1024 == 0 && p.l.ctx.Err() != nil {
		return p.l.ctx.Err()
	}
	e, ok, err := s.it.NextEntry()
	if s.ok = ok; err == nil && ok {
		if s.name != string(e.Name) {
			s.name = string(e.Name)
		}
		s.now = e.Current
		if !s.value.decodeHead(e.Value) || !e.Current && s.value.stamp != stampOfVersion(&e.Version) {
			err = damaged("value of %q", s.name)
		}
	}
	if err != nil {
		s.ix.GiveUp(err)
	}
	return err
}

// fill merges the streams.
func (p *versionPage) fill() error {
	for _, s := range p.streams {
		if err := p.advance(s); err != nil {
			return err
		}
	}
	for len(p.page) < p.opts.Limit {
		name, any := "", false
		for _, s := range p.streams {
			if s.ok && (!any || s.name < name) {
				name, any = s.name, true
			}
		}
		if !any {
			return nil
		}
		if err := p.generations(name); err != nil {
			return err
		}
	}
	return nil
}

// generations adds those of one name, as far as the page has room.
func (p *versionPage) generations(name string) error {
	if err := p.gather(name); err != nil {
		return err
	}
	resumed := p.within() && name == p.opts.After
	var newest entryValue
	var newestOf *versionStream
	for _, s := range p.group {
		if s.now && (newestOf == nil || s.value.stamp.Compare(newest.stamp) > 0) {
			newest, newestOf = s.value, s
		}
	}
	null := false
	if newestOf != nil {
		null = newest.flags&valueVersioned == 0
		if newest.kind != KindTombstone && (!resumed || newest.stamp.Compare(p.opts.AfterStamp) < 0) {
			if err := p.add(newestOf, &newest, true); err != nil {
				return err
			}
		}
	}
	var past index.Version
	if resumed {
		past = p.opts.AfterStamp.indexVersion()
	}
	for _, s := range p.group {
		// The null versions of a name on one mountpath have been sorted out;
		// those of several have to be seen from the newest on.
		if resumed && len(p.group) == 1 && (s.now || s.value.stamp.Compare(p.opts.AfterStamp) >= 0) {
			s.it.SeekPastVersion(name, &past)
		} else if !s.now {
			continue
		}
		if err := p.advance(s); err != nil {
			return err
		}
	}
	var last Stamp
	for len(p.page) < p.opts.Limit {
		var s *versionStream
		for _, other := range p.group {
			if other.ok && other.name == name && (s == nil || other.value.stamp.Compare(s.value.stamp) > 0) {
				s = other
			}
		}
		if s == nil {
			return nil
		}
		v := &s.value
		counts := (newestOf == nil || v.stamp.Compare(newest.stamp) < 0) && v.stamp != last
		if counts && v.flags&(valueVersioned|valueDamaged) == 0 {
			counts, null = !null, true
		}
		last = v.stamp
		if counts && (!resumed || v.stamp.Compare(p.opts.AfterStamp) < 0) {
			if err := p.add(s, v, false); err != nil {
				return err
			}
		}
		if err := p.advance(s); err != nil {
			return err
		}
	}
	return nil
}

// gather collects the streams that have a name where it counts: once the
// mountpaths are settled, on the one to which it belongs.
func (p *versionPage) gather(name string) error {
	p.group = p.group[:0]
	for _, s := range p.streams {
		if s.ok && s.name == name {
			p.group = append(p.group, s)
		}
	}
	l := p.l
	if len(l.all) == 1 || l.set.Unsettled {
		return nil
	}
	l.uname = l.bucket.bck.AppendUname(l.uname[:0], name)
	owner := l.set.Owner(hrw.DigestBytes(l.uname))
	kept := p.group[:0]
	for _, s := range p.group {
		if s.mp == owner {
			kept = append(kept, s)
			continue
		}
		s.it.SeekPastName([]byte(name))
		if err := p.advance(s); err != nil {
			return err
		}
	}
	p.group = kept
	return nil
}

// errNotInIndex: a generation of which the index does not hold enough.
var errNotInIndex = errors.New("value cannot be decoded")

// add appends a generation to the page.
func (p *versionPage) add(s *versionStream, v *entryValue, current bool) error {
	found := Version{Name: s.name, Current: current}
	if v.flags&valueDamaged != 0 {
		found.Attrs.Stamp, found.Damage = v.stamp, damaged("version %s of %q", v.stamp.inverted(), s.name)
		p.page = append(p.page, found)
		return nil
	}
	if !v.details(false) {
		s.ix.GiveUp(errNotInIndex)
		return errNotInIndex
	}
	found.Kind, found.ETag = v.kind, v.etag
	found.Attrs = Attrs{
		Size: v.size, Checksum: v.checksum, Version: v.version, Atime: v.atime, Mtime: v.mtime,
		Versioned: v.flags&valueVersioned != 0, Stamp: v.stamp, BID: p.l.bucket.bid, Place: v.place(), Mountpath: s.mp, Copies: 1 + v.copies,
	}
	p.page = append(p.page, found)
	return nil
}
