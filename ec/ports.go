package ec

import (
	"context"
	"io"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// Holders reaches what targets hold of slices: the target with an id, which may
// be this one. Errors carry a status: 503 it cannot be reached, others are those of the
// methods of core.Store that have the same names.
type Holders interface {
	// Look is core.Store.LookSlices.
	Look(ctx context.Context, id string, key core.Key, verify bool) ([]core.Slice, error)
	// Stage is StageSlice; it may return before body is read to its end, but no slice
	// comes to the target afterwards that was not whole on its way then.
	Stage(ctx context.Context, id string, key core.Key, sl *core.Slice, body Body) (core.SliceVerdict, error)
	Commit(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int) (core.SliceVerdict, error)
	Mark(ctx context.Context, id string, key core.Key, stamp core.Stamp, state core.SliceState, always bool) (core.SliceVerdict, error)
	Forget(ctx context.Context, id string, key core.Key, stamp core.Stamp) error
	Drop(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int) error
	Amend(ctx context.Context, id string, key core.Key, from core.Stamp, attrs *core.Attrs) (core.SliceVerdict, error)
	// Read opens a range of a slice. Bytes that differ from their checksums are
	// an error of the body.
	Read(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int, off, length int64) (io.ReadCloser, error)
	// Examine has the owner of names look after them, see Engine.Examine.
	Examine(ctx context.Context, id string, bck wire.Bck, held []Held) ([]Verdict, error)
	// Judge has the owner of names say what is needed of them, see Engine.Judge.
	Judge(ctx context.Context, id string, bck wire.Bck, held []Held) ([]Verdict, error)
}

// Cluster is what the engine knows of the targets. Its methods neither block nor
// touch a disk.
type Cluster interface {
	Self() string
	// Order returns the ids of the active targets in the order of a name: the
	// owner first.
	Order(key core.Key) []string
	// Everybody returns the ids of all targets of the cluster, those out of service
	// included.
	Everybody() []string
	// AllKnown tells that no target can hold anything of a name of a bucket of which
	// this target holds neither the object nor slices or marks.
	AllKnown(key core.Key) bool
	// Down tells that a target does not answer.
	Down(id string) bool
}

// Held is a slice, replica or mark that a target asks its owner about.
type Held struct {
	Name  []byte // need not be UTF-8
	Stamp core.Stamp
	Mark  bool
}

// Verdict is what the owner says.
type Verdict struct {
	// Newest is the generation that the object has now, or that it was deleted
	// with; zero: not known, the slice stays.
	Newest core.Stamp
	// Use is the answer of Judge.
	Use core.SliceUse `json:",omitempty"`
	// Error is why it is not known. Again: it is to be asked again after a while.
	Error string
	Again bool `json:",omitempty"`
}
