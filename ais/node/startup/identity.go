package startup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/core/meta"
)

// ConfiguredID is the node's id as the command line or the environment says,
// "" if neither does.
func (s *Settings) ConfiguredID() (string, error) {
	id, from := s.NodeID, "-daemon_id"
	if id == "" {
		id, from = s.Env.NodeID, config.EnvDaemonID
	}
	if id == "" {
		return "", nil
	}
	if err := naming.ValidateNodeID(id); err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	return id, nil
}

// NewID makes an id for a node that has none. In a test environment it shows
// role and port.
func (s *Settings) NewID() string {
	if s.Local.TestFSPaths.Count > 0 || s.Local.TestFSPaths.Root != "" {
		return meta.NewTestNodeID(s.Role, s.Local.HostNet.Port)
	}
	return meta.NewNodeID()
}

// ProxyID returns the id of a proxy: the configured one, the stored one, or a
// new one, and keeps it. (A target's id is kept on its mountpaths.)
func (s *Settings) ProxyID() (string, error) {
	path := filepath.Join(s.Local.ConfDir, proxyIDFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	stored := strings.TrimSpace(string(data))
	if stored != "" {
		if err := naming.ValidateNodeID(stored); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
	}
	id, err := s.ConfiguredID()
	switch {
	case err != nil:
		return "", err
	case id == "" && stored != "":
		return stored, nil
	case id == "":
		id = s.NewID()
	}
	if id == stored {
		return id, nil
	}
	return id, replaceFile(path, []byte(id+"\n"))
}
