package metasync

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	secretA = "the secret of this cluster"
	secretB = "the secret of another one"
)

// trustNet is a testNet on which every call is signed and verified, as the
// listeners of real nodes do it. It sees what is said.
type trustNet struct {
	*testNet

	heard      sync.Mutex
	keyrings   map[string]*trust.Keyring // by URL
	said       [][]byte                  // bodies of calls and answers
	byIdentity atomic.Int64              // calls that their caller signed as itself, besides introductions
	refused    atomic.Int64
}

// sender is the network of one node.
type sender struct {
	*trustNet
	id      string
	keyring *trust.Keyring
}

func (s *sender) Send(url string, body []byte) {
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = s.Call(ctx, url, KindRaft, body) // best effort
	})
}

func (s *sender) Call(ctx context.Context, url, kind string, body []byte) ([]byte, error) {
	introduction := kind == KindWhois || kind == KindJoin || kind == KindAnnounce
	answer, err := s.call(ctx, url, kind, body, introduction)
	if apierr.CodeOf(err) == trust.CodeUnknownKey {
		answer, err = s.call(ctx, url, kind, body, true)
	}
	return answer, err
}

func (s *sender) call(ctx context.Context, url, kind string, body []byte, byIdentity bool) ([]byte, error) {
	to := s.get(url)
	if to == nil {
		return nil, errors.New("connection refused")
	}
	s.note(body)
	call := &trust.Call{Method: "POST", Host: url, URI: "/v1/metasync/" + kind, Body: trust.BufferedBody(body)}
	signature := s.keyring.Sign(call, byIdentity)
	var memberKey []byte
	if smap := to.View().Smap; smap != nil {
		if node := smap.Node(s.id); node != nil {
			memberKey = node.VerifyingKey
		}
	}
	s.heard.Lock()
	receiver := s.keyrings[url]
	s.heard.Unlock()
	caller, err := receiver.Verify(call, signature, memberKey, kind != KindRaft && kind != KindKeepalive)
	introduction := kind == KindWhois || kind == KindJoin || kind == KindAnnounce
	switch {
	case err != nil:
		s.refused.Add(1)
		return nil, err
	case !caller.Member && !introduction:
		s.refused.Add(1)
		return nil, apierr.New(403, trust.CodeIdentity, "%s is not a member", s.id)
	case len(caller.Key) > 0 && !introduction:
		s.byIdentity.Add(1)
	}
	answer, err := to.Handle(trust.WithCaller(ctx, &caller), kind, body)
	s.note(answer)
	return answer, err
}

func (s *sender) note(body []byte) {
	s.heard.Lock()
	defer s.heard.Unlock()
	s.said = append(s.said, bytes.Clone(body))
}

// trustNode is a node with an identity.
type trustNode struct {
	*testNode
	net      *trustNet
	identity *trust.Identity
	secret   string // "": none
	keyring  *trust.Keyring
	times    Timeouts
}

func newTrustNodes(t *testing.T, proxies, targets int) []*trustNode {
	t.Helper()
	net := &trustNet{keyrings: map[string]*trust.Keyring{}}
	var nodes []*trustNode
	for _, n := range newTestNodes(t, proxies, targets) {
		net.testNet = n.net
		identity, err := trust.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, &trustNode{testNode: n, net: net, identity: identity, times: fast()})
	}
	for _, n := range nodes {
		n.prepare()
	}
	return nodes
}

// prepare makes the keyring of the next start.
func (n *trustNode) prepare() {
	n.t.Helper()
	var secret *trust.JoinSecret
	if n.secret != "" {
		var err error
		if secret, err = trust.NewJoinSecret(n.secret); err != nil {
			n.t.Fatal(err)
		}
	}
	n.keyring = trust.New(trust.Options{NodeID: n.self.ID, Identity: n.identity, Secret: secret})
	self := *n.self // the last start's may be in use yet
	self.VerifyingKey = n.keyring.Public()
	n.self = &self
	n.net.heard.Lock()
	n.net.keyrings[self.IntraControl.URL] = n.keyring
	n.net.heard.Unlock()
}

