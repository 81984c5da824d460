package metasync

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/aistore-go/aistore/core/meta"
)

// parseCandidates reads "A:voter B:live C:voter,dead": one candidate a word,
// in order, with the raft id of its letter.
func parseCandidates(text string) []candidate {
	var list []candidate
	for _, word := range strings.Fields(text) {
		name, marks, _ := strings.Cut(word, ":")
		c := candidate{node: name, raftID: uint64(name[0])}
		for _, mark := range strings.Split(marks, ",") {
			switch mark {
			case "voter":
				c.voter, c.live = true, true
			case "live":
				c.live = true
			case "dead":
				c.dead, c.live = true, false
			case "unknown":
				c.raftID = 0
			}
		}
		list = append(list, c)
	}
	return list
}

func TestDesiredVoters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, candidates, self, want string }{
		{"one node", "A:voter", "A", "A"},
		{"two nodes have one voter", "A:voter B:live", "A", "A"},
		{"three", "A:voter B:live C:live", "A", "ABC"},
		{"four have three", "A:voter B:live C:live D:live", "A", "ABC"},
		{"at most five", "A:voter B:live C:live D:live E:live F:live G:live", "A", "ABCDE"},
		{"a newcomer that comes first replaces the last", "A:voter N:live B:voter C:voter", "A", "ANB"},
		{"a dead voter is replaced", "A:voter B:voter,dead C:voter D:live", "A", "ACD"},
		{"a dead voter stays without a replacement", "A:voter B:voter,dead C:voter", "A", "ACB"},
		{"silent nodes are no candidates", "A:voter B C D:live", "A", "A"},
		{"a node without a raft id is none", "A:voter B:live,unknown C:live", "A", "A"},
		{"two eligible are left of three voters", "A:voter B:voter", "A", "A"},
		{"the leader keeps its vote", "A:live B:live C:live D:live E:live Z:voter", "Z", "ABCDZ"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			for _, c := range desiredVoters(parseCandidates(test.candidates), uint64(test.self[0])) {
				got += c.node
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestInformationCenterIsStaffed(t *testing.T) {
	t.Parallel()
	node := func(i int, flags uint64) *meta.Snode {
		n := simSnode(fmt.Sprintf("proxy%03d", i), meta.RoleProxy, "host")
		n.Flags = flags
		return n
	}
	smap := &meta.Smap{Pmap: map[string]*meta.Snode{}, Version: 5}
	for i, flags := range []uint64{meta.FlagIC, 0, meta.FlagIC, meta.FlagIC, 0} {
		n := node(i, flags)
		smap.Pmap[n.ID] = n
	}
	smap.Primary = smap.Pmap["proxy000"]
	for _, test := range []struct {
		name  string
		patch meta.SmapPatch
		keeps []string // members that must stay
	}{
		{"nothing changes", meta.SmapPatch{}, []string{"proxy000", "proxy002", "proxy003"}},
		{"a member goes", meta.SmapPatch{Del: []string{"proxy002"}}, []string{"proxy000", "proxy003"}},
		{"the primary goes", meta.SmapPatch{Del: []string{"proxy000"}, Primary: "proxy004"}, []string{"proxy002", "proxy003", "proxy004"}},
		{"a proxy joins", meta.SmapPatch{Put: []*meta.Snode{node(9, 0)}}, []string{"proxy000", "proxy002", "proxy003"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			patch := test.patch
			staff(smap, &patch)
			after := map[string]*meta.Snode{}
			for id, n := range smap.Pmap {
				if !slices.Contains(patch.Del, id) {
					after[id] = n
				}
			}
			for _, n := range patch.Put {
				after[n.ID] = n
			}
			count := 0
			for _, n := range after {
				if n.Flags&meta.FlagIC != 0 {
					count++
				}
			}
			if count != 3 {
				t.Errorf("%d members, want 3", count)
			}
			for _, id := range test.keeps {
				if after[id].Flags&meta.FlagIC == 0 {
					t.Errorf("%s is no member", id)
				}
			}
		})
	}
}

func TestFrameRoundTrip(t *testing.T) {
	t.Parallel()
	var body []byte
	var err error
	for i := range uint64(3) {
		body, err = appendFrame(body, &frame{
			uuid: "uuid", lineage: "lineage", from: "node", url: "http://node:1", incarnation: i,
			message: &raftpb.Message{Type: raftpb.MsgApp.Enum(), To: new(i + 7), Term: new(uint64(3))},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(3) {
		var f *frame
		if f, body, err = nextFrame(body); err != nil {
			t.Fatal(err)
		}
		if f.uuid != "uuid" || f.lineage != "lineage" || f.from != "node" || f.url != "http://node:1" || f.incarnation != i ||
			f.message.GetTo() != i+7 || f.message.GetType() != raftpb.MsgApp {
			t.Errorf("frame %d: %+v", i, f)
		}
	}
	if len(body) != 0 {
		t.Errorf("%d bytes are left", len(body))
	}
}

func TestRecentCommands(t *testing.T) {
	t.Parallel()
	const maxRecent = 1000
	var r recent
	for i := uint64(1); i <= maxRecent+10; i++ {
		r.add(delta{Prev: 2 * (i - 1), Index: 2 * i}, maxRecent)
	}
	if len(r.deltas) != maxRecent {
		t.Errorf("%d are kept, want %d", len(r.deltas), maxRecent)
	}
	last := uint64(2 * (maxRecent + 10))
	if deltas, ok := r.after(last-6, "proxy", true); !ok || len(deltas) != 3 || deltas[0].Prev != last-6 {
		t.Errorf("after %d: %d, %v", last-6, len(deltas), ok)
	}
	for _, index := range []uint64{0, 4, last, last - 5} {
		if _, ok := r.after(index, "proxy", true); ok {
			t.Errorf("after %d: found", index)
		}
	}
	r.add(delta{Prev: 99999, Index: 100000}, maxRecent)
	if len(r.deltas) != 1 {
		t.Error("a gap must start anew")
	}
	r = recent{}
	r.add(delta{Prev: 0, Index: 1, Command: make([]byte, maxRecentBytes)}, maxRecent)
	r.add(delta{Prev: 1, Index: 2, Command: make([]byte, 10)}, maxRecent)
	if len(r.deltas) != 1 {
		t.Error("bytes are not bounded")
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	s := newState(&meta.View{}, nil)
	for i := range maxResults + 50 {
		if _, _, err := s.apply(&meta.Command{ID: fmt.Sprint(i)}, 1, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.results) != maxResults || len(s.order) != maxResults {
		t.Errorf("%d and %d results are kept, want %d", len(s.results), len(s.order), maxResults)
	}
	again, _, err := s.apply(&meta.Command{ID: fmt.Sprint(maxResults)}, 2, 20_000)
	if err != nil || again.Index != maxResults+1 || s.view.Index != 20_000 {
		t.Errorf("repeated command: %+v, %v, view at %d", again, err, s.view.Index)
	}
	data, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := decodeState(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(restored.results) != maxResults || restored.view.Index != 20_000 {
		t.Errorf("restored: %d results, view at %d", len(restored.results), restored.view.Index)
	}
}
