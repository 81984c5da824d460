package work

import (
	"context"
	"encoding/json"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/stats"
	"github.com/aistore-go/aistore/cmn/wire"
)

// listPage lists one page of names behind a name picked at random. What is
// counted are the bytes of the answer.
func (l *Load) listPage(ctx context.Context, w *load.Worker, s *state) bool {
	w.Begin(stats.List)
	msg := wire.LsoMsg{Props: wire.LsoPropsName, Prefix: l.p.Subdir, PageSize: int64(l.p.PageSize)}
	if i := w.Random.IntN(len(l.names) + len(s.own)); i < len(l.names) {
		msg.ContinuationToken = l.names[i]
	} else {
		msg.ContinuationToken = string(l.maker.Append(nil, s.own[i-len(l.names)]))
	}
	if l.p.Cached {
		msg.Flags |= wire.LsoCached
	}
	body, err := json.Marshal(wire.ActMsg{Action: wire.ActList, Value: msg})
	var resp load.Response
	if err == nil {
		r := &w.Request
		r.Reset("GET", l.gateway(w))
		r.Path = append(append(append(r.Path, wire.PathBuckets+"/"...), l.p.Bucket.Name...), "?provider="...)
		r.Path = append(r.Path, l.p.Bucket.Provider...)
		if l.p.Bucket.Ns.Name != "" {
			r.Path = append(append(r.Path, "&namespace=%23"...), l.p.Bucket.Ns.Name...)
		}
		r.AddHeader(wire.HeaderContentType, wire.ContentJSON)
		r.AddHeader(wire.HeaderAccept, wire.ContentMsgpack)
		r.Body = body
		resp, err = l.do(ctx, w, r)
	}
	l.count(w, w.Start, stats.List, resp.Bytes, err)
	return true
}

// gateway is where requests go that are not for one object.
func (l *Load) gateway(w *load.Worker) string {
	return l.session.gateways[w.Random.IntN(len(l.session.gateways))]
}
