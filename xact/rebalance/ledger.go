package rebalance

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/aistore-go/aistore/cmn/apierr"
)

const (
	// progressFlow carries questions how far a target is.
	progressFlow = "rebalance"
	// keptJobs is how many ended rebalances a target remembers.
	keptJobs = 32
)

// Answers to a question how far a target is.
const (
	progressUnknown = 0 // it has not begun, or was restarted since
	progressSending = 1
	progressSent    = 2 // everything: nothing of it is left to be sent
)

// ledger is how far this target is with which rebalance. A target that has sent
// everything may be asked long after.
type ledger struct {
	mu   sync.Mutex
	jobs []entry // the newest last
}

type entry struct {
	id       string
	progress byte
}

func (l *ledger) begin(id string) { l.set(id, progressSending) }
func (l *ledger) sent(id string)  { l.set(id, progressSent) }

// leave forgets a job that has not sent everything.
func (l *ledger) leave(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = slices.DeleteFunc(l.jobs, func(e entry) bool { return e.id == id && e.progress != progressSent })
}

func (l *ledger) set(id string, progress byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = slices.DeleteFunc(l.jobs, func(e entry) bool { return e.id == id })
	l.jobs = append(l.jobs, entry{id, progress})
	l.jobs = l.jobs[max(0, len(l.jobs)-keptJobs):]
}

// answer is the Receiver of questions.
func (l *ledger) answer(_ context.Context, _ string, body io.Reader) ([]byte, error) {
	kind, id, err := readMessage(body)
	if err != nil {
		return nil, err
	}
	if kind != kindProgress {
		return nil, apierr.BadRequest("rebalance: a message of kind %d", kind)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.jobs {
		if e.id == string(id) {
			return []byte{e.progress}, nil
		}
	}
	return []byte{progressUnknown}, nil
}

// hasSent asks another target whether it has sent everything. One that does not
// answer has not.
func (m *Mover) hasSent(ctx context.Context, nodeID, id string) bool {
	s := m.streams.Open(nodeID, progressFlow)
	defer s.Close()
	data := frame(kindProgress, append(make([]byte, messageHead), id...))
	answered := make(chan bool, 1)
	size, open := whole(data)
	err := s.Send(ctx, size, open, func(answer []byte, err error) {
		answered <- err == nil && len(answer) == 1 && answer[0] == progressSent
	})
	if err != nil {
		return false
	}
	select {
	case sent := <-answered:
		return sent
	case <-ctx.Done():
		return false
	}
}
