package fs

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What cleanup finds and nobody can say that it is not wanted (a bucket that the
// cluster does not know, a file that no release of ours makes) is moved to a part
// of the trash that is emptied later: an operator has a day to take it back.

const (
	// retainedDir is that part of the trash; no bucket has such a name.
	retainedDir = "%retained"
	// retention is how long it keeps what was put there.
	retention = 24 * time.Hour
)

// Retain moves a file or a directory of the mountpath out of the way for a day;
// moved is false if it is gone. Where that needs a block that a full disk does not
// have, it stays where it is (ENOSPC).
func (mp *Mountpath) Retain(path string) (moved bool, err error) {
	if !strings.HasPrefix(path, mp.Path+"/@") {
		return false, pathError("rename", path, unix.EXDEV)
	}
	dir := filepath.Join(mp.Path, TrashDir, retainedDir)
	base := filepath.Base(path)
	if len(base) > 128 {
		base = base[:128] // the name of the whole must fit
	}
	stamp := mp.manager.options.Clock().UnixNano()
	for ; ; stamp++ {
		if err := mp.MakeDurableDirs(context.Background(), dir); err != nil {
			return false, err
		}
		target := dir + "/" + strconv.FormatInt(stamp, 10) + "." + base
		if _, err := mp.system.Stat(target); err == nil {
			continue
		}
		err := mp.system.Rename(path, target)
		switch {
		case err == nil:
			mp.manager.log.Warn("moved to the trash, where it stays for a day", "path", path, "to", target)
			return true, nil
		case errors.Is(err, fs.ErrNotExist):
			if _, statErr := mp.system.Stat(path); statErr != nil {
				return false, ignoreMissing(statErr)
			}
			continue // the trash was emptied and took its directory with it
		}
		return false, err
	}
}

// emptyRetained removes what was retained long enough.
func (mp *Mountpath) emptyRetained(ctx context.Context) (removed bool, err error) {
	dir := filepath.Join(mp.Path, TrashDir, retainedDir)
	entries, err := readSome(mp.system, dir, 100_000)
	if err != nil {
		return false, ignoreMissing(err)
	}
	before := mp.manager.options.Clock().Add(-retention).UnixNano()
	var failed []error
	for _, entry := range entries {
		if stillRetained(entry.name, before) {
			continue
		}
		removed = true
		failed = append(failed, removeTree(ctx, mp.system, dir+"/"+entry.name))
		if ctx.Err() != nil {
			break
		}
	}
	if err := mp.system.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		failed = append(failed, ignoreMissing(err))
	}
	return removed, errors.Join(failed...)
}

// stillRetained tells by its name what was put there at a moment (ns) or later.
func stillRetained(name string, before int64) bool {
	digits, _, _ := strings.Cut(name, ".")
	at, err := strconv.ParseInt(digits, 10, 64)
	return err == nil && at >= before
}

// EmptyTrash removes what lies in the trash of all mountpaths, as far as it has
// been there long enough, and returns when that is done.
func (m *Manager) EmptyTrash(ctx context.Context) error {
	var failed []error
	for _, mp := range m.Available().All() {
		if _, err := mp.emptyTrash(ctx); err != nil {
			failed = append(failed, mp.IOError("empty the trash", err))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// TrashUse is what EmptyTrash would remove now: files, and their bytes.
func (m *Manager) TrashUse(ctx context.Context) (files, bytes int64, err error) {
	var failed []error
	for _, mp := range m.Available().All() {
		trash := filepath.Join(mp.Path, TrashDir)
		bases, err := readSome(mp.system, trash, 100_000)
		if err != nil {
			failed = append(failed, mp.IOError("look at the trash", ignoreMissing(err)))
			continue
		}
		before := mp.manager.options.Clock().Add(-retention).UnixNano()
		var paths []string
		for _, base := range bases {
			if base.name != retainedDir {
				paths = append(paths, trash+"/"+base.name)
				continue
			}
			entries, err := readSome(mp.system, trash+"/"+retainedDir, 100_000)
			failed = append(failed, ignoreMissing(err))
			for _, entry := range entries {
				if !stillRetained(entry.name, before) {
					paths = append(paths, trash+"/"+retainedDir+"/"+entry.name)
				}
			}
		}
		for _, path := range paths {
			n, size, err := treeUse(ctx, mp.system, path)
			files, bytes = files+n, bytes+size
			failed = append(failed, mp.IOError("look at the trash", err))
		}
		if err := ctx.Err(); err != nil {
			return files, bytes, err
		}
	}
	return files, bytes, errors.Join(failed...)
}

// TreeUse counts the files below a path of the mountpath, and their bytes. It is called in a
// slot of the mountpath.
func (mp *Mountpath) TreeUse(ctx context.Context, path string) (files, bytes int64, err error) {
	return treeUse(ctx, mp.system, path)
}

func treeUse(ctx context.Context, system System, path string) (files, bytes int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	info, err := system.Stat(path)
	if err != nil {
		return 0, 0, ignoreMissing(err)
	}
	if info.Kind != KindDir {
		return 1, info.Size, nil
	}
	var below []string
	err = system.ReadDir(path, func(name []byte, _ EntryKind) error {
		below = append(below, string(name))
		return nil
	})
	if err != nil {
		return 0, 0, ignoreMissing(err)
	}
	for _, name := range below {
		n, size, err := treeUse(ctx, system, path+"/"+name)
		files, bytes = files+n, bytes+size
		if err != nil {
			return files, bytes, err
		}
	}
	return files, bytes, nil
}
