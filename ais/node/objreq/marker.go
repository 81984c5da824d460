package objreq

import (
	"strconv"
	"time"

	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Marker is what a redirect adds to a query. Until Check has accepted it, it
// says what anybody may have written.
type Marker struct {
	Present     bool  // the request was redirected by a node
	SmapVersion int64 // of the map by which, 0 if unknown
	Sent        int64 // when, in nanoseconds since the epoch, 0 if unknown

	gateway string
	signed  trust.Marker
	damaged bool // it has not the form of a marker
}

// ReadMarker finds the marker in the query of a request at a target.
func ReadMarker(q *query.Values) Marker {
	m := Marker{gateway: q.Get(wire.QueryRedirectProxyID)}
	sent := q.Get(wire.QueryRedirectUnixTime)
	if m.gateway == "" || sent == "" {
		return Marker{}
	}
	m.Present = true
	var ok bool
	if m.signed, ok = trust.ParseMarker(q.Get(wire.QueryRedirectMapAndSig)); ok {
		m.SmapVersion = m.signed.SmapVersion
	} else {
		m.damaged = true
	}
	if at, err := strconv.ParseInt(sent, 36, 64); err == nil {
		m.Sent = at
	} else {
		m.damaged = true
	}
	return m
}

// Known tells whether the ring holds the key that the marker was made with. If
// not, this node may be behind the gateway.
func (m *Marker) Known(ring *trust.Ring) bool { return m.damaged || ring.Known(m.signed) }

// Check returns nil if a node of this cluster made the marker for this object
// within the last five minutes; else the error is a 403. Without cluster keys
// every marker is accepted. It does not allocate if the marker is good.
func (m *Marker) Check(ring *trust.Ring, bck wire.Bck, object string, now time.Time) error {
	if ring.Empty() {
		return nil
	}
	if m.damaged {
		return trust.ErrMarkerForm()
	}
	buf := scratch.Get().(*[]byte)
	*buf = bck.AppendUname((*buf)[:0], object)
	redirect := trust.Redirect{Uname: *buf, Gateway: m.gateway, Sent: m.Sent}
	err := ring.CheckMarker(m.signed, &redirect, now)
	scratch.Put(buf)
	return err
}
