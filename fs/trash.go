package fs

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
	"golang.org/x/sys/unix"
)

// TrashBucket takes a bucket's directory away in one step: it is renamed into
// the trash, which is emptied in the background. Where that needs a block that
// a full disk does not have, the directory is removed in place. The removal is
// durable when it returns. A bucket that is not there is no error.
func (mp *Mountpath) TrashBucket(b wire.Bck) error {
	dir := mp.BucketDir(b, "")
	if _, err := mp.system.Stat(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return mp.IOError("destroy bucket "+b.String(), err)
	}
	operation := "destroy bucket " + b.String()
	base := filepath.Join(mp.Path, TrashDir, component(b.Name))
	dirs := []string{filepath.Dir(dir), base}
	err := mp.moveToTrash(dir, base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		mp.manager.log.Warn("cannot move to trash, removing in place", "path", dir, "err", err)
		dirs = dirs[:1]
		err = removeTree(context.Background(), mp.system, dir)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody else took it away
		}
		return mp.IOError(operation, err)
	}
	err = mp.filesystem.Flush(context.Background(), FlushRequest{Dirs: dirs})
	mp.manager.kickTrash()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the trash was emptied and its directory removed already
	}
	return mp.IOError(operation, err)
}

// moveToTrash renames a directory or file to "<base>/<nanoseconds>". ENOENT:
// it is not there.
func (mp *Mountpath) moveToTrash(path, base string) error {
	const attempts = 100
	stamp := mp.manager.options.Clock().UnixNano()
	var err error
	for range attempts {
		if err = mp.MakeDirs(base); err != nil {
			return err
		}
		target := base + "/" + strconv.FormatInt(stamp, 10)
		stamp++
		if _, err = mp.system.Stat(target); err == nil {
			err = unix.EEXIST
			continue
		}
		err = mp.system.Rename(path, target)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			// Either the source is gone, or the trash was just emptied
			// and took its directory with it.
			if _, statErr := mp.system.Stat(path); statErr != nil {
				return statErr
			}
		case errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOTEMPTY):
		default:
			return err
		}
	}
	return err
}

// removeTree removes a file or a directory and everything below it, with
// bounded memory. What vanishes meanwhile is no error.
func removeTree(ctx context.Context, system System, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := system.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Kind != KindDir:
		return ignoreMissing(system.Unlink(path))
	}
	for {
		entries, err := readSome(system, path, 1000)
		if err != nil {
			return ignoreMissing(err)
		}
		if len(entries) == 0 {
			return ignoreMissing(system.Rmdir(path))
		}
		for _, entry := range entries {
			child := path + "/" + entry.name
			if entry.kind == KindFile {
				if err = ctx.Err(); err == nil {
					err = ignoreMissing(system.Unlink(child))
				}
			} else {
				err = removeTree(ctx, system, child)
			}
			if err != nil {
				return err
			}
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

type dirEntry struct {
	name string
	kind EntryKind
}

var errEnough = errors.New("enough entries")

// readSome reads at most limit entries of a directory.
func readSome(system System, path string, limit int) ([]dirEntry, error) {
	var entries []dirEntry
	err := system.ReadDir(path, func(name []byte, kind EntryKind) error {
		entries = append(entries, dirEntry{string(name), kind})
		if len(entries) >= limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return entries, err
}

// kickTrash asks for the trash to be emptied.
func (m *Manager) kickTrash() {
	select {
	case m.trash <- struct{}{}:
	default: // asked already
	}
}

// emptyTrash runs until the context ends. A disk that fails is reported and
// tried again at the next kick.
func (m *Manager) emptyTrash(ctx context.Context) {
	defer m.ending.Done()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.trash:
		}
		removed := false
		for _, mp := range m.Available().All() {
			some, err := mp.emptyTrash(ctx)
			removed = removed || some
			if err != nil && ctx.Err() == nil {
				m.log.Warn("trash is not empty", "mountpath", mp.Path, "err", err)
			}
		}
		if removed && ctx.Err() == nil {
			m.RefreshCapacity()
		}
	}
}

func (mp *Mountpath) emptyTrash(ctx context.Context) (removed bool, err error) {
	trash := filepath.Join(mp.Path, TrashDir)
	bases, err := readSome(mp.system, trash, 100_000)
	if err != nil {
		return false, ignoreMissing(err)
	}
	var failed []error
	for _, base := range bases {
		if base.name == retainedDir {
			some, err := mp.emptyRetained(ctx)
			removed = removed || some
			failed = append(failed, err)
			continue
		}
		removed = true
		if err := removeTree(ctx, mp.system, trash+"/"+base.name); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return removed, errors.Join(failed...)
}

// sweep is the work of a start, with the locks held: old work files go, and
// each filesystem is flushed once, since directories that a former process made
// may not be durable yet although files below them are about to be.
func (m *Manager) sweep() error {
	for _, mp := range m.Available().All() {
		count, err := mp.removeWorkFiles()
		if err != nil {
			m.log.Warn("old work files not all removed", "mountpath", mp.Path, "err", err)
			m.raise(Event{Kind: EventIOError, Mountpath: mp.Path, Err: err, Message: "remove old work files"})
		}
		if count > 0 {
			m.log.Info("removed old work files", "mountpath", mp.Path, "count", count)
		}
		mp.removeCheckFiles() // of a check that was cut short
	}
	for _, fsys := range m.Filesystems() {
		if err := m.options.System.Syncfs(fsys.syncfs); err != nil {
			m.log.Error("flush of the filesystem failed", "mountpath", fsys.root, "err", err)
			m.raise(Event{Kind: EventFlushFailed, Mountpath: fsys.root, Err: err, Message: "flush at the start"})
		}
	}
	return nil
}

// removeWorkFiles unlinks everything in every bucket's work directory.
func (mp *Mountpath) removeWorkFiles() (count int, err error) {
	dirs, err := bucketDirs(mp.system, mp.Path)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, dir := range dirs {
		work := dir + "/" + ContentWork
		for {
			entries, err := readSome(mp.system, work, 1000)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
					failed = append(failed, err)
				}
				break
			}
			before := count
			for _, entry := range entries {
				if err := removeTree(context.Background(), mp.system, work+"/"+entry.name); err != nil {
					failed = append(failed, err)
					continue
				}
				count++
			}
			if len(entries) == 0 || count == before {
				break
			}
		}
	}
	return count, errors.Join(failed...)
}

// bucketDirs finds the directories of all buckets on the mountpath, whether or
// not the cluster knows them.
func bucketDirs(system System, root string) ([]string, error) {
	const limit = 1 << 20 // entries of one directory; buckets are far fewer
	var buckets []string
	providers, err := readSome(system, root, limit)
	if err != nil {
		return nil, err
	}
	for _, provider := range providers {
		if !strings.HasPrefix(provider.name, "@") || provider.kind == KindFile || provider.kind == KindOther {
			continue
		}
		inProvider := root + "/" + provider.name
		entries, err := readSome(system, inProvider, limit)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			dir := inProvider + "/" + entry.name
			if entry.name[0] != '#' && entry.name[0] != '@' {
				buckets = append(buckets, dir)
				continue
			}
			inNamespace, err := readSome(system, dir, limit)
			if err != nil && !errors.Is(err, unix.ENOTDIR) {
				return nil, err
			}
			for _, bucket := range inNamespace {
				buckets = append(buckets, dir+"/"+bucket.name)
			}
		}
	}
	return buckets, nil
}