func (n *trustNode) start() {
	n.t.Helper()
	a, err := New(Options{
		Self: n.self, Network: &sender{n.net, n.self.ID, n.keyring}, Storage: n.storage, Seeds: n.seeds, MayFound: n.found,
		InitialConfig: config.DefaultCluster(), Timeouts: n.times, Logger: testLogger(n.self.ID), Trust: n.keyring, Signer: n.keyring.Signer(),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	a.OnApply(func(_, after *meta.View) error {
		if after.Transition.Now() != nil {
			a.Quiesced(after.Transition.Version)
		}
		return nil
	})
	n.agent = a
	n.net.set(n.self.IntraControl.URL, a)
	a.Start(context.Background())
}

func plain(nodes []*trustNode) []*testNode {
	var all []*testNode
	for _, n := range nodes {
		all = append(all, n.testNode)
	}
	return all
}

func startTrusting(t *testing.T, nodes []*trustNode) {
	t.Helper()
	for _, n := range nodes {
		n.start()
	}
	eventually(t, "all nodes join", func() bool { return allJoined(plain(nodes), len(nodes)) })
	eventually(t, "all nodes hold the cluster keys", func() bool { return sameKeys(nodes) })
}

// sameKeys tells that all nodes hold the same keys, and that every node has a
// box that it can open in the documents.
func sameKeys(nodes []*trustNode) bool {
	want := nodes[0].keyring.Ring().Keys()
	for _, n := range nodes {
		keys := n.agent.View().Keys
		if keys == nil || len(want) == 0 || len(keys.Keys) != len(want) || !slices.Equal(want, n.keyring.Ring().Keys()) {
			return false
		}
		for i := range keys.Keys {
			if !trust.IsFor(n.self.VerifyingKey, keys.Keys[i].Boxes[n.self.ID]) {
				return false
			}
		}
	}
	return true
}

func TestClusterKeysReachEveryNode(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 3, 3)
	startTrusting(t, nodes)
	createSoon(t, plain(nodes), "b")
	// no key in the clear was on the network
	net := nodes[0].net
	net.heard.Lock()
	defer net.heard.Unlock()
	for _, key := range nodes[0].keyring.Ring().Keys() {
		texts := [][]byte{key.Secret[:], fmt.Appendf(nil, "%x", key.Secret), []byte(base64.StdEncoding.EncodeToString(key.Secret[:]))}
		for _, body := range net.said {
			for _, text := range texts {
				if bytes.Contains(body, text) {
					t.Fatal("a cluster key was sent in the clear")
				}
			}
		}
	}
	// and none is stored
	for _, n := range nodes {
		for _, key := range n.keyring.Ring().Keys() {
			err := n.storage.Load(func(bucket string, _ uint64, value []byte) error {
				if bytes.Contains(value, key.Secret[:]) || bytes.Contains(value, []byte(base64.StdEncoding.EncodeToString(key.Secret[:]))) {
					return errors.New(bucket)
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s stores a cluster key in the clear: %v", n.self, err)
			}
		}
	}
}

// TestWholeClusterRestartsWithKeys: every node opens its own boxes again.
func TestWholeClusterRestartsWithKeys(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 3, 2)
	startTrusting(t, nodes)
	keys := nodes[0].keyring.Ring().Keys()
	for _, n := range nodes {
		n.kill()
	}
	for _, n := range nodes {
		n.prepare()
	}
	for _, n := range nodes {
		n.start()
	}
	eventually(t, "the cluster is back", func() bool { return allJoined(plain(nodes), len(nodes)) })
	// No process is left that could know a key: all come out of boxes.
	for _, n := range nodes {
		eventually(t, n.self.ID+" holds the keys", func() bool { return slices.Equal(n.keyring.Ring().Keys(), keys) })
	}
	createSoon(t, plain(nodes), "b")
}

// newestKey is the id of the newest cluster key as the primary has it.
func newestKey(nodes []*trustNode) uint32 {
	return primaryAgent(plain(nodes)).View().Keys.Newest().ID
}

// TestRotationOfClusterKeys: keys change all the time, and nothing is refused
// on the way; also through a change of the primary.
func TestRotationOfClusterKeys(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 3, 2)
	for _, n := range nodes {
		n.times.KeyLife = 1500 * time.Millisecond
	}
	startTrusting(t, nodes)
	first := newestKey(nodes)
	eventually(t, "two rotations", func() bool {
		p := primaryOf(plain(nodes))
		return p != nil && p.agent.View().Keys.Ver() >= 4 && newestKey(nodes) != first
	})
	createSoon(t, plain(nodes), "b")
	var old *testNode
	eventually(t, "a primary that the others can do without", func() bool {
		voters := 0
		for _, n := range nodes {
			if n.agent.Status().Voter {
				voters++
			}
		}
		old = primaryOf(plain(nodes))
		return old != nil && voters >= 3 && old.agent.Settled()
	})
	old.kill()
	eventually(t, "another primary", func() bool { p := primaryOf(plain(nodes)); return p != nil && p != old })
	second := newestKey(nodes)
	eventually(t, "a rotation by the next primary", func() bool { return newestKey(nodes) != second })
	for _, n := range nodes {
		if keys := n.agent.View().Keys.Keys; len(keys) > 3 {
			t.Errorf("%s has %d keys", n.self, len(keys))
		}
	}
	createSoon(t, plain(nodes), "c")
}

// TestAwayForManyRotations: a node that comes back with cluster keys that
// nobody holds any more signs as itself, and gets the new ones.
func TestAwayForManyRotations(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 2, 1)
	for _, n := range nodes {
		n.times.KeyLife = time.Second
	}
	startTrusting(t, nodes)
	n := nodes[2]
	n.kill()
	held := n.keyring.Ring()
	eventually(t, "all its keys are gone", func() bool {
		for _, key := range primaryAgent(plain(nodes[:2])).View().Keys.Keys {
			if held.Has(key.ID) {
				return false
			}
		}
		return true
	})
	n.prepare()
	n.start()
	eventually(t, "it is back", func() bool { return allJoined(plain(nodes), 3) })
	eventually(t, "it holds a key of today", func() bool {
		return n.keyring.Ring().Has(newestKey(nodes))
	})
	createSoon(t, plain(nodes), "b")
	eventually(t, "it follows", func() bool { return hasBucket(n.agent.View(), "b") })
}

