package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
)

// runPlan runs a whole sequence. An error is a *crashFailure, or a mistake of
// the test.
func runPlan(plan *crashPlan, mutant func(fs.System) fs.System) (err error) {
	m := newCrashMachine(plan, mutant)
	defer func() {
		after := m.close()
		if err == nil {
			err = after
		}
	}()
	random := rand.New(rand.NewPCG(plan.Seed, 1))
	if err := m.start(random, nil); err != nil {
		return err
	}
	time.Sleep(time.Millisecond) // what is written is newer than the mountpaths are
	powerless := false
	for i := range plan.Steps {
		step := &plan.Steps[i]
		where := fmt.Sprintf("step %d", i+1)
		if step.Lazy != nil {
			m.setDurable(!*step.Lazy)
			if err := m.store.ApplyBMD(context.Background(), nil, m.bmd); err != nil {
				return err
			}
		}
		var tasks []func()
		var returned []func() error
		if step.Recreate {
			destroy := m.recreate()
			var failed error
			tasks = append(tasks, func() { failed = destroy() })
			returned = append(returned, func() error {
				if failed != nil {
					return failf("the bucket is not made again: %v", failed)
				}
				return nil
			})
		}
		for _, op := range step.Ops {
			if run, after := m.perform(op); run != nil {
				tasks = append(tasks, run)
				returned = append(returned, after)
			}
		}
		beyond := step.Crash != nil && step.Crash.Call < 0 // after they have ended
		crash := step.Crash
		if beyond || step.Stop {
			crash = nil
		}
		down := m.run(random, crash, tasks...)
		if !down {
			m.moving = nil
			for _, after := range returned {
				if err := after(); err != nil {
					return err
				}
			}
			if step.Stop {
				var stopped error
				during := step.Crash
				if beyond {
					during = nil
				}
				if !m.run(random, during, func() { stopped = m.end(during != nil) }) && stopped != nil {
					return fmt.Errorf("%s: %w", where, stopped)
				}
			}
			if beyond {
				m.goDown(step.Crash)
			}
			down = beyond || step.Stop
		}
		if !down {
			continue
		}
		powerless = powerless || step.Crash != nil && !step.Crash.Kill
		if step.Crash != nil {
			after := m.system
			m.system = crashfs.New(crashfs.Options{}) // open files of the machine that is down are none
			if err := m.abandon(); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			m.system = after
		}
		for j := range step.Restart {
			powerless = powerless || !step.Restart[j].Kill
		}
		if err := m.start(random, step.Restart); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if err := m.check(random, powerless, random.IntN(2) == 0); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		powerless = false
	}
	return m.check(random, false, true)
}
