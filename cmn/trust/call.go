package trust

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// Window is how far the clocks of two nodes may be apart, and how long a
// signed request is good for.
const Window = 60 * time.Second

// NonceSize is the length of the nonce of a request, in bytes.
const NonceSize = 16

// Call is what the signature of a request covers. Headers other than those
// named here are not covered.
type Call struct {
	Method string
	Host   string // host and port that the request is sent to, as its header says
	URI    string // path and query as they are on the wire
	Caller string // node id
	Passes bool   // the caller passes a client's request on
	Body   Body
}

// Body is how a signature covers the body of a request.
type Body struct {
	Kind   BodyKind
	Length int64             // of a streamed body in bytes, -1 if not known before its end
	Sum    [sha256.Size]byte // of a buffered body
}

// BodyKind tells how a body is covered.
type BodyKind byte

// Kinds of bodies.
const (
	BodyNone     BodyKind = 'n' // there is none
	BodyBuffered BodyKind = 'b' // by its SHA-256
	BodyStreamed BodyKind = 's' // by its length only
)

// BufferedBody covers a body that is at hand.
func BufferedBody(body []byte) Body {
	if len(body) == 0 {
		return Body{Kind: BodyNone}
	}
	return Body{Kind: BodyBuffered, Sum: sha256.Sum256(body)}
}

// StreamedBody covers a body by its length, -1 if that is not known.
func StreamedBody(length int64) Body { return Body{Kind: BodyStreamed, Length: max(-1, length)} }

// Schemes of signatures.
const (
	schemeKey      = 'h' // HMAC-SHA256 under a cluster key
	schemeIdentity = 'e' // Ed25519 of the caller's identity
)

// identityCall is the purpose of signatures by an identity.
const identityCall = "ais call v1\x00"

// appendCall appends what is signed. who is the key's id (4 bytes) or the
// caller's public key.
func appendCall(dst []byte, scheme byte, who []byte, c *Call, sentMS int64, nonce *[NonceSize]byte) []byte {
	dst = append(dst, scheme)
	dst = appendText(dst, who)
	dst = binary.BigEndian.AppendUint64(dst, uint64(sentMS))
	dst = append(dst, nonce[:]...)
	dst = append(dst, byte(c.Body.Kind))
	switch c.Body.Kind {
	case BodyBuffered:
		dst = append(dst, c.Body.Sum[:]...)
	case BodyStreamed:
		dst = binary.BigEndian.AppendUint64(dst, uint64(c.Body.Length))
	}
	passes := byte(0)
	if c.Passes {
		passes = 1
	}
	dst = append(dst, passes)
	dst = appendText(dst, c.Caller)
	dst = appendText(dst, c.Method)
	dst = appendText(dst, c.Host)
	return appendText(dst, c.URI)
}

// callPrefix begins a signature header: the version of the format.
const callPrefix = "1."

// maxSignature bounds a signature header, in bytes.
const maxSignature = 256

// signature is a parsed signature header:
//
//	1.<scheme>.<key id in base 36 | public key>.<time>.<body>.<code>
//
// time is in milliseconds since the epoch, base 36; body is "n", "b" and the
// SHA-256, or "s" and the length in base 36. Bytes are in base64, URL
// alphabet, without padding.
type signature struct {
	scheme byte
	keyID  uint32 // of schemeKey
	public []byte // of schemeIdentity
	sentMS int64
	body   Body
	code   []byte

	bytes [PublicKeySize + ed25519.SignatureSize + 8]byte // that public and code are in
}

// appendHead appends all but the code.
func (s *signature) appendHead(dst []byte) []byte {
	dst = append(dst, callPrefix...)
	dst = append(dst, s.scheme, '.')
	if s.scheme == schemeKey {
		dst = strconv.AppendUint(dst, uint64(s.keyID), 36)
	} else {
		dst = strictURL.AppendEncode(dst, s.public)
	}
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, s.sentMS, 36)
	dst = append(dst, '.', byte(s.body.Kind))
	switch s.body.Kind {
	case BodyBuffered:
		dst = strictURL.AppendEncode(dst, s.body.Sum[:])
	case BodyStreamed:
		dst = strconv.AppendInt(dst, s.body.Length, 36)
	}
	return append(dst, '.')
}