func TestJoinSecret(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		cluster, joiner string
		joins           bool
		why             string // what the joiner says
	}{
		{name: "none", joins: true},
		{name: "the same", cluster: secretA, joiner: secretA, joins: true},
		{name: "another", cluster: secretA, joiner: secretB, why: "did not prove that it knows this node's join secret"},
		{name: "missing at the joiner", cluster: secretA, why: "this node has none (AIS_JOIN_SECRET, AIS_JOIN_SECRET_FILE)"},
		{name: "missing at the cluster", joiner: secretB, why: "and the cluster has none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			nodes := newTrustNodes(t, 2, 1)
			for _, n := range nodes {
				n.secret = tc.cluster
				n.prepare()
			}
			startTrusting(t, nodes[:2])
			n := nodes[2]
			n.secret = tc.joiner
			n.prepare()
			n.start()
			if tc.joins {
				eventually(t, "it joins", func() bool { return allJoined(plain(nodes), 3) && sameKeys(nodes) })
				return
			}
			eventually(t, "it says why not", func() bool { return strings.Contains(n.agent.Fenced(), tc.why) })
			for _, member := range nodes[:2] {
				if member.agent.View().Smap.Node(n.self.ID) != nil {
					t.Errorf("%s has the node in its map", member.self)
				}
			}
			if n.agent.Joined() || n.agent.View().UUID != "" || !n.keyring.Ring().Empty() {
				t.Error("it took something over")
			}
			if n.agent.ctx.Err() != nil {
				t.Error("it gave up")
			}
			// with the right secret it comes in
			n.kill()
			n.secret = tc.cluster
			n.prepare()
			n.start()
			eventually(t, "it joins with the right secret", func() bool { return allJoined(plain(nodes), 3) && sameKeys(nodes) })
		})
	}
}

// TestJoinProofIsGoodOnce: who has seen a join cannot repeat it.
func TestJoinProofIsGoodOnce(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 2, 1)
	for _, n := range nodes {
		n.secret = secretA
		n.prepare()
	}
	startTrusting(t, nodes)
	var proven []byte
	net := nodes[0].net
	net.heard.Lock()
	for _, body := range net.said {
		if bytes.Contains(body, []byte(`"from":"targt000"`)) && bytes.Contains(body, []byte(`"counter"`)) && bytes.Contains(body, []byte(`"proof"`)) {
			proven = body
		}
	}
	net.heard.Unlock()
	if proven == nil {
		t.Fatal("no proof was seen")
	}
	leader := primaryAgent(plain(nodes))
	caller := &trust.Caller{ID: nodes[2].self.ID, Key: nodes[2].keyring.Public(), Member: true}
	_, err := leader.Handle(trust.WithCaller(timeout(t), caller), KindJoin, proven)
	if apierr.StatusOf(err) != 401 || apierr.CodeOf(err) != trust.CodeJoinProof {
		t.Errorf("the repeated proof: %v", err)
	}
}

