package core

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	fsys "github.com/aistore-go/aistore/fs"
)

// BelongingKind tells what a file is to the name that it belongs to.
type BelongingKind uint8

// Kinds of belongings.
const (
	BelongsObject      BelongingKind = iota + 1 // the file of the current generation
	BelongsCopy                                 // the current generation, on another mountpath
	BelongsOlder                                // an older generation that a write has superseded
	BelongsDamaged                              // a file at a place of the name, with a record that cannot be read
	BelongsSidecar                              // a record that did not fit its attribute
	BelongsVersion                              // a noncurrent version or delete marker
	BelongsVersionName                          // the file that says whose the versions are
	BelongsChunk                                // a chunk of a chunked object, or a part of an upload
	BelongsManifest                             // the manifest of a chunked object
	BelongsUpload                               // an upload that is neither completed nor aborted
)

var belongingNames = [...]string{
	"", "object", "copy", "older generation", "damaged", "sidecar", "version", "name of versions", "chunk", "manifest", "upload",
}

func (k BelongingKind) String() string { return belongingNames[k] }

// Belonging is one file that belongs to a name.
type Belonging struct {
	Kind      BelongingKind
	Path      string
	Mountpath *fsys.Mountpath
	Size      int64 // bytes of the file

	// Stamp of the generation that the file is, or belongs to; zero for
	// files of uploads and for the name of versions.
	Stamp   Stamp
	written Stamp // that of its sidecar
	// Record is the kind of the record, for files that have one.
	Record Kind
	// Upload is the upload id of chunked generations, chunks, manifests and
	// uploads, Number the number of a chunk or part.
	Upload string
	Number int
	// Damage is why the record of the file cannot be read.
	Damage error
}

// Belongings returns every file on the mountpaths in use that belongs to a
// name, in the order of mountpaths and, of each, of kinds and paths. Files of
// work under way, which no reader can reach, are not among them.
//
// Who needs to know "everything that belongs to an object" asks here: moves,
// verification, cleanup. Errors: 400 bad name; 404 no such bucket; 500 I/O;
// 503 a mountpath is busy.
func (s *Store) Belongings(ctx context.Context, key Key) ([]Belonging, error) {
	o, err := s.lockName(ctx, key, false)
	if err != nil {
		return nil, err
	}
	defer s.unlock(&o, false)
	all, err := s.belongings(&o)
	if err != nil {
		return nil, err
	}
	return s.sized(all)
}

// belongings is Belongings under the name lock, without the sizes of files.
func (s *Store) belongings(o *object) ([]Belonging, error) {
	all, err := s.belongingsHere(o)
	if err != nil {
		return nil, err
	}
	// Copies and chunks lie on mountpaths that are not the place of the name,
	// whether or not these are settled.
	err = s.elsewhere(context.Background(), o, func(at *object) error {
		more, err := s.belongingsHere(at)
		all = append(all, more...)
		return err
	})
	if err != nil {
		return nil, err
	}
	classify(all, o.mp)
	slices.SortStableFunc(all, func(a, b Belonging) int {
		if c := strings.Compare(a.Mountpath.Path, b.Mountpath.Path); c != 0 {
			return c
		}
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return strings.Compare(a.Path, b.Path)
	})
	return all, nil
}

// classify tells the file of the current generation from copies and from what
// it has superseded.
func classify(all []Belonging, home *fsys.Mountpath) {
	current := -1
	for i := range all {
		b := &all[i]
		if b.Kind != BelongsObject {
			continue
		}
		c := 1
		if current >= 0 {
			c = b.Stamp.Compare(all[current].Stamp)
		}
		if c > 0 || c == 0 && b.Mountpath == home {
			current = i
		}
	}
	for i := range all {
		b := &all[i]
		switch {
		case i == current || current < 0:
		case b.Kind == BelongsObject && b.Stamp == all[current].Stamp:
			b.Kind = BelongsCopy
		case b.Kind == BelongsObject:
			b.Kind = BelongsOlder
		case b.Kind == BelongsVersion && b.Stamp == all[current].Stamp:
			b.Kind = BelongsOlder // a second name, which a write that failed has left
		}
	}
}

// belongingsHere returns what belongs to a name on one mountpath; a slot of it
// must be held.
func (s *Store) belongingsHere(at *object) (all []Belonging, err error) {
	if at.plain != "" {
		if all, err = s.belongingAt(at, at.plain, all); err != nil {
			return nil, err
		}
	}
	if all, err = s.belongingAt(at, at.escapedPath(), all); err != nil {
		return nil, err
	}
	for _, read := range []func(*object, []Belonging) ([]Belonging, error){s.sidecarsHere, s.versionsHere} {
		if all, err = read(at, all); err != nil {
			return nil, err
		}
	}
	return s.inChunksHere(at.mp, at, "", all)
}

