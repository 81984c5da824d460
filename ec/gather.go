package ec

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
)

// piece is a slice, replica or mark and who holds it.
type piece struct {
	core.Slice
	id string
}

// gathered is what all targets that could be asked hold of a name.
type gathered struct {
	pieces  []piece
	unknown []string   // ids of targets that could not be asked
	newest  core.Stamp // the greatest of all; zero: nothing is held
}

// gather asks all targets what they hold of a name.
func (e *Engine) gather(ctx context.Context, key core.Key, verify bool) *gathered {
	ids := e.cluster.Everybody()
	answers := make([][]core.Slice, len(ids))
	limit := callTime
	if verify {
		limit = verifyTime
	}
	errs := e.toAllWithin(ctx, limit, ids, func(ctx context.Context, i int, id string) (err error) {
		answers[i], err = e.look(ctx, id, key, verify)
		return err
	})
	g := new(gathered)
	for i, id := range ids {
		if errs[i] != nil {
			g.unknown = append(g.unknown, id)
			e.logger.Debug("cannot ask for slices", "object", key.Cname(), "target", id, "err", errs[i])
		}
		for _, sl := range answers[i] {
			if sl.Stamp.Compare(g.newest) > 0 {
				g.newest = sl.Stamp
			}
			g.pieces = append(g.pieces, piece{Slice: sl, id: id})
		}
	}
	return g
}

// of returns the slices and replicas of a generation, committed ones first.
func (g *gathered) of(stamp core.Stamp) (found []piece) {
	for i := range g.pieces {
		if p := &g.pieces[i]; p.Stamp == stamp && !p.IsMark() {
			found = append(found, *p)
		}
	}
	slices.SortStableFunc(found, func(a, b piece) int {
		switch {
		case a.Staged == b.Staged:
			return 0
		case b.Staged:
			return -1
		}
		return 1
	})
	return found
}

// markOf returns the state of a mark with a stamp: a deletion before others; 0:
// there is none.
func (g *gathered) markOf(stamp core.Stamp) (state core.SliceState) {
	for i := range g.pieces {
		if p := &g.pieces[i]; p.Stamp == stamp && p.IsMark() {
			state = max(state, p.State)
		}
	}
	return state
}

// readable is a generation with what is needed to read it.
type readable struct {
	object core.Attrs
	shape  Shape
	byN    map[int]piece // by number; of replicas by position
}

// choose finds what can be read of a name: the newest generation, or an error
// that says why that cannot be, see core.Slices.Restore.
func (e *Engine) choose(key core.Key, g *gathered) (*readable, error) {
	if g.newest.IsZero() {
		if len(g.unknown) > 0 && len(g.unknown) >= key.Props.EC.ParitySlices {
			return nil, e.unreachable(key, g, "it may be held by targets that do not answer")
		}
		return nil, apierr.ObjectNotFound(key.Cname())
	}
	best := e.readable(g.of(g.newest))
	switch {
	case best != nil:
		return best, nil
	case e.unfinished(g):
		if rest := g.without(g.newest); !rest.newest.IsZero() {
			return e.choose(key, rest)
		}
		if redundant(key) {
			return nil, apierr.ObjectNotFound(key.Cname())
		}
	case g.markOf(g.newest) == core.SliceDeleted:
		return nil, apierr.ObjectNotFound(key.Cname())
	case len(g.unknown) > 0:
		return nil, e.unreachable(key, g, "its newest generation cannot be read now")
	}
	pieces := g.of(g.newest)
	if len(pieces) == 0 {
		return nil, apierr.Unavailable(retryAfter,
			"%s: its newest generation is lost: nobody holds a slice or a replica of it, and older ones do not count", key.Cname())
	}
	numbers := map[int]bool{}
	for i := range pieces {
		numbers[pieces[i].Number] = true
	}
	return nil, apierr.New(apierr.StatusInternalServerError, "",
		"%s is lost: %d of its slices are left, and %d are needed", key.Cname(), len(numbers), pieces[0].Data)
}

// unfinished tells that of the newest generation nothing is there but some of its
// slices that are staged, too few to read it: whoever made them did not come to the
// end. It has not replaced the older ones: for that all of its slices are committed, or
// marks tell that the older ones are superseded.
func (e *Engine) unfinished(g *gathered) bool {
	return len(g.unknown) == 0 && g.onlyStaged(g.newest) && e.readable(g.of(g.newest)) == nil
}

// onlyStaged tells that of a generation some slices are staged, none is committed, and
// there is no mark.
func (g *gathered) onlyStaged(stamp core.Stamp) bool {
	found := false
	for i := range g.pieces {
		p := &g.pieces[i]
		if p.Stamp != stamp {
			continue
		}
		if p.IsMark() || !p.Staged {
			return false
		}
		found = true
	}
	return found
}

// without is what is held beside a generation.
func (g *gathered) without(stamp core.Stamp) *gathered {
	rest := &gathered{unknown: g.unknown}
	for i := range g.pieces {
		if p := &g.pieces[i]; p.Stamp != stamp {
			rest.pieces = append(rest.pieces, *p)
			if p.Stamp.Compare(rest.newest) > 0 {
				rest.newest = p.Stamp
			}
		}
	}
	return rest
}

func (e *Engine) unreachable(key core.Key, g *gathered, why string) error {
	return apierr.Unavailable(retryAfter, "%s: %s (t[%s])", key.Cname(), why, strings.Join(g.unknown, "], t["))
}

// readable returns a generation of which enough is there, nil if there is not. A
// generation may be kept in several shapes after a change of the bucket's settings.
func (e *Engine) readable(pieces []piece) *readable {
	byShape := map[Shape]*readable{}
	for _, p := range pieces {
		shape := Shape{Data: p.Data, Parity: p.Parity}
		r := byShape[shape]
		if r == nil {
			r = &readable{object: p.Object, shape: shape, byN: map[int]piece{}}
			byShape[shape] = r
		}
		n := p.Number
		if shape.Replicated() {
			n = len(r.byN)
		}
		if _, have := r.byN[n]; !have {
			r.byN[n] = p
		}
	}
	for _, r := range byShape {
		if len(r.byN) >= max(1, r.shape.Data) {
			return r
		}
	}
	return nil
}

// String is for messages.
func (s Shape) String() string {
	if s.Replicated() {
		return fmt.Sprintf("%d replicas", s.Parity)
	}
	return fmt.Sprintf("%d+%d slices", s.Data, s.Parity)
}
