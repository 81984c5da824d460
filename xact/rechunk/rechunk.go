// Package rechunk is the job rechunk: it stores the objects of a bucket anew, in
// chunks of a size or in one file each. Each target goes through the objects that
// it owns and holds.
package rechunk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

const (
	// minChunkSize and maxChunkSize bound the size of chunks, in bytes, as those of
	// the bucket property chunks.chunk_size.
	minChunkSize = int64(unit.KiB)
	maxChunkSize = 5 * int64(unit.GiB)

	// workers is how many objects of one mountpath are stored anew at a time: large
	// ones keep a disk busy, and small ones share flushes.
	workers = 4
)

// Cluster is what the job asks of its target.
type Cluster interface {
	// Rechunk stores an object that this target owns and holds in chunks of a size,
	// in bytes, or with 0 in one file; see core.Store.Rechunk.
	Rechunk(ctx context.Context, key core.Key, chunkSize int64) (core.Rechunked, error)
}

// Args are the arguments of the job.
type Args struct {
	// Rechunk is the message of the bucket action; nil: the job was started by the
	// generic call, and the bucket's properties say what is asked for.
	Rechunk *wire.RechunkMsg `json:"rechunk,omitempty"`
	xact.StartArgs
}

// Check validates a message of a client, whose bucket has these properties, and
// returns the true form of its prefix. Errors are 400s.
func Check(bck wire.Bck, props *meta.Bprops, msg *wire.RechunkMsg) (prefix string, err error) {
	switch {
	case msg.ChunkSize < minChunkSize || msg.ChunkSize > maxChunkSize:
		return "", apierr.BadRequest(`invalid "chunk-size" %d (expected %d to %d bytes)`, msg.ChunkSize, minChunkSize, maxChunkSize)
	case msg.SizeLimit < 0:
		return "", apierr.BadRequest(`invalid "objsize-limit" %d (expected 0: every object in one file, or the size in bytes from which on objects are stored in chunks)`, msg.SizeLimit)
	case msg.SyncRemote && !props.IsRemote(bck):
		return "", apierr.New(apierr.StatusBadRequest, wire.CodeNotRemoteBck, `rechunk: "sync-remote": expecting remote bucket (have %s)`, bck)
	}
	if prefix, err = naming.TruePrefix(msg.Prefix); err != nil {
		return "", apierr.BadRequest(`invalid "prefix": %v`, err)
	}
	return prefix, nil
}

// Registration makes the job known to a target.
func Registration(cluster Cluster) xact.Registration {
	return xact.Registration{Kind: wire.ActRechunk, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		return newJob(cluster, env, spec)
	}}
}

type job struct {
	cluster Cluster
	msg     wire.RechunkMsg
	prefix  string
	bck     wire.Bck
	props   *meta.Bprops

	visited, changed atomic.Int64
}

func newJob(cluster Cluster, env *xact.Env, spec *xact.Spec) (xact.Job, error) {
	var args Args
	if err := selection.DecodeArgs(spec, &args); err != nil {
		return nil, err
	}
	props, err := selection.Bucket(env, spec.Bck, spec.BID)
	if err != nil {
		return nil, err
	}
	j := &job{cluster: cluster, bck: spec.Bck, props: props}
	if args.Rechunk != nil {
		j.msg = *args.Rechunk
	} else {
		j.msg = wire.RechunkMsg{SizeLimit: int64(props.Chunks.ObjSizeLimit), ChunkSize: int64(props.Chunks.ChunkSize), Prefix: args.Name}
	}
	if j.prefix, err = Check(spec.Bck, props, &j.msg); err != nil {
		return nil, err
	}
	return j, env.Disks.Capacity().Err()
}

// chunkSize is the size of the chunks of an object of so many bytes; 0: it is to lie
// in one file.
func (j *job) chunkSize(size int64) int64 {
	if j.msg.SizeLimit == 0 || size < j.msg.SizeLimit {
		return 0
	}
	return j.msg.ChunkSize
}

// Run implements xact.Job. What lies as it should is passed over, so that a job that
// was interrupted goes on where it was.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	x.SetControl(j.String)
	env := x.Env()
	return x.Walk(ctx, xact.WalkOptions{
		Bck: j.bck, Prefix: j.prefix, Props: core.ListSize, Workers: workers,
		Owns: func(digest uint64) bool {
			owner, err := env.View().Smap.Owner(digest)
			return err == nil && owner.ID == env.NodeID
		},
	}, func(ctx context.Context, f *xact.Found) error { return j.visit(ctx, x, f) })
}

// visit stores one object anew. That one cannot be is an error that is counted; the
// others go on. Only what all of them would meet ends the job.
func (j *job) visit(ctx context.Context, x *xact.Xaction, f *xact.Found) error {
	j.visited.Add(1)
	size := f.Entry.Attrs.Size
	asked := j.chunkSize(size)
	if core.ChunkSizeOf(size, asked) == 0 && f.Entry.Flags&wire.EntryIsChunked == 0 {
		return nil // it is one file, and is to stay it
	}
	var done core.Rechunked
	err := selection.Patiently(ctx, func() (err error) {
		done, err = j.cluster.Rechunk(ctx, f.Key, asked)
		if errors.Is(err, core.ErrNotOwner) {
			return nil // it is another target's now, which stores it as it likes
		}
		return err
	})
	switch {
	case err == nil && done.Changed:
		j.changed.Add(1)
		x.AddObjects(1, done.Attrs.Size)
	case err == nil, selection.IsMissing(err):
	case ctx.Err() != nil:
		return ctx.Err()
	case apierr.StatusOf(err) == apierr.StatusInsufficientStorage, apierr.IsNotFound(err): // no bucket any more
		return err
	default:
		x.AddError(err)
	}
	return nil
}

// String says what the job does and how far it is, for people.
func (j *job) String() string {
	what := "every object in one file"
	if j.msg.SizeLimit > 0 {
		what = fmt.Sprintf("chunks of %s from %s on", unit.Size(j.msg.ChunkSize), unit.Size(j.msg.SizeLimit))
	}
	if j.prefix != "" {
		what += fmt.Sprintf(", prefix %q", naming.Native(j.prefix))
	}
	return fmt.Sprintf("%s; visited %d, stored anew %d", what, j.visited.Load(), j.changed.Load())
}
