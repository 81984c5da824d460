package metasync

import (
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// reads are those who wait for a linearizable read. One round asks the
// majority for all that came before it started.
type reads struct {
	next    []*reader // for the next round
	round   []*reader // of the round under way
	number  uint64    // of the round
	started time.Time // zero: none is under way
	ready   []*reader // the index is known, it must come into effect
}

type reader struct {
	token  uint64
	until  time.Time
	remote bool // answers a call of another node
	strict bool // without a majority: an error, not stale
	raft   uint64
	index  uint64

	// It asks nothing but whether a majority followed this leader, in this
	// term, after confirms.
	confirms time.Time
	term     uint64
}

const (
	readRoundRetry = 500 * time.Millisecond
	maxReaders     = 100_000
)

// barrier answers once everything that is committed by now is in effect here.
func (m *machine) barrier(token uint64, strict bool) {
	m.read(&reader{token: token, until: m.now.Add(m.times.Barrier), strict: strict})
}

func (m *machine) read(r *reader) {
	if m.identity.UUID == "" {
		m.endRead(r, errNotJoined(m.self))
		return
	}
	if len(m.reads.next) >= maxReaders {
		m.endRead(r, apierr.Unavailable(time.Second, "too many reads of the cluster's metadata are waiting"))
		return
	}
	m.reads.next = append(m.reads.next, r)
	m.startRound()
}

// startRound asks the majority, or whoever leads it.
func (m *machine) startRound() {
	rs := &m.reads
	if !rs.started.IsZero() || len(rs.next) == 0 {
		return
	}
	if m.member() {
		if m.leader == 0 || m.role == roleLeader && !m.leads() {
			return // the next tick tries again
		}
		m.beginRound()
		m.raft.ReadIndex(binary.BigEndian.AppendUint64(nil, rs.number))
		return
	}
	url := m.leaderHint().URL
	if url == "" {
		return
	}
	m.beginRound()
	number := rs.number
	m.call(url, KindReadIndex, &readIndexRequest{m.envelope()}, m.times.Barrier, func(body []byte, err error) {
		if number != rs.number || rs.started.IsZero() {
			return
		}
		var r readIndexReply
		if err == nil {
			err = unmarshal(KindReadIndex, body, &r)
		}
		if err != nil || !r.OK {
			m.forgetHint(url)
			if r.Hint.URL != url {
				m.learnHint(r.Hint)
			}
			m.failRound()
			return
		}
		m.signOf(&r.envelope)
		m.pullTo = max(m.pullTo, r.Read)
		m.endRound(0, r.Read)
		m.tickPull()
	})
}

func (m *machine) beginRound() {
	rs := &m.reads
	rs.number++
	rs.started = m.now
	rs.round, rs.next = rs.next, nil
}

// readState is the majority's answer to a round.
func (m *machine) readState(rs raft.ReadState) {
	if len(rs.RequestCtx) == 8 && binary.BigEndian.Uint64(rs.RequestCtx) == m.reads.number && !m.reads.started.IsZero() {
		m.endRound(rs.Index, 0)
	}
}

// failRound puts those who wait back.
func (m *machine) failRound() {
	rs := &m.reads
	rs.started = time.Time{}
	rs.next = append(rs.round, rs.next...)
	rs.round = nil
}

func (m *machine) endRound(raftIndex, index uint64) {
	rs := &m.reads
	for _, r := range rs.round {
		r.raft, r.index = raftIndex, index
		if !r.confirms.IsZero() {
			m.leadershipConfirmed(r.confirms, r.term)
		}
	}
	rs.ready = append(rs.ready, rs.round...)
	rs.round, rs.started = nil, time.Time{}
	m.answerReads()
	m.startRound()
}

// answerReads ends those whose index is in effect.
func (m *machine) answerReads() {
	waiting := m.reads.ready[:0]
	for _, r := range m.reads.ready {
		if r.raft > 0 && m.rlog.applied >= r.raft {
			r.raft, r.index = 0, m.state.view.Index
		}
		if r.raft > 0 || r.index > m.effective {
			waiting = append(waiting, r)
			continue
		}
		m.endRead(r, nil)
	}
	clear(m.reads.ready[len(waiting):])
	m.reads.ready = waiting
}

// tickReads tries a round again that got no answer, and ends those who have
// waited too long.
func (m *machine) tickReads() {
	rs := &m.reads
	if !rs.started.IsZero() && m.now.Sub(rs.started) >= readRoundRetry && m.member() {
		m.failRound()
	}
	rs.next = m.expire(rs.next)
	rs.round = m.expire(rs.round)
	m.answerReads()
	rs.ready = m.expire(rs.ready)
	m.startRound()
}

func (m *machine) expire(list []*reader) []*reader {
	keep := list[:0]
	for _, r := range list {
		if m.now.Before(r.until) {
			keep = append(keep, r)
			continue
		}
		m.endRead(r, apierr.Unavailable(time.Second, "no majority of the cluster's voters can be reached"))
	}
	clear(list[len(keep):])
	return keep
}

func (m *machine) endRead(r *reader, err error) {
	switch {
	case !r.confirms.IsZero():
	case r.remote && err == nil:
		m.respond(r.token, &readIndexReply{envelope: m.envelope(), Read: r.index, OK: true}, nil)
	case r.remote:
		m.respond(r.token, &readIndexReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
	case err != nil && !r.strict && m.identity.UUID != "":
		m.reply(reply{token: r.token, stale: true})
	default:
		m.reply(reply{token: r.token, err: err})
	}
}

// readIndex answers how far a node must be to read.
func (m *machine) readIndex(token uint64, body []byte) {
	var req readIndexRequest
	err := unmarshal(KindReadIndex, body, &req)
	if err == nil {
		err = m.sameCluster(&req.envelope)
	}
	if err != nil {
		m.respond(token, nil, err)
		return
	}
	m.signOf(&req.envelope)
	if !m.leads() {
		m.respond(token, &readIndexReply{envelope: m.envelope(), Hint: m.leaderHint()}, nil)
		return
	}
	m.read(&reader{token: token, until: m.now.Add(m.times.Barrier), remote: true, strict: true})
}
