package transport

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestSenderLedger replays transcripts of what can happen to a stream's
// messages at its sender.
func TestSenderLedger(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][][2]string{
		"a verdict counts once": {
			{"add", "1"}, {"carry 1 7", "true"}, {"answer 1", "first=true moved=true floor=2"}, {"answer 1", "first=false moved=false floor=2"},
		},
		"the floor is the lowest without a verdict": {
			{"add", "1"}, {"add", "2"}, {"add", "3"},
			{"answer 2", "first=true moved=false floor=1"}, {"answer 1", "first=true moved=true floor=3"}, {"answer 3", "first=true moved=true floor=4"},
		},
		"what a broken connection carried comes back in order": {
			{"add", "1"}, {"add", "2"}, {"add", "3"}, {"carry 3 7", "true"}, {"carry 1 7", "true"}, {"carry 2 8", "true"},
			{"broken 7", "[1 3]"}, {"broken 7", "[]"}, {"broken 8", "[2]"},
		},
		"a message is given back by the connection that carries it": {
			{"add", "1"}, {"carry 1 7", "true"}, {"release 1 8", "false"}, {"release 1 7", "true"}, {"release 1 7", "false"}, {"broken 7", "[]"},
		},
		"an answered message is carried by nobody": {
			{"add", "1"}, {"carry 1 7", "true"}, {"answer 1", "first=true moved=true floor=2"}, {"carry 1 8", "false"}, {"broken 7", "[]"}, {"release 1 7", "false"},
		},
		"what the receiver has to remember is bounded": {
			{"add", "1"}, {"add", "2"}, {"answer 2 16777215", "first=true moved=false floor=1"}, {"room", "true"}, {"add", "3"},
			{"answer 3 1", "first=true moved=false floor=1"}, {"room", "false"}, {"answer 1 5", "first=true moved=true floor=4"}, {"room", "true"},
		},
		"the span above the floor is bounded": {
			{"add", "1"}, {"add", "2"}, {"add", "3"}, {"room", "true"}, {"add", "4"}, {"room", "false"},
			{"answer 2", "first=true moved=false floor=1"}, {"room", "false"}, {"answer 1", "first=true moved=true floor=3"}, {"room", "true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newOutLedger(4)
			for _, s := range steps {
				var a, b uint64
				word, _, _ := strings.Cut(s[0], " ")
				_, _ = fmt.Sscanf(s[0], word+" %d %d", &a, &b)
				got := ""
				switch word {
				case "add":
					got = fmt.Sprint(l.add())
				case "room":
					got = fmt.Sprint(l.room())
				case "carry":
					got = fmt.Sprint(l.carry(a, b))
				case "release":
					got = fmt.Sprint(l.release(a, b))
				case "broken":
					got = fmt.Sprint(l.broken(a))
				case "answer":
					first, moved := l.answer(a, int(b))
					got = fmt.Sprintf("first=%t moved=%t floor=%d", first, moved, l.floor)
				}
				if got != s[1] {
					t.Fatalf("%s: %s, want %s", s[0], got, s[1])
				}
			}
		})
	}
}

