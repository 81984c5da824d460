package fs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// WalkOptions bound a walk.
type WalkOptions struct {
	// Prefix: only names that begin with it.
	Prefix string
	// After: only names that are greater, bytewise. Directories that cannot
	// hold one are not read.
	After string
	// Limit is a hint how many names the caller will take, 0 = all. It
	// bounds the memory for large directories, not the number of calls.
	Limit int
	// TrueName returns the object name of a file in the escaped place, from
	// its record; ok false leaves the file out. Nil: escaped names are left
	// out. A file that vanishes (ENOENT) is left out.
	TrueName func(path string) (name string, ok bool, err error)
}

// WalkEntry is one object's file. Whether its record is valid, and belongs to
// the bucket of today, is for the caller to see. A name that is found in both
// places comes twice in a row, the plain one first.
type WalkEntry struct {
	Name    string // the object's name
	Path    string // the file
	Escaped bool   // it lies in the escaped place
}

// ErrStopWalk ends a walk when the callback returns it; Walk returns nil.
var ErrStopWalk = errors.New("stop the walk")

type skipPastError string

func (e skipPastError) Error() string { return "skip names that begin with " + string(e) }

// SkipPast is what a callback returns to go on after all names that begin with
// a prefix, without reading the directories below it: one entry stands for all
// of them in a listing without recursion.
func SkipPast(prefix string) error { return skipPastError(prefix) }

const (
	minWalkBatch = 256
	maxWalkBatch = 64 << 10 // names of one directory in memory
)

// walker visits a tree of plain names in order and merges the escaped ones in.
type walker struct {
	ctx     context.Context
	system  System
	opts    WalkOptions
	fn      func(WalkEntry) error
	skip    string // names that begin with it are not wanted; "" = none
	batch   int
	escaped escapedNames
	calls   int
}

func walkBucket(ctx context.Context, mp *Mountpath, b wire.Bck, opts WalkOptions, fn func(WalkEntry) error) error {
	w := &walker{ctx: ctx, system: mp.system, opts: opts, fn: fn, batch: maxWalkBatch}
	if opts.Limit > 0 {
		w.batch = min(max(opts.Limit+16, minWalkBatch), maxWalkBatch)
	}
	w.escaped = escapedNames{w: w, root: mp.BucketDir(b, ContentEscaped), more: opts.TrueName != nil, last: opts.After}

	// Start in the deepest directory that the prefix names.
	dir, name := mp.BucketDir(b, ContentObject), ""
	reachable := true
	if i := strings.LastIndexByte(opts.Prefix, '/'); i >= 0 {
		name = opts.Prefix[:i+1]
		reachable = IsPlainName(opts.Prefix[:i])
		dir += "/" + opts.Prefix[:i]
	}
	if name != "" && name <= opts.After && !strings.HasPrefix(opts.After, name) {
		reachable = false
	}
	var err error
	if reachable {
		err = w.directory(dir, name)
	}
	if err == nil {
		err = w.emitEscaped("", true)
	}
	if errors.Is(err, ErrStopWalk) {
		return nil
	}
	return err
}

// directory visits the entries of one directory; name is what the object names
// in it begin with, "" or ending in a slash.
func (w *walker) directory(dir, name string) error {
	last := ""
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		keys, more, err := w.read(dir, name, last)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return nil // removed meanwhile, or never made
		}
		if err != nil {
			return err
		}
		for _, key := range keys {
			full := name + key
			if w.skipped(full) {
				continue
			}
			if key[len(key)-1] == '/' {
				err = w.directory(dir+"/"+key[:len(key)-1], full)
			} else {
				err = w.emit(WalkEntry{Name: full, Path: dir + "/" + key})
			}
			if err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		last = keys[len(keys)-1]
	}
}