// TestSeveralChallenges: a node that asks along several ways at a time may
// answer any of the challenges that it gets, each once.
func TestSeveralChallenges(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 1, 1)
	for _, n := range nodes {
		n.secret = secretA
		n.prepare()
	}
	startTrusting(t, nodes[:1])
	leader, n := nodes[0], nodes[1]
	req := joinRequest{envelope: envelope{From: n.self.ID, URL: n.self.IntraControl.URL, RaftID: 3, Incarnation: 5}, Node: n.self}
	ask := func(change func(*joinRequest)) (*joinReply, error) {
		t.Helper()
		one := req
		change(&one)
		body, err := marshal(&one)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := leader.agent.Handle(trust.WithCaller(timeout(t), &trust.Caller{ID: n.self.ID, Key: n.keyring.Public()}), KindJoin, body)
		r := &joinReply{}
		if err == nil {
			err = unmarshal(KindJoin, answer, r)
		}
		return r, err
	}
	counters := [][]byte{n.keyring.Nonce(), n.keyring.Nonce()}
	var replies []*joinReply
	for _, counter := range counters {
		r, err := ask(func(one *joinRequest) { one.Counter = counter })
		if err != nil || r.Admitted || len(r.Challenge) != trust.NonceSize {
			t.Fatalf("%+v %v", r, err)
		}
		replies = append(replies, r)
	}
	answered := func(challenge, counter int) error {
		_, err := ask(func(one *joinRequest) {
			one.Counter, one.Challenge = counters[counter], replies[challenge].Challenge
			one.Proof = n.keyring.Secret().Prove(trust.JoinNode, &trust.JoinTranscript{
				UUID: leader.agent.View().UUID, Challenge: one.Challenge, Counter: one.Counter, Leader: leader.self.ID,
				NodeID: n.self.ID, PublicKey: n.self.VerifyingKey, Incarnation: 5,
			})
		})
		return err
	}
	for _, tc := range []struct {
		name               string
		challenge, counter int
		status             int
	}{
		{"the first", 0, 0, 200}, {"the first again", 0, 0, 401}, {"the second for another request", 1, 0, 401}, {"which uses it up", 1, 1, 401},
	} {
		if err := answered(tc.challenge, tc.counter); apierr.StatusOf(err) != tc.status {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestImpostor: an id that is in the map is not had with another key while its
// holder lives.
func TestImpostor(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 2, 1)
	startTrusting(t, nodes)
	holder := nodes[2]
	impostor := *holder.self
	impostor.IntraControl.URL = "http://impostor:9081"
	impostor.Public.URL, impostor.IntraData.URL = impostor.IntraControl.URL, impostor.IntraControl.URL
	identity, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	twin := &trustNode{
		testNode: &testNode{t: t, self: &impostor, seeds: holder.seeds, storage: &lockedStorage{mem: newMemStorage()}, net: holder.testNode.net},
		net:      holder.net, identity: identity, times: fast(),
	}
	twin.prepare()
	twin.start()
	t.Cleanup(twin.kill)
	select {
	case err := <-twin.agent.Fatal():
		if !strings.Contains(err.Error(), "duplicate node ID") {
			t.Errorf("the impostor ends with: %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the impostor runs")
	}
	if got := primaryAgent(plain(nodes)).View().Smap.Node(holder.self.ID); !bytes.Equal(got.VerifyingKey, holder.self.VerifyingKey) || got.IntraControl.URL != holder.self.IntraControl.URL {
		t.Errorf("the map has %+v", got)
	}
	// a request that claims to be the holder and is signed with another key
	call := &trust.Call{Method: "POST", Host: "x", URI: "/v1/metasync/leave", Body: trust.BufferedBody(nil)}
	caller, err := nodes[0].keyring.Verify(call, twin.keyring.Sign(call, false), holder.self.VerifyingKey, true)
	if err != nil || caller.Member {
		t.Errorf("the impostor's call: %+v %v", caller, err)
	}
}

// TestLostKeyFile: a node that has lost its key file gets its id back once the
// old one is down, and the cluster keys sealed for its new identity.
func TestLostKeyFile(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 3, 1)
	startTrusting(t, nodes)
	n := nodes[3]
	n.kill()
	identity, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	n.identity = identity
	n.prepare()
	n.start()
	eventually(t, "it is back under its new key", func() bool {
		node := primaryAgent(plain(nodes)).View().Smap.Node(n.self.ID)
		return node != nil && bytes.Equal(node.VerifyingKey, n.self.VerifyingKey) && allJoined(plain(nodes), 4) && sameKeys(nodes)
	})
}

// TestJoinRequestOfAnother: a request to join must be signed with the key that
// it names.
func TestJoinRequestOfAnother(t *testing.T) {
	t.Parallel()
	nodes := newTrustNodes(t, 1, 1)
	startTrusting(t, nodes[:1])
	n := nodes[1]
	body := fmt.Appendf(nil, `{"from":%q,"url":%q,"raft_id":"3","incarnation":"5","term":"0","index":"0","node":{"daemon_id":%q,"daemon_type":"target","verifying_key":%q}}`,
		n.self.ID, n.self.IntraControl.URL, n.self.ID, base64.StdEncoding.EncodeToString(n.self.VerifyingKey))
	other, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, caller := range map[string]*trust.Caller{
		"nobody": nil, "another key": {ID: n.self.ID, Key: other.Public()}, "another id": {ID: "targt999", Key: n.self.VerifyingKey},
		"a cluster key": {ID: n.self.ID, Member: true},
	} {
		ctx := timeout(t)
		if caller != nil {
			ctx = trust.WithCaller(ctx, caller)
		}
		if _, err := nodes[0].agent.Handle(ctx, KindJoin, body); apierr.StatusOf(err) != 403 || apierr.CodeOf(err) != trust.CodeIdentity {
			t.Errorf("signed by %s: %v", name, err)
		}
	}
}