// TestReceiverLedger replays transcripts of what can come to a receiver.
// "announce 5 7 2 whole" is the second attempt at
// message 5, on connection 7, with its body.
func TestReceiverLedger(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][][2]string{
		"a whole message": {
			{"announce 1 7 1 whole", "run"}, {"finish 1 1 ok", "to 7"}, {"show 1", "done conn=7"}, {"confirm 2", "[]"}, {"show 1", "confirmed"},
		},
		"a late copy of a confirmed message": {
			{"announce 1 7 1 whole", "run"}, {"finish 1 1 ok", "to 7"}, {"confirm 2", "[]"}, {"announce 1 8 2 whole", "ignore"}, {"show 1", "confirmed"},
		},
		"the verdict was lost with the connection": {
			{"announce 1 7 1 whole", "run"}, {"finish 1 1 ok", "to 7"}, {"broken 7", "[]"}, {"announce 1 8 2 whole", "repeat"}, {"show 1", "done conn=8"},
		},
		"the connection breaks while the work goes on": {
			{"announce 1 7 1 whole", "run"}, {"broken 7", "[]"}, {"show 1", "working attempt=1 conn=0 whole=true"},
			{"announce 1 8 2 whole", "attach"}, {"finish 1 1 ok", "to 8"},
		},
		"the work ends before the message comes again": {
			{"announce 1 7 1 whole", "run"}, {"broken 7", "[]"}, {"finish 1 1 failed", "to 0"}, {"show 1", "done conn=0"},
			{"announce 1 8 2 whole", "repeat"},
		},
		"the body is cut off": {
			{"announce 1 7 1", "run"}, {"broken 7", "[1]"}, {"finish 1 1 failed", "to 0"}, {"show 1", "unknown"}, {"announce 1 8 2", "run"},
		},
		"the message comes again before the work has noticed": {
			{"announce 1 7 1", "run"}, {"announce 1 8 2", "restart"}, {"takes 1 7 1", "false"}, {"takes 1 8 2", "true"},
			{"finish 1 1 failed", "to 0"}, {"settled 1 2", "false"}, {"complete 1 2", ""}, {"finish 1 2 ok", "to 8"},
		},
		"what was sent first comes last": {
			{"announce 1 8 2", "run"}, {"announce 1 7 1", "ignore"}, {"takes 1 7 1", "false"}, {"takes 1 8 2", "true"},
			{"broken 7", "[]"}, {"complete 1 2", ""}, {"announce 1 7 1 whole", "ignore"}, {"finish 1 2 ok", "to 8"}, {"announce 1 7 1", "ignore"},
		},
		"parts of an earlier attempt on the same connection": {
			{"announce 1 7 1", "run"}, {"finish 1 1 later", "to 7"}, {"announce 1 7 2", "run"}, {"takes 1 7 1", "false"}, {"takes 1 7 2", "true"},
		},
		"numbers of attempts wrap": {
			{"announce 1 7 65535", "run"}, {"announce 1 8 0", "restart"}, {"announce 1 7 65535", "ignore"}, {"announce 1 9 1", "restart"},
		},
		"the earlier work accepts the message without its body": {
			{"announce 1 7 1", "run"}, {"announce 1 8 2", "restart"}, {"finish 1 1 ok", "to 8"}, {"settled 1 2", "true"}, {"takes 1 8 2", "false"},
		},
		"a third copy": {
			{"announce 1 7 1", "run"}, {"announce 1 8 2", "restart"}, {"announce 1 9 3", "restart"},
			{"settled 1 2", "true"}, {"settled 1 3", "false"}, {"finish 1 1 failed", "to 0"}, {"complete 1 2", ""}, {"show 1", "working attempt=3 conn=9 whole=false"},
		},
		"an early refusal is final": {
			{"announce 1 7 1", "run"}, {"finish 1 1 failed", "to 7"}, {"takes 1 7 1", "false"}, {"announce 1 8 2", "repeat"},
		},
		"later is not kept": {
			{"announce 1 7 1 whole", "run"}, {"finish 1 1 later", "to 7"}, {"show 1", "unknown"}, {"announce 1 7 2 whole", "run"},
		},
		"the sender gives a message up": {
			{"announce 1 7 1", "run"}, {"announce 2 7 1 whole", "run"}, {"confirm 3", "[1 2]"}, {"finish 1 1 ok", "to 0"}, {"announce 1 8 2", "ignore"},
		},
		"an old floor on a slow connection": {
			{"confirm 5", "[]"}, {"confirm 3", "[]"}, {"announce 4 7 1 whole", "ignore"},
		},
		"too many": {
			{"announce 1 7 1", "run"}, {"announce 2 7 1", "run"}, {"announce 3 7 1", "run"},
			{"announce 4 7 1", "stream protocol: more than 3 messages of a stream without confirmed verdicts"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newInLedger(3)
			for _, s := range steps {
				words := strings.Fields(s[0])
				var a, b uint64
				var attempt uint16
				_, _ = fmt.Sscan(strings.Join(words[1:], " "), &a, &b, &attempt)
				last := words[len(words)-1]
				got := ""
				switch words[0] {
				case "announce":
					do, err := l.announce(a, b, attempt, last == "whole")
					if got = do.String(); err != nil {
						got = err.Error()
					}
				case "finish":
					v := map[string]verdict{"ok": {}, "failed": {err: errors.New("no")}, "later": {err: errors.New("no"), later: true}}[last]
					got = fmt.Sprintf("to %d", l.finish(a, uint16(b), v))
				case "broken":
					got = fmt.Sprint(sorted(l.broken(a)))
				case "confirm":
					got = fmt.Sprint(sorted(l.confirm(a)))
				case "show":
					got = l.describe(a)
				case "settled":
					got = fmt.Sprint(l.settled(a, uint16(b)))
				case "complete":
					l.complete(a, uint16(b))
				case "takes":
					got = fmt.Sprint(l.takes(a, b, attempt))
				}
				if got != s[1] {
					t.Fatalf("%s: %s, want %s", s[0], got, s[1])
				}
			}
		})
	}
}

