package trust

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"time"
)

// Keyring is everything that one node needs to be trusted and to trust. It is
// safe for concurrent use.
type Keyring struct {
	nodeID   string
	identity *Identity
	secret   *JoinSecret
	ring     Ring
	seen     nonces
	clock    func() time.Time
	random   io.Reader
}

// Options are the parts of a Keyring.
type Options struct {
	NodeID   string
	Identity *Identity
	Secret   *JoinSecret      // nil: joining needs no proof
	Clock    func() time.Time // nil: time.Now
	Random   io.Reader        // nil: crypto/rand.Reader; of challenges, nonces and cluster keys
}

// New returns the keyring of a node; it holds no cluster keys yet.
func New(o Options) *Keyring {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return &Keyring{nodeID: o.NodeID, identity: o.Identity, secret: o.Secret, clock: o.Clock, random: o.Random}
}

// Ring returns the cluster keys. Those of a nil Keyring are a nil Ring, which
// is empty for ever.
func (k *Keyring) Ring() *Ring {
	if k == nil {
		return nil
	}
	return &k.ring
}

// Public returns the public half of the node's identity.
func (k *Keyring) Public() []byte { return k.identity.Public() }

// Secret returns the join secret, nil if none is configured.
func (k *Keyring) Secret() *JoinSecret { return k.secret }

// Now is the keyring's clock.
func (k *Keyring) Now() time.Time { return k.clock() }

// Signature is what goes with a request.
type Signature struct {
	Code  string // value of the header Ais-Caller-Sig
	Nonce string // value of the header Ais-Caller-Nonce
}

// Sign signs a call of this node; c.Caller is set. byIdentity asks for the
// node's own signature even if there is a cluster key; without one it is
// always that.
func (k *Keyring) Sign(c *Call, byIdentity bool) Signature {
	var nonce [NonceSize]byte
	k.fill(nonce[:])
	c.Caller = k.nodeID
	now := k.clock()
	s := signature{sentMS: now.UnixMilli(), body: c.Body}
	var buf [maxSignature]byte
	code := buf[:0]
	key := k.ring.load().current(now.UnixNano())
	if key != nil && !byIdentity {
		s.scheme, s.keyID = schemeKey, key.ID
		code = s.appendKeyed(code, key, c, &nonce)
	} else {
		s.scheme, s.public = schemeIdentity, k.identity.Public()
		code = s.appendHead(code)
		code = strictURL.AppendEncode(code, k.identity.sign(identityCall, appendCall(nil, s.scheme, s.public, c, s.sentMS, &nonce)))
	}
	var text [2 * NonceSize]byte
	return Signature{Code: string(code), Nonce: string(strictURL.AppendEncode(text[:0], nonce[:]))}
}

// Caller is who sent a request, as far as it is proven.
type Caller struct {
	ID  string
	Key []byte // public key that signed the request; nil if a cluster key did
	// Member tells that the request was signed with a cluster key, or with the
	// key that the cluster map has of this node.
	Member bool
}

// Verify checks the signature of a call and returns who made it. c.Body is set
// to what the signature covers: the receiver has to hold the body against it.
//
// memberKey is the public key that the cluster map has of the caller, nil if
// it has none. once refuses a request that came before. All errors are 403 and
// say why; the one with CodeUnknownKey tells the caller to sign as itself.
//
// A call that was signed by an identity that is not in the map is no error:
// Member is false, and the receiver decides what such a caller may do.
func (k *Keyring) Verify(c *Call, given Signature, memberKey []byte, once bool) (Caller, error) {
	var s signature
	var nonce [NonceSize]byte
	if given.Code == "" {
		return Caller{}, refused(CodeSignature, "the request is not signed")
	}
	if _, ok := decodeText(nonce[:], given.Nonce); !ok || !s.parse(given.Code) {
		return Caller{}, refused(CodeSignature, "the request's signature cannot be read")
	}
	c.Body = s.body
	now := k.clock()
	who := Caller{ID: c.Caller}
	if s.scheme == schemeKey {
		key := k.ring.load().find(s.keyID)
		if key == nil {
			return Caller{}, refused(CodeUnknownKey, "the request was signed with cluster key %d, which this node does not hold", s.keyID)
		}
		if !s.matches(key, c, &nonce) {
			return Caller{}, refused(CodeSignature, "the request's signature is wrong")
		}
		who.Member = true
	} else {
		if !verifies(s.public, identityCall, appendCall(nil, s.scheme, s.public, c, s.sentMS, &nonce), s.code) {
			return Caller{}, refused(CodeSignature, "the request's signature is wrong")
		}
		who.Key = bytes.Clone(s.public)
		who.Member = len(memberKey) > 0 && bytes.Equal(memberKey, s.public)
	}
	if err := s.fresh(now); err != nil {
		return Caller{}, err
	}
	if once && !k.seen.take(&nonce, s.sentMS, now.UnixMilli()) {
		return Caller{}, refused(CodeReplay, "the request was received before")
	}
	return who, nil
}

