package startup

import (
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/aistore-go/aistore/cmn/trust"
)

// Keyring returns what the node signs and verifies with: its identity, which
// is made at its first start, and the join secret, if one is configured. A
// damaged identity is moved aside and counts as lost: the node makes a new one
// and joins with it once nobody holds its id any more.
func (s *Settings) Keyring(nodeID string, logger *slog.Logger) (*trust.Keyring, error) {
	secret, err := trust.ReadJoinSecret(s.Getenv)
	if err != nil {
		return nil, err
	}
	identity, err := trust.LoadIdentity(s.Local.ConfDir)
	if errors.Is(err, trust.ErrDamagedKey) {
		var lost string
		if lost, err = moveAside(filepath.Join(s.Local.ConfDir, trust.NodeKeyFile), err); err == nil {
			logger.Warn("this node has a new key: " + lost)
			identity, err = trust.LoadIdentity(s.Local.ConfDir)
		}
	}
	if err != nil {
		return nil, err
	}
	return trust.New(trust.Options{NodeID: nodeID, Identity: identity, Secret: secret}), nil
}
