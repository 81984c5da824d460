package metasync

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// move gives a node that is down other addresses for its next start.
func (n *simNode) move(host string) {
	delete(n.s.byURL, n.url())
	n.self = simSnode(n.self.ID, n.self.Role, host)
	n.s.byURL[n.url()] = n
}

// forceRestart asks a node for a forced restart and returns its answer.
func (n *simNode) forceRestart(lineage string, must ...string) (done *wire.ForcedRestart, err error) {
	n.s.t.Helper()
	answered := false
	n.request(func(m *machine, token uint64) { m.forceRestart(token, lineage, must) }, func(r reply) {
		answered = true
		if err = r.err; err == nil {
			done = new(wire.ForcedRestart)
			err = json.Unmarshal(r.body, done)
		}
	})
	n.s.until("answer to the forced restart", 30*time.Second, func() bool { return answered || n.m == nil })
	return done, err
}

func (n *simNode) rejoin(uuid, lineage string) (err error) {
	n.s.t.Helper()
	answered := false
	n.request(func(m *machine, token uint64) { m.rejoin(token, uuid, lineage) }, func(r reply) { answered, err = true, r.err })
	n.s.until("answer to the rejoin", time.Second, func() bool { return answered })
	return err
}

func (n *simNode) lineage() string { return n.m.identity.Lineage }

// rulers are the nodes that can commit now, by lineage.
func (s *sim) rulers() map[string]*simNode {
	rulers := map[string]*simNode{}
	for _, n := range s.up() {
		if n.m.leads() && n.m.fencedWhy() == "" {
			rulers[n.lineage()] = n
		}
	}
	return rulers
}

// rivals finds two leaders of different lineages that reach each other and can
// know of each other: one knows the address of the other, or both know that of
// a third node. Where both have moved and no such node is up, nobody can tell.
func (s *sim) rivals() (a, b *simNode) {
	for _, a := range s.rulers() {
		for _, b := range s.rulers() {
			if a.lineage() < b.lineage() && a.m.identity.UUID == b.m.identity.UUID && s.mutual(a, b) && (s.acquainted(a, b) || s.between(a, b)) {
				return a, b
			}
		}
	}
	return nil, nil
}

func (s *sim) mutual(a, b *simNode) bool { return s.reachable(a, b) && s.reachable(b, a) }

// acquainted tells that a node knows the address of another.
func (s *sim) acquainted(a, b *simNode) bool {
	return slices.Contains(a.m.askable(), b.url()) || slices.Contains(b.m.askable(), a.url())
}

// between tells that there is a node which two others both find.
func (s *sim) between(a, b *simNode) bool {
	return slices.ContainsFunc(s.up(), func(c *simNode) bool {
		return s.mutual(a, c) && s.mutual(b, c) && slices.Contains(a.m.askable(), c.url()) && slices.Contains(b.m.askable(), c.url())
	})
}

// watch lets time pass and asserts that two lineages never both commit for
// longer than one round of calls while their leaders reach each other.
func (s *sim) watch(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	var since time.Time
	limit := 3 * time.Second
	if s.loss > 0 {
		limit = 8 * time.Second // a lost push is given up after 6 s
	}
	for s.now.Before(end) {
		s.pass(50 * time.Millisecond)
		a, b := s.rivals()
		switch {
		case a == nil:
			since = time.Time{}
		case since.IsZero():
			since = s.now
		case s.now.Sub(since) > limit && s.acquainted(a, b), s.now.Sub(since) > limit+announcePauseMax: // a third node hears of one, then tells the other
			s.fatalf("%s of lineage %s and %s of lineage %s both lead and reach each other", a.self, a.lineage(), b.self, b.lineage())
		}
	}
}

// voters are the nodes with a vote, the primary first.
func (s *sim) voters() []*simNode {
	var list []*simNode
	p := s.primary()
	for _, n := range s.nodes {
		if n.m != nil && n != p && p.m.rlog.voter(n.m.identity.RaftID) {
			list = append(list, n)
		}
	}
	return append([]*simNode{p}, list...)
}

// loseMajority kills the primary and so many other voters that no majority is
// left, and returns them and a proxy that goes on living.
func (s *sim) loseMajority() (dead []*simNode, left *simNode) {
	voters := s.voters()
	for _, n := range voters {
		if len(dead) <= len(voters)/2 && (left != nil || n.self.Role != meta.RoleProxy || n == voters[0]) {
			dead = append(dead, n)
			continue
		}
		if left == nil && n.self.Role == meta.RoleProxy {
			left = n
		}
	}
	for _, n := range dead {
		n.kill()
	}
	return dead, left
}

func (n *simNode) fenced(part string) bool {
	return n.m != nil && strings.Contains(n.m.fencedWhy(), part)
}
