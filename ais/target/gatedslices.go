//go:build gatedjobs

package target

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/ec"
)

// heldSlices holds the making and the reading of slices in its middle, in
// binaries that tests build, see holdFile: "slice N" has the slices stop halfway that a
// target sends after the first N, "commit N" has all of them staged and not
// committed, "range N" keeps back what is read of slices to rebuild objects.
func heldSlices(h ec.Holders) ec.Holders {
	file, err := newHoldFile()
	if err != nil {
		return h
	}
	return &heldHolders{Holders: h, file: file}
}

type heldHolders struct {
	ec.Holders
	file                  holdFile
	sent, committed, read atomic.Int64 // while there is such a rule
}

// held tells that one more of a kind is to stop.
func (h *heldHolders) held(kind string, count *atomic.Int64) bool {
	now, after := h.file.rule()
	if now != kind {
		count.Store(0)
		return false
	}
	return count.Add(1) > after
}

// Stage implements ec.Holders.
func (h *heldHolders) Stage(ctx context.Context, id string, key core.Key, sl *core.Slice, body ec.Body) (core.SliceVerdict, error) {
	if h.held("slice", &h.sent) {
		body = &halfBody{Body: body, ctx: ctx, file: h.file}
	}
	return h.Holders.Stage(ctx, id, key, sl, body)
}

// Commit implements ec.Holders.
func (h *heldHolders) Commit(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int) (core.SliceVerdict, error) {
	if h.held("commit", &h.committed) {
		if err := h.file.wait(ctx); err != nil {
			return core.SliceVerdict{}, err
		}
	}
	return h.Holders.Commit(ctx, id, key, stamp, number)
}

// Read implements ec.Holders.
func (h *heldHolders) Read(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int, off, length int64) (io.ReadCloser, error) {
	if h.held("range", &h.read) {
		if err := h.file.wait(ctx); err != nil {
			return nil, err
		}
	}
	return h.Holders.Read(ctx, id, key, stamp, number, off, length)
}

// halfBody is a slice that stops in its middle.
type halfBody struct {
	ec.Body
	ctx  context.Context
	file holdFile
}

// Open implements ec.Body.
func (b *halfBody) Open() (io.ReadCloser, error) { return b.file.halfway(b.ctx, b.Size(), b.Body.Open) }
