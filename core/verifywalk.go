package core

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/delay"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

const (
	// verifyBatch is how many names a walk takes from a mountpath at a time:
	// each time it reads the names of all files that lie under a hash.
	verifyBatch = 16 << 10
	// maxVerifyFindings bounds the findings that a report holds; all are
	// counted, and OnFinding is told of all.
	maxVerifyFindings = 1000
)

// VerifyPosition says how far a walk has come: behind a name, on one mountpath,
// in one bucket. The zero one is the beginning.
type VerifyPosition struct {
	Bucket    string `json:"bucket"`       // unique name
	Mountpath string `json:"mountpath_id"` //
	After     string `json:"after"`        // token of the last name, see naming.Token
}

// VerifyWalkOptions says what a walk verifies.
type VerifyWalkOptions struct {
	VerifyOptions
	// Buckets to verify; the walk goes through them in the order of their
	// unique names.
	Buckets []meta.BucketEntry
	// From is where to begin, as Progress told it.
	From VerifyPosition
	// BytesPerSecond bounds the content that is read, on average; 0: as fast
	// as the disks can.
	BytesPerSecond int64
	// Progress, if set, is told after each name how far the walk has come, and
	// what it has counted since it began. An error ends the walk.
	Progress func(VerifyPosition, *VerifyReport) error
	// OnFinding, if set, is told of every finding.
	OnFinding func(Finding)

	batch int // 0: verifyBatch
}

// VerifyWalk verifies everything that buckets have on this target, and returns
// what it found. It reads the files themselves, and so finds also what no
// listing shows. Objects that are written meanwhile may be left out; a bucket
// that is destroyed meanwhile is.
//
// A mountpath that fails ends the walk with its error; the report tells what
// was seen until then.
func (s *Store) VerifyWalk(ctx context.Context, opts VerifyWalkOptions) (VerifyReport, error) {
	w := verifyWalk{s: s, ctx: ctx, opts: opts, began: time.Now()}
	w.opts.batch = cmp.Or(opts.batch, verifyBatch)
	buckets := slices.Clone(opts.Buckets)
	slices.SortFunc(buckets, func(a, b meta.BucketEntry) int { return strings.Compare(a.Bck.Uname(""), b.Bck.Uname("")) })
	for _, entry := range buckets {
		if err := w.bucket(entry); err != nil {
			return w.report, err
		}
	}
	return w.report, nil
}

type verifyWalk struct {
	s      *Store
	ctx    context.Context
	opts   VerifyWalkOptions
	began  time.Time
	report VerifyReport
}

