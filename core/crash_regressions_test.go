package core

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCrashRegressions runs the sequences of testdata/crash: each failed once.
// What a change of the engine does to the number of its system calls must not
// make them worthless, so each crash is tried some calls earlier and later as
// well, and with several ways to lose things.
func TestCrashRegressions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/crash/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sequences: %v", err)
	}
	away, losses := 4, uint64(6)
	if testing.Short() || underRace {
		away, losses = 1, 2
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			t.Parallel()
			for schedule := range uint64(8) {
				plan := readCrashPlan(t, file)
				plan.Seed += schedule
				if err := plan.try(t, nil); err != nil {
					t.Fatalf("schedule %d: %v\n%v", schedule, err, plan)
				}
			}
			crashes := 0
			for _, step := range readCrashPlan(t, file).Steps {
				if step.Crash != nil {
					crashes++
				}
			}
			for crash := range crashes {
				for moved := -away; moved <= away; moved++ {
					for loss := range losses {
						plan := readCrashPlan(t, file)
						plan.moveCrash(crash, moved, loss)
						if err := plan.try(t, nil); err != nil {
							t.Fatalf("crash %d moved by %d, loss %d: %v\n%v", crash+1, moved, loss, err, plan)
						}
					}
				}
			}
		})
	}
}

// readCrashPlan reads a sequence as it is printed when it fails.
func readCrashPlan(t *testing.T, path string) *crashPlan {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // was read only
	var plan *crashPlan
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var step crashStep
		into := any(&step)
		if plan == nil {
			plan = new(crashPlan)
			into = plan
		}
		decoder := json.NewDecoder(strings.NewReader(lines.Text()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if into == any(&step) {
			plan.Steps = append(plan.Steps, step)
		}
	}
	if err := lines.Err(); err != nil || plan == nil {
		t.Fatalf("%s: no sequence: %v", path, err)
	}
	return plan
}

// moveCrash lets one of the crashes come some calls earlier or later, and lose
// something else.
func (p *crashPlan) moveCrash(crash, calls int, loss uint64) {
	for i := range p.Steps {
		point := p.Steps[i].Crash
		if point == nil {
			continue
		}
		if crash == 0 {
			if point.Call >= 0 {
				point.Call = max(point.Call+calls, 0)
			}
			point.Seed += loss
		}
		crash--
	}
}
