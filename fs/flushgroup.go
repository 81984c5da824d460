package fs

import "context"

// FlushGroup collects what is to be made durable together and may lie on
// several filesystems, each of which has flush rounds of its own. The zero
// value is empty. It is not safe for concurrent use.
type FlushGroup struct {
	requests map[*Filesystem]*FlushRequest
}

// Of is the request that goes to the filesystem of a mountpath.
func (g *FlushGroup) Of(mp *Mountpath) *FlushRequest {
	request := g.requests[mp.Filesystem()]
	if request == nil {
		if g.requests == nil {
			g.requests = make(map[*Filesystem]*FlushRequest)
		}
		request = &FlushRequest{}
		g.requests[mp.Filesystem()] = request
	}
	return request
}

// Flush makes all of it durable, one filesystem after the other, and empties
// the group. It stops at the first error.
func (g *FlushGroup) Flush(ctx context.Context) error {
	for filesystem, request := range g.requests {
		if err := filesystem.Flush(ctx, *request); err != nil {
			return err
		}
	}
	clear(g.requests)
	return nil
}