func sorted(list []uint64) []uint64 {
	list = append([]uint64{}, list...)
	for i := range list {
		for j := i; j > 0 && list[j] < list[j-1]; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list
}

// word is what travels on a connection of the model.
type word struct {
	seq   uint64
	try   uint16
	floor bool // seq is a floor
	rest  bool // the rest of the body
	whole bool
	v     verdict
}

// wire is a connection of the model; each side sees the break at a time of its own.
type wire struct {
	to, back              []word
	senderGone, othersEnd bool
}

// attemptOf is work under way at the model's receiver.
type attemptOf struct {
	seq       uint64
	number    uint16
	after     *attemptOf // runs when this has ended
	started   bool
	ended     bool
	cancelled bool
	whole     bool
}

// model is both ledgers with a network between them.
type model struct {
	t        *rapid.T
	out      outLedger
	in       inLedger
	wires    map[uint64]*wire
	last     uint64
	large    map[uint64]bool
	queue    []uint64 // to be carried
	work     []*attemptOf
	latest   map[uint64]*attemptOf
	accepted map[uint64]int // times that the present process has accepted a message
	ever     map[uint64]bool
	verdicts map[uint64]int
	tries    map[uint64]uint16
	calm     bool // nothing breaks any more, everything is accepted
}

func (m *model) send() {
	if m.out.room() {
		seq := m.out.add()
		m.large[seq] = rapid.Bool().Draw(m.t, "large")
		m.queue = append(m.queue, seq)
	}
}

// alive returns a connection that the sender uses, a new one if there is none.
func (m *model) alive() uint64 {
	var usable []uint64
	for _, id := range m.ids() {
		if !m.wires[id].senderGone {
			usable = append(usable, id)
		}
	}
	if len(usable) == 2 || len(usable) == 1 && rapid.Bool().Draw(m.t, "the connection there is") {
		return rapid.SampledFrom(usable).Draw(m.t, "carries")
	}
	m.last++
	m.wires[m.last] = &wire{to: []word{{seq: m.out.floor, floor: true}}}
	return m.last
}

func (m *model) carry() {
	if len(m.queue) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.queue)-1).Draw(m.t, "which")
	seq := m.queue[i]
	m.queue = append(m.queue[:i], m.queue[i+1:]...)
	id := m.alive()
	if !m.out.carry(seq, id) {
		return
	}
	w := m.wires[id]
	m.tries[seq]++
	w.to = append(w.to, word{seq: seq, try: m.tries[seq], whole: !m.large[seq]})
	if m.large[seq] {
		w.to = append(w.to, word{seq: seq, try: m.tries[seq], rest: true})
	}
}

// ids are those of the connections, in order, so that runs replay.
func (m *model) ids() []uint64 {
	var ids []uint64
	for id := range m.wires {
		ids = append(ids, id)
	}
	return sorted(ids)
}

func (m *model) pick(name string) (uint64, *wire) {
	ids := m.ids()
	if len(ids) == 0 {
		return 0, nil
	}
	id := rapid.SampledFrom(ids).Draw(m.t, name)
	return id, m.wires[id]
}

func (m *model) receive() {
	id, w := m.pick("receives")
	if w == nil || len(w.to) == 0 || w.othersEnd {
		return
	}
	got := w.to[0]
	w.to = w.to[1:]
	switch {
	case got.floor:
		for _, seq := range m.in.confirm(got.seq) {
			if m.out.floor > seq && m.verdicts[seq] == 0 {
				m.t.Fatalf("message %d is confirmed without a verdict", seq)
			}
			if a := m.latest[seq]; a != nil {
				a.cancelled = true
			}
		}
	case got.rest:
		if m.in.takes(got.seq, id, got.try) {
			m.in.complete(got.seq, got.try)
			if a := m.latest[got.seq]; a.number == got.try {
				a.whole = true
			}
		}
	default:
		do, err := m.in.announce(got.seq, id, got.try, got.whole)
		if err != nil {
			m.t.Fatal(err)
		}
		switch do {
		case stepRepeat:
			w.back = append(w.back, word{seq: got.seq, v: m.in.entries[got.seq].verdict})
		case stepRun, stepRestart:
			a := &attemptOf{seq: got.seq, number: got.try, whole: got.whole}
			if e := m.latest[got.seq]; e != nil && !e.ended {
				if do == stepRun {
					m.t.Fatalf("message %d runs twice", got.seq)
				}
				e.cancelled = true
				a.after = e
			}
			m.latest[got.seq] = a
			m.work = append(m.work, a)
		}
	}
}

