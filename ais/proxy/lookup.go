package proxy

import (
	"context"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// freshProps returns the properties of a bucket for calls about the bucket
// itself: the answer is at least as new as every change that was acknowledged
// before. stale tells that no majority could be asked.
func (p *Proxy) freshProps(ctx context.Context, bck wire.Bck) (props *meta.Bprops, stale bool, err error) {
	if stale, err = p.control.Barrier(ctx); err != nil {
		return nil, false, err
	}
	if props, ok := p.control.View().BMD.Get(bck); ok {
		return props, stale, nil
	}
	return nil, stale, apierr.MarkStale(objreq.ErrBucketNotFound(bck), stale)
}
