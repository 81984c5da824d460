package ec

import (
	"context"
	"fmt"
	"slices"

	"github.com/aistore-go/aistore/core"
)

// Whether an object has all that it should have is known without asking anybody
// as long as nobody has lost a disk: the owner's note says who holds it. What holders have
// lost is noticed by a repair and by VerifyProtection; from then on until it is mended the
// object has no note, and owes its slices.

// Below tells why an object of this target is below the level of protection that
// its bucket asks for, by its note; "" if it is not. Nobody is asked, nothing is mended.
// Errors are those of core.Store.Protection.
func (e *Engine) Below(ctx context.Context, key core.Key) (why string, err error) {
	if !key.Props.EC.Enabled {
		return "", nil
	}
	attrs, note, err := e.store.Protection(ctx, key)
	if err != nil {
		return "", err
	}
	return e.lacks(&note, ShapeOf(key.Props, attrs.Size)), nil
}

// lacks is what a note lacks; "" for nothing.
func (e *Engine) lacks(note *core.Protection, shape Shape) string {
	switch {
	case note.Stamp.IsZero():
		return "its " + shape.String() + " are not all there"
	case note.Data != shape.Data || note.Parity != shape.Parity:
		return "it has " + Shape{Data: note.Data, Parity: note.Parity}.String() + " instead of " + shape.String()
	}
	everybody := e.cluster.Everybody()
	gone := 0
	for _, id := range note.Holders {
		if !slices.Contains(everybody, id) {
			gone++
		}
	}
	switch {
	case gone > 0:
		return fmt.Sprintf("%d of its %s were on targets that are gone", gone, shape)
	case len(note.Holders) != shape.Pieces():
		return "it is not known where its " + shape.String() + " are"
	}
	return ""
}

// degrade has an object counted, and looked after until all is there, of which
// something is missing.
func (e *Engine) degrade(ctx context.Context, key core.Key, stamp core.Stamp, plan []assignment, missing int) error {
	if missing == 0 && !slices.ContainsFunc(plan, func(a assignment) bool { return !a.held }) {
		return nil
	}
	if err := e.store.RevokeProtection(ctx, key, stamp); err != nil {
		return err
	}
	if e.store.IsPending(ctx, core.WorkSlices, key) {
		return nil // to owe it again would have it tried again at once
	}
	return e.store.Owe(ctx, core.WorkSlices, key)
}

// Degrade is for an object of this target of which somebody has found slices
// missing: it is counted from now on, and mended in the background.
func (e *Engine) Degrade(ctx context.Context, key core.Key) error {
	attrs, _, err := e.store.Protection(ctx, key)
	if err != nil {
		return err
	}
	return e.degrade(ctx, key, attrs.LastChange(), nil, 1)
}

// holdersOf are the targets of a plan in the order of their numbers.
func holdersOf(plan []assignment) (ids []string) {
	ordered := slices.Clone(plan)
	slices.SortStableFunc(ordered, func(a, b assignment) int { return a.number - b.number })
	for i := range ordered {
		ids = append(ids, ordered[i].id)
	}
	return ids
}
