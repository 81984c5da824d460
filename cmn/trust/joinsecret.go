package trust

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Environment variables of the join secret; at most one may be set.
const (
	EnvJoinSecret     = "AIS_JOIN_SECRET"      // the secret itself
	EnvJoinSecretFile = "AIS_JOIN_SECRET_FILE" // a file that holds it; space around it does not count
)

// Bounds of a join secret, in bytes. Who listens to a join, or answers one,
// can try secrets out at leisure, so a short one is none.
const (
	minJoinSecret = 16
	maxJoinSecret = 4096
)

// JoinSecret is what a node must know to become part of a cluster, and the
// cluster to be joined by it. It is never sent, stored or logged.
type JoinSecret struct{ key [sha256.Size]byte }

// ReadJoinSecret returns the configured secret, nil if there is none. getenv is
// such as os.Getenv. Errors name the variable and never what it holds.
func ReadJoinSecret(getenv func(string) string) (*JoinSecret, error) {
	text, path := getenv(EnvJoinSecret), getenv(EnvJoinSecretFile)
	from := EnvJoinSecret
	switch {
	case text != "" && path != "":
		return nil, fmt.Errorf("%s and %s are both set: set one of them", EnvJoinSecret, EnvJoinSecretFile)
	case path != "":
		from = EnvJoinSecretFile
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		data, err := io.ReadAll(io.LimitReader(file, maxJoinSecret+1))
		_ = file.Close() // was only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		text = string(data)
	case text == "":
		return nil, nil
	}
	secret, err := NewJoinSecret(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return secret, nil
}

// NewJoinSecret makes a join secret of its text.
func NewJoinSecret(text string) (*JoinSecret, error) {
	if len(text) < minJoinSecret || len(text) > maxJoinSecret {
		return nil, fmt.Errorf("the join secret has %d bytes, expecting %d to %d", len(text), minJoinSecret, maxJoinSecret)
	}
	key, err := hkdf.Key(sha256.New, []byte(text), nil, "ais join secret v1", sha256.Size)
	if err != nil {
		return nil, err
	}
	return &JoinSecret{key: [sha256.Size]byte(key)}, nil
}

// String hides the secret.
func (*JoinSecret) String() string { return "[join secret]" }

// GoString hides the secret.
func (*JoinSecret) GoString() string { return "[join secret]" }

// LogValue hides the secret.
func (*JoinSecret) LogValue() slog.Value { return slog.StringValue("[join secret]") }

// JoinSide says who proves that it knows the join secret.
type JoinSide byte

// Sides of a join.
const (
	JoinLeader   JoinSide = 'L' // the cluster, with the challenge that it sends
	JoinNode     JoinSide = 'J' // the node that joins
	JoinAdmitted JoinSide = 'A' // the cluster, with the documents that it sends
)

// JoinTranscript is everything that a proof is bound to: it proves nothing for
// another cluster, node, key or start.
type JoinTranscript struct {
	UUID        string // of the cluster
	Challenge   []byte // of the leader, random
	Counter     []byte // challenge of the node that joins, random
	Leader      string // node id
	NodeID      string // who joins
	PublicKey   []byte // of who joins
	Incarnation uint64 // of its process
	Content     []byte // SHA-256 of what comes with the admission; JoinAdmitted only
}

// Prove returns the proof of one side.
func (s *JoinSecret) Prove(side JoinSide, t *JoinTranscript) []byte {
	code := hmac.New(sha256.New, s.key[:])
	text := []byte{byte(side)}
	text = appendText(text, t.UUID)
	text = appendText(text, t.Challenge)
	text = appendText(text, t.Counter)
	text = appendText(text, t.Leader)
	text = appendText(text, t.NodeID)
	text = appendText(text, t.PublicKey)
	text = binary.BigEndian.AppendUint64(text, t.Incarnation)
	text = appendText(text, t.Content)
	_, _ = code.Write(text) // never fails
	return code.Sum(nil)
}

// Check returns nil if a proof is right; the error is a 401. It takes the same
// time for every wrong proof.
func (s *JoinSecret) Check(side JoinSide, t *JoinTranscript, proof []byte) error {
	switch {
	case len(t.Challenge) != NonceSize || len(t.Counter) != NonceSize:
		return apierr.New(statusUnauthorized, CodeJoinProof, "the proof of the join secret lacks a challenge")
	case len(proof) == 0:
		return apierr.New(statusUnauthorized, CodeJoinProof, "the join secret was not proven")
	case !hmac.Equal(proof, s.Prove(side, t)):
		return apierr.New(statusUnauthorized, CodeJoinProof, "the proof of the join secret is wrong")
	}
	return nil
}
