package core

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// List returns one page of the objects that this target holds, sorted bytewise
// by name. Fewer entries than the limit mean that there are no more. What Open
// finds is listed and nothing else, a name that is there throughout exactly
// once, and everything that was acknowledged before the call. A page is whole
// or an error, never short because a disk failed.
//
// With NoRecursion a prefix "dir" lists what "dir/" lists, and beside it the
// names at its own level that begin with "dir". A directory's entry has a name with a trailing slash, the flags
// wire.EntryIsDir, and nothing else. (Whether "dir/" exists anywhere else in
// the cluster is for the caller to know.)
//
// Errors: 400 a prefix that is too long; 404 no such bucket; 500 I/O; 503 a mountpath is busy.
func (s *Store) List(ctx context.Context, bck wire.Bck, props *meta.Bprops, opts ListOptions) ([]Entry, error) {
	b, err := s.listed(bck, props, opts.Prefix)
	if err != nil {
		return nil, err
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
	defer func() {
		if l.held {
			s.indexing.moving.Unlock()
		}
	}()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, err := l.tryPage()
		if err != nil || l.err != nil {
			if err == nil {
				err = l.err
			}
			return nil, err
		}
		if !l.again {
			return page, nil
		}
	}
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
	again  bool  // the page has to be made once more
	held   bool  // no name moves between mountpaths meanwhile
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
	stamp   Stamp
	hidden  bool // a tombstone that is not asked for: it hides older objects of its name
	replica bool // with ListOptions.Missing
}

// tryPage opens a stream of each mountpath and merges them. If a name was
// taken from one mountpath after it was given to another while files were
// walked, the page may lack it: then it is made again, and the second time
// names stay where they are.
func (l *listing) tryPage() ([]Entry, error) {
	l.again = false
	moves := l.s.indexing.moves.Load()
	streams, walks, err := l.open()
	defer func() {
		for _, s := range streams {
			s.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	page := l.page(streams)
	if walks > 0 && len(streams) > 1 && !l.held && l.err == nil && !l.again && l.s.indexing.moves.Load() != moves {
		l.s.indexing.moving.Lock()
		l.held, l.again = true, true
	}
	return page, nil
}

// page merges streams.
func (l *listing) page(streams []stream) []Entry {
	p := pageMaker{l: l, page: make([]Entry, 0, min(l.opts.Limit+1, 1024))}
	if len(streams) == 1 {
		s := streams[0]
		for !p.full() {
			item, ok := s.next()
			if !ok {
				break
			}
			p.add(&item)
		}
		return p.finish()
	}
	type head struct {
		item listed
		s    stream
	}
	heads := make([]*head, 0, len(streams))
	for _, s := range streams {
		if item, ok := s.next(); ok {
			heads = append(heads, &head{item, s})
		}
	}
	for len(heads) > 0 && l.err == nil && !l.again {
		least := 0
		for i := 1; i < len(heads); i++ {
			if heads[i].item.Name < heads[least].item.Name {
				least = i
			}
		}
		h := heads[least]
		if p.add(&h.item); p.full() {
			break
		}
		var more bool
		if h.item, more = h.s.next(); !more {
			heads = append(heads[:least], heads[least+1:]...)
		}
	}
	return p.finish()
}

// pageMaker collects the entries of a page. Of several of one name the greatest
// stamp counts; that is why a page is filled one entry beyond its limit. With
// ListOptions.Missing all of them are listed, and a page ends with a name, even
// if that is beyond the limit.
type pageMaker struct {
	l     *listing
	page  []Entry
	last  listed
	group []listed // of one name, with Missing
}

func (p *pageMaker) full() bool {
	if p.l.opts.Missing {
		return len(p.page) >= p.l.opts.Limit
	}
	return len(p.page) > p.l.opts.Limit
}

func (p *pageMaker) add(item *listed) {
	if p.l.opts.Missing {
		if len(p.group) > 0 && p.group[0].Name != item.Name {
			p.endGroup()
		}
		p.group = append(p.group, *item)
		return
	}
	if p.last.Name != "" && p.last.Name == item.Name {
		if item.stamp.Compare(p.last.stamp) <= 0 {
			return
		}
		if !p.last.hidden {
			p.page = p.page[:len(p.page)-1]
		}
	}
	p.last = *item
	if !item.hidden {
		p.page = append(p.page, item.Entry)
	}
}

// endGroup lists all files of one name, in the order of their status. A virtual
// directory is one entry, on however many mountpaths there is something in it.
func (p *pageMaker) endGroup() {
	newest, main := &p.group[0], false
	if newest.Flags&wire.EntryIsDir != 0 {
		p.group = p.group[:1]
	}
	for i := range p.group {
		item := &p.group[i]
		if item.stamp.Compare(newest.stamp) > 0 {
			newest = item
		}
		main = main || !item.replica && !item.hidden
	}
	start := len(p.page)
	for i := range p.group {
		item := &p.group[i]
		switch {
		case item.hidden || newest.hidden:
			continue
		case item.replica && main:
			item.Flags |= wire.EntryReplica
		case item.replica:
			item.Flags |= wire.EntryOrphanReplica
		}
		p.page = append(p.page, item.Entry)
	}
	slices.SortStableFunc(p.page[start:], func(a, b Entry) int {
		return int(a.Flags&wire.EntryStatusMask) - int(b.Flags&wire.EntryStatusMask)
	})
	p.group = p.group[:0]
}

func (p *pageMaker) finish() []Entry {
	if !p.l.opts.Missing {
		return p.page[:min(len(p.page), p.l.opts.Limit)]
	}
	if len(p.group) > 0 && !p.full() {
		p.endGroup()
	}
	return p.page
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
func (l *listing) directoryOf(name string) string { return DirectoryOf(l.opts.Prefix, name) }

// belongs tells whether a name may be listed where it lies, and sets the status
// of an entry that is listed though it lies elsewhere than it belongs.
func (l *listing) belongs(mp *fsys.Mountpath, digest uint64, item *listed) bool {
	if owns := l.opts.Owns; owns != nil && !owns(digest) {
		item.Flags |= wire.EntryMisplacedNode
		return l.opts.Missing
	}
	if len(l.all) == 1 || l.set.Owner(digest) == mp {
		return true
	}
	if l.opts.Missing {
		if !item.replica {
			item.Flags |= wire.EntryMisplacedMountpath
		}
		return true
	}
	return l.set.Unsettled // else on another mountpath than Open looks at
}
