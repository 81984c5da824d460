package playground

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRemoveKeepsWhatIsTheUsers: files to promote are not the playground's.
func TestRemoveKeepsWhatIsTheUsers(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"nothing": false, "a file": true} {
		c := &Cluster{Root: filepath.Join(t.TempDir(), "pg"), Proxies: 1, Targets: 1, Mountpaths: 1, Port: 12345}
		if err := c.WriteConfiguration(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(c.PromoteRoot(), "file")
		if keeps {
			if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.Root); (err == nil) != keeps {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(file); (err == nil) != keeps {
			t.Errorf("%s: the file: %v", name, err)
		}
	}
}
