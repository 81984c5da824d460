package objreq

import (
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
)

// location is everything that the header Location is made of.
type location struct {
	base        string // target URL: scheme and host, no trailing slash
	bucket      string // decoded
	object      string // decoded
	query       string // of the request, verbatim
	provider    string // appended as a parameter unless "": set for easy URLs
	nodeID      string // of the node that redirects
	smapVersion int64
	now         time.Time
	uname       []byte      // of the object
	ring        *trust.Ring // signs the marker
}

// appendTo appends the absolute URL to dst. The path is escaped from the
// decoded names, so that whatever escaping the client chose, the target
// decodes the same name. The query keeps its original text; the marker of the
// redirect (gateway, time in base 36, map version with signature) comes last.
func (l *location) appendTo(dst []byte) []byte {
	dst = append(dst, l.base...)
	dst = append(dst, wire.PathObjects...)
	dst = append(dst, '/')
	dst = appendPathEscaped(dst, l.bucket)
	dst = append(dst, '/')
	dst = appendPathEscaped(dst, l.object)

	dst = append(dst, '?')
	if l.query != "" {
		if strings.Contains(l.query, wire.QueryRedirectProxyID) || strings.Contains(l.query, wire.QueryRedirectUnixTime) ||
			strings.Contains(l.query, wire.QueryRedirectMapAndSig) {
			dst = appendWithoutMarker(dst, l.query)
		} else {
			dst = appendQuery(dst, l.query)
			dst = append(dst, '&')
		}
	}
	if l.provider != "" {
		dst = append(dst, wire.QueryProvider+"="...)
		dst = append(dst, l.provider...)
		dst = append(dst, '&')
	}
	dst = append(dst, wire.QueryRedirectProxyID+"="...)
	dst = append(dst, l.nodeID...)
	dst = append(dst, "&"+wire.QueryRedirectUnixTime+"="...)
	sent := l.now.UnixNano()
	dst = strconv.AppendInt(dst, sent, 36)
	dst = append(dst, "&"+wire.QueryRedirectMapAndSig+"="...)
	redirect := trust.Redirect{Uname: l.uname, Gateway: l.nodeID, Sent: sent, SmapVersion: l.smapVersion}
	return l.ring.AppendMarker(dst, &redirect, sent)
}

// appendWithoutMarker appends the parameters of a query, each followed by
// '&', except those that only a redirect may set: a client that sends them to
// a gateway must not be able to choose the map version that a target checks.
func appendWithoutMarker(dst []byte, query string) []byte {
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		switch key {
		case "", wire.QueryRedirectProxyID, wire.QueryRedirectUnixTime, wire.QueryRedirectMapAndSig:
			continue
		}
		dst = appendQuery(dst, pair)
		dst = append(dst, '&')
	}
	return dst
}

// appendQuery appends a part of a query as it came, but for "#", at which a
// client would cut the URL.
func appendQuery(dst []byte, query string) []byte {
	for {
		before, after, found := strings.Cut(query, "#")
		dst = append(dst, before...)
		if !found {
			return dst
		}
		dst, query = append(dst, "%23"...), after
	}
}

// pathSafe marks the bytes that stand for themselves in the path of a URL:
// unreserved characters, the sub-delimiters that no parser touches, and '/'.
// '+' is not among them, because some parsers take it for a space.
var pathSafe = func() (safe [256]bool) {
	for c := '0'; c <= '9'; c++ {
		safe[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		safe[c], safe[c-'a'+'A'] = true, true
	}
	for _, c := range "-_.~/!$&'()*,;=:@" {
		safe[c] = true
	}
	return safe
}()

// appendPathEscaped percent-encodes every byte of s that is not safe in a path.
func appendPathEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	start := 0
	for i := range len(s) {
		c := s[i]
		if pathSafe[c] {
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, '%', hex[c>>4], hex[c&15])
		start = i + 1
	}
	return append(dst, s[start:]...)
}
