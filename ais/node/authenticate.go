package node

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/transport/rpc"
)

// Trust returns what this node signs and verifies with; nil if requests
// between nodes are not signed, which is for tests only.
func (n *Node) Trust() *trust.Keyring { return n.trust }

// Ring returns the cluster keys; see trust.Ring.
func (n *Node) Ring() *trust.Ring { return n.trust.Ring() }

// authenticate finds out who makes a request on an intra-cluster listener. A
// request without a caller is a client's; one that names a caller must prove
// it, or is refused with 403. The request that is returned says in its
// context who the caller is (trust.CallerOf), and its body, if the signature
// covers it, ends with an error unless it is the one that was signed.
func (n *Node) authenticate(r *http.Request) (*http.Request, error) {
	ids := r.Header[wire.HeaderCallerID]
	if len(ids) == 0 || n.trust == nil {
		return r, nil
	}
	if len(ids) != 1 {
		return nil, errSignature("%s: the request names %d callers", n.name, len(ids))
	}
	var memberKey []byte
	smap := n.View().Smap
	if smap != nil {
		if node := smap.Node(ids[0]); node != nil {
			memberKey = node.VerifyingKey
		}
	}
	call := trust.Call{Method: r.Method, Host: r.Host, URI: r.RequestURI, Caller: ids[0], Passes: passedOn(r)}
	given := trust.Signature{Code: first(r.Header[wire.HeaderCallerSig]), Nonce: first(r.Header[wire.HeaderCallerNonce])}
	caller, err := n.trust.Verify(&call, given, memberKey, guarded(r))
	if err != nil {
		return nil, apierr.New(apierr.StatusOf(err), apierr.CodeOf(err), "%s: caller %.64q: %s", n.name, ids[0], err)
	}
	introduction := rpc.Introduces(r.URL.Path)
	switch {
	case !caller.Member && !introduction && smap == nil:
		return nil, errStarting
	case !caller.Member && !introduction:
		return nil, apierr.New(http.StatusForbidden, trust.CodeIdentity, "%s: caller %.64q has another key than the cluster map says, or is not in it", n.name, ids[0])
	case !introduction && !n.isOwnHost(r.Host):
		return nil, errSignature("%s: the request was signed for %.128q", n.name, r.Host)
	}
	if err := n.holdBody(r, &call.Body); err != nil {
		return nil, err
	}
	return r.WithContext(trust.WithCaller(r.Context(), &caller)), nil
}

func errSignature(format string, args ...any) error {
	return apierr.New(http.StatusForbidden, trust.CodeSignature, format, args...)
}

func first(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// guarded tells the requests that must not have their effect twice. Raft and
// keepalives have an order of their own, and listings change nothing.
func guarded(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	switch r.URL.Path {
	case wire.PathMetasync + "/raft", wire.PathMetasync + "/keepalive":
		return false
	}
	return !strings.HasPrefix(r.URL.Path, wire.PathIntra+"/list/")
}

// isOwnHost tells whether a request was sent to an address that this node
// advertises to others: one that was sent to another node is not good here.
func (n *Node) isOwnHost(host string) bool {
	for _, net := range [...]string{n.snode.IntraControl.URL, n.snode.IntraData.URL} {
		if _, own, ok := strings.Cut(net, "://"); ok && own == host {
			return true
		}
	}
	return false
}

// holdBody holds the body of a request against what its signature covers.
func (n *Node) holdBody(r *http.Request, signed *trust.Body) error {
	switch signed.Kind {
	case trust.BodyNone:
		if r.ContentLength != 0 {
			return errSignature("%s: the request has a body that its signature does not cover", n.name)
		}
	case trust.BodyStreamed:
		if r.ContentLength != signed.Length {
			return errSignature("%s: the request's body has %d bytes, it was signed with %d", n.name, r.ContentLength, signed.Length)
		}
	case trust.BodyBuffered:
		r.Body = &signedBody{ReadCloser: r.Body, sum: sha256.New(), want: signed.Sum, node: n.name}
	}
	return nil
}

// signedBody is a body that ends with an error unless it is the signed one.
type signedBody struct {
	io.ReadCloser
	sum  hash.Hash
	want [sha256.Size]byte
	node string
}

// AnsweredEarly implements what objreq.Early calls.
func (b *signedBody) AnsweredEarly() {
	if body, ok := b.ReadCloser.(*clientBody); ok {
		body.AnsweredEarly()
	}
}

// Read implements io.Reader.
func (b *signedBody) Read(p []byte) (int, error) {
	read, err := b.ReadCloser.Read(p)
	_, _ = b.sum.Write(p[:read]) // never fails
	if err == io.EOF {
		var have [sha256.Size]byte
		if subtle.ConstantTimeCompare(b.sum.Sum(have[:0]), b.want[:]) != 1 {
			return read, errSignature("%s: the request's body is not the one that was signed", b.node)
		}
	}
	return read, err
}

// refuseCaller answers a request whose caller is not accepted. One that holds
// newer, or older, cluster keys than this node is asked to sign as itself.
func (n *Node) refuseCaller(w http.ResponseWriter, r *http.Request, err error) {
	if apierr.CodeOf(err) == trust.CodeUnknownKey {
		w.Header()[wire.HeaderCallerSig] = []string{rpc.SignAsYourself}
	}
	n.logger.Debug("a caller was refused", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr, "err", err)
	n.refuse(w, r, err)
}
