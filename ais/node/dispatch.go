package node

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// errStarting is answered with a bare 503: clients have a text of their own
// for it.
var errStarting = errors.New("node is starting up")

// errBadGateway is answered with a bare 502.
var errBadGateway = errors.New("other node is unreachable")

// publicHandler answers requests of clients.
type publicHandler struct{ n *Node }

// ServeHTTP implements http.Handler.
func (p publicHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := p.n.watchBody(r, true)
	defer body.abandon()
	p.serve(w, r)
	body.finish(w, r)
}

func (p publicHandler) serve(w http.ResponseWriter, r *http.Request) {
	n := p.n
	bit := methodBit(r.Method)
	if bit == 0 {
		methodNotAllowed(w, r, noMethods)
		return
	}
	rt := lookup(n.routes.Load().public, r.URL.Path)
	if _, intra := r.Header[wire.HeaderCallerID]; intra && !dropCaller(r) {
		n.refuse(w, r, apierr.New(http.StatusForbidden, "", "unexpected intra-cluster header on pub: %s", wire.HeaderCallerID))
		return
	}
	n.run(w, r, rt, bit)
}

// dropCaller removes the headers that only nodes may send from the one call
// that is taken from nodes of other programs on a public listener, as from
// anybody; false for all other calls.
func dropCaller(r *http.Request) bool {
	if r.Method != http.MethodPost || r.URL.Path != wire.PathCluster+"/"+wire.ItemAutoReg {
		return false
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Ais-Caller-") {
			delete(r.Header, name)
		}
	}
	return true
}

// intraHandler answers requests of other nodes.
type intraHandler struct{ n *Node }

// ServeHTTP implements http.Handler.
func (i intraHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := i.n.watchBody(r, false)
	defer body.abandon()
	i.serve(w, r)
	body.finish(w, r)
}

func (i intraHandler) serve(w http.ResponseWriter, r *http.Request) {
	n := i.n
	bit := methodBit(r.Method)
	if bit == 0 {
		methodNotAllowed(w, r, noMethods)
		return
	}
	authentic, err := n.authenticate(r)
	if err != nil {
		n.refuseCaller(w, r, err)
		return
	}
	r = authentic
	tables := n.routes.Load()
	rt := lookup(tables.intra, r.URL.Path)
	if rt == nil {
		// a client's call that another node passes on
		rt = lookup(tables.public, r.URL.Path)
		if rt != nil && rt.gated && n.Caller(r) == nil {
			n.refuse(w, r, n.errUnknownCaller(r))
			return
		}
	} else if rt.gated && n.Caller(r) == nil || n.trust != nil && !forwarded(r) && rt.prefix == wire.PathMetasync {
		n.refuse(w, r, n.errUnknownCaller(r))
		return
	}
	n.run(w, r, rt, bit)
}

// Caller returns the node of the Smap that sent this request, nil if the
// request is a client's or comes from a node that is not known. That it is the
// caller's was proven when the request arrived; see authenticate.
func (n *Node) Caller(r *http.Request) *meta.Snode {
	id := r.Header[wire.HeaderCallerID]
	smap := n.View().Smap
	if len(id) != 1 || smap == nil {
		return nil
	}
	return smap.Node(id[0])
}

// forwarded tells a request that another node has passed on.
func forwarded(r *http.Request) bool { return len(r.Header[wire.HeaderCallerID]) > 0 }

func (n *Node) errUnknownCaller(r *http.Request) error {
	if n.View().Smap == nil {
		return errStarting
	}
	return apierr.New(http.StatusForbidden, wire.CodeUnknownCaller, "%s: caller %q is not a node of this cluster", n.name, r.Header.Get(wire.HeaderCallerID))
}

// run answers one request by its route.
func (n *Node) run(w http.ResponseWriter, r *http.Request, rt *route, bit methodSet) {
	if rt == nil {
		if !n.Started() {
			n.refuse(w, r, errStarting) // the role's routes are not there yet
			return
		}
		n.refuse(w, r, apierr.BadRequest("invalid request URI: '%s %s' from %s", r.Method, r.RequestURI, r.RemoteAddr))
		return
	}
	if rt.methods&bit == 0 {
		if bit == methodOptions {
			w.Header()[wire.HeaderAllow] = rt.allow
			w.WriteHeader(http.StatusOK)
			return
		}
		methodNotAllowed(w, r, rt.allow)
		return
	}
	if rt.gated {
		if err := n.awaitServing(r); err != nil {
			n.refuse(w, r, err)
			return
		}
	}
	sw := newWriter(w, r)
	defer n.recovered(sw, r)
	if err := rt.handler(sw, r); err != nil {
		n.fail(sw, r, err)
	}
	sw.release()
}

// recovered turns a panic of a handler into a 500, or into a broken
// connection if the answer has begun.
func (n *Node) recovered(sw *writer, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
		panic(cause)
	}
	n.logger.Error("panic in a handler", "method", r.Method, "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
	n.fail(sw, r, apierr.New(http.StatusInternalServerError, "", "%s: internal error, see this node's log", n.name))
	sw.release()
}

// awaitServing returns nil once the node serves. A node that is starting is
// given a moment; the error is then errStarting or says why.
func (n *Node) awaitServing(r *http.Request) error {
	if n.Joined() {
		n.freshen(r.Context())
		return nil
	}
	deadline := time.Now().Add(n.limits.StartWait)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.Stopping() {
			return apierr.Unavailable(time.Second, "%s is stopping", n.name)
		}
		if cp := n.Control(); cp != nil {
			if why := cp.Fenced(); why != "" {
				return apierr.Unavailable(10*time.Second, "%s may not serve: %s", n.name, why)
			}
		}
		if n.Joined() {
			return nil
		}
		if !time.Now().Before(deadline) {
			return errStarting
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// noMethods is the Allow header of an unknown method; it is only read.
var noMethods = []string{""}

// methodNotAllowed is the 405: plain text, not JSON.
func methodNotAllowed(w http.ResponseWriter, r *http.Request, allow []string) {
	const text = "Method Not Allowed\n"
	objreq.Early(w, r)
	h := w.Header()
	h[wire.HeaderAllow] = allow
	h[wire.HeaderContentType] = []string{wire.ContentTextUTF8}
	h[wire.HeaderContentLength] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(http.StatusMethodNotAllowed)
	_, _ = w.Write([]byte(text)) // the client is gone if this fails
}

// refuse answers a request that goes to no handler. As with those that do, a
// client that is still sending gets the answer and not a reset.
func (n *Node) refuse(w http.ResponseWriter, r *http.Request, err error) {
	objreq.Early(w, r)
	n.failDirect(w, r, err)
}
