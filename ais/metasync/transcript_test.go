package metasync

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

// transcript collects what the nodes of a simulation log, and what happens to
// them, as a reader wants to see it: seconds since its beginning, node, event.
type transcript struct {
	s     *sim
	begun time.Time
	text  bytes.Buffer
}

// record begins a transcript; nodes that are started from now on write to it.
func (s *sim) record() *transcript {
	s.transcript = &transcript{s: s, begun: s.now}
	return s.transcript
}

// note writes what the test does.
func (tr *transcript) note(who, format string, args ...any) {
	fmt.Fprintf(&tr.text, "%8.3f  %-9s %s\n", tr.s.now.Sub(tr.begun).Seconds(), who, fmt.Sprintf(format, args...))
}

func (tr *transcript) heading(text string) { fmt.Fprintf(&tr.text, "\n%s\n\n", text) }

// transcriber is the slog.Handler of one node.
type transcriber struct{ n *simNode }

// Enabled implements slog.Handler.
func (transcriber) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// WithAttrs implements slog.Handler.
func (h transcriber) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h transcriber) WithGroup(string) slog.Handler { return h }

// Handle implements slog.Handler.
func (h transcriber) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "raft: ") {
		return nil
	}
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(", %s %s", a.Key, h.n.s.nodeNames(a.Value.String()))
		return true
	})
	h.n.s.transcript.note(h.n.self.ID, "%s", line)
	return nil
}

var raftIDs = regexp.MustCompile(`\d{12,}`)

// nodeNames puts the names of nodes for Raft ids.
func (s *sim) nodeNames(text string) string {
	return raftIDs.ReplaceAllStringFunc(text, func(digits string) string {
		id, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return digits
		}
		for _, n := range s.nodes {
			if n.m != nil && n.m.identity.RaftID == id {
				return "(" + n.self.ID + ")"
			}
		}
		for _, n := range s.nodes {
			if n.m == nil {
				continue
			}
			if r, ok := n.m.route(id); ok {
				return "(" + r.node + ")"
			}
		}
		return digits
	})
}

// state writes what the primary's documents say.
func (tr *transcript) state() {
	p := tr.s.primary()
	if p == nil {
		tr.note("", "there is no primary")
		return
	}
	v := p.m.view()
	var nodes, voters []string
	for _, n := range v.Smap.Nodes() {
		nodes = append(nodes, n.ID)
	}
	for _, m := range v.Voters.Members {
		voters = append(voters, m.NodeID)
	}
	fmt.Fprintf(&tr.text, "\n          map %d: primary %s, nodes %s\n          voters %d: %s\n", v.Smap.Version, v.Smap.Primary.ID,
		strings.Join(nodes, " "), v.Voters.Version, strings.Join(voters, " "))
}

// compare asserts that the transcript is the one in testdata.
func (tr *transcript) compare(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, tr.text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, tr.text.Bytes()) {
		t.Errorf("the transcript differs from %s; after a wanted change, run with -update and read it. It is now:\n%s", path, tr.text.String())
	}
}

// TestTranscripts replays histories of a seed and compares what happens, line
// by line, with the files in testdata.
func TestTranscripts(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *sim, tr *transcript)
		seed uint64
	}{
		{"join", transcribeJoin, 901},
		{"failover", transcribeFailover, 902},
		{"election", transcribeElection, 903},
		{"set-primary", transcribeSetPrimary, 904},
		{"stall", transcribeStall, 905},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTestSim(t, c.seed, 3, 3)
			tr := s.record()
			c.run(t, s, tr)
			tr.compare(t, c.name)
		})
	}
}

func transcribeJoin(_ *testing.T, s *sim, tr *transcript) {
	fmt.Fprintln(&tr.text, "A cluster is founded, and nodes join it: a proxy and a target, then two more at the same time.")
	fmt.Fprintln(&tr.text, "The group grows to three voters, then to five.")
	tr.heading("The first proxy starts, and is a cluster of one.")
	start := func(n *simNode) {
		tr.note(n.self.ID, "STARTS")
		n.start()
	}
	start(s.nodes[0])
	s.until("a primary", 5*time.Second, func() bool { return s.primary() != nil && s.converged() })
	tr.state()
	tr.heading("A proxy and a target start.")
	start(s.nodes[1])
	start(s.nodes[3])
	s.until("all are in the map", 10*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == 3 })
	s.settleVoters(3)
	tr.state()
	tr.heading("Another proxy and another target start.")
	start(s.nodes[2])
	start(s.nodes[4])
	s.until("all are in the map", 10*time.Second, func() bool { return s.converged() && len(s.primary().inView.Smap.Nodes()) == 5 })
	s.settleVoters(5)
	tr.state()
	tr.heading("A target restarts: the map does not change.")
	tr.note(s.nodes[4].self.ID, "IS KILLED")
	s.nodes[4].kill()
	s.pass(2 * time.Second)
	start(s.nodes[4])
	s.until("it is back", 10*time.Second, s.converged)
	tr.state()
}

