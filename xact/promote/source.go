package promote

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/OneOfOne/xxhash"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
)

// Roots are the directories below which clients may promote, and those of
// which nothing is promoted although they may lie below one.
type Roots struct {
	Allowed   []string // absolute
	Protected []string // absolute: mountpaths, configuration, logs
}

// source is a file or a directory that is promoted. Every file is opened by its
// path relative to the allowed root, in a way that no symbolic link leads out
// of it; links below the root are not followed at all.
type source struct {
	root      *os.Root
	rel       string // from the root
	dir       bool
	protected []string // real paths
	real      string   // of the root
}

// CheckSource refuses a path that no target may promote. The error is a 400.
func CheckSource(src string) error {
	const want = "expected the absolute path of a file or directory, without the elements . and .."
	switch {
	case src == "":
		return apierr.BadRequest("invalid promote source: the path is empty (%s)", want)
	case !filepath.IsAbs(src), strings.ContainsRune(src, 0):
		return apierr.BadRequest("invalid promote source %q (%s)", src, want)
	}
	for _, element := range strings.Split(src, "/") {
		if element == "." || element == ".." {
			return apierr.BadRequest("invalid promote source %q (%s)", src, want)
		}
	}
	return nil
}

// open opens a source. Errors: 400 not allowed, 404 not there.
func (r *Roots) open(src string) (*source, error) {
	if err := CheckSource(src); err != nil {
		return nil, err
	}
	src = filepath.Clean(src)
	for _, allowed := range r.Allowed {
		rel, err := filepath.Rel(allowed, src)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		root, err := os.OpenRoot(allowed)
		if err != nil {
			return nil, sourceError(src, err)
		}
		s := &source{root: root, rel: rel}
		if err := s.look(allowed, src, r.Protected); err != nil {
			return nil, errors.Join(err, root.Close())
		}
		return s, nil
	}
	return nil, apierr.BadRequest("invalid promote source %q (expected a path below %s: see promote_roots in the node's configuration)",
		src, strings.Join(r.Allowed, " or "))
}

// look finds out what the source is, and that it may be read.
func (s *source) look(allowed, src string, protected []string) (err error) {
	if s.real, err = filepath.EvalSymlinks(allowed); err != nil {
		return sourceError(src, err)
	}
	for _, dir := range protected {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			s.protected = append(s.protected, real)
		}
	}
	at := ""
	for _, element := range strings.Split(s.rel, "/") { // no element of it may be a link
		at = filepath.Join(at, element)
		info, err := s.root.Lstat(at)
		if err != nil {
			return sourceError(src, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return apierr.BadRequest("invalid promote source %q: %q is a symbolic link, which is not followed", src, element)
		}
		s.dir = info.IsDir()
		if at == s.rel && !s.dir && !info.Mode().IsRegular() {
			return apierr.BadRequest("invalid promote source %q: neither a file nor a directory", src)
		}
	}
	if s.isProtected(s.rel) {
		return apierr.BadRequest("invalid promote source %q: it belongs to the node itself", src)
	}
	return nil
}

// isProtected tells a path in a directory of the node's own.
func (s *source) isProtected(rel string) bool {
	real := filepath.Join(s.real, rel)
	for _, dir := range s.protected {
		if real == dir || strings.HasPrefix(real, dir+"/") {
			return true
		}
	}
	return false
}

func (s *source) close() error { return s.root.Close() }

// sourceError is the client's error for one of the filesystem.
func sourceError(src string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return apierr.Wrap(err, apierr.StatusNotFound, "", "promote source %q does not exist", src)
	case errors.Is(err, fs.ErrPermission):
		return apierr.Wrap(err, apierr.StatusForbidden, "", "promote source %q cannot be read: %v", src, err)
	}
	return apierr.Wrap(err, apierr.StatusBadRequest, "", "invalid promote source %q: %v", src, err)
}

// file is one file of a source.
type file struct {
	rel  string // from the allowed root
	name string // relative to the source; of a file its base name
	size int64
}

// each visits the files of a source: of a directory those in it, or, if
// recursive, below it. Symbolic links, special files and the node's own
// directories are left out.
func (s *source) each(ctx context.Context, recursive bool, visit func(f *file) error) error {
	if !s.dir {
		info, err := s.root.Lstat(s.rel)
		if err != nil {
			return sourceError(s.rel, err)
		}
		return visit(&file{rel: s.rel, name: filepath.Base(s.rel), size: info.Size()})
	}
	return fs.WalkDir(s.root.FS(), s.rel, func(rel string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has gone meanwhile
			}
			return sourceError(rel, err)
		}
		if d.IsDir() {
			if rel != s.rel && (!recursive || s.isProtected(rel)) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return sourceError(rel, err)
		}
		name, err := filepath.Rel(s.rel, rel)
		if err != nil {
			return err
		}
		return visit(&file{rel: rel, name: name, size: info.Size()})
	})
}

// Seen is what a target sees of a source: two targets that see the same share it.
type Seen struct {
	Files  int64  `json:"files,string"`
	Digest uint64 `json:"digest,string"` // of names and sizes, in any order
	Dir    bool   `json:"dir"`
}

// Look tells what this target sees of a source. Errors: 400 not allowed, 404
// not there.
func (r *Roots) Look(ctx context.Context, src string, recursive bool) (seen Seen, err error) {
	s, err := r.open(src)
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	seen.Dir = s.dir
	err = s.each(ctx, recursive, func(f *file) error {
		seen.Files++
		h := xxhash.NewS64(uint64(f.size)) //nolint:gosec // any number will do
		_, _ = h.WriteString(f.name)       // hashes never fail
		seen.Digest += h.Sum64()
		return nil
	})
	return seen, err
}

// objectName is the true name of the object that a file becomes. prefix is what
// the client gave, in true form.
func objectName(prefix string, dir bool, f *file) string {
	switch {
	case dir && prefix != "" && !strings.HasSuffix(prefix, "/"):
		return prefix + "/" + f.name
	case dir, prefix == "", strings.HasSuffix(prefix, "/"):
		return prefix + path.Clean(f.name)
	}
	return prefix
}

// checkName reads the name, or the beginning of the names, that a client gives.
func checkName(native string) (string, error) {
	if strings.HasSuffix(native, "/") || native == "" {
		return naming.TruePrefix(native)
	}
	return naming.True(native)
}
