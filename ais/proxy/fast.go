package proxy

import (
	"time"

	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// fastRedirect redirects reads and writes of objects in the loop.
type fastRedirect struct{ p *Proxy }

// redirects are the three kinds of requests that it knows.
var redirects = [...]struct {
	access  meta.Access
	status  string
	op      metrics.Op
	counted bool
	typed   bool // the answer has a content type
}{
	fastpath.Get:  {meta.AccessGet, "301 Moved Permanently", metrics.Get, true, true},
	fastpath.Head: {meta.AccessHeadObject, "307 Temporary Redirect", metrics.Head, false, true},
	fastpath.Put:  {meta.AccessPut, "307 Temporary Redirect", metrics.Put, true, false},
}

// ServeFast implements fastpath.Fast: it decides as objectRequest does, and
// leaves to that whatever is not a plain redirect.
func (f fastRedirect) ServeFast(c *fastpath.Conn, r *fastpath.Request) fastpath.Outcome {
	p := f.p
	var s objreq.Simple
	if r.ContentLength > fastpath.KeepBody || !s.Parse(r) {
		return fastpath.Slow // a longer body ends its connection: the ordinary handler sees to that
	}
	began := time.Now()
	kind := &redirects[r.Method]
	view := p.control.View()
	props, known := view.BMD.Get(s.Bck)
	if !known || !props.Access.Allows(kind.access) || props.RateLimit.Frontend.Enabled {
		return fastpath.Slow
	}
	owner, err := objreq.Owner(view.Smap, s.Bck, s.Object)
	if err != nil || p.control.IsDown(owner.ID) {
		return fastpath.Slow
	}
	to := objreq.Request{
		Bck: s.Bck, Object: s.Object, Path: s.Path, NodeID: p.node.ID(), Smap: view.Smap, Owner: owner, Now: began, Ring: p.node.Ring(),
	}
	if !to.Reaches(c.FromLoopback()) {
		return fastpath.Slow
	}
	answer := c.AppendStatus(c.Header(), kind.status)
	if kind.typed {
		answer = fastpath.AppendField(answer, wire.HeaderContentType, wire.ContentHTMLUTF8)
	}
	answer = append(answer, wire.HeaderContentLength+": 0\r\n"+wire.HeaderLocation+": "...)
	answer = to.AppendLocation(answer, s.RawQuery)
	answer = append(answer, "\r\n\r\n"...)
	outcome := c.Reply(answer, nil)
	if kind.counted {
		p.metrics.Done(kind.op, s.Bck, 0, time.Since(began))
	}
	return outcome
}
