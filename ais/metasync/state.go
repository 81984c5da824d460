package metasync

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aistore-go/aistore/core/meta"
)

// maxResults is how many results of commands are remembered.
const maxResults = 10_000

// state is what the log of commands makes: the documents, and the results of
// the last commands, so that a retried one gets its first answer.
type state struct {
	view    *meta.View
	results map[string]meta.Result // by command id
	order   []meta.Result          // by ascending index; the same results
}

func newState(view *meta.View, results []meta.Result) *state {
	s := &state{view: view, results: make(map[string]meta.Result, len(results)), order: results}
	for _, r := range results {
		s.results[r.ID] = r
	}
	return s
}

// apply applies the command at an index and returns its result: the first
// one, if the command came before; applied tells that it came for the first
// time and was not refused. err is why it was refused now.
func (s *state) apply(cmd *meta.Command, term, index uint64) (result meta.Result, applied bool, err error) {
	if first, ok := s.results[cmd.ID]; ok {
		s.view = pass(s.view, term, index)
		return first, false, nil
	}
	result = meta.Result{ID: cmd.ID, Index: index}
	view, err := s.view.Apply(cmd, term, index)
	if err != nil {
		result.Refused, result.Stale = err.Error(), meta.IsStale(err)
	}
	s.view = view
	s.results[cmd.ID] = result
	s.order = append(s.order, result)
	if len(s.order) > maxResults {
		delete(s.results, s.order[0].ID)
		s.order[0] = meta.Result{}
		s.order = s.order[1:]
	}
	return result, err == nil, err
}

// pass is a view after a command that changes nothing.
func pass(view *meta.View, term, index uint64) *meta.View {
	next := *view
	next.Term, next.Index = term, index
	return &next
}

// stateForm is the data of a snapshot.
type stateForm struct {
	View    json.RawMessage `json:"view"`
	Results []meta.Result   `json:"results"`
}

func (s *state) encode() ([]byte, error) {
	view, err := s.view.Encode()
	if err != nil {
		return nil, err
	}
	return json.Marshal(stateForm{View: view, Results: s.order})
}

func decodeState(data []byte) (*state, error) {
	var form stateForm
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	view, err := meta.DecodeView(form.View)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return newState(view, form.Results), nil
}

// recent are the last commands, in order, for nodes that are a little behind.
type recent struct {
	deltas []delta
	bytes  int
}

const maxRecentBytes = 8 << 20

// add appends a command that follows the last one; any other starts anew. At
// most limit are kept.
func (r *recent) add(d delta, limit int) {
	if n := len(r.deltas); n > 0 && r.deltas[n-1].Index != d.Prev {
		*r = recent{}
	}
	r.deltas = append(r.deltas, d)
	r.bytes += len(d.Command)
	for len(r.deltas) > limit || r.bytes > maxRecentBytes && len(r.deltas) > 1 {
		r.bytes -= len(r.deltas[0].Command)
		r.deltas[0] = delta{}
		r.deltas = r.deltas[1:]
	}
}

// after returns the commands that follow an index, as a node of a role gets
// them; ok is false if they are not all here.
func (r *recent) after(index uint64, role string, member bool) (deltas []delta, ok bool) {
	for i := len(r.deltas) - 1; i >= 0; i-- {
		if r.deltas[i].Prev != index {
			continue
		}
		deltas = slices.Clone(r.deltas[i:])
		for j := range deltas {
			d := &deltas[j]
			if d.command == nil {
				continue
			}
			own := d.command.For(role, member)
			if own == d.command {
				continue
			}
			data, err := marshal(own)
			if err != nil {
				return nil, false
			}
			d.Command = data
		}
		return deltas, true
	}
	return nil, false
}
