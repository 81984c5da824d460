package fs

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// Leftover is a file or a directory that nothing refers to.
type Leftover struct {
	Path string
	Size int64 // bytes, of a file
}

// OldWork finds work files of a bucket that no process uses: those of an
// earlier one, whatever their age. What has not the form of a work file is one if it
// did not change since a moment (ns), and only with unknown. It is called in a slot of
// the mountpath. Each that found agrees to is removed.
func (mp *Mountpath) OldWork(ctx context.Context, b wire.Bck, before int64, unknown bool, found func(Leftover) (remove bool)) error {
	dir := mp.BucketDir(b, ContentWork)
	entries, err := readSome(mp.system, dir, 1<<20)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		run, ok := workRunOf(entry.name)
		if ok && run == mp.workRun || !ok && !unknown {
			continue
		}
		path := dir + "/" + entry.name
		info, err := mp.system.Stat(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return err
		}
		if !ok && max(info.Mtime, info.Ctime) >= before {
			continue
		}
		if !found(Leftover{Path: path, Size: info.Size}) {
			continue
		}
		if err := removeTree(ctx, mp.system, path); err != nil {
			return err
		}
	}
	return nil
}

// workRunOf is the run of the process that made a work file; see NewWork.
func workRunOf(name string) (run string, ok bool) {
	parts := strings.Split(name, ".")
	n := len(parts)
	if n < 4 || len(parts[n-3]) != 8 || !isHex(parts[n-3]) || !isHex(parts[n-2]) || !isHex(parts[n-1]) {
		return "", false
	}
	return parts[n-3], true
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// UnknownEntries are what a bucket's directory holds beside its content types and
// what did not change since a moment (ns).
func (mp *Mountpath) UnknownEntries(b wire.Bck, before int64) (found []Leftover, err error) {
	dir := mp.BucketDir(b, "")
	entries, err := readSome(mp.system, dir, 100_000)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.name, "%") { // a content type, of this release or another one
			continue
		}
		path := dir + "/" + entry.name
		info, err := mp.system.Stat(path)
		if err == nil && max(info.Mtime, info.Ctime) < before {
			found = append(found, Leftover{Path: path, Size: info.Size})
		}
	}
	return found, nil
}

// UnknownBucket is the directory of a bucket that is not among the known ones.
type UnknownBucket struct {
	Path  string
	Holds bool // objects, versions, chunks or manifests
}

// UnknownBuckets are the directories of buckets on the mountpath, other than those
// of the known ones, which did not change since a moment (ns).
func (mp *Mountpath) UnknownBuckets(known []wire.Bck, before int64) (found []UnknownBucket, err error) {
	dirs, err := bucketDirs(mp.system, mp.Path)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]struct{}, len(known))
	for _, b := range known {
		wanted[mp.BucketDir(b, "")] = struct{}{}
	}
	for _, dir := range dirs {
		if _, ok := wanted[dir]; ok {
			continue
		}
		info, err := mp.system.Stat(dir)
		if err != nil || max(info.Mtime, info.Ctime) >= before {
			continue
		}
		holds, err := holdsIn(mp.system, dir)
		if err != nil {
			return found, err
		}
		found = append(found, UnknownBucket{Path: dir, Holds: holds})
	}
	return found, nil
}

// RemoveEmptyDirs removes the directories of a bucket's content that hold nothing
// and did not change since a moment (ns), but for those that CreateBucket makes.
// guard runs each removal of a directory, and of those above it that are empty then,
// so that nobody makes a name there meanwhile; nil: nothing is removed, only counted. It is
// called in a slot of the mountpath and returns how many it has removed.
func (mp *Mountpath) RemoveEmptyDirs(ctx context.Context, b wire.Bck, before int64, guard func(remove func())) (removed int64, err error) {
	for _, content := range contentTypes {
		root := mp.BucketDir(b, content)
		e := emptyDirs{ctx: ctx, mp: mp, root: root, before: before, guard: guard, own: make(map[string]int64)}
		if content == ContentWork {
			continue
		}
		if _, err := e.visit(root, emptyDirDepth); err != nil {
			return removed + e.removed, err
		}
		removed += e.removed
	}
	return removed, nil
}

// emptyDirDepth bounds the depth of directories that are looked at: a plain name
// has no more components.
const emptyDirDepth = MaxPlainName

type emptyDirs struct {
	ctx     context.Context
	mp      *Mountpath
	root    string
	before  int64
	guard   func(func())
	removed int64
	own     map[string]int64 // when a removal of ours changed a directory last, ns
}

// visit tells whether a directory holds nothing (any more), or would if what is counted
// were removed.
func (e *emptyDirs) visit(dir string, depth int) (empty bool, err error) {
	if err := e.ctx.Err(); err != nil {
		return false, err
	}
	var below []string
	empty, entries := true, 0
	err = e.mp.system.ReadDir(dir, func(name []byte, kind EntryKind) error {
		empty = false
		entries++
		if kind == KindDir || kind == KindUnknown {
			below = append(below, string(name))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if empty && dir != e.root && e.guard != nil {
		e.remove(dir)
		return true, nil
	}
	if depth == 0 {
		return false, nil
	}
	goes := len(below) == entries
	for _, name := range below {
		gone, err := e.visit(dir+"/"+name, depth-1)
		if err != nil {
			return false, err
		}
		goes = goes && gone
	}
	if !goes || dir == e.root || e.guard != nil {
		return false, nil
	}
	info, err := e.mp.system.Stat(dir)
	if err != nil || info.Kind != KindDir || max(info.Mtime, info.Ctime) >= e.before {
		return false, ignoreMissing(err)
	}
	e.removed++
	return true, nil
}

// remove removes a directory, and those above it that are empty then and had not
// changed before that. Failures (it is not empty any more) leave it.
func (e *emptyDirs) remove(dir string) {
	e.guard(func() {
		var chain []string
		for at := dir; at != e.root && strings.HasPrefix(at, e.root+"/"); at = filepath.Dir(at) {
			info, err := e.mp.system.Stat(at)
			if err != nil || info.Kind != KindDir {
				break
			}
			if last := max(info.Mtime, info.Ctime); last >= e.before && last != e.own[at] {
				break
			}
			chain = append(chain, at)
		}
		for _, at := range chain {
			if e.mp.system.Rmdir(at) != nil {
				break
			}
			e.removed++
			parent := filepath.Dir(at)
			if info, err := e.mp.system.Stat(parent); err == nil {
				e.own[parent] = max(info.Mtime, info.Ctime)
			}
		}
	})
}
