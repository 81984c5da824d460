package startup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// statePrefix is what the names of all files begin with that a node keeps in
// its configuration directory.
const statePrefix = ".ais."

// RemoveState removes what a node keeps in its configuration directory, and,
// unless they are to be kept, the plain configuration files that it was
// started with. Files that the process has open stay usable to it.
func (s *Settings) RemoveState(keepInitialConfig bool) error {
	entries, err := os.ReadDir(s.Local.ConfDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var failed []error
	remove := func(path string) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), statePrefix) && !entry.IsDir() {
			remove(filepath.Join(s.Local.ConfDir, entry.Name()))
		}
	}
	if !keepInitialConfig {
		remove(s.ClusterFile)
		remove(s.LocalFile)
	}
	return errors.Join(failed...)
}
