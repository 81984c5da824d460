package statefile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// SharedWith returns those of the mountpaths that are on the same filesystem
// as a directory with a state file. There, the cluster state waits for the
// disk behind object data: a node does well to say so when it starts.
// Mountpaths that cannot be examined are left out, and are in the error.
func SharedWith(dir string, mountpaths []string) (shared []string, err error) {
	own, err := device(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, path := range mountpaths {
		other, err := device(path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case other == own:
			shared = append(shared, path)
		}
	}
	return shared, errors.Join(errs...)
}

// device is the number of the filesystem on which a directory is.
func device(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("stat %s: no device number", path)
	}
	return uint64(stat.Dev), nil //nolint:unconvert // its type depends on the platform
}