// quietly starts the cluster without a transcript.
func (tr *transcript) quietly() {
	tr.s.startAll()
	tr.s.settleVoters(5)
	tr.text.Reset()
	tr.begun = tr.s.now
}

func transcribeFailover(_ *testing.T, s *sim, tr *transcript) {
	tr.quietly()
	fmt.Fprintln(&tr.text, "The primary of three proxies and three targets dies. Whoever is elected waits until it has been gone for 4 s;")
	fmt.Fprintln(&tr.text, "then the living proxy with the greatest digest takes over, and the dead one leaves map and group with one command.")
	tr.state()
	old := s.primary()
	tr.heading("The primary is killed.")
	tr.note(old.self.ID, "IS KILLED")
	old.kill()
	s.until("failover", 10*time.Second, func() bool { return s.primary() != nil && s.converged() })
	s.settleVoters(5)
	tr.state()
	tr.heading("It starts again, and is an ordinary proxy.")
	tr.note(old.self.ID, "STARTS")
	old.start()
	s.until("it is back", 20*time.Second, func() bool { return s.converged() && s.primary().inView.Smap.Node(old.self.ID) != nil })
	s.settleVoters(5)
	tr.state()
}

func transcribeElection(_ *testing.T, s *sim, tr *transcript) {
	tr.quietly()
	fmt.Fprintln(&tr.text, "The primary is cut off from all others. It steps down; a change that it has in its hands is refused.")
	fmt.Fprintln(&tr.text, "The others elect a leader and have a primary again. When it is back, it follows.")
	tr.state()
	old := s.primary()
	var rest []*simNode
	for _, n := range s.nodes {
		if n != old {
			rest = append(rest, n)
		}
	}
	tr.heading("The primary is cut off, and asked for a bucket.")
	tr.note("", "THE NETWORK of %s is cut", old.self.ID)
	s.partition([]*simNode{old}, rest)
	changes, err := bucketChange(old.m.view(), "bucket")
	if err != nil {
		s.fatalf("%v", err)
	}
	old.request(func(m *machine, token uint64) {
		m.commit(token, &meta.Command{ID: "request", Action: "create-bck", Changes: changes})
	}, func(r reply) { tr.note(old.self.ID, "ANSWERS the client: %v", r.err) })
	s.until("another primary", 15*time.Second, func() bool { return s.primary() != nil && s.primary() != old })
	s.pass(time.Second)
	tr.state()
	tr.heading("The network is whole again.")
	tr.note("", "THE NETWORK is whole")
	s.heal()
	s.until("one cluster", 30*time.Second, func() bool { return s.converged() && s.primary().inView.Smap.Node(old.self.ID) != nil })
	s.settleVoters(5)
	tr.state()
}

func transcribeSetPrimary(_ *testing.T, s *sim, tr *transcript) {
	tr.quietly()
	fmt.Fprintln(&tr.text, "An operator makes another proxy primary: it is named, leadership is handed over, and it commits the change.")
	tr.state()
	to := s.nodes[2]
	tr.heading("The primary is asked to make another one primary.")
	tr.note(s.primary().self.ID, "IS ASKED to make %s primary", to.self.ID)
	done := false
	old := s.primary()
	s.changePrimary(to.self.ID, func(err error) {
		done = true
		tr.note(old.self.ID, "ANSWERS the client: error %v", err)
	})
	s.until("answered", 10*time.Second, func() bool { return done })
	s.until("all agree", 5*time.Second, s.converged)
	tr.state()
}

func transcribeStall(_ *testing.T, s *sim, tr *transcript) {
	tr.quietly()
	fmt.Fprintln(&tr.text, "The disk of the primary finishes nothing any more. After one election timeout it hands leadership over;")
	fmt.Fprintln(&tr.text, "it lives, so it stays in the map, but does not lead until its disk works.")
	tr.state()
	old := s.primary()
	tr.heading("The disk stalls, and a bucket is to be made.")
	tr.note(old.self.ID, "ITS DISK stalls")
	old.stallDisk()
	old.create("bucket", func(_ *meta.View, err error) { tr.note(old.self.ID, "ANSWERS the client: %v", err) })
	s.until("another primary", 15*time.Second, func() bool { return s.primary() != nil && s.primary() != old })
	tr.state()
	tr.heading("The disk works again.")
	tr.note(old.self.ID, "ITS DISK works")
	old.repairDisk()
	s.until("one state", 20*time.Second, s.converged)
	tr.state()
}
