package rpc

import (
	"net/http"

	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
)

// SignAsYourself is the value of the header Ais-Caller-Sig in a refusal: the
// receiver does not hold the cluster key that the request was signed with, and
// would take the caller's own signature.
const SignAsYourself = "unknown-key"

// Introduces tells the calls by which nodes make themselves known. They are
// signed by the node's identity, whatever keys it has: who receives them may
// not have the cluster's. They may come from a node that is not in the map,
// and to an address that is not the advertised one.
func Introduces(path string) bool {
	switch path {
	case wire.PathMetasync + "/whois", wire.PathMetasync + "/join", wire.PathMetasync + "/announce",
		wire.PathDaemon + "/" + wire.ItemJoinByAdmin:
		return true
	}
	return false
}

// signedTrip sends a request with the caller's headers and its signature. If
// the receiver does not hold the cluster key, the request is sent once more
// under the node's own signature, provided that its body can be had again.
func (c *Client) signedTrip(class Class, req *http.Request, body trust.Body) (*http.Response, error) {
	req.Header[wire.HeaderCallerID] = []string{c.opts.NodeID}
	req.Header[wire.HeaderCallerName] = []string{c.opts.NodeName}
	if c.opts.Trust == nil {
		return c.roundTrip(class, req)
	}
	byIdentity := Introduces(req.URL.Path)
	c.sign(req, body, byIdentity)
	res, err := c.roundTrip(class, req)
	if err != nil || res.StatusCode != http.StatusForbidden || byIdentity || res.Header.Get(wire.HeaderCallerSig) != SignAsYourself {
		return res, err
	}
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return res, nil
		}
		if req.Body, err = req.GetBody(); err != nil {
			return res, nil //nolint:nilerr // the refusal is the answer
		}
	}
	_ = res.Body.Close() // of a refusal that is made up for
	c.sign(req, body, true)
	return c.roundTrip(class, req)
}

// sign sets the headers of a signature.
func (c *Client) sign(req *http.Request, body trust.Body, byIdentity bool) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	_, passes := req.Header[wire.HeaderCallerPasses]
	s := c.opts.Trust.Sign(&trust.Call{Method: req.Method, Host: host, URI: req.URL.RequestURI(), Passes: passes, Body: body}, byIdentity)
	req.Header[wire.HeaderCallerSig] = []string{s.Code}
	req.Header[wire.HeaderCallerNonce] = []string{s.Nonce}
}
