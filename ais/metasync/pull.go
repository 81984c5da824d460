package metasync

import (
	"time"
)

const pullAgainAfter = 200 * time.Millisecond

// tickPull fetches what this node knows to be committed but does not have.
// Members of the group have it from the log.
func (m *machine) tickPull() {
	if m.pulling || m.member() || m.pullTo <= m.view().Index || m.now.Before(m.pullAgain) || m.join.state != joined {
		return
	}
	url := m.leaderHint().URL
	if url == "" {
		return
	}
	m.pulling = true
	m.pullAgain = m.now.Add(pullAgainAfter)
	req := &pullRequest{m.envelope()}
	req.Index = m.view().Index
	m.call(url, KindPull, req, m.times.Call, func(body []byte, err error) {
		m.pulling = false
		var r pullReply
		if err == nil {
			err = unmarshal(KindPull, body, &r)
		}
		if err == nil {
			err = m.sameCluster(&r.envelope)
		}
		if err != nil {
			m.log.Debug("pull failed", "asked", url, "err", err)
			return
		}
		m.learnHint(r.Hint)
		m.signOf(&r.envelope)
		if r.View != nil {
			if err := m.takeView(r.View); err != nil {
				m.log.Error("pulled metadata not taken", "asked", url, "err", err)
				return
			}
		}
		if !m.takeDeltas(r.Deltas) {
			m.log.Warn("pulled changes do not follow what is here", "asked", url)
		}
	})
}

// pull answers a node that is behind. Everything that this node has applied
// is committed, so any node may answer.
func (m *machine) pull(token uint64, body []byte) {
	var req pullRequest
	err := unmarshal(KindPull, body, &req)
	if err == nil {
		err = m.sameCluster(&req.envelope)
	}
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	m.signOf(&req.envelope)
	r := &pullReply{Hint: m.leaderHint()}
	r.envelope = m.envelope()
	view, node := m.view(), m.view().Smap.Node(req.From)
	switch {
	case node == nil || req.Index >= view.Index:
	case view == m.state.view:
		m.fill(&r.pushRequest, req.Index, node.Role, m.isMember(node.ID, m.peer(node.ID)))
	case m.canServe(node.Role):
		if r.View, err = view.For(node.Role, false).Encode(); err != nil {
			m.respond(token, nil, err)
			return
		}
	}
	m.respond(token, r, nil)
}
