package objreq

import (
	"strconv"

	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Marker is what a redirect adds to a query.
type Marker struct {
	Present     bool  // the request was redirected by a node
	SmapVersion int64 // of the map by which, 0 if unknown
	Sent        int64 // when, in nanoseconds since the epoch, 0 if unknown
}

// ReadMarker finds the marker in the query of a request at a target.
func ReadMarker(q *query.Values) Marker {
	if q.Get(wire.QueryRedirectProxyID) == "" || q.Get(wire.QueryRedirectUnixTime) == "" {
		return Marker{}
	}
	m := Marker{Present: true}
	// What cannot be read is of another implementation, or a person's: there
	// is nothing to catch up with, and nothing to measure.
	if version, err := strconv.ParseInt(q.Get(wire.QueryRedirectMapAndSig), 36, 64); err == nil {
		m.SmapVersion = version
	}
	if sent, err := strconv.ParseInt(q.Get(wire.QueryRedirectUnixTime), 36, 64); err == nil {
		m.Sent = sent
	}
	return m
}
