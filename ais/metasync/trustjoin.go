package metasync

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	challengeLife = 30 * time.Second
	maxChallenges = 1000
)

// joinTrust is the part of a join request that is about trust.
type joinTrust struct {
	Counter   []byte `json:"counter,omitempty"`   // the joiner's own challenge
	Challenge []byte `json:"challenge,omitempty"` // the leader's, that Proof answers
	Proof     []byte `json:"proof,omitempty"`     // of the join secret
	Mutual    bool   `json:"mutual,omitempty"`    // the joiner has a join secret: the leader has to prove that it knows it
}

// joinVouch is the part of a join reply that is about trust.
type joinVouch struct {
	Challenge []byte            `json:"challenge,omitempty"` // the join secret is to be proven
	Proof     []byte            `json:"proof,omitempty"`     // the leader's own
	Keys      []trust.SealedKey `json:"keys,omitempty"`      // cluster keys, sealed for the joiner, oldest first
}

// challenge is what the leader waits for from a node that joins.
type challenge struct {
	node    string // id
	counter []byte
	until   time.Time
}

// joinProof is a joiner's side of the same.
type joinProof struct {
	counter   []byte
	challenge []byte // nil before the leader has sent it
	uuid      string // whose challenge it is
	leader    string
}

// introduce completes a request to join: with a challenge of its own, and with
// the answer to the one that this URL has sent.
func (m *machine) introduce(url string, req *joinRequest) *joinProof {
	t := &m.trust
	if t.keyring == nil {
		return nil
	}
	p := t.proofs[url]
	delete(t.proofs, url)
	if p == nil {
		p = &joinProof{counter: t.keyring.Nonce()}
	}
	req.Counter, req.Mutual = p.counter, t.keyring.Secret() != nil
	if p.challenge != nil {
		req.Challenge = p.challenge
		req.Proof = t.keyring.Secret().Prove(trust.JoinNode, m.ownTranscript(p))
	}
	return p
}

// ownTranscript is what the proofs of this node's join are bound to.
func (m *machine) ownTranscript(p *joinProof) *trust.JoinTranscript {
	return &trust.JoinTranscript{
		UUID: p.uuid, Challenge: p.challenge, Counter: p.counter, Leader: p.leader,
		NodeID: m.self.ID, PublicKey: m.self.VerifyingKey, Incarnation: m.incarnation,
	}
}

// judge looks at the reply to a request to join. again tells that the request
// has to be made once more, now with an answer to the challenge; the error is
// why this node does not let the sender admit it.
func (m *machine) judge(url string, p *joinProof, r *joinReply) (again bool, err error) {
	t := &m.trust
	if t.keyring == nil {
		return false, nil
	}
	secret := t.keyring.Secret()
	switch {
	case !r.Admitted && len(r.Challenge) == 0:
		return false, nil
	case secret == nil && len(r.Challenge) > 0 && !r.Admitted:
		return false, errProof("cluster %q admits nodes only with the join secret, and this node has none (%s, %s)", r.UUID, trust.EnvJoinSecret, trust.EnvJoinSecretFile)
	case secret == nil:
		return false, nil
	}
	if !r.Admitted {
		p = &joinProof{counter: p.counter, challenge: r.Challenge, uuid: r.UUID, leader: r.From}
		if err := secret.Check(trust.JoinLeader, m.ownTranscript(p), r.Proof); err != nil {
			return false, errImpostor(url, err)
		}
		if t.proofs == nil || len(t.proofs) >= maxChallenges {
			t.proofs = map[string]*joinProof{}
		}
		t.proofs[url] = p
		return true, nil
	}
	transcript := m.ownTranscript(p)
	transcript.Content = replyDigest(r)
	if err := secret.Check(trust.JoinAdmitted, transcript, r.Proof); err != nil {
		return false, errImpostor(url, err)
	}
	return false, nil
}

// takeKeys takes the keys that came with the admission into use, once its
// documents are taken. Of the keys that the leader held then, those count that
// this node's documents still have: it may have followed a change of the keys
// while the answer was on its way.
func (m *machine) takeKeys(r *joinReply) {
	given := make(map[uint32][]byte, len(r.Keys))
	for i := range r.Keys {
		given[r.Keys[i].ID] = r.Keys[i].Box
	}
	m.openKeys(given)
}

// replyDigest is the SHA-256 of what a node takes over when it is admitted.
func replyDigest(r *joinReply) []byte {
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode([]any{sha256.Sum256(r.View), r.Keys}) // a hash takes everything
	return sum.Sum(nil)
}

func errProof(format string, args ...any) error {
	return apierr.New(statusUnauthorized, trust.CodeJoinProof, format, args...)
}

func errImpostor(url string, cause error) error {
	return apierr.New(statusUnauthorized, trust.CodeJoinProof, "the node at %s did not prove that it knows this node's join secret, it is not joined: %s", url, cause)
}

const (
	statusUnauthorized = 401
	statusForbidden    = 403
)

// untrusted tells the errors of a join after which somebody has to look at the
// configuration.
func untrusted(err error) bool {
	switch apierr.CodeOf(err) {
	case trust.CodeJoinProof, trust.CodeIdentity, trust.CodeClockSkew, trust.CodeSignature:
		return true
	}
	return false
}

// distrusted notes why this node is not let in, or does not want in.
func (m *machine) distrusted(url string, err error) {
	if m.leads() || m.join.state == joined && !m.stale() {
		m.log.Debug("join refused", "asked", url, "err", err)
		return
	}
	if m.fenced != err.Error() {
		m.log.Error("cannot join", "asked", url, "err", err)
	}
	m.fenced = err.Error()
	m.join.next = m.now.Add(joinPauseMax)
}