// callerKey is the key of a Caller in a context.
type callerKey struct{}

// WithCaller returns a context that says who made a request.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who made the request of a context; nil if nobody proved it.
func CallerOf(ctx context.Context) *Caller {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c
}

// SealedKey is a cluster key as it travels.
type SealedKey struct {
	ID   uint32 `json:"id"`
	Made int64  `json:"made"` // Unix seconds
	Box  []byte `json:"box"`  // for one node
}

// SealFor seals a key for the node with a public key.
func (k *Keyring) SealFor(uuid, nodeID string, public []byte, key Key) (SealedKey, error) {
	box, err := Seal(public, Binding{UUID: uuid, NodeID: nodeID, KeyID: key.ID}, key.Secret[:])
	return SealedKey{ID: key.ID, Made: key.Made, Box: box}, err
}

// Install takes cluster keys into use that were sealed for this node, oldest
// first, and drops those that are not among them. One that it holds already
// needs no box. missing are the ids of the keys that it could not open.
func (k *Keyring) Install(uuid string, sealed []SealedKey) (missing []uint32) {
	var keys []Key
	held := map[uint32]Key{}
	for _, key := range k.ring.Keys() {
		held[key.ID] = key
	}
	for i := range sealed {
		s := &sealed[i]
		if key, ok := held[s.ID]; ok && key.Made == s.Made {
			keys = append(keys, key)
			continue
		}
		secret, err := k.identity.Open(Binding{UUID: uuid, NodeID: k.nodeID, KeyID: s.ID}, s.Box)
		if err != nil || len(secret) != KeySize {
			missing = append(missing, s.ID)
			continue
		}
		keys = append(keys, Key{ID: s.ID, Made: s.Made, Secret: [KeySize]byte(secret)})
	}
	k.ring.Set(keys, k.clock())
	return missing
}

// fill fills b with random bytes. Without them nothing could be trusted.
func (k *Keyring) fill(b []byte) {
	if _, err := io.ReadFull(k.random, b); err != nil {
		panic("no random bytes: " + err.Error())
	}
}

// Nonce returns a random challenge.
func (k *Keyring) Nonce() []byte {
	nonce := make([]byte, NonceSize)
	k.fill(nonce)
	return nonce
}

// MakeKey makes a random cluster key.
func (k *Keyring) MakeKey(now time.Time) Key {
	key := Key{Made: now.Unix()}
	var id [4]byte
	for key.ID == 0 {
		k.fill(id[:])
		key.ID = binary.BigEndian.Uint32(id[:])
	}
	k.fill(key.Secret[:])
	return key
}

// Signer signs texts as a node, and checks what others have signed.
type Signer struct{ identity *Identity }

// Signer returns the signer of what this node says of itself.
func (k *Keyring) Signer() *Signer { return &Signer{k.identity} }

// identityText is the purpose of signatures by a Signer.
const identityText = "ais text v1\x00"

// Sign returns this node's signature of a text.
func (s *Signer) Sign(text []byte) []byte { return s.identity.sign(identityText, text) }

// Verify tells whether a text was signed by the node with a public key.
func (s *Signer) Verify(publicKey, text, signature []byte) bool {
	return verifies(publicKey, identityText, text, signature)
}
