package xact

import (
	"errors"
	"fmt"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Active is a job that runs, as the rules of coexistence see it.
type Active struct {
	Spec *Spec
	// Idle: it has no work at present, and is in nobody's way.
	Idle bool
}

// Verdict is what the rules say of a job that is to start.
type Verdict struct {
	// Err: it may not. With Retry a moment later it may.
	Err   error
	Retry bool
	// Join is the job that runs and is taken instead, nil for none: it does the same, or takes
	// more work.
	Join *Spec
	// Abort are the jobs that give way to it, with the cause.
	Abort []Ousted
}

// Ousted is a job that is aborted for a new one.
type Ousted struct {
	ID    string
	Cause error
}

// Coexist applies the rules of coexistence to a job that is to start on a
// node while others run. ignore: limited coexistence is not enforced.
func Coexist(node string, spec *Spec, running []Active, ignore bool) (v Verdict) {
	kind, ok := FindKind(spec.Kind)
	if !ok {
		return Verdict{Err: errInvalidKind(spec.Kind)}
	}
	ignore = ignore || spec.Force
	for _, a := range running {
		if a.Spec.ID == spec.ID {
			continue
		}
		other, ok := FindKind(a.Spec.Kind)
		if !ok {
			continue
		}
		switch same(kind, spec, a.Spec) {
		case sameJoins:
			if v.Join == nil {
				v.Join = a.Spec
			}
		case sameReplaces:
			v.Abort = append(v.Abort, Ousted{a.Spec.ID, ErrRenewal})
		case sameRefuses:
			v.Err = apierr.New(apierr.StatusBadRequest, wire.CodeXactUsePrev, "%s is already running - not starting", a.Spec.Name())
			if kind.Name == KindMakeCopies {
				v.Err = apierr.New(apierr.StatusBadRequest, wire.CodeXactUsePrev, "%s is currently running, cannot start a new %q", a.Spec.Name(), kind.Name)
			}
			return v
		default:
			if why := ousts(kind, spec, other, a.Spec); why != nil {
				v.Abort = append(v.Abort, Ousted{a.Spec.ID, why})
			} else if !ignore && !a.Idle && conflict(kind, spec, other, a.Spec) {
				v.Err = apierr.New(apierr.StatusConflict, wire.CodeLimitedCoexistence, "%s: %s is currently running, cannot run %q(%s) concurrently",
					node, a.Spec.Name(), kind.Name, subject(spec))
				v.Retry = true
			}
		}
	}
	if v.Err != nil {
		v.Abort, v.Join = nil, nil
	}
	return v
}

// subject is what a job is about, for messages.
func subject(s *Spec) string {
	if s.Bck.Name == "" {
		return s.ID
	}
	return s.Bck.String()
}

type sameRule int

const (
	sameNothing  sameRule = iota // both run
	sameRefuses                  // the new one is refused
	sameReplaces                 // the old one is aborted
	sameJoins                    // the old one is taken
)

// same says what becomes of two jobs of one kind.
func same(kind Kind, spec, running *Spec) sameRule {
	if spec.Kind != running.Kind {
		return sameNothing
	}
	pair := spec.Bck == running.Bck && spec.Source == running.Source && spec.To == running.To
	switch {
	case kind.Name == KindRebalance:
		return sameReplaces
	case kind.Name == KindResilver:
		if len(spec.Targets) == 1 && len(running.Targets) == 1 && spec.Targets[0] != running.Targets[0] {
			return sameNothing
		}
		return sameReplaces
	case kind.Name == KindCleanup && spec.DryRun() != running.DryRun():
		return sameNothing
	case kind.Name == KindLRU, kind.Name == KindCleanup, kind.Name == KindScrub:
		return sameJoins
	case !pair:
		return sameNothing
	case kind.Name == KindLoadCache, kind.Idle:
		return sameJoins
	case kind.Name == KindMakeCopies, kind.Name == KindECEncode, kind.Name == KindCopyBck, kind.Name == KindETLBck, kind.Name == "rechunk":
		return sameRefuses
	}
	return sameNothing
}

// ousts returns why a running job gives way to a new one, nil if it does not.
func ousts(kind Kind, spec *Spec, other Kind, running *Spec) error {
	switch {
	case kind.Name == KindRebalance && other.GivesWay:
		return fmt.Errorf("%s starts: %w", spec.Name(), errRebalance)
	case kind.Name == KindMakeCopies && other.Name == KindPutCopies && spec.Bck == running.Bck:
		return fmt.Errorf("%s starts: %w", spec.Name(), ErrRenewal)
	}
	return nil
}

// errRebalance is the cause of what a rebalance aborts.
var errRebalance = errors.New("aborted by rebalance")

// conflict tells two kinds that do not run at the same time.
func conflict(kind Kind, spec *Spec, other Kind, running *Spec) bool {
	switch {
	case kind.Name == KindMoveBck && other.Name == KindMoveBck:
		return true
	case kind.Name == KindMoveBck && other.Conflicts && !other.Moves, kind.Conflicts && !kind.Moves && other.Name == KindMoveBck:
		return touch(spec, running)
	case kind.Name == KindMoveBck:
		return other.Name == KindRebalance || other.Name == KindResilver
	}
	return kind.Conflicts && other.Moves || kind.Moves && other.Conflicts
}

// touch tells two jobs that have a bucket in common; one of all buckets has
// one in common with every other.
func touch(a, b *Spec) bool {
	none := func(s *Spec) bool { return s.Bck.Name == "" && s.Source.Name == "" && s.To.Name == "" }
	if none(a) || none(b) {
		return true
	}
	for _, x := range []wire.Bck{a.Bck, a.Source, a.To} {
		for _, y := range []wire.Bck{b.Bck, b.Source, b.To} {
			if x.Name != "" && x == y {
				return true
			}
		}
	}
	return false
}