func (w *verifyWalk) bucket(entry meta.BucketEntry) error {
	uname := entry.Bck.Uname("")
	if uname < w.opts.From.Bucket {
		return nil
	}
	set := w.s.options.FS.Available()
	mountpaths := slices.Clone(set.All())
	slices.SortFunc(mountpaths, func(a, b *fsys.Mountpath) int { return strings.Compare(a.ID, b.ID) })
	for _, mp := range mountpaths {
		after := ""
		if from := &w.opts.From; from.Bucket == uname {
			if mp.ID < from.Mountpath {
				continue
			}
			if mp.ID == from.Mountpath {
				var err error
				if after, err = naming.TrueToken(from.After); err != nil {
					return err
				}
			}
		}
		err := w.mountpath(entry, set, mp, after)
		if apierr.IsNotFound(err) && w.s.bucket(entry.Bck, entry.Props) == nil {
			return nil // destroyed meanwhile
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mountpath verifies the names of a bucket on one mountpath.
func (w *verifyWalk) mountpath(entry meta.BucketEntry, set *fsys.Set, mp *fsys.Mountpath, after string) error {
	unnamed := map[string]error{}
	for {
		names, err := w.next(entry, mp, after, unnamed)
		if err != nil {
			return err
		}
		for _, name := range names {
			key := Key{Bck: entry.Bck, Props: entry.Props, Name: name}
			if err := w.name(key, set, mp); err != nil {
				return err
			}
			if w.opts.Progress != nil {
				at := VerifyPosition{Bucket: entry.Bck.Uname(""), Mountpath: mp.ID, After: naming.Token(name)}
				if err := w.opts.Progress(at, &w.report); err != nil {
					return err
				}
			}
		}
		if len(names) < w.opts.batch {
			break
		}
		after = names[len(names)-1]
	}
	return w.unnamed(entry, mp, unnamed)
}

// next returns the next names of which a mountpath has a file, in order; fewer
// than a batch are the last. Files in the escaped place that do not say
// whose they are go to unnamed.
func (w *verifyWalk) next(entry meta.BucketEntry, mp *fsys.Mountpath, after string, unnamed map[string]error) (names []string, err error) {
	if err := w.s.acquire(w.ctx, mp); err != nil {
		if errors.Is(err, errLeft) {
			return nil, nil
		}
		return nil, err
	}
	defer mp.Release()
	opts := fsys.WalkOptions{
		After: after, Limit: w.opts.batch,
		TrueName: func(path string) (string, bool, error) {
			rec, _, err := w.s.recordAt(mp, entry.Bck, path)
			if errors.Is(err, errRecordDamaged) {
				// Its versions, if it has any, tell the name too.
				hash := path[len(mp.BucketDir(entry.Bck, fsys.ContentEscaped)):]
				name, nameErr := w.s.readVersionsName(mp, mp.BucketDir(entry.Bck, fsys.ContentVersion)+hash+"/"+versionsNameFile)
				if nameErr == nil {
					return name, true, nil
				}
				unnamed[path] = err
				return "", false, nil
			}
			return rec.name, err == nil && rec.bid == entry.Props.BID && rec.name != "", err
		},
	}
	err = mp.Walk(w.ctx, entry.Bck, opts, func(found fsys.WalkEntry) error {
		if n := len(names); n > 0 && names[n-1] == found.Name {
			return nil
		}
		if len(names) == w.opts.batch {
			return fsys.ErrStopWalk
		}
		names = append(names, found.Name)
		return nil
	})
	if err != nil {
		return nil, mp.IOError("verify "+entry.Bck.String(), err)
	}
	// Names of which only versions are left.
	last := ""
	if len(names) == w.opts.batch {
		last = names[len(names)-1]
	}
	cut := func() {
		slices.Sort(names)
		names = slices.Compact(names)
		names = names[:min(len(names), w.opts.batch)]
	}
	err = w.s.namesOfVersions(w.ctx, mp, entry.Bck, func(name string) {
		if name <= after || last != "" && name > last {
			return
		}
		if names = append(names, name); len(names) > 2*w.opts.batch {
			cut()
		}
	})
	cut()
	return names, err
}

// name verifies one name, unless it is verified on the mountpath of its place.
func (w *verifyWalk) name(key Key, set *fsys.Set, mp *fsys.Mountpath) error {
	o, err := w.s.resolve(key)
	if err != nil {
		return err
	}
	if o.mp != mp && (!set.Unsettled || w.holds(&o)) {
		return nil
	}
	report, err := w.s.VerifyObject(w.ctx, key, w.opts.VerifyOptions)
	w.count(&report)
	if err != nil {
		return err
	}
	return w.pace()
}

// holds tells whether the place of a name holds anything of it.
func (w *verifyWalk) holds(o *object) bool {
	here, err := w.s.here(o)
	return err == nil && (here.found || here.damaged != "")
}

func (w *verifyWalk) count(r *VerifyReport) {
	sum := &w.report
	sum.Objects += r.Objects
	sum.Versions += r.Versions
	sum.Copies += r.Copies
	sum.Chunks += r.Chunks
	sum.Bytes += r.Bytes
	sum.Garbage += r.Garbage
	sum.Reported += r.Reported
	sum.Repaired += r.Repaired
	sum.Quarantined += r.Quarantined
	sum.Left += r.Left
	for _, f := range r.Findings {
		if len(sum.Findings) < maxVerifyFindings {
			sum.Findings = append(sum.Findings, f)
		}
		if w.opts.OnFinding != nil {
			w.opts.OnFinding(f)
		}
	}
}

// pace waits until what was read so far is no more than is allowed.
func (w *verifyWalk) pace() error {
	if w.opts.BytesPerSecond <= 0 {
		return w.ctx.Err()
	}
	due := time.Duration(float64(w.report.Bytes) / float64(w.opts.BytesPerSecond) * float64(time.Second))
	wait := due - time.Since(w.began)
	if wait <= 0 {
		return w.ctx.Err()
	}
	return delay.For(w.ctx, wait)
}

// unnamed reports files in the escaped place that nobody can reach, because
// their records, which have their names, cannot be read.
func (w *verifyWalk) unnamed(entry meta.BucketEntry, mp *fsys.Mountpath, files map[string]error) error {
	for path, finding := range files {
		action := FindingReported
		if w.opts.Repair {
			moved, err := w.s.setUnnamedAside(w.ctx, entry, mp, path, finding)
			if err != nil {
				return err
			}
			if !moved {
				continue
			}
			action = FindingQuarantined
		}
		report := VerifyReport{Objects: 1}
		report.add(Finding{
			Bucket: entry.Bck.String(), Kind: BelongsDamaged.String(), Path: path, Problem: finding.Error(), Action: action,
		})
		w.count(&report)
	}
	return nil
}
