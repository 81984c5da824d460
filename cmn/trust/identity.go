package trust

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
)

// NodeKeyFile is the name of the file, in a node's configuration directory,
// that holds its identity.
const NodeKeyFile = ".ais.node_key"

// nodeKeyHeader begins the file; the seed follows in base64, and a newline.
const nodeKeyHeader = "ais-node-key-ed25519-v1 "

// PublicKeySize is the length of the public half of an identity, in bytes.
const PublicKeySize = ed25519.PublicKeySize

// Identity is the key pair of one node. The Ed25519 key signs; the X25519 key
// that follows from it (as RFC 7748's birational map has it) opens boxes. The
// two uses do not meet: a signature covers a text that begins with the name of
// its purpose, and a box is made with a key that only HPKE derives.
type Identity struct {
	private ed25519.PrivateKey
	opening hpke.PrivateKey
}

// NewIdentity makes a new, random identity.
func NewIdentity() (*Identity, error) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	return newIdentity(seed)
}

func newIdentity(seed []byte) (*Identity, error) {
	scalar := sha512.Sum512(seed)
	private, err := ecdh.X25519().NewPrivateKey(scalar[:32])
	if err != nil {
		return nil, err
	}
	opening, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return nil, err
	}
	return &Identity{private: ed25519.NewKeyFromSeed(seed), opening: opening}, nil
}

// ErrDamagedKey tells a key file that is not what was written.
var ErrDamagedKey = errors.New("is damaged")

// LoadIdentity returns the identity that is kept in a directory. If there is
// none it makes one, and has it on stable storage before it returns. A file
// that others may read or write is refused; one that is damaged is
// ErrDamagedKey. A node that comes back with a new key is taken for an impostor
// as long as the holder of the old one lives.
func LoadIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, NodeKeyFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeIdentity(path)
	}
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("node key: %s has mode %04o, other users must not have access to it (chmod 600)", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	text, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte(nodeKeyHeader))
	seed, err := base64.StdEncoding.DecodeString(string(text))
	if !ok || err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("node key: %s %w", path, ErrDamagedKey)
	}
	return newIdentity(seed)
}

// makeIdentity makes an identity and the file that keeps it.
func makeIdentity(path string) (_ *Identity, err error) {
	identity, err := NewIdentity()
	if err != nil {
		return nil, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), NodeKeyFile+".*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary.Name()) // the first error is the one to report
		}
	}()
	_, err = temporary.WriteString(nodeKeyHeader + base64.StdEncoding.EncodeToString(identity.private.Seed()) + "\n")
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if err = errors.Join(dir.Sync(), dir.Close()); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	return identity, nil
}

// Public returns the public half: PublicKeySize bytes, the caller's own.
func (i *Identity) Public() []byte {
	return slices.Clone([]byte(i.private.Public().(ed25519.PublicKey)))
}

// sign signs a text; purpose names what it is, and no two uses share one.
func (i *Identity) sign(purpose string, text []byte) []byte {
	return ed25519.Sign(i.private, append([]byte(purpose), text...))
}

// verifies checks what sign made.
func verifies(public []byte, purpose string, text, signature []byte) bool {
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, append([]byte(purpose), text...), signature)
}

var errPublicKey = errors.New("invalid public key of a node")

// sealingKey is the X25519 public key of an identity: u = (1+y)/(1-y) modulo
// 2^255-19. Everything here is public, so the time it takes tells nothing.
func sealingKey(public []byte) (hpke.PublicKey, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, errPublicKey
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	one := big.NewInt(1)
	little := slices.Clone(public)
	little[31] &= 0x7f // the sign of x, which u does not need
	slices.Reverse(little)
	y := new(big.Int).SetBytes(little)
	below := new(big.Int).Sub(one, y)
	if y.Cmp(p) >= 0 || below.Mod(below, p).Sign() == 0 {
		return nil, errPublicKey
	}
	u := new(big.Int).Add(one, y)
	u.Mul(u, below.ModInverse(below, p)).Mod(u, p)
	montgomery := u.FillBytes(make([]byte, 32))
	slices.Reverse(montgomery)
	key, err := ecdh.X25519().NewPublicKey(montgomery)
	if err != nil {
		return nil, err
	}
	return hpke.NewDHKEMPublicKey(key)
}
