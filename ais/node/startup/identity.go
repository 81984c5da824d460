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

// ProxyID returns the id of a proxy: the configured one, the one that it has
// kept, that of its state file, or a new one. keep keeps it for the next
// start; it is called once the state file says whose it is, because the kept
// id is what tells a lost state from one that never was. (A target's id is
// kept on its mountpaths.)
func (s *Settings) ProxyID(inState string) (id string, keep func() error, err error) {
	path := filepath.Join(s.Local.ConfDir, proxyIDFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	stored := strings.TrimSpace(string(data))
	if stored != "" {
		if err := naming.ValidateNodeID(stored); err != nil {
			if inState == "" {
				return "", nil, fmt.Errorf("%s: %w", path, err)
			}
			stored = "" // the state file knows better
		}
	}
	if id, err = s.ConfiguredID(); err != nil {
		return "", nil, err
	}
	for _, known := range []string{stored, inState} {
		if id == "" {
			id = known
		}
	}
	if id == "" {
		id = s.NewID()
	}
	return id, func() error {
		if id == stored {
			return nil
		}
		return replaceFile(path, []byte(id+"\n"))
	}, nil
}
