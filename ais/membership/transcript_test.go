package membership

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// TestTranscripts replays the files of testdata. A file is a list of blocks: a
// command, "----", and what it answers. Lines that begin with "#" are for the
// reader.
//
//	cluster proxies=N targets=N buckets=N [mover]   begins anew
//	do ACTION NODE[,NODE] [OPTION...]               what an operator asks for
//	next                                            what comes next, done once
//	told|left NODE ok|down|fails [TEXT]             the outcome of an effect
//	moved ok|TEXT                                   the rebalance has ended, or failed
//	activate                                        a change of ownership comes into force
//	give-up                                         the change of ownership is given up
//	after DURATION                                  time passes
//	new-primary                                     all facts are forgotten
//	primary NODE                                    a failover, as the control plane commits it
//	map | operations                                shows a document
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := replay(t, before)
			if *update {
				if err := os.WriteFile(file, after, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(before, after) {
				t.Errorf("%s differs (run with -update and look at the difference). Now:\n%s", file, after)
			}
		})
	}
}

// replay runs the commands of a transcript and returns it with their answers.
func replay(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	s := &session{t: t}
	lines := bufio.NewScanner(bytes.NewReader(text))
	inAnswer := false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case inAnswer:
			inAnswer = line != ""
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		case line == "----":
			inAnswer = true
		default:
			fmt.Fprintf(&out, "%s\n----\n%s\n", line, s.run(strings.Fields(line)))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// session is a transcript on its way.
type session struct {
	t     *testing.T
	store *store
	facts *Facts
	mover bool
	asked int
}

func (s *session) run(words []string) string {
	var out strings.Builder
	if err := s.do(&out, words); err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	return out.String()
}

func (s *session) do(out *strings.Builder, words []string) error {
	args := words[1:]
	switch words[0] {
	case "cluster":
		return s.cluster(out, args)
	case "do":
		return s.ask(out, args)
	case "next":
		return s.next(out)
	case "told":
		s.note(s.facts.Told, args)
	case "left":
		s.note(s.facts.Left, args)
	case "moved":
		if s.facts.MoveBegun = true; args[0] == "ok" {
			s.facts.MoveEnded = true
		} else {
			s.facts.MoveFailed = strings.Join(args, " ")
		}
	case "activate":
		if err := s.store.activate(); err != nil {
			return err
		}
		s.showMap(out)
	case "give-up":
		s.store.change(s.t, meta.KindTransition, &meta.TransitionPatch{})
	case "after":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		s.facts.Now = s.facts.Now.Add(d)
	case "new-primary":
		s.facts = newFacts(s.facts.Now)
	case "primary":
		old := s.store.View().Smap.Primary.ID
		s.store.change(s.t, meta.KindSmap, &meta.SmapPatch{Del: []string{old}, Primary: args[0]})
		s.facts = newFacts(s.facts.Now)
		s.showMap(out)
	case "map":
		s.showMap(out)
	case "operations":
		s.showOperations(out)
	default:
		s.t.Fatalf("unknown command %q", words)
	}
	return nil
}

func newFacts(now time.Time) *Facts {
	return &Facts{Now: now, Told: map[string]*Contact{}, Left: map[string]*Contact{}, Begin: begin}
}

func (s *session) cluster(out *strings.Builder, args []string) error {
	count := map[string]int{}
	s.mover = false
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		if key == "mover" {
			s.mover = true
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		count[key] = n
	}
	s.store = newStore(s.t, count["proxies"], count["targets"], count["buckets"])
	s.facts, s.asked = newFacts(start), 0
	s.showMap(out)
	return nil
}

func (s *session) ask(out *strings.Builder, args []string) error {
	r := &Request{Action: args[0], Nodes: strings.Split(args[1], ",")}
	for _, option := range args[2:] {
		switch option {
		case "skip_rebalance":
			r.Value.SkipRebalance = true
		case "rm_user_data":
			r.Value.RemoveUserData = true
		case "force":
			r.Value.Force = true
		case "no_shutdown":
			r.Value.NoShutdown = true
		default:
			s.t.Fatalf("unknown option %q", option)
		}
	}
	s.asked++
	v := s.store.View()
	op, err := Admit(v, r, &Conditions{Now: s.facts.Now, Self: "p[proxy-01]", CanMove: s.mover}, fmt.Sprint("operation-", s.asked))
	if err != nil {
		return err
	}
	if op == nil {
		fmt.Fprintln(out, "nothing to do")
		return nil
	}
	s.store.change(s.t, meta.KindOperations, &meta.OperationsPatch{Current: op})
	s.facts = newFacts(s.facts.Now)
	s.showOperations(out)
	return nil
}

func (s *session) next(out *strings.Builder) error {
	v := s.store.View()
	d, err := Next(v, s.facts)
	if err != nil {
		return err
	}
	switch {
	case d.Effect != "":
		fmt.Fprintln(out, "effect:", d.Effect, strings.Join(d.Nodes, " "))
	case d.Wait != "":
		fmt.Fprintln(out, "waits for:", d.Wait)
	case len(d.Changes) == 0:
		fmt.Fprintln(out, "nothing")
	default:
		var kinds []string
		for _, c := range d.Changes {
			kinds = append(kinds, c.Kind)
		}
		slices.Sort(kinds)
		fmt.Fprintln(out, "commits:", strings.Join(kinds, " "))
		s.store.mu.Lock()
		err := s.store.apply("next", d.Changes)
		s.store.mu.Unlock()
		if err != nil {
			return err
		}
		s.showChanged(out, v)
	}
	return nil
}

// showChanged shows the documents that are not what they were.
func (s *session) showChanged(out *strings.Builder, before *meta.View) {
	v := s.store.View()
	if v.Smap != before.Smap {
		s.showMap(out)
	}
	if p := v.Transition.Now(); p != nil && v.Transition != before.Transition {
		fmt.Fprintf(out, "pending: %s, active targets then: %s, rebalance: %v\n", p.Action, strings.Join(p.Targets, " "), p.Rebalance)
	}
	if v.RMD.Ver() != before.RMD.Ver() {
		fmt.Fprintln(out, "rebalance:", meta.RebalanceID(v.RMD.Ver()))
	}
	if v.Operations != before.Operations {
		s.showOperations(out)
	}
}

func (s *session) note(contacts map[string]*Contact, args []string) {
	c := contacts[args[0]]
	if c == nil {
		c = &Contact{Since: s.facts.Now}
		contacts[args[0]] = c
	}
	c.Done, c.Down, c.Problem = args[1] == "ok", args[1] == "down", strings.Join(args[2:], " ")
}

func (s *session) showMap(out *strings.Builder) {
	smap := s.store.View().Smap
	fmt.Fprintf(out, "map v%d:", smap.Version)
	for _, node := range smap.Nodes() {
		fmt.Fprintf(out, " %s", node.ID)
		var marks []string
		if smap.IsPrimary(node.ID) {
			marks = append(marks, "primary")
		}
		for _, flag := range []struct {
			bit  uint64
			name string
		}{
			{meta.FlagIC, "IC"},
			{meta.FlagMaintenance, "maintenance"},
			{meta.FlagDecommission, "decommission"},
			{meta.FlagPostMaintenance, "data moved"},
		} {
			if node.Flags&flag.bit != 0 {
				marks = append(marks, flag.name)
			}
		}
		if len(marks) > 0 {
			fmt.Fprintf(out, "(%s)", strings.Join(marks, ", "))
		}
	}
	fmt.Fprintln(out)
}

func (s *session) showOperations(out *strings.Builder) {
	ops := s.store.View().Operations
	show := func(op *meta.Operation) {
		fmt.Fprintf(out, "%s: %s %s, step %s", op.ID, op.Action, strings.Join(op.Nodes, " "), op.Step)
		if op.Rebalance > 0 {
			fmt.Fprintf(out, ", rebalance %s", meta.RebalanceID(op.Rebalance))
		}
		if op.Ended > 0 {
			fmt.Fprintf(out, ", ended after %s", time.Duration(op.Ended-op.Started))
		}
		if op.Error != "" {
			fmt.Fprintf(out, ", error: %s", op.Error)
		}
		fmt.Fprintln(out)
	}
	if now := ops.Now(); now != nil {
		show(now)
	} else if ops != nil && len(ops.Past) > 0 {
		show(ops.Past[len(ops.Past)-1])
	}
}
