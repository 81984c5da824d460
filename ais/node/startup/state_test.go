package startup

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/node/statefile"
	"github.com/aistore-go/aistore/core/meta"
)

// owner is the check of these tests: the file belongs to who wrote "me".
func owner(f *statefile.File) (id string, err error) {
	err = f.Load(func(_ string, _ uint64, value []byte) error {
		if id = string(value); id == "nonsense" {
			return errors.New("this makes no sense")
		}
		return nil
	})
	return id, err
}

func begin(t *testing.T, s *Settings, id string) {
	t.Helper()
	state, err := s.OpenState(owner)
	if err != nil {
		t.Fatal(err)
	}
	err = state.Save(func(put func(string, uint64, []byte) error, _ func(string, uint64, uint64) error) error {
		return put("identity", 0, []byte(id))
	})
	if err := errors.Join(err, state.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenState(t *testing.T) {
	t.Parallel()
	remember := func(t *testing.T, s *Settings) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.Local.ConfDir, proxyIDFile), []byte("proxy001\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, s *Settings, path string)
		lost   string // part of the reason, "" if the state is there
		id     string
		aside  int // files that are kept
	}{
		{"first start", func(t *testing.T, _ *Settings, path string) { remove(t, path) }, "", "", 0},
		{"crash while the first start made it", func(t *testing.T, _ *Settings, path string) { truncate(t, path, 0) }, "", "", 0},
		{"untouched", func(t *testing.T, s *Settings, _ string) { remember(t, s) }, "", "proxy001", 0},
		{"removed", func(t *testing.T, s *Settings, path string) { remember(t, s); remove(t, path) }, ".ais.proxy_id of an earlier start", "", 0},
		{"emptied", func(t *testing.T, s *Settings, path string) { remember(t, s); truncate(t, path, 0) }, "it is empty; kept as ", "", 1},
		{"cut", func(t *testing.T, s *Settings, path string) { remember(t, s); truncate(t, path, 5000) }, "is damaged", "", 1},
		{"cut without an id file", func(t *testing.T, _ *Settings, path string) { truncate(t, path, 9000) }, "is damaged", "", 1},
		{"other contents", func(t *testing.T, s *Settings, path string) {
			remember(t, s)
			if err := os.WriteFile(path, bytes.Repeat([]byte("garbage "), 4096), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is damaged", "", 1},
		{"a flipped bit", func(t *testing.T, s *Settings, path string) { remember(t, s); flip(t, path, "proxy001") }, "wrong checksum", "", 1},
		{"makes no sense", func(t *testing.T, s *Settings, _ string) { begin(t, s, "nonsense") }, "makes no sense", "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := settings(t, meta.RoleProxy)
			begin(t, s, "proxy001")
			path := filepath.Join(s.Local.ConfDir, statefile.Name)
			tc.damage(t, s, path)
			state, err := s.OpenState(owner)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = state.Close() }()
			if state.NodeID != tc.id || (tc.lost == "") != (state.Lost == "") || !strings.Contains(state.Lost, tc.lost) {
				t.Errorf("id %q, lost %q; want %q, %q", state.NodeID, state.Lost, tc.id, tc.lost)
			}
			kept, err := filepath.Glob(path + ".damaged.*")
			if err != nil || len(kept) != tc.aside {
				t.Errorf("%d files are kept, want %d: %v", len(kept), tc.aside, err)
			}
			for _, name := range kept {
				if !strings.Contains(state.Lost, name) {
					t.Errorf("%q does not name %s", state.Lost, name)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the new file: %v %v", info, err)
			}
		})
	}
}

// TestOpenStateOfAnotherProcess: a file that is in use is not damaged.
func TestOpenStateOfAnotherProcess(t *testing.T) {
	t.Parallel()
	s := settings(t, meta.RoleProxy)
	first, err := s.OpenState(owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenState(owner); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("error %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, _ := filepath.Glob(filepath.Join(s.Local.ConfDir, "*.damaged.*")); len(kept) != 0 {
		t.Errorf("moved aside: %v", kept)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit in every place where a text stands.
func flip(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(text)) {
		t.Fatalf("%q is not in the file", text)
	}
	changed := []byte(text)
	changed[0] ^= 1
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(text), changed), 0o600); err != nil {
		t.Fatal(err)
	}
}