// parse reads a signature header; false if it has not the form of one.
func (s *signature) parse(text string) bool {
	rest, ok := strings.CutPrefix(text, callPrefix)
	if !ok || len(text) > maxSignature {
		return false
	}
	scheme, rest, _ := strings.Cut(rest, ".")
	who, rest, _ := strings.Cut(rest, ".")
	sent, rest, _ := strings.Cut(rest, ".")
	body, code, ok := strings.Cut(rest, ".")
	if !ok || len(scheme) != 1 || len(body) == 0 {
		return false
	}
	var err error
	if s.sentMS, err = parseVersion(sent); err != nil {
		return false
	}
	want := sha256.Size
	switch s.scheme = scheme[0]; s.scheme {
	case schemeKey:
		id, err := strconv.ParseUint(who, 36, 32)
		if err != nil {
			return false
		}
		s.keyID = uint32(id)
	case schemeIdentity:
		if s.public, ok = decodeText(s.bytes[:PublicKeySize], who); !ok {
			return false
		}
		want = ed25519.SignatureSize
	default:
		return false
	}
	if s.code, ok = decodeText(s.bytes[PublicKeySize:PublicKeySize+want], code); !ok {
		return false
	}
	return s.body.parse(body)
}

func (b *Body) parse(text string) bool {
	b.Kind = BodyKind(text[0])
	switch text = text[1:]; b.Kind {
	case BodyNone:
		return text == ""
	case BodyBuffered:
		_, ok := decodeText(b.Sum[:], text)
		return ok
	case BodyStreamed:
		var err error
		b.Length, err = strconv.ParseInt(text, 36, 64)
		return err == nil && b.Length >= -1
	}
	return false
}

// maxText is the longest text that decodeText takes, in bytes.
const maxText = 96

// decodeText fills dst from base64; false unless that is its length exactly.
func decodeText(dst []byte, text string) ([]byte, bool) {
	if len(text) != strictURL.EncodedLen(len(dst)) {
		return nil, false
	}
	var from [maxText]byte
	n, err := strictURL.Decode(dst, from[:copy(from[:], text)])
	return dst, err == nil && n == len(dst)
}

// fresh checks the time of a request. now is the receiver's.
func (s *signature) fresh(now time.Time) error {
	switch off := now.UnixMilli() - s.sentMS; {
	case off > Window.Milliseconds():
		return refused(CodeClockSkew, "the request was signed %v ago by this node's clock, more than %v: the clocks of the two nodes differ, or the request was held up",
			(time.Duration(off) * time.Millisecond).Round(time.Second), Window)
	case off < -Window.Milliseconds():
		return refused(CodeClockSkew, "the request was signed %v in the future by this node's clock, more than %v: the clocks of the two nodes differ",
			(time.Duration(-off) * time.Millisecond).Round(time.Second), Window)
	}
	return nil
}

// signWith signs a call under a cluster key.
func (s *signature) appendKeyed(dst []byte, key *ringKey, c *Call, nonce *[NonceSize]byte) []byte {
	dst = s.appendHead(dst)
	m := key.calls.get()
	dst = strictURL.AppendEncode(dst, m.call(key.ID, s.sentMS, c, nonce))
	key.calls.put(m)
	return dst
}

// call is the code of a call.
func (m *mac) call(keyID uint32, sentMS int64, c *Call, nonce *[NonceSize]byte) []byte {
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], keyID)
	m.text = appendCall(m.text, schemeKey, id[:], c, sentMS, nonce)
	return m.finish()
}

// matches checks the code of a call against a cluster key.
func (s *signature) matches(key *ringKey, c *Call, nonce *[NonceSize]byte) bool {
	m := key.calls.get()
	same := hmac.Equal(m.call(key.ID, s.sentMS, c, nonce), s.code)
	key.calls.put(m)
	return same
}
