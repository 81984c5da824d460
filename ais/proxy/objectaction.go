package proxy

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// objectAction answers POST /v1/objects/...
func (p *Proxy) objectAction(w http.ResponseWriter, r *http.Request) error {
	body, err := node.ReadBody(r, objreq.MaxActionBody)
	if err != nil {
		return err
	}
	msg, err := node.DecodeActMsg(body)
	if err != nil {
		return err
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	path := node.PathItems(r)
	if msg.Action == wire.ActPromote {
		if path.Count != 3 {
			return apierr.BadRequest("invalid request URI: '%s %s' (the name of the object is given by \"obj\")", r.Method, r.RequestURI)
		}
		return p.promote(w, r, path.Items[2], body, msg, &q)
	}
	if err := objreq.CheckAction(msg.Action); err != nil {
		return err
	}
	if err := path.Require(4); err != nil {
		return err
	}
	return p.objectRequest(w, r, &request{bucket: path.Items[2], object: path.Items[3], query: &q, action: msg})
}

// readAction reads the message of a POST on an object.
func readAction(r *http.Request) (*node.ActMsg, error) {
	msg, err := node.ReadActMsg(r, objreq.MaxActionBody)
	if err != nil {
		return nil, err
	}
	return msg, objreq.CheckAction(msg.Action)
}
