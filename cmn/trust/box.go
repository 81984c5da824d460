package trust

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// boxInfo names the use of HPKE (RFC 9180): base mode, DHKEM(X25519,
// HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
const boxInfo = "ais cluster key box v1"

// A box is: the first bytes of the SHA-256 of the public key that it was
// sealed for, the encapsulated key of HPKE, the ciphertext.
const (
	addressed    = 8  // bytes
	encapsulated = 32 // bytes
)

// appendAddress appends what begins a box for a public key.
func appendAddress(dst, public []byte) []byte {
	sum := sha256.Sum256(public)
	return append(dst, sum[:addressed]...)
}

// IsFor tells, without opening it, whether a box was sealed for a public key.
func IsFor(public, box []byte) bool {
	return len(box) > addressed && bytes.Equal(box[:addressed], appendAddress(nil, public))
}

// Binding says for whom and for what a box was made. A box opens under the
// binding that it was sealed with and no other.
type Binding struct {
	UUID   string // of the cluster
	NodeID string // who may open it
	KeyID  uint32 // of the key inside
}

// data is what the ciphertext is bound to.
func (b *Binding) data() []byte {
	var text []byte
	text = appendText(text, b.UUID)
	text = appendText(text, b.NodeID)
	return binary.BigEndian.AppendUint32(text, b.KeyID)
}

// Seal makes a box with a secret that only the identity with this public key
// can open.
func Seal(public []byte, b Binding, secret []byte) ([]byte, error) {
	key, err := sealingKey(public)
	if err != nil {
		return nil, fmt.Errorf("seal for node %q: %w", b.NodeID, err)
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(boxInfo))
	if err != nil {
		return nil, fmt.Errorf("seal for node %q: %w", b.NodeID, err)
	}
	sealed, err := sender.Seal(b.data(), secret)
	if err != nil {
		return nil, fmt.Errorf("seal for node %q: %w", b.NodeID, err)
	}
	return append(append(appendAddress(nil, public), enc...), sealed...), nil
}

var errBox = errors.New("the box is damaged, or was made for another node, key or cluster")

// Open returns the secret of a box that was sealed for this identity.
func (i *Identity) Open(b Binding, box []byte) ([]byte, error) {
	if len(box) < addressed+encapsulated || !IsFor(i.Public(), box) {
		return nil, errBox
	}
	box = box[addressed:]
	recipient, err := hpke.NewRecipient(box[:encapsulated], i.opening, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(boxInfo))
	if err != nil {
		return nil, errBox
	}
	secret, err := recipient.Open(b.data(), box[encapsulated:])
	if err != nil {
		return nil, errBox
	}
	return secret, nil
}

// appendText appends a text with its length before it, so that no two lists
// of texts have the same bytes.
func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}