// inChunksHere appends the uploads, manifests and chunks of a name on one
// mountpath, the uploads first; those of one upload id, if that is not "". A
// slot of the mountpath must be held. With an error it returns what it had found.
func (s *Store) inChunksHere(mp *fsys.Mountpath, o *object, upload string, all []Belonging) ([]Belonging, error) {
	all, err := s.manifestsHere(mp, o, upload, all)
	if err != nil {
		return all, err
	}
	return s.chunksHere(mp, o, upload, all)
}

// belongingAt appends the file at a place of the name, if it is an object of
// this bucket.
func (s *Store) belongingAt(at *object, path string, all []Belonging) ([]Belonging, error) {
	buf := s.memory.Get(recordBuffer)
	defer buf.Free()
	var rec record
	b := Belonging{Kind: BelongsObject, Path: path, Mountpath: at.mp}
	frame, found, err := s.frameAt(at.mp, path, buf.Bytes())
	if err == nil && found != withRecord {
		return all, nil
	}
	if err == nil {
		err = s.decodeRecord(at.mp, at, frame, &rec)
	}
	switch {
	case errors.Is(err, errRecordDamaged):
		b.Kind, b.Damage = BelongsDamaged, err
	case err != nil:
		return nil, err
	case rec.bid != at.Props.BID || rec.name != "" && rec.name != at.Name:
		return all, nil
	}
	b.Stamp, b.written, b.Record, b.Upload = rec.stamp, rec.written(), rec.kind, rec.chunks.upload
	return append(all, b), nil
}

// sized sets the sizes of files, and leaves out those that are gone.
func (s *Store) sized(all []Belonging) ([]Belonging, error) {
	there := all[:0]
	for _, b := range all {
		info, err := s.system.Stat(b.Path)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return nil, b.Mountpath.IOError("stat "+b.Path, err)
		}
		b.Size = info.Size
		there = append(there, b)
	}
	return there, nil
}

// filesOf calls visit for the entries of a directory whose names begin with a
// prefix, in the order of names.
func (s *Store) filesOf(mp *fsys.Mountpath, dir, prefix string, visit func(name, path string) error) error {
	names, err := s.namesIn(mp, dir, func(name []byte, kind fsys.EntryKind) bool {
		return kind != fsys.KindDir && strings.HasPrefix(string(name), prefix)
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := visit(name, dir+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sidecarsHere(at *object, all []Belonging) ([]Belonging, error) {
	base := at.mp.HashedPath(at.Bck, fsys.ContentSidecar, at.Name, ".")
	prefix := filepath.Base(base)
	err := s.filesOf(at.mp, filepath.Dir(base), prefix, func(name, path string) error {
		if stamp, null, err := parseVersionID(name[len(prefix):]); err == nil && !null { // else not ours
			all = append(all, Belonging{Kind: BelongsSidecar, Path: path, Mountpath: at.mp, Stamp: stamp})
		}
		return nil
	})
	return all, err
}

func (s *Store) versionsHere(at *object, all []Belonging) ([]Belonging, error) {
	name := at.versionsDir() + "/" + versionsNameFile
	switch _, err := s.system.Stat(name); {
	case err == nil:
		all = append(all, Belonging{Kind: BelongsVersionName, Path: name, Mountpath: at.mp})
	case !isNotExist(err) && !fsys.IsNameProblem(err):
		return nil, at.mp.IOError("stat "+name, err)
	}
	err := s.formerHere(at, func(v *noncurrent, stamp Stamp) {
		all = append(all, Belonging{
			Kind: BelongsVersion, Path: v.path, Mountpath: at.mp, Stamp: stamp, written: v.rec.written(), Record: v.rec.kind, Upload: v.rec.chunks.upload, Damage: v.damage,
		})
	}, nil)
	return all, err
}

// chunksHere appends the chunks and the parts of a name.
func (s *Store) chunksHere(mp *fsys.Mountpath, o *object, upload string, all []Belonging) ([]Belonging, error) {
	err := s.filesOf(mp, chunkDir(mp, o), upload, func(name, path string) error {
		if id, number, ok := parseChunkName(name); ok {
			all = append(all, Belonging{Kind: BelongsChunk, Path: path, Mountpath: mp, Upload: id, Number: number})
		}
		return nil
	})
	return all, err
}

// manifestsHere appends the manifests of a name and its open uploads.
func (s *Store) manifestsHere(mp *fsys.Mountpath, o *object, upload string, all []Belonging) ([]Belonging, error) {
	err := s.filesOf(mp, manifestDir(mp, o), upload, func(name, path string) error {
		id, completed, ok := parseManifestName(name)
		if !ok {
			return nil
		}
		b := Belonging{Kind: BelongsUpload, Path: path, Mountpath: mp, Upload: id}
		if completed {
			b.Kind = BelongsManifest
		}
		all = append(all, b)
		return nil
	})
	return all, err
}
