package startup

import (
	"github.com/aistore-go/aistore/cmn/trust"
)

// Keyring returns what the node signs and verifies with: its identity, which
// is made at its first start, and the join secret, if one is configured.
func (s *Settings) Keyring(nodeID string) (*trust.Keyring, error) {
	secret, err := trust.ReadJoinSecret(s.Getenv)
	if err != nil {
		return nil, err
	}
	identity, err := trust.LoadIdentity(s.Local.ConfDir)
	if err != nil {
		return nil, err
	}
	return trust.New(trust.Options{NodeID: nodeID, Identity: identity, Secret: secret}), nil
}