// read returns the smallest wanted entries of a directory that are greater
// than last, in order; more tells that there may be others. An entry's key is
// its name, with a slash if it is a directory: that is how the names below it
// sort among those beside it ("a-b" comes before "a/b").
func (w *walker) read(dir, name, last string) (keys []string, more bool, err error) {
	filter := w.filterFor(name, last)
	chosen := smallest{limit: w.batch}
	var scratch []byte
	err = w.system.ReadDir(dir, func(entry []byte, kind EntryKind) error {
		if kind == KindUnknown {
			info, err := w.system.Stat(dir + "/" + string(entry))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			kind = info.Kind
		}
		scratch = append(scratch[:0], entry...)
		switch kind {
		case KindDir:
			scratch = append(scratch, '/')
		case KindFile:
		default:
			return nil
		}
		if filter.wants(scratch) {
			chosen.add(scratch)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	keys, more = chosen.sorted()
	return keys, more, nil
}

// dirFilter is the walk's bounds relative to one directory.
type dirFilter struct {
	prefix, after, last, skip string
	hasAfter, hasSkip         bool
}

func (w *walker) filterFor(name, last string) dirFilter {
	f := dirFilter{last: last}
	if len(w.opts.Prefix) > len(name) {
		f.prefix = w.opts.Prefix[len(name):]
	}
	if rest, ok := strings.CutPrefix(w.opts.After, name); ok {
		f.after, f.hasAfter = rest, true
	}
	if w.skip != "" {
		f.skip, f.hasSkip = strings.CutPrefix(w.skip, name)
	}
	return f
}

func (f *dirFilter) wants(key []byte) bool {
	isDir := key[len(key)-1] == '/'
	if f.prefix != "" && !hasPrefix(key, f.prefix) && !(isDir && isPrefixOf(key, f.prefix)) {
		return false
	}
	if f.hasAfter && string(key) <= f.after && !(isDir && isPrefixOf(key, f.after)) {
		return false
	}
	if f.last != "" && string(key) <= f.last {
		return false
	}
	return !f.hasSkip || !hasPrefix(key, f.skip)
}

func hasPrefix(key []byte, prefix string) bool {
	return len(key) >= len(prefix) && string(key[:len(prefix)]) == prefix
}

func isPrefixOf(key []byte, s string) bool {
	return len(s) >= len(key) && s[:len(key)] == string(key)
}

// smallest keeps the limit smallest keys that were added, in bounded memory.
type smallest struct {
	limit   int
	keys    []string // at most 2 * limit
	bound   string   // greatest of the limit smallest so far
	bounded bool
	dropped bool
}

func (s *smallest) add(key []byte) {
	if s.bounded && string(key) > s.bound {
		s.dropped = true
		return
	}
	s.keys = append(s.keys, string(key))
	if len(s.keys) >= 2*s.limit {
		s.cut()
	}
}

func (s *smallest) cut() {
	slices.Sort(s.keys)
	if len(s.keys) <= s.limit {
		return
	}
	clear(s.keys[s.limit:])
	s.keys, s.dropped = s.keys[:s.limit], true
	s.bound, s.bounded = s.keys[s.limit-1], true
}

func (s *smallest) sorted() (keys []string, more bool) {
	s.cut()
	return s.keys, s.dropped
}

func (w *walker) skipped(name string) bool {
	return w.skip != "" && strings.HasPrefix(name, w.skip)
}

// emit hands a plain name over, after the escaped names that come before it.
func (w *walker) emit(entry WalkEntry) error {
	if err := w.emitEscaped(entry.Name, false); err != nil {
		return err
	}
	return w.call(entry)
}

func (w *walker) call(entry WalkEntry) error {
	if w.skipped(entry.Name) {
		return nil
	}
	if w.calls++; w.calls%64 == 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
	}
	err := w.fn(entry)
	if prefix, ok := err.(skipPastError); ok { //nolint:errorlint // the value itself, as documented
		w.skip = string(prefix)
		return nil
	}
	return err
}

// emitEscaped hands over the escaped names before a name, or all.
func (w *walker) emitEscaped(before string, all bool) error {
	for {
		entry, ok, err := w.escaped.peek()
		if err != nil || !ok || !all && entry.Name >= before {
			return err
		}
		w.escaped.position++
		if err := w.call(entry); err != nil {
			return err
		}
	}
}

// escapedNames is an ordered stream of the objects in the escaped place. Their
// files are named by hashes, so each batch reads all of them; they are few.
type escapedNames struct {
	w        *walker
	root     string
	batch    []WalkEntry
	position int
	last     string // names must be greater
	more     bool
}

func (e *escapedNames) peek() (WalkEntry, bool, error) {
	for e.position == len(e.batch) {
		if !e.more {
			return WalkEntry{}, false, nil
		}
		if err := e.fill(); err != nil {
			return WalkEntry{}, false, err
		}
	}
	return e.batch[e.position], true, nil
}

func (e *escapedNames) fill() error {
	w := e.w
	batch, dropped := e.batch[:0], false
	order := func(a, b WalkEntry) int { return strings.Compare(a.Name, b.Name) }
	cut := func() {
		slices.SortFunc(batch, order)
		if len(batch) > w.batch {
			clear(batch[w.batch:])
			batch, dropped = batch[:w.batch], true
		}
	}
	visit := func(path string) error {
		name, ok, err := w.opts.TrueName(path)
		if err != nil {
			return ignoreMissing(err)
		}
		if !ok || name <= e.last || !strings.HasPrefix(name, w.opts.Prefix) || w.skipped(name) {
			return nil
		}
		batch = append(batch, WalkEntry{Name: name, Path: path, Escaped: true})
		if len(batch) >= 2*w.batch {
			cut()
		}
		return nil
	}
	err := w.system.ReadDir(e.root, func(group []byte, _ EntryKind) error {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		dir := e.root + "/" + string(group)
		err := w.system.ReadDir(dir, func(entry []byte, kind EntryKind) error {
			if kind == KindDir || kind == KindOther {
				return nil
			}
			return visit(dir + "/" + string(entry))
		})
		if errors.Is(err, unix.ENOTDIR) {
			return nil
		}
		return ignoreMissing(err)
	})
	if err = ignoreMissing(err); err != nil {
		return err
	}
	cut()
	e.batch, e.position, e.more = batch, 0, dropped
	if len(batch) > 0 {
		e.last = batch[len(batch)-1].Name
	}
	return nil
}
