package core

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aistore-go/aistore/fs"
)

var (
	crashFrom   = flag.Uint64("crash.from", 1, "seed of the first sequence of TestCrashSequences")
	crashSeeds  = flag.Uint64("crash.seeds", 0, "how many sequences; 0: the default")
	crashRandom = flag.Bool("crash.random", false, "take a seed that nobody knows instead of -crash.from")
)

// crashPlan is a sequence of operations and crashes. It is all that a run
// depends on.
type crashPlan struct {
	Seed       uint64 // of the schedule
	Disks      int
	Mountpaths int
	Ordered    bool // see crashfs.Options
	Lazy       bool // durability none
	Validate   bool // reads are validated
	Chunked    bool // bodies of more than some KiB are stored in chunks
	Versions   bool // every write keeps what it replaces as a version
	Names      []string
	Steps      []crashStep
}

// crashStep is operations at the same time, and what becomes of the machine.
type crashStep struct {
	Lazy     *bool `json:",omitempty"` // the durability from now on
	Recreate bool  `json:",omitempty"` // the bucket is destroyed and made again
	Ops      []crashOp
	Stop     bool         `json:",omitempty"` // the process ends in order; a crash happens meanwhile
	Crash    *crashPoint  `json:",omitempty"`
	Restart  []crashPoint `json:",omitempty"` // crashes during the starts that follow
}

type crashOp struct {
	Kind   string // put, stream, multipart, same, delete, bury, marker, append, patch, copy, rename; create, part, parts, complete, abort
	Name   int
	From   int  `json:",omitempty"` // the source of a copy or rename
	Size   int  `json:",omitempty"`
	Large  bool `json:",omitempty"`
	Upload int  `json:",omitempty"` // which of those that go on
	Part   int  `json:",omitempty"` // number; of a completion: the one that it leaves out
}

// crashPoint is the call before which the machine goes down, -1: after the last.
type crashPoint struct {
	Call   int
	Inside bool `json:",omitempty"` // only calls of the listing index and its journal count
	Kill   bool // the process alone
	Seed   uint64
}

// lazy tells whether anything is acknowledged before it is durable.
func (p *crashPlan) lazy() bool {
	return p.Lazy || slices.ContainsFunc(p.Steps, func(s crashStep) bool { return s.Lazy != nil && *s.Lazy })
}

var crashPlanNames = []string{
	"p", "p/q", "p/q/r", "a//b", "a/b", "d/e/f", "d/e", "o", "/lead", "x/", "..", strings.Repeat("n", 300), "d2/e2/f2/g2", "z",
}

// newCrashPlan draws a sequence.
func newCrashPlan(seed uint64) *crashPlan {
	random := rand.New(rand.NewPCG(seed, 0))
	p := &crashPlan{Seed: seed, Disks: 1 + random.IntN(2), Ordered: random.IntN(3) == 0}
	p.Mountpaths = p.Disks + random.IntN(2)
	p.Lazy = random.IntN(6) == 0
	changes := random.IntN(6) == 0 // of the durability
	p.Validate = !p.Ordered || random.IntN(4) == 0
	if !p.Lazy && !changes {
		p.Validate = random.IntN(4) == 0
	}
	p.Chunked, p.Versions = random.IntN(4) == 0, random.IntN(4) == 0
	p.Validate = p.Validate || p.Chunked
	// A write that is not durable may lose the version that it replaced.
	p.Versions = p.Versions && !p.Lazy && !changes
	names := slices.Clone(crashPlanNames)
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	p.Names = names[:2+random.IntN(4)]
	point := func(longest int) crashPoint {
		point := crashPoint{Call: random.IntN(longest), Kill: random.IntN(4) == 0, Seed: random.Uint64()}
		if random.IntN(5) == 0 {
			point.Call = -1
		} else if random.IntN(4) == 0 {
			point.Inside = true
		}
		return point
	}
	for range 2 + random.IntN(10) {
		var step crashStep
		if changes && random.IntN(3) == 0 {
			lazy := random.IntN(2) == 0
			step.Lazy = &lazy
		}
		together := 1
		switch random.IntN(12) {
		case 0:
			step.Recreate = true
			together = 0
		case 1, 2, 3:
			together = 2 + random.IntN(4)
		case 4:
			together = 8 + random.IntN(6) // rounds with syncfs
		}
		for range together {
			op := crashOp{Name: random.IntN(len(p.Names)), Size: [...]int{0, 1, 30, 700, 5000, 9000, 140000, 1100000}[min(random.IntN(9), random.IntN(9), 7)]}
			switch random.IntN(10) {
			case 0, 1, 2:
				op.Kind = "delete"
			case 3:
				op.Kind = "bury"
			case 4:
				op.Kind = "same"
			case 5:
				op.Kind = "stream"
			case 6:
				op.Kind = "multipart"
			default:
				op.Kind = "put"
			}
			if op.Kind == "put" || op.Kind == "stream" {
				op.Large = random.IntN(4) == 0
			}
			if p.Versions {
				switch op.Kind {
				case "delete", "bury":
					op.Kind = "marker"
				case "same":
					op.Kind = "put"
				}
			}
			if op.Kind == "same" && together > 1 {
				op.Kind = "put" // which version it repeats would be open
			}
			if together == 1 && !p.Versions && random.IntN(3) == 0 {
				op.Kind = [...]string{"append", "patch", "copy", "rename"}[random.IntN(4)]
				op.Large, op.From = random.IntN(3) == 0, random.IntN(len(p.Names))
			}
			step.Ops = append(step.Ops, op)
		}
		step.Stop = random.IntN(8) == 0
		if random.IntN(3) == 0 {
			crash := point(12 * (together + 1))
			step.Crash = &crash
			for random.IntN(5) == 0 {
				restart := point(60)
				restart.Call = max(restart.Call, 0)
				step.Restart = append(step.Restart, restart)
			}
		}
		p.Steps = append(p.Steps, step)
	}
	if seed%4 == 0 {
		p.addUploads(rand.New(rand.NewPCG(seed, 2)))
	}
	return p
}

