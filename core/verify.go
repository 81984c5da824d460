package core

import (
	"context"
	"errors"

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

// current verifies the object itself, and has it repaired as a read with
// validation does.
func (v *verification) current() error {
	o, err := v.s.resolve(v.key)
	if err != nil {
		return err
	}
	c, err := v.s.openOnce(v.ctx, &o, true)
	if err != nil {
		return err
	}
	if c.damage == nil && (c.file == nil || c.rec.kind.IsDeleted()) {
		return c.close(v.s)
	}
	v.report.Objects++
	at := o.on(c.mp)
	err = v.inspect(&at, &c)
	if err == nil && c.damage == nil && c.content != nil {
		err = v.copiedChunks(&at, &c)
	}
	path := c.path
	if err = errors.Join(err, c.close(v.s)); err != nil || c.damage == nil {
		return err
	}
	action := FindingReported
	if v.opts.Repair {
		if action, err = v.s.repair(v.ctx, v.key); err != nil {
			return err
		}
	}
	v.found(BelongsObject, path, "", c.damage, action)
	return nil
}

// whole tells that nothing is known to be wrong with an open file.
func (c *candidate) whole() bool { return c.file != nil && c.damage == nil }

// inspect looks at an open file and all that is below its record, and sets the
// damage of the candidate.
func (v *verification) inspect(at *object, c *candidate) (err error) {
	if !c.whole() {
		return nil
	}
	content := !v.opts.SkipContent
	switch {
	case c.held:
		if c.damage, err = v.s.openContent(v.ctx, at, c, content); c.damage != nil || err != nil {
			break
		}
		v.report.Chunks += int64(len(c.content.manifest.chunks))
		if err = c.content.check(v.ctx, 0, c.rec.size); isDamage(err) {
			c.damage, err = err, nil
		}
	case content && c.rec.kind == KindObject:
		c.damage, err = v.s.verifyContent(v.ctx, at, c)
	}
	if content {
		v.report.Bytes += c.rec.size
	}
	return err
}

// repair opens a damaged object as a read with validation does, which restores
// it or moves it to quarantine.
func (s *Store) repair(ctx context.Context, key Key) (FindingAction, error) {
	props := *key.Props
	props.Checksum.ValidateWarmGet = true
	key.Props = &props
	reader, err := s.Open(ctx, key)
	if err == nil {
		return FindingRepaired, reader.Close()
	}
	if !isDamage(err) && !apierr.IsNotFound(err) {
		return "", err
	}
	_, kind, err := s.Look(ctx, key)
	switch {
	case err == nil && kind == 0:
		return FindingQuarantined, nil
	case err != nil && !isDamage(err):
		return "", err
	}
	return FindingLeft, nil
}

// copied verifies a copy on another mountpath. A damaged one goes to quarantine:
// the object itself is elsewhere.
func (v *verification) copied(b *Belonging) error {
	v.report.Copies++
	o, err := v.s.resolve(v.key)
	if err != nil {
		return err
	}
	at := o.on(b.Mountpath)
	c, err := v.openFile(&at, b.Path, false)
	if err != nil || c.damage == nil {
		return err
	}
	action := FindingReported
	if v.opts.Repair {
		if err := v.s.takeAside(v.ctx, &at, &c); err != nil {
			return err
		}
		action = FindingQuarantined
	}
	v.found(BelongsCopy, b.Path, "", c.damage, action)
	return nil
}

// copiedChunks verifies the copies of chunks of an object that is whole. A damaged
// one goes to quarantine, and is made again.
func (v *verification) copiedChunks(at *object, c *candidate) error {
	all, err := v.s.spoiltChunks(v.ctx, at, &c.rec, c.content.manifest, !v.opts.SkipContent)
	if err != nil {
		return err
	}
	for i := range all {
		x := &all[i]
		if x.first {
			continue // see copied
		}
		action := FindingReported
		if v.opts.Repair {
			if err := v.s.setChunkAside(v.ctx, at, &c.rec, x); err != nil {
				return err
			}
			action = FindingQuarantined
		}
		v.found(BelongsChunk, x.path, "", x.why, action)
	}
	return nil
}

// openFile opens and verifies one file of the name, with the copies of its chunks if
// asked for, and closes it again.
func (v *verification) openFile(at *object, path string, copies bool) (c candidate, err error) {
	if err := v.s.lockShared(v.ctx, at); err != nil {
		if errors.Is(err, errLeft) {
			err = nil
		}
		return c, err
	}
	buf := v.s.memory.Get(recordBuffer)
	c.mp = at.mp
	err = v.s.openAt(at, path, buf.Bytes(), &c)
	v.s.holdChunks(&c, err)
	buf.Free()
	v.s.unlock(at, false)
	if err == nil {
		err = v.inspect(at, &c)
	}
	if err == nil && c.damage == nil && c.content != nil && copies {
		err = v.copiedChunks(at, &c)
	}
	return c, errors.Join(err, c.close(v.s))
}

// lockShared is lockThere for a reader.
func (s *Store) lockShared(ctx context.Context, at *object) error {
	if err := s.locks.lock(ctx, at.digest, false); err != nil {
		return err
	}
	if err := s.acquire(ctx, at.mp); err != nil {
		s.locks.unlock(at.digest, false)
		return err
	}
	return nil
}

// version verifies a file of a noncurrent version. A damaged one goes to quarantine, and
// is made again from another one of the version; one in chunks that cannot be mended
// stays in place, as an object does.
func (v *verification) version(b *Belonging) error {
	o, err := v.s.resolve(v.key)
	if err != nil {
		return err
	}
	at := o.on(b.Mountpath)
	c, err := v.openFile(&at, b.Path, b.Mountpath == o.mp)
	if err != nil {
		return err
	}
	if c.damage == nil && b.Damage != nil {
		c.damage, c.path = badRecord(&at, b.Damage), b.Path
	}
	if c.damage == nil {
		return nil
	}
	id := b.Stamp.fileSuffix()
	if c.rec.kind != 0 {
		id = c.rec.versionID()
	}
	action := FindingReported
	switch {
	case !v.opts.Repair:
	case c.rec.kind == KindChunked: // ranges of it may be whole
		if action, err = v.s.repairVersion(v.ctx, v.key, id); err != nil {
			return err
		}
		if action == FindingRepaired {
			// What was read and found whole may have been another file of the version.
			again, err := v.openFile(&at, b.Path, b.Mountpath == o.mp)
			if err != nil && !apierr.IsNotFound(err) {
				return err
			}
			if again.damage != nil {
				if err := v.replaceVersion(&at, b, c.damage); err != nil {
					return err
				}
				action = FindingQuarantined
			}
		}
	default:
		if err := v.replaceVersion(&at, b, c.damage); err != nil {
			return err
		}
		action = FindingQuarantined
	}
	v.found(BelongsVersion, b.Path, id, c.damage, action)
	return nil
}

// replaceVersion sets a damaged file of a version aside, and has it made again from
// another one.
func (v *verification) replaceVersion(at *object, b *Belonging, finding error) error {
	if err := v.s.setVersionAside(v.ctx, at, b, finding); err != nil {
		return err
	}
	if !v.key.Props.Mirror.Enabled {
		return nil
	}
	return v.s.Owe(v.ctx, WorkCopies, v.key)
}

// repairVersion opens a damaged version in chunks as a read with validation does, which
// mends it from the copies of its chunks if it has some.
func (s *Store) repairVersion(ctx context.Context, key Key, id string) (FindingAction, error) {
	if !key.Props.Mirror.Enabled {
		return FindingLeft, nil
	}
	props := *key.Props
	props.Checksum.ValidateWarmGet = true
	key.Props = &props
	reader, err := s.OpenVersion(ctx, key, id)
	switch {
	case err == nil:
		return FindingRepaired, reader.Close()
	case isDamage(err), apierr.IsNotFound(err):
		return FindingLeft, nil
	}
	return "", err
}

// setVersionAside moves a damaged noncurrent version to quarantine, if it is
// still there.
func (s *Store) setVersionAside(ctx context.Context, at *object, b *Belonging, finding error) error {
	if err := s.lockThere(ctx, at); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer s.unlock(at, true)
	if _, err := s.system.Stat(b.Path); err != nil {
		if isNotExist(err) {
			return nil
		}
		return at.mp.IOError("stat "+b.Path, err)
	}
	_, err := s.quarantine(at, b.Path, finding)
	return err
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

// versionsName verifies the file that says whose the versions are; it can be
// made again by who knows the name.
func (v *verification) versionsName(all []Belonging) error {
	checked := map[string]bool{}
	for i := range all {
		b := &all[i]
		if b.Kind != BelongsVersion {
			continue
		}
		o, err := v.s.resolve(v.key)
		if err != nil {
			return err
		}
		at := o.on(b.Mountpath)
		path := at.versionsDir() + "/" + versionsNameFile
		if checked[path] {
			continue
		}
		checked[path] = true
		name, err := v.s.readVersionsName(at.mp, path)
		if err == nil && name == v.key.Name {
			continue
		}
		if err == nil {
			err = damaged("it names %q", naming.Native(name))
		}
		if !isNotExist(err) && !errors.Is(err, errRecordDamaged) {
			return at.mp.IOError("read "+path, err)
		}
		action := FindingReported
		if v.opts.Repair {
			if err := v.s.renameVersions(v.ctx, &at, path); err != nil {
				return err
			}
			action = FindingRepaired
		}
		v.found(BelongsVersionName, path, "", err, action)
	}
	return nil
}

// renameVersions writes the file again that says whose versions these are.
func (s *Store) renameVersions(ctx context.Context, at *object, path string) error {
	if err := s.lockThere(ctx, at); err != nil {
		if errors.Is(err, errLeft) {
			return nil
		}
		return err
	}
	defer s.unlock(at, true)
	if err := at.enter(); err != nil {
		return err
	}
	defer at.bucket.gate.RUnlock()
	if err := s.system.Unlink(path); err != nil && !isNotExist(err) {
		return at.mp.IOError("remove "+path, err)
	}
	return s.nameVersions(ctx, at, at.versionsDir(), at.Props.SyncWrites())
}