// mayApply tells whether a node that asks to join is who it says it is and, if
// a join secret is set, that it knows it. If not, it has been answered.
func (m *machine) mayApply(a *applicant) bool {
	t := &m.trust
	if t.keyring == nil || a.token == 0 {
		return true
	}
	node := a.req.Node
	if t.caller == nil || t.caller.ID != node.ID || len(node.VerifyingKey) == 0 || !bytes.Equal(t.caller.Key, node.VerifyingKey) {
		m.respond(a.token, nil, apierr.New(statusForbidden, trust.CodeIdentity, "join: the request of %s is not signed with the key that it names", node))
		return false
	}
	switch secret := t.keyring.Secret(); {
	case secret == nil && a.req.Mutual:
		m.respond(a.token, nil, errProof("join: %s wants to see that the cluster knows its join secret, and the cluster has none", node))
		return false
	case secret != nil && !m.proven(secret, a):
		return false
	}
	holder := m.view().Smap.Node(node.ID)
	if holder == nil || len(holder.VerifyingKey) == 0 || bytes.Equal(holder.VerifyingKey, node.VerifyingKey) {
		return true
	}
	m.askFormerHolder(holder, a)
	return false
}

// proven checks the proof of the join secret; without one it sends a
// challenge, with its own proof.
func (m *machine) proven(secret *trust.JoinSecret, a *applicant) bool {
	t := &m.trust
	req := &a.req
	transcript := m.transcript(req)
	if len(req.Proof) > 0 {
		c := t.challenges[string(req.Challenge)]
		delete(t.challenges, string(req.Challenge)) // good once
		var err error
		if c == nil || c.node != req.From || !bytes.Equal(c.counter, req.Counter) || m.now.After(c.until) {
			err = errProof("join: the proof of the join secret answers no challenge of this node")
		} else {
			err = secret.Check(trust.JoinNode, transcript, req.Proof)
		}
		if err != nil {
			m.log.Warn("join refused", "node", req.Node.String(), "url", req.URL, "err", err)
			m.respond(a.token, nil, err)
		}
		return err == nil
	}
	if len(req.Counter) != trust.NonceSize {
		m.respond(a.token, nil, errProof("join: the request has no challenge of its own, the join secret cannot be proven"))
		return false
	}
	if t.challenges == nil || len(t.challenges) >= maxChallenges {
		t.challenges = map[string]*challenge{}
	}
	// A node that asks along several ways at a time gets several.
	nonce := t.keyring.Nonce()
	t.challenges[string(nonce)] = &challenge{node: req.From, counter: req.Counter, until: m.now.Add(challengeLife)}
	transcript.Challenge = nonce
	r := &joinReply{envelope: m.envelope(), Hint: m.leaderHint()}
	r.Challenge, r.joinVouch.Proof = nonce, secret.Prove(trust.JoinLeader, transcript)
	m.respond(a.token, r, nil)
	return false
}

// transcript is what the proofs of a join are bound to at the leader.
func (m *machine) transcript(req *joinRequest) *trust.JoinTranscript {
	return &trust.JoinTranscript{
		UUID: m.identity.UUID, Challenge: req.Challenge, Counter: req.Counter, Leader: m.self.ID,
		NodeID: req.Node.ID, PublicKey: req.Node.VerifyingKey, Incarnation: req.Incarnation,
	}
}

func (m *machine) forgetChallenges() {
	for nonce, c := range m.trust.challenges {
		if m.now.After(c.until) {
			delete(m.trust.challenges, nonce)
		}
	}
}

// askFormerHolder decides about a node that shows another key than the map has
// for its id: an impostor, or a node that has lost its key file. It gets the
// id if the node that had it is down and does not answer.
func (m *machine) askFormerHolder(holder *meta.Snode, a *applicant) {
	url := holder.IntraControl.URL
	refuse := func() {
		m.log.Warn("another node has this id and another key", "holder", holder.String(), "at", url, "refused", a.req.URL)
		m.respond(a.token, nil, apierr.New(statusForbidden, codeDuplicate,
			"duplicate node ID: another %s with another key is running at %s", holder, url))
	}
	if holder.ID == m.self.ID {
		refuse()
		return
	}
	m.call(url, KindWhois, &whoisRequest{envelope: m.envelope()}, m.times.Call/2, func(body []byte, err error) {
		var r whoisReply
		if err == nil {
			err = unmarshal(KindWhois, body, &r)
		}
		switch {
		case err == nil && r.From == holder.ID && r.Incarnation != a.req.Incarnation:
			refuse()
		case err != nil && !m.down(holder.ID):
			m.respond(a.token, nil, apierr.Unavailable(m.times.Down, "join: %s has another key in the cluster map, and has not been silent for %v yet", holder, m.times.Down))
		default:
			m.log.Warn("node comes back with another key", "node", holder.String(), "url", a.req.URL)
			m.enqueue(a)
		}
	})
}

// vouch completes the reply that admits a node: with the cluster keys, sealed
// for it, and with the proof that the reply is the cluster's.
func (m *machine) vouch(a *applicant, r *joinReply) {
	t := &m.trust
	if t.keyring == nil || a.token == 0 {
		return
	}
	node := a.req.Node
	for _, key := range t.keyring.Ring().Keys() {
		sealed, err := t.keyring.SealFor(m.identity.UUID, node.ID, node.VerifyingKey, key)
		if err != nil {
			m.log.Error("cannot seal a cluster key", "for", node.String(), "err", err)
			continue
		}
		r.Keys = append(r.Keys, sealed)
	}
	if secret := t.keyring.Secret(); secret != nil && len(a.req.Proof) > 0 {
		transcript := m.transcript(&a.req)
		transcript.Content = replyDigest(r)
		r.joinVouch.Proof = secret.Prove(trust.JoinAdmitted, transcript)
	}
}
