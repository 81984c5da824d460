package metasync

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/core/meta"
)

// TestLateAdmissionKeepsNewKeys: an answer that admits a node is on its way
// while the cluster keys change. The node has followed the change by then, and
// what the leader held before takes nothing of it away.
func TestLateAdmissionKeepsNewKeys(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		member    bool // of the group: the log brings the change, else a push
		rotations int
		joined    bool // by an earlier answer
	}{
		{name: "a voter", member: true, rotations: 1},
		{name: "a voter, and no key of then is left", member: true, rotations: 4},
		{name: "a voter that another answer has admitted", member: true, rotations: 1, joined: true},
		{name: "outside the group", rotations: 1},
		{name: "outside the group, and no key of then is left", rotations: 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, 1, 3, 4)
			s.trusting()
			s.trust.secret = nil // one question, one answer
			s.startAll()
			s.until("all hold the cluster keys", 20*time.Second, s.keysAgree)
			s.until("a group of five", 20*time.Second, func() bool { return len(s.primary().m.rlog.conf.GetVoters()) == 5 })
			p := s.primary()
			var n *simNode
			for _, one := range s.nodes {
				if one != p && one.m.member() == tc.member {
					n = one
				}
			}

			var asked []outCall
			s.held = new([]func())
			s.slow = func(c outCall) bool {
				if c.kind == KindJoin {
					asked = append(asked, c)
				}
				return c.kind == KindJoin
			}
			n.input(func(m *machine) {
				m.join.state = asking
				m.askToJoin(p.url(), 0)
			})
			if len(asked) != 1 {
				t.Fatalf("%d requests to join", len(asked))
			}
			var answer []byte
			caller := &trust.Caller{ID: n.self.ID, Key: n.keyring.Public()}
			p.request(func(m *machine, token uint64) { m.incomingFrom(caller, token, KindJoin, asked[0].body) }, func(r reply) {
				if r.err != nil {
					t.Fatal(r.err)
				}
				answer = r.body
			})
			s.until("an answer", 20*time.Second, func() bool { return answer != nil })

			for range tc.rotations {
				before := p.m.view().Keys.Newest().ID
				p.input((*machine).rotateKey)
				s.until("another key everywhere", 20*time.Second, func() bool { return p.m.view().Keys.Newest().ID != before && s.everyNodeHas(p.m.view().Keys) })
			}
			n.input(func(m *machine) {
				if tc.joined {
					m.join.state = joined
				}
				m.returned(asked[0].id, answer, nil)
			})
			if n.m.join.state != joined {
				t.Fatal("it is not admitted")
			}
			if !s.everyNodeHas(p.m.view().Keys) {
				t.Errorf("it holds %d keys, and not those of its documents", len(n.keyring.Ring().Keys()))
			}
		})
	}
}

// everyNodeHas tells that all nodes hold exactly the keys of a document.
func (s *sim) everyNodeHas(keys *meta.Keys) bool {
	for _, n := range s.nodes {
		held := n.keyring.Ring().Keys()
		if len(held) != len(keys.Keys) {
			return false
		}
		for i := range held {
			if held[i].ID != keys.Keys[i].ID {
				return false
			}
		}
	}
	return true
}
