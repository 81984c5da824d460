package trust

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"hash"
	"sync"
	"sync/atomic"
	"time"
)

// KeySize is the length of a cluster key, in bytes.
const KeySize = 32

// SettleTime is how long a node holds a new cluster key before it signs with
// it, if it has an older one: by then every node that can be reached has it.
const SettleTime = 30 * time.Second

// Key is a cluster key in the clear. It is never stored, logged or sent.
type Key struct {
	ID     uint32
	Made   int64 // Unix seconds, by the clock of the primary that made it
	Secret [KeySize]byte
}

// String hides the secret from logs.
func (k Key) String() string { return "[cluster key]" }

// GoString hides the secret from logs.
func (k Key) GoString() string { return "[cluster key]" }

// Ring is the cluster keys that a node holds. The zero value is empty. It is
// safe for concurrent use; readers take no lock. Methods of a nil Ring are
// those of an empty one.
type Ring struct {
	keys atomic.Pointer[ringKeys]
}

// ringKeys is immutable.
type ringKeys struct {
	all     []*ringKey // oldest first
	settles int64      // Unix nanoseconds from which the newest key signs
}

// ringKey is a cluster key at work. Requests and markers have keys of their
// own that follow from it, so that neither can stand for the other.
type ringKey struct {
	Key
	calls, markers macPool
}

func newRingKey(k Key) *ringKey {
	r := &ringKey{Key: k}
	r.calls.init(k.Secret[:], "ais call v1")
	r.markers.init(k.Secret[:], "ais redirect v1")
	return r
}

// Set replaces the keys, oldest first. now is when that happens: a key that is
// new in a ring that had one does not sign before SettleTime has passed.
func (r *Ring) Set(keys []Key, now time.Time) {
	old := r.keys.Load()
	next := &ringKeys{}
	for _, k := range keys {
		key := old.find(k.ID)
		if key == nil || key.Secret != k.Secret {
			key = newRingKey(k)
		}
		next.all = append(next.all, key)
	}
	switch n := len(next.all); {
	case n == 0:
	case old != nil && len(old.all) > 0 && old.all[len(old.all)-1].ID == next.all[n-1].ID:
		next.settles = old.settles
	case old != nil && len(old.all) > 0:
		next.settles = now.Add(SettleTime).UnixNano()
	}
	r.keys.Store(next)
}

// Keys returns what Set was given last.
func (r *Ring) Keys() []Key {
	var keys []Key
	for _, k := range r.load().list() {
		keys = append(keys, k.Key)
	}
	return keys
}

// Has tells whether the ring holds a key.
func (r *Ring) Has(id uint32) bool { return r.load().find(id) != nil }

// Empty tells that there is no key.
func (r *Ring) Empty() bool { return len(r.load().list()) == 0 }

// Current returns the id of the key that signs at a time; ok is false if the
// ring is empty.
func (r *Ring) Current(now time.Time) (id uint32, ok bool) {
	if key := r.load().current(now.UnixNano()); key != nil {
		return key.ID, true
	}
	return 0, false
}

func (r *Ring) load() *ringKeys {
	if r == nil {
		return nil
	}
	return r.keys.Load()
}

func (k *ringKeys) list() []*ringKey {
	if k == nil {
		return nil
	}
	return k.all
}

func (k *ringKeys) find(id uint32) *ringKey {
	for _, key := range k.list() {
		if key.ID == id {
			return key
		}
	}
	return nil
}

// current returns the key that signs, nil if there is none.
func (k *ringKeys) current(now int64) *ringKey {
	all := k.list()
	switch n := len(all); {
	case n == 0:
		return nil
	case n > 1 && now < k.settles:
		return all[n-2]
	default:
		return all[n-1]
	}
}

// macPool makes message authentication codes under one key without
// allocating.
type macPool struct {
	secret []byte
	pool   sync.Pool
}

func (p *macPool) init(secret []byte, purpose string) {
	key, err := hkdf.Expand(sha256.New, secret, purpose, KeySize)
	if err != nil {
		panic(err) // only for lengths that are not ours
	}
	p.secret = key
	p.pool.New = func() any {
		m := &mac{hash: hmac.New(sha256.New, p.secret), text: make([]byte, 0, 1024)}
		m.hash.Reset()
		return m
	}
}

var _ encoding.BinaryMarshaler = sha256.New().(encoding.BinaryMarshaler) // what makes Reset cheap

// mac is one computation.
type mac struct {
	hash hash.Hash
	text []byte // what is authenticated, under construction
	sum  [sha256.Size]byte
}

func (p *macPool) get() *mac {
	m := p.pool.Get().(*mac)
	m.text = m.text[:0]
	return m
}

// maxKeptText bounds what a pooled computation holds on to, in bytes.
const maxKeptText = 16 << 10

func (p *macPool) put(m *mac) {
	if cap(m.text) <= maxKeptText {
		p.pool.Put(m)
	}
}

// finish returns the code of the text; it is valid until put.
func (m *mac) finish() []byte {
	m.hash.Reset()
	_, _ = m.hash.Write(m.text) // never fails
	return m.hash.Sum(m.sum[:0])
}
