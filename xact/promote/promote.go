// Package promote makes objects of files that lie on the filesystems of the
// targets, below directories that the operators allow: the job promote, and what small
// promotions do without a job.
package promote

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/selection"
)

// Cluster is what promotions ask of their target.
type Cluster interface {
	// Owns tells whether this target owns a name.
	Owns(bck wire.Bck, name string) (bool, error)
	// PutFile makes an object of an open file. It is committed by the owner of
	// its name, on stable storage as the bucket's durability says; sent tells that
	// this is another target. Without overwrite an object that is there stays,
	// and done is false.
	PutFile(ctx context.Context, job string, key core.Key, f io.ReaderAt, size int64, overwrite bool) (done, sent bool, err error)
}

// Args are the arguments of the job: the client's, and whether all targets
// see the same files.
type Args struct {
	wire.PromoteMsg
	Shared bool `json:"shared,omitempty"`
}

// Registration makes the job known to a target.
func Registration(cluster Cluster, roots func() Roots) xact.Registration {
	return xact.Registration{Kind: wire.ActPromote, New: func(env *xact.Env, spec *xact.Spec) (xact.Job, error) {
		var args Args
		if err := selection.DecodeArgs(spec, &args); err != nil {
			return nil, err
		}
		props, err := selection.Bucket(env, spec.Bck, spec.BID)
		if err != nil {
			return nil, err
		}
		allowed := roots()
		j := &job{Promotion{Cluster: cluster, Roots: &allowed, Bck: spec.Bck, Props: props, Args: args}}
		if err := env.Disks.Capacity().Err(); err != nil {
			return nil, err
		}
		return j, j.Check()
	}}
}

type job struct{ Promotion }

// Run implements xact.Job. An error of one file does not keep the others from
// being promoted.
func (j *job) Run(ctx context.Context, x *xact.Xaction) error {
	return j.Promote(ctx, x.ID(), func(size int64, sent bool, err error) {
		if err != nil {
			x.AddError(err)
			return
		}
		x.AddObjects(1, size)
		if sent {
			x.AddOut(1, size)
		}
	})
}

// Promotion is what one target promotes for one request.
type Promotion struct {
	Cluster Cluster
	Roots   *Roots
	Bck     wire.Bck
	Props   *meta.Bprops
	Args    Args
}

// Check refuses a promotion that cannot be. Errors are the client's.
func (p *Promotion) Check() error {
	if _, err := checkName(p.Args.Object); err != nil {
		return err
	}
	s, err := p.Roots.open(p.Args.Source)
	if err != nil {
		return err
	}
	return s.close()
}

// workers is how many files are promoted at a time.
const workers = 8

// Promote promotes the files of this target, of shared ones those whose names it owns. It
// tells each of every file that has become an object, or could not; objects
// that were there and stay are not told. each is called by several goroutines.
func (p *Promotion) Promote(ctx context.Context, jobID string, each func(size int64, sent bool, err error)) (err error) {
	prefix, err := checkName(p.Args.Object)
	if err != nil {
		return err
	}
	src, err := p.Roots.open(p.Args.Source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	group, inner := errgroup.WithContext(ctx)
	queue := make(chan *file, workers)
	group.Go(func() error {
		defer close(queue)
		return src.each(inner, p.Args.Recursive, func(f *file) error {
			select {
			case queue <- f:
				return nil
			case <-inner.Done():
				return inner.Err()
			}
		})
	})
	for range workers {
		group.Go(func() error {
			for f := range queue {
				key := core.Key{Bck: p.Bck, Props: p.Props, Name: objectName(prefix, src.dir, f)}
				size, done, sent, err := p.one(inner, jobID, src, f, key)
				if err != nil && inner.Err() != nil {
					return inner.Err()
				}
				if done || err != nil {
					each(size, sent, err)
				}
			}
			return nil
		})
	}
	err = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// one promotes a file. The file is removed, if that is asked for, when the object is
// committed, or was there and stays as it is.
func (p *Promotion) one(ctx context.Context, jobID string, src *source, f *file, key core.Key) (size int64, done, sent bool, err error) {
	if p.Args.Shared {
		mine, err := p.Cluster.Owns(key.Bck, key.Name)
		if err != nil || !mine {
			return 0, false, false, err
		}
	}
	opened, err := src.open(f.rel)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, false, nil // another target of the share was faster, or somebody removed it
	}
	if err != nil {
		return 0, false, false, sourceError(f.name, err)
	}
	defer func() { _ = opened.Close() }() // was only read
	info, err := opened.Stat()
	if err != nil {
		return 0, false, false, sourceError(f.name, err)
	}
	size = info.Size()
	err = selection.Patiently(ctx, func() (err error) {
		done, sent, err = p.Cluster.PutFile(ctx, jobID, key, opened, size, p.Args.Overwrite)
		return err
	})
	if err != nil || !p.Args.DeleteSource {
		return size, done, sent, err
	}
	if err := src.remove(f.rel, info); err != nil {
		return size, done, sent, apierr.Wrap(err, apierr.StatusInternalServerError, "", "%s is stored, and its source %q cannot be removed: %v", key.Cname(), f.name, err)
	}
	return size, done, sent, nil
}

// errSourceChanged: what is there is not what was read.
var errSourceChanged = errors.New("it has changed since it was read")

// remove removes a file that was read when it was as info tells. One that somebody has
// written to since, or put in its place, stays: nobody else has what is in it.
func (s *source) remove(rel string, was fs.FileInfo) error {
	now, err := s.root.Lstat(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !os.SameFile(was, now) || now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime()) {
		return errSourceChanged
	}
	if err := s.root.Remove(rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// open opens a regular file; a link is not followed, a pipe not waited for.
func (s *source) open(rel string) (*os.File, error) {
	return s.root.OpenFile(rel, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}
