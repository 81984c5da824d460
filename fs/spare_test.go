package fs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// No two spare files have equal attributes: a filesystem that keeps equal ones
// once needs a block when one of them changes. Those that are alike, as earlier
// releases made them, are made anew at the start.
func TestSpareFilesShareNothing(t *testing.T) {
	t.Parallel()
	d := newMemoryDisks(t, 1)
	m := open(t, d.options())
	const attribute = "user.ais.spare"
	look := func() (paths []string) {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(d.paths[0], fs.SpareDir, "*.*"))
		if err != nil || len(paths) != 4 {
			t.Fatalf("spare files: %q, %v", paths, err)
		}
		var seen [][]byte
		for _, path := range paths {
			value := make([]byte, 4096)
			n, err := unix.Getxattr(path, attribute, value)
			if err != nil || n < 500 {
				t.Fatalf("%s: %d bytes of attribute, %v", path, n, err)
			}
			for _, other := range append(seen, make([]byte, n)) {
				if bytes.Equal(value[:n], other) {
					t.Errorf("%s has the attribute of another one", path)
				}
			}
			seen = append(seen, value[:n])
		}
		return paths
	}
	for _, path := range look() {
		if err := unix.Setxattr(path, attribute, make([]byte, 512), 0); err != nil {
			t.Fatal(err)
		}
	}
	closeManager(t, m)
	m = open(t, d.options())
	defer closeManager(t, m)
	look()
	if info, err := os.Stat(filepath.Join(d.paths[0], fs.SpareDir, "reserve")); err != nil || info.Size() == 0 {
		t.Errorf("the reserve: %v, %v", info, err)
	}
}
