package xact

import (
	"context"

	"github.com/aistore-go/aistore/cmn/config"
)

const (
	// Shares of what a node can do that are left to jobs while users are served: of a
	// disk that is busy up to disk_util_low_wm all, up to disk_util_high_wm less and
	// less, and above disk_util_max_wm the least.
	shareHigh  = 0.25
	shareLeast = 0.05
	// The same for processors, in percent.
	cpuLow  = 75
	cpuHigh = 98
	// The same for the time that operations of a disk take, in times of what they
	// take at leisure: a disk may be slow long before it is busy all the time.
	slowLow  = 2
	slowHigh = 8
	slowMost = 16
)

// share is the part of mostPermits that jobs may have, from 1 down to shareLeast.
// While no user is served, they may have everything.
func share(load LoadSample, disk *config.DiskConf) float64 {
	if !load.Users {
		return 1
	}
	of := func(percent, low, high, most int64) float64 {
		switch {
		case percent <= low:
			return 1
		case percent >= most:
			return shareLeast
		case percent >= high:
			return shareHigh - (shareHigh-shareLeast)*float64(percent-high)/float64(max(1, most-high))
		}
		return 1 - (1-shareHigh)*float64(percent-low)/float64(max(1, high-low))
	}
	const fine = 100 // parts of one
	return min(
		of(load.Disk, disk.UtilLowWM, disk.UtilHighWM, disk.UtilMaxWM),
		of(int64(min(load.Slow, slowMost)*fine), slowLow*fine, slowHigh*fine, slowMost*fine),
		of(load.CPU, cpuLow, cpuHigh, 101),
	)
}

// Pace is for work in one goroutine whose pieces have no end that could be told: each
// ends when the next one begins, with nothing waited for in between.
type Pace struct {
	x     *Xaction
	piece *Piece
}

// NewPace returns the pace of one goroutine.
func (x *Xaction) NewPace() *Pace { return &Pace{x: x} }

// Wait is called before each piece of work. It waits until that may be begun, see
// Governor. The error is that of the context.
func (p *Pace) Wait(ctx context.Context) error {
	p.piece.End(-1)
	var err error
	p.piece, err = p.x.Begin(ctx)
	return err
}

// Begin waits until a piece of the job's work may be begun; see Governor.
func (x *Xaction) Begin(ctx context.Context) (*Piece, error) {
	if x.kind.Repairs {
		return x.env.Governor.BeginRepair(ctx)
	}
	return x.env.Governor.Begin(ctx)
}

type pieceKey struct{}

// With returns a context that tells what works on a piece which one that is.
func (p *Piece) With(ctx context.Context) context.Context {
	if p == nil {
		return ctx
	}
	return context.WithValue(ctx, pieceKey{}, p)
}

// PieceOf is the piece of work that a context was made for, nil if it was for none.
func PieceOf(ctx context.Context) *Piece {
	p, _ := ctx.Value(pieceKey{}).(*Piece)
	return p
}
