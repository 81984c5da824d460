package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Source is a local file and the object that it becomes.
type Source struct {
	Path string
	Name string // of the object
	Size int64  // bytes, when it was found
}

// Selection says which files of a folder are meant and what their objects are
// called: Prefix, then the path below the folder with slashes.
type Selection struct {
	Recursive bool   // also the files in folders below
	Pattern   string // shell pattern for the file's own name, empty for all
	WithRoot  bool   // names begin with the folder's own name
	Prefix    string // put before every name as it is
}

// Split takes a trailing pattern off a path: "dir/*.tar" is "dir" and "*.tar".
// What exists by that name is no pattern.
func Split(name string) (folder, pattern string) {
	if _, err := os.Lstat(name); err == nil || !strings.ContainsAny(name, "*?[") {
		return name, ""
	}
	folder, pattern = filepath.Split(name)
	if folder == "" {
		folder = "."
	}
	return folder, pattern
}

// Collect lists the regular files of a folder by ascending path. Symbolic
// links to regular files count as files; links to folders are not followed.
// Skipped are the paths of all else that is not a folder.
func Collect(ctx context.Context, folder string, s Selection) (sources []Source, skipped []string, err error) {
	if s.Pattern != "" {
		if _, err := path.Match(s.Pattern, ""); err != nil {
			return nil, nil, fmt.Errorf("invalid pattern %q: %w", s.Pattern, err)
		}
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		return nil, nil, &fs.PathError{Op: "list", Path: folder, Err: errors.New("not a directory")}
	}
	prefix := s.Prefix
	if s.WithRoot {
		root, err := rootName(folder)
		if err != nil {
			return nil, nil, err
		}
		prefix += root + "/"
	}
	// The trailing separator makes the walk enter a folder that is named by a
	// symbolic link.
	root := filepath.Clean(folder) + string(filepath.Separator)
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, walkErr error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if walkErr != nil {
			return walkErr
		}
		relative, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if relative != "." && !s.Recursive {
				return fs.SkipDir
			}
			return nil
		}
		if s.Pattern != "" {
			if matches, _ := path.Match(s.Pattern, entry.Name()); !matches { // the pattern was checked above
				return nil
			}
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			skipped = append(skipped, name)
			return nil //nolint:nilerr // the user is told what was skipped
		}
		sources = append(sources, Source{Path: name, Name: prefix + filepath.ToSlash(relative), Size: info.Size()})
		return nil
	})
	return sources, skipped, err
}

// rootName is the folder's own name, also for "." and "..".
func rootName(folder string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	name := filepath.Base(absolute)
	if name == string(filepath.Separator) {
		return "", fmt.Errorf("the folder %q has no name of its own", folder)
	}
	return name, nil
}

// ObjectName is the name of the object that a single file becomes: its own
// name if wanted is empty, below wanted if that ends in a slash, else wanted.
func ObjectName(file, wanted string) string {
	if wanted == "" || strings.HasSuffix(wanted, "/") {
		return wanted + filepath.Base(file)
	}
	return wanted
}

// Group is the files with one extension.
type Group struct {
	Extension string // with the dot, "" for none
	Count     int64
	Size      int64 // bytes
}

// Groups counts sources by extension, in order of the extension; total is all.
func Groups(sources []Source) (groups []Group, total Group) {
	byExtension := map[string]*Group{}
	for i := range sources {
		extension := path.Ext(sources[i].Name)
		group := byExtension[extension]
		if group == nil {
			group = &Group{Extension: extension}
			byExtension[extension] = group
		}
		group.Count++
		group.Size += sources[i].Size
		total.Count++
		total.Size += sources[i].Size
	}
	for _, group := range byExtension {
		groups = append(groups, *group)
	}
	slices.SortFunc(groups, func(a, b Group) int { return strings.Compare(a.Extension, b.Extension) })
	return groups, total
}
