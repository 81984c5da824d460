package core

import (
	"context"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// VerifyOptions says how thorough a verification is.
type VerifyOptions struct {
	// SkipContent looks at records, sizes, sidecars and manifests alone, and
	// reads no content.
	SkipContent bool
	// Repair has what is damaged restored from copies, slices or the backend,
	// and what cannot be restored moved to quarantine. Without it nothing is
	// touched.
	Repair bool
}

// FindingAction is what was done about a finding.
type FindingAction string

// Actions.
const (
	FindingReported    FindingAction = "reported"    // nothing: repair was not asked for
	FindingRepaired    FindingAction = "repaired"    // it is whole again
	FindingQuarantined FindingAction = "quarantined" // it was moved aside and is not served
	FindingLeft        FindingAction = "left"        // it stays where it is; what is damaged is not served
)

// Finding is one damaged file.
type Finding struct {
	Bucket  string        `json:"bucket"`
	Name    string        `json:"name"` // native form; "" if it is not known
	Version string        `json:"version,omitempty"`
	Kind    string        `json:"kind"` // see BelongingKind
	Path    string        `json:"path"`
	Problem string        `json:"problem"`
	Action  FindingAction `json:"action"`
}

// VerifyReport counts what a verification has looked at.
type VerifyReport struct {
	Objects  int64 `json:"objects,string"`  // current generations
	Versions int64 `json:"versions,string"` // noncurrent versions and delete markers
	Copies   int64 `json:"copies,string"`
	Chunks   int64 `json:"chunks,string"`  // of chunked generations
	Bytes    int64 `json:"bytes,string"`   // of content that was compared
	Garbage  int64 `json:"garbage,string"` // files that no generation refers to, and no upload; they do no harm

	Reported    int64 `json:"reported,string"`
	Repaired    int64 `json:"repaired,string"`
	Quarantined int64 `json:"quarantined,string"`
	Left        int64 `json:"left,string"`

	Findings []Finding `json:"findings"`
}

// Damaged is the number of findings.
func (r *VerifyReport) Damaged() int64 { return r.Reported + r.Repaired + r.Quarantined + r.Left }

func (r *VerifyReport) add(f Finding) {
	switch f.Action {
	case FindingReported:
		r.Reported++
	case FindingRepaired:
		r.Repaired++
	case FindingQuarantined:
		r.Quarantined++
	case FindingLeft:
		r.Left++
	}
	r.Findings = append(r.Findings, f)
}

// isDamage tells an error that says what is wrong with an object from one of
// looking at it.
func isDamage(err error) bool { return apierr.CodeOf(err) == wire.CodeBadChecksum }

// VerifyObject looks at everything that this target holds of a name: the
// record, the size, the sidecar, the content against its checksum, chunks and
// manifest, copies, noncurrent versions. What is damaged is a finding of the
// report and not an error. A name of which there is nothing has an empty report.
//
// Errors: 400 bad name; 404 no such bucket; 500 I/O; 503 a mountpath is busy.
func (s *Store) VerifyObject(ctx context.Context, key Key, opts VerifyOptions) (VerifyReport, error) {
	v := verification{s: s, ctx: ctx, key: key, opts: opts}
	err := v.run()
	return v.report, err
}

// verification is VerifyObject under way.
type verification struct {
	s      *Store
	ctx    context.Context
	key    Key
	opts   VerifyOptions
	report VerifyReport
}

func (v *verification) run() error {
	if err := v.current(); err != nil {
		return err
	}
	all, err := v.s.Belongings(v.ctx, v.key)
	if err != nil {
		return err
	}
	v.garbage(all)
	versions := map[Stamp]bool{}
	for i := range all {
		var err error
		switch b := &all[i]; b.Kind {
		case BelongsCopy:
			err = v.copied(b)
		case BelongsVersion:
			if versions[b.Stamp] {
				v.report.Copies++
			} else {
				v.report.Versions++
			}
			versions[b.Stamp] = true
			err = v.version(b)
		}
		if err != nil {
			return err
		}
	}
	return v.versionsName(all)
}

func (v *verification) found(kind BelongingKind, path, version string, problem error, action FindingAction) {
	v.report.add(Finding{
		Bucket: v.key.Bck.String(), Name: naming.Native(v.key.Name), Version: version, Kind: kind.String(), Path: path,
		Problem: problem.Error(), Action: action,
	})
}

// garbage counts sidecars, chunks and manifests that no generation refers to.
func (v *verification) garbage(all []Belonging) {
	stamps, uploads := map[Stamp]bool{}, map[string]bool{}
	for i := range all {
		switch b := &all[i]; b.Kind {
		case BelongsObject, BelongsCopy, BelongsVersion:
			stamps[b.written], uploads[b.Upload] = true, true
		case BelongsUpload:
			uploads[b.Upload] = true
		case BelongsDamaged: // it may be any that it refers to
			return
		}
	}
	for i := range all {
		switch b := &all[i]; b.Kind {
		case BelongsOlder:
			v.report.Garbage++
		case BelongsSidecar:
			if !stamps[b.Stamp] {
				v.report.Garbage++
			}
		case BelongsChunk, BelongsManifest:
			if !uploads[b.Upload] {
				v.report.Garbage++
			}
		}
	}
}