// finish has a handler return.
func (m *model) finish() {
	var ready []*attemptOf
	for _, a := range m.work {
		if !a.ended && (a.after == nil || a.after.ended) {
			ready = append(ready, a)
		}
	}
	if len(ready) == 0 {
		return
	}
	a := rapid.SampledFrom(ready).Draw(m.t, "finishes")
	if !a.started {
		a.started = true
		if a.after != nil && m.in.settled(a.seq, a.number) {
			a.ended = true
			return
		}
	}
	v := verdict{}
	switch choice := rapid.IntRange(0, 9).Draw(m.t, "outcome"); {
	case !a.whole && a.cancelled:
		v.err = errors.New("cut off")
	case !a.whole && m.calm:
		return // waits for its body
	case choice == 0 && !m.calm:
		v = verdict{err: errors.New("not yet"), later: true}
	case choice == 1 && !m.calm:
		v.err = errors.New("refused")
	}
	a.ended = true
	if v.err == nil {
		m.accepted[a.seq]++
		m.ever[a.seq] = true
		if m.accepted[a.seq] > 1 {
			m.t.Fatalf("one process has accepted message %d twice", a.seq)
		}
	}
	if w := m.wires[m.in.finish(a.seq, a.number, v)]; w != nil && !w.othersEnd {
		w.back = append(w.back, word{seq: a.seq, v: v})
	}
}

// hear has the sender read a verdict.
func (m *model) hear() {
	id, w := m.pick("hears")
	if w == nil || len(w.back) == 0 || w.senderGone {
		return
	}
	got := w.back[0]
	w.back = w.back[1:]
	if got.v.later {
		if m.out.release(got.seq, id) {
			m.queue = append(m.queue, got.seq)
		}
		return
	}
	if first, _ := m.out.answer(got.seq, 0); first {
		m.verdicts[got.seq]++
		if got.v.err == nil && !m.ever[got.seq] {
			m.t.Fatalf("message %d is acknowledged and was never accepted", got.seq)
		}
		w.to = append(w.to, word{seq: m.out.floor, floor: true})
	}
}

// breakOne has one side see a connection break.
func (m *model) breakOne() {
	id, w := m.pick("breaks")
	if w == nil {
		return
	}
	if rapid.Bool().Draw(m.t, "at the sender") {
		m.senderSees(id, w)
	} else {
		m.receiverSees(id, w)
	}
}

func (m *model) senderSees(id uint64, w *wire) {
	if !w.senderGone {
		w.senderGone = true
		m.queue = append(m.queue, m.out.broken(id)...)
	}
	m.forget(id, w)
}

func (m *model) receiverSees(id uint64, w *wire) {
	if !w.othersEnd {
		w.othersEnd = true
		for _, seq := range m.in.broken(id) {
			m.latest[seq].cancelled = true
		}
	}
	m.forget(id, w)
}

func (m *model) forget(id uint64, w *wire) {
	if w.senderGone && w.othersEnd {
		delete(m.wires, id)
	}
}

// restart replaces the receiving process.
func (m *model) restart() {
	for _, id := range m.ids() {
		w := m.wires[id]
		w.othersEnd = true
		m.senderSees(id, w)
	}
	m.in = newInLedger(1 << 20)
	m.work, m.latest, m.accepted = nil, map[uint64]*attemptOf{}, map[uint64]int{}
}

// TestLedgersTogether: whatever breaks and in which order either side notices,
// every message gets exactly one verdict, one process accepts it at most once,
// and what is acknowledged was accepted.
func TestLedgersTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			t: t, out: newOutLedger(32), in: newInLedger(1 << 20), wires: map[uint64]*wire{}, large: map[uint64]bool{},
			latest: map[uint64]*attemptOf{}, accepted: map[uint64]int{}, ever: map[uint64]bool{}, verdicts: map[uint64]int{}, tries: map[uint64]uint16{},
		}
		ops := []func(){m.send, m.send, m.carry, m.carry, m.receive, m.receive, m.receive, m.finish, m.finish, m.hear, m.hear, m.breakOne, m.restart}
		weights := rapid.SliceOfN(rapid.IntRange(0, len(ops)-1), 1, 300).Draw(t, "operations")
		for _, op := range weights {
			ops[op]()
		}
		m.calm = true
		for _, id := range m.ids() {
			if w := m.wires[id]; w.senderGone || w.othersEnd { // the other side notices, too
				m.senderSees(id, w)
				if w := m.wires[id]; w != nil {
					m.receiverSees(id, w)
				}
			}
		}
		for range 100000 {
			if len(m.out.open) == 0 {
				break
			}
			for _, op := range []func(){m.carry, m.receive, m.finish, m.hear} {
				op()
			}
		}
		for seq := uint64(1); seq < m.out.next; seq++ {
			if m.verdicts[seq] != 1 {
				t.Fatalf("message %d has %d verdicts; receiver: %s", seq, m.verdicts[seq], m.in.describe(seq))
			}
		}
		if m.out.floor != m.out.next {
			t.Fatalf("floor %d, next %d", m.out.floor, m.out.next)
		}
	})
}
