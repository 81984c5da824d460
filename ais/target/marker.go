package target

import (
	"context"
	"sync/atomic"
	"time"
)

// keyPullPause is the shortest time between two looks at the primary for the
// sake of markers with an unknown key, which anybody can make up.
const keyPullPause = time.Second

// markerCheck is what a target remembers about markers.
type markerCheck struct {
	pulled atomic.Int64 // when it looked for newer keys last, Unix ns
}

// checkMarker lets a request pass that no gateway has redirected, and one that
// a gateway did redirect, to this object and not long ago. Anything else is a
// 403. A gateway may have a newer cluster key than this target: then it
// catches up first.
func (t *Target) checkMarker(ctx context.Context, req *objectRequest) error {
	if !req.marker.Present {
		return nil
	}
	ring := t.node.Ring()
	if last, now := t.markers.pulled.Load(), req.began.UnixNano(); !req.marker.Known(ring) && now-last >= int64(keyPullPause) && t.markers.pulled.CompareAndSwap(last, now) {
		if err := t.control.Pull(ctx); err != nil {
			return err
		}
	}
	return req.marker.Check(ring, req.key.Bck, req.key.Name, req.began)
}
