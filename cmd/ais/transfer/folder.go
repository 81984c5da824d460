package transfer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// LocalName returns the path, relative to an output folder and with this
// system's separators, of the file that an object becomes. Names that would
// leave the folder, or that would share a file with another name ("a//b" with
// "a/b"), are refused.
func LocalName(object string) (string, error) {
	if object == "" || strings.ContainsRune(object, 0) || object != path.Clean(object) || strings.HasPrefix(object, "/") {
		return "", fmt.Errorf("object name %q cannot be the name of a file", object)
	}
	local := filepath.FromSlash(object)
	if !filepath.IsLocal(local) || local == "." {
		return "", fmt.Errorf("object name %q cannot be the name of a file: it would lie outside the folder", object)
	}
	return local, nil
}

// BaseName is the file name of an object that is stored by itself.
func BaseName(object string) (string, error) {
	return LocalName(path.Base(object))
}

// Folder is an output folder. Whatever names are given, nothing outside it is
// touched, symbolic links included.
type Folder struct {
	root *os.Root
	made sync.Map // paths of folders that were made or found
}

// OpenFolder makes the folder if it is not there, and opens it.
func OpenFolder(name string) (*Folder, error) {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Folder{root: root}, nil
}

// Close lets go of the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Exists tells whether something has that name.
func (f *Folder) Exists(local string) bool {
	_, err := f.root.Lstat(local)
	return err == nil
}

// Pending is a file that is being written under a temporary name.
type Pending struct {
	folder    *Folder
	file      *os.File
	temporary string
	final     string
}

// Create begins a file; folders on its way are made. End it with Commit or
// Abort.
func (f *Folder) Create(local string) (*Pending, error) {
	parent := filepath.Dir(local)
	if _, known := f.made.Load(parent); !known && parent != "." {
		if err := f.root.MkdirAll(parent, 0o755); err != nil {
			return nil, err
		}
		f.made.Store(parent, struct{}{})
	}
	temporary := filepath.Join(parent, ".ais-"+rand.Text()[:16])
	file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &Pending{folder: f, file: file, temporary: temporary, final: local}, nil
}

// Write adds to the file.
func (p *Pending) Write(data []byte) (int, error) { return p.file.Write(data) }

// Commit gives the file its name, replacing a file that has it.
func (p *Pending) Commit() error {
	err := p.file.Close()
	if err == nil {
		err = p.folder.root.Rename(p.temporary, p.final)
	}
	if err != nil {
		return errors.Join(err, p.remove())
	}
	return nil
}

// Abort removes the file.
func (p *Pending) Abort() error {
	return errors.Join(p.file.Close(), p.remove())
}

func (p *Pending) remove() error {
	if err := p.folder.root.Remove(p.temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
