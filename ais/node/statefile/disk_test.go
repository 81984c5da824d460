package statefile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSharedWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	same := filepath.Join(dir, "mountpath")
	if err := os.Mkdir(same, 0o700); err != nil {
		t.Fatal(err)
	}
	shared, err := SharedWith(dir, []string{same, "/proc"})
	if err != nil || !slices.Equal(shared, []string{same}) {
		t.Errorf("shared with %v, error %v", shared, err)
	}
	shared, err = SharedWith(dir, []string{filepath.Join(dir, "none"), same})
	if !errors.Is(err, os.ErrNotExist) || !slices.Equal(shared, []string{same}) {
		t.Errorf("shared with %v, error %v", shared, err)
	}
	if _, err := SharedWith(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("no error for a missing directory")
	}
}
