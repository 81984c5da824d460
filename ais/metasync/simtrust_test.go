package metasync

import (
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// simTrust is what the nodes of a simulated cluster with trust have in common.
type simTrust struct {
	secret  *trust.JoinSecret // nil: none
	keyLife time.Duration
}

// simKeys are a simulated node's key file and keyring. Its wall clock differs
// from those of others by less than signatures allow.
type simKeys struct {
	identity *trust.Identity
	keyring  *trust.Keyring
	ahead    time.Duration
}

// trusting lets all nodes have identities, sign what they send and verify what
// they hear, as the listeners of real nodes do; cluster keys are replaced
// often, and in half of the histories a join secret is set.
func (s *sim) trusting() {
	s.trust = &simTrust{keyLife: 15*time.Second + s.random(75*time.Second)}
	if s.chance(0.5) {
		secret, err := trust.NewJoinSecret(secretA)
		if err != nil {
			s.fatalf("%v", err)
		}
		s.trust.secret = secret
	}
}

// unlock makes the keyring of a start, and the key file of the first one.
func (n *simNode) unlock() {
	if n.s.trust == nil {
		return
	}
	if n.identity == nil {
		identity, err := trust.NewIdentity()
		if err != nil {
			n.s.fatalf("%v", err)
		}
		n.identity, n.ahead = identity, n.s.random(40*time.Second)-20*time.Second
	}
	n.keyring = trust.New(trust.Options{
		NodeID: n.self.ID, Identity: n.identity, Secret: n.s.trust.secret,
		Clock: func() time.Time { return n.s.now.Add(n.ahead) },
	})
	self := *n.self
	self.VerifyingKey = n.keyring.Public()
	n.self = &self
}

// trustIn completes the options of a machine.
func (n *simNode) trustIn(o *machineOptions) {
	if n.s.trust == nil {
		return
	}
	o.trust, o.signer, o.times.KeyLife = n.keyring, n.keyring.Signer(), n.s.trust.keyLife
}

// signedCall is a call with its signature; nil without trust.
type signedCall struct {
	trust.Call
	signature trust.Signature
}

func introduces(kind string) bool {
	return kind == KindWhois || kind == KindJoin || kind == KindAnnounce
}

func (n *simNode) sign(url, kind string, body []byte, byIdentity bool) *signedCall {
	if n.s.trust == nil {
		return nil
	}
	c := &signedCall{Call: trust.Call{Method: "POST", Host: url, URI: "/v1/metasync/" + kind, Body: trust.BufferedBody(body)}}
	c.signature = n.keyring.Sign(&c.Call, byIdentity)
	return c
}

func (n *simNode) verify(c *signedCall, kind string) (*trust.Caller, error) {
	if c == nil {
		return nil, nil
	}
	var memberKey []byte
	if node := n.inView.Smap.Node(c.Caller); node != nil {
		memberKey = node.VerifyingKey
	}
	call := c.Call
	caller, err := n.keyring.Verify(&call, c.signature, memberKey, kind != KindRaft && kind != KindKeepalive)
	switch {
	case err != nil:
		return nil, err
	case introduces(kind) || caller.Member:
		return &caller, nil
	case n.inView.Smap == nil:
		return nil, apierr.Unavailable(time.Second, "%s is starting", n.self)
	}
	return nil, apierr.New(statusForbidden, trust.CodeIdentity, "%s is not a member", c.Caller)
}

// hear is a call that arrives.
func (n *simNode) hear(c *signedCall, kind string, body []byte, then func(reply)) {
	if n.m == nil || n.stopped(func() { n.hear(c, kind, body, then) }) {
		return
	}
	caller, err := n.verify(c, kind)
	if err != nil {
		n.s.after(0, func() { then(reply{err: err}) })
		return
	}
	n.request(func(m *machine, token uint64) { m.incomingFrom(caller, token, kind, body) }, then)
}

// asItself tells that a call has to be made again under the node's own
// signature: the receiver does not hold the key that it was signed with.
func asItself(err error) bool { return apierr.CodeOf(err) == trust.CodeUnknownKey }

// keysAgree tells that every node that is up holds the newest cluster key and
// has a box of it, and holds no key of the past. An older key may be lost with
// those who held it.
func (s *sim) keysAgree() bool {
	p := s.primary()
	if s.trust == nil {
		return true
	}
	if p == nil || p.inView.Keys.Newest() == nil {
		return false
	}
	keys := p.inView.Keys
	newest := keys.Newest()
	for _, n := range s.up() {
		if !n.keyring.Ring().Has(newest.ID) || !trust.IsFor(n.keyring.Public(), newest.Boxes[n.self.ID]) {
			return false
		}
		for _, held := range n.keyring.Ring().Keys() {
			if !slices.ContainsFunc(keys.Keys, func(k meta.ClusterKey) bool { return k.ID == held.ID }) {
				return false
			}
		}
	}
	return true
}