// try runs a plan in a bubble of its own.
func (p *crashPlan) try(t *testing.T, mutant func(fs.System) fs.System) (err error) {
	synctest.Test(t, func(*testing.T) { err = runPlan(p, mutant) })
	return err
}

// shrink looks for a shorter sequence that fails as well.
func (p *crashPlan) shrink(t *testing.T, mutant func(fs.System) fs.System, failure error) (*crashPlan, error) {
	attempt := func(change func(*crashPlan) bool) bool {
		q := *p
		q.Steps = make([]crashStep, len(p.Steps))
		for i, step := range p.Steps {
			step.Ops = slices.Clone(step.Ops)
			step.Restart = slices.Clone(step.Restart)
			q.Steps[i] = step
		}
		if !change(&q) {
			return false
		}
		err := q.try(t, mutant)
		if err != nil {
			p, failure = &q, err
		}
		return err != nil
	}
	for again := true; again; {
		again = false
		for i := len(p.Steps) - 1; i >= 0; i-- {
			again = attempt(func(q *crashPlan) bool { q.Steps = slices.Delete(q.Steps, i, i+1); return true }) || again
		}
		for i := range p.Steps {
			for j := len(p.Steps[i].Ops) - 1; j >= 0; j-- {
				again = attempt(func(q *crashPlan) bool { q.Steps[i].Ops = slices.Delete(q.Steps[i].Ops, j, j+1); return true }) || again
			}
			again = attempt(func(q *crashPlan) bool {
				had := q.Steps[i].Crash != nil
				q.Steps[i].Crash, q.Steps[i].Restart = nil, nil
				return had
			}) || again
			again = attempt(func(q *crashPlan) bool {
				had := q.Steps[i].Stop
				q.Steps[i].Stop = false
				return had
			}) || again
			again = attempt(func(q *crashPlan) bool {
				had := len(q.Steps[i].Restart) > 0
				q.Steps[i].Restart = nil
				return had
			}) || again
		}
	}
	return p, failure
}

func (p *crashPlan) String() string {
	head := *p
	head.Steps = nil
	lines := []any{head}
	for i := range p.Steps {
		lines = append(lines, p.Steps[i])
	}
	var text strings.Builder
	for _, line := range lines {
		data, err := json.Marshal(line)
		if err != nil {
			return err.Error()
		}
		text.Write(append(data, '\n'))
	}
	return text.String()
}

// TestCrashSequences runs random operations on disks that lose their power, and
// processes that are killed, at any system call, and compares what the next
// start finds with everything that it may find.
//
//	go test ./core -run TestCrashSequences -crash.from=SEED -crash.seeds=1
//
// replays one sequence. The set is the same in every run, unless -crash.random
// is given. A sequence that failed goes to testdata/crash when it is mended.
func TestCrashSequences(t *testing.T) {
	t.Parallel()
	from, count := *crashFrom, *crashSeeds
	if *crashRandom {
		from = uint64(time.Now().UnixNano()) >> 10
		t.Logf("random set from seed %d", from)
	}
	switch {
	case count > 0:
	case testing.Short() || underRace:
		count = 200
	default:
		count = 1500
	}
	runners := uint64(runtime.GOMAXPROCS(0))
	for i := range runners {
		first, last := from+count*i/runners, from+count*(i+1)/runners
		t.Run(strconv.FormatUint(first, 10), func(t *testing.T) {
			t.Parallel()
			runSequences(t, first, last-first)
		})
	}
}

func runSequences(t *testing.T, from, count uint64) {
	t.Helper()
	started := time.Now()
	for seed := from; seed < from+count; seed++ {
		plan := newCrashPlan(seed)
		err := plan.try(t, nil)
		if err == nil {
			continue
		}
		short, shortErr := plan.shrink(t, nil, err)
		t.Fatalf("seed %d: %v\nreplay: go test ./core -run TestCrashSequences -crash.from=%d -crash.seeds=1\nshortened: %v\n%v",
			seed, err, seed, shortErr, short)
	}
	t.Logf("%d sequences in %v", count, time.Since(started).Round(time.Millisecond))
}
