package proxy

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
)

// maxActionBody bounds the JSON body of an object action, in bytes.
const maxActionBody = 64 << 10

// objectAction answers POST /v1/objects/...
func (p *Proxy) objectAction(r *http.Request) error {
	msg, err := node.ReadActMsg(r, maxActionBody)
	if err != nil {
		return err
	}
	return objreq.ErrObjectAction(msg.Action)
}

func errInvalidAction(action string) error {
	return apierr.BadRequest("invalid action %q", action)
}

// service answers every path of a service that is not built with one sentence.
func service(what string) node.Handler {
	return func(http.ResponseWriter, *http.Request) error {
		return apierr.NotImplemented("%s is not built yet", what)
	}
}
