package trust

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Redirects.
const (
	// MarkerLife is how long a redirect is good for. It may be presented
	// again in this time: clients retry the address that they were sent to.
	MarkerLife = 5 * time.Minute
	// markerMAC is how much of a code a marker carries, in bytes: 128 bits.
	markerMAC = 16
	// markerText is its length in base64.
	markerText = (markerMAC*8 + 5) / 6
	// maxMarker bounds a marker that is parsed, in bytes.
	maxMarker = 64
)

// strictURL is the alphabet of everything that is sent as text; of the forms of
// one value it takes only one.
var strictURL = base64.RawURLEncoding.Strict()

// Redirect is what a marker vouches for: a gateway has admitted a request for
// one object, at a time, by a cluster map. The method is not part of it: the
// permission is checked by the gateway, and a target that is asked for
// something else checks what needs no gateway (see docs/security.md).
type Redirect struct {
	Uname       []byte // of the object: wire.Bck.AppendUname
	Gateway     string // node id
	Sent        int64  // Unix nanoseconds
	SmapVersion int64
}

// AppendMarker appends the marker of a redirect: the version of the map in
// base 36, and, if the ring has a key, '.', the key's id in base 36, '.', and
// the code in base64 (URL alphabet). now is the present, in Unix nanoseconds.
// It does not allocate.
func (r *Ring) AppendMarker(dst []byte, d *Redirect, now int64) []byte {
	dst = strconv.AppendInt(dst, d.SmapVersion, 36)
	key := r.load().current(now)
	if key == nil {
		return dst
	}
	m := key.markers.get()
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(key.ID), 36)
	dst = append(dst, '.')
	dst = strictURL.AppendEncode(dst, m.redirect(key.ID, d))
	key.markers.put(m)
	return dst
}

// redirect is the code of a redirect.
func (m *mac) redirect(key uint32, d *Redirect) []byte {
	m.text = binary.BigEndian.AppendUint32(m.text, key)
	m.text = binary.BigEndian.AppendUint64(m.text, uint64(d.Sent))
	m.text = binary.BigEndian.AppendUint64(m.text, uint64(d.SmapVersion))
	m.text = appendText(m.text, d.Gateway)
	m.text = appendText(m.text, d.Uname)
	return m.finish()[:markerMAC]
}

// Marker is a parsed marker; see AppendMarker.
type Marker struct {
	SmapVersion int64
	KeyID       uint32
	Signed      bool
	code        string // base64
}

// ParseMarker reads a marker. ok is false if it has not the form of one. It
// does not allocate.
func ParseMarker(text string) (m Marker, ok bool) {
	if len(text) == 0 || len(text) > maxMarker {
		return Marker{}, false
	}
	version, rest, signed := strings.Cut(text, ".")
	var err error
	if m.SmapVersion, err = parseVersion(version); err != nil {
		return Marker{}, false
	}
	if !signed {
		return m, true
	}
	id, code, ok := strings.Cut(rest, ".")
	if !ok || len(code) != markerText {
		return Marker{}, false
	}
	key, err := strconv.ParseUint(id, 36, 32)
	if err != nil {
		return Marker{}, false
	}
	m.KeyID, m.Signed, m.code = uint32(key), true, code
	return m, true
}

func parseVersion(text string) (int64, error) {
	version, err := strconv.ParseInt(text, 36, 64)
	if err == nil && version < 0 {
		err = strconv.ErrRange
	}
	return version, err
}

// Known tells whether the ring can judge a marker: it holds its key, or
// would refuse it for lack of one.
func (r *Ring) Known(m Marker) bool { return !m.Signed || r.Has(m.KeyID) }

// CheckMarker returns nil if the marker is that of the redirect and the
// redirect is still good; the error is a 403. d.SmapVersion is taken from the
// marker. With an empty ring nothing can be checked, and nothing is refused:
// the cluster has no keys yet. It does not allocate if the marker is good.
func (r *Ring) CheckMarker(m Marker, d *Redirect, now time.Time) error {
	keys := r.load()
	if len(keys.list()) == 0 {
		return nil
	}
	if !m.Signed {
		return errMarker("it is not signed")
	}
	key := keys.find(m.KeyID)
	if key == nil {
		return errMarker("its key is not one of this cluster's")
	}
	d.SmapVersion = m.SmapVersion
	work := key.markers.get()
	code := work.redirect(key.ID, d)
	var text [markerText]byte
	var given [markerMAC + 2]byte
	copy(text[:], m.code)
	n, err := strictURL.Decode(given[:], text[:])
	same := err == nil && hmac.Equal(code, given[:n])
	key.markers.put(work)
	if !same {
		return errMarker("its signature is wrong")
	}
	switch age := now.UnixNano() - d.Sent; {
	case age > int64(MarkerLife):
		return errMarker("it is older than " + MarkerLife.String() + ": ask a gateway again")
	case age < -int64(Window):
		return errMarker("it is from the future: the clocks of gateway and target differ by " + time.Duration(-age).Round(time.Second).String())
	}
	return nil
}

// ErrMarkerForm is the 403 of a marker that cannot be read.
func ErrMarkerForm() error { return errMarker("it cannot be read") }

func errMarker(why string) error {
	return apierr.New(statusForbidden, CodeRedirect, "the request's redirect is not accepted: %s", why)
}
