package core

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	fsys "github.com/aistore-go/aistore/fs"
)

// readSmall reads a file of at most limit bytes from its beginning. One that is
// longer comes back one byte longer than that, for the caller to refuse. A file
// that is not there is ENOENT; other errors are those of Mountpath.IOError.
func (s *Store) readSmall(mp *fsys.Mountpath, path string, limit int) ([]byte, error) {
	data, err := fsys.ReadSmallFile(s.system, path, limit)
	return data, mp.IOError("read "+path, err)
}

// namesIn returns the names in a directory, sorted; with want only those of
// which it says so. A directory that is not there is empty.
func (s *Store) namesIn(mp *fsys.Mountpath, dir string, want func(name []byte, kind fsys.EntryKind) bool) (names []string, err error) {
	err = s.system.ReadDir(dir, func(name []byte, kind fsys.EntryKind) error {
		if want == nil || want(name, kind) {
			names = append(names, string(name))
		}
		return nil
	})
	switch {
	case err == nil:
	case isNotExist(err), errors.Is(err, unix.ENOTDIR):
		return nil, nil
	default:
		return nil, mp.IOError("read "+dir, err)
	}
	slices.Sort(names)
	return names, nil
}

// eachHashed calls visit for every path "<2 digits>/<hash>..." of a content
// type whose files or directories are named by hashes, in order.
func (s *Store) eachHashed(mp *fsys.Mountpath, root string, visit func(path string) error) error {
	groups, err := s.namesIn(mp, root, nil)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if err := s.eachIn(mp, root+"/"+group, visit); err != nil {
			return err
		}
	}
	return nil
}

// eachIn calls visit for the path of every name in a directory, in order.
func (s *Store) eachIn(mp *fsys.Mountpath, dir string, visit func(path string) error) error {
	names, err := s.namesIn(mp, dir, nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := visit(dir + "/" + name); err != nil {
			return err
		}
	}
	return nil
}
