package core

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// Quarantined is a damaged object that was moved aside. It is there until an
// operator removes its directory.
type Quarantined struct {
	Dir     string `json:"dir"` // with the file "data", and maybe "sidecar"
	Bucket  string `json:"bucket"`
	Name    string `json:"name"` // native form; "" if the object's record had it alone
	Path    string `json:"path"` // where it lay
	Time    string `json:"time"` // RFC 3339
	Finding string `json:"finding"`
}

// maxWhy bounds the explanation of a quarantined object, in bytes.
const maxWhy = 64 << 10

// Quarantine returns what lies in quarantine on the mountpaths in use, by
// mountpath and time. An entry whose explanation cannot be read has its
// directory alone.
func (s *Store) Quarantine(ctx context.Context) ([]Quarantined, error) {
	var all []Quarantined
	for _, mp := range s.options.FS.Available().All() {
		if err := s.acquire(ctx, mp); err != nil {
			if errors.Is(err, errLeft) {
				continue
			}
			return nil, err
		}
		more, err := s.quarantineOn(mp)
		mp.Release()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func (s *Store) quarantineOn(mp *fs.Mountpath) (all []Quarantined, err error) {
	names, err := s.quarantineDirs(mp)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		q := Quarantined{Dir: filepath.Join(mp.Path, fs.QuarantineDir, name)}
		if text, err := s.readSmall(mp, q.Dir+"/why.json", maxWhy); err == nil {
			var w why
			if json.Unmarshal(text, &w) == nil {
				q.Bucket, q.Name, q.Path, q.Time, q.Finding = w.Bucket, w.Name, w.Path, w.Time, w.Finding
			}
		}
		all = append(all, q)
	}
	return all, nil
}

// QuarantineCount is the number of entries in quarantine on the mountpaths in
// use. It reads one directory of each and opens nothing.
func (s *Store) QuarantineCount() (count int64, err error) {
	for _, mp := range s.options.FS.Available().All() {
		names, mpErr := s.quarantineDirs(mp)
		count += int64(len(names))
		err = errors.Join(err, mpErr)
	}
	return count, err
}

func (s *Store) quarantineDirs(mp *fs.Mountpath) (names []string, err error) {
	dir := filepath.Join(mp.Path, fs.QuarantineDir)
	return s.namesIn(mp, dir, func(name []byte, kind fs.EntryKind) bool {
		return (kind == fs.KindDir || kind == fs.KindUnknown) && !fs.IsAside(string(name))
	})
}

// quarantineDir is a directory for one entry that is not there yet.
func (s *Store) quarantineDir(mp *fs.Mountpath, hash string, now time.Time) string {
	for ns := now.UnixNano(); ; ns++ {
		dir := filepath.Join(mp.Path, fs.QuarantineDir, strconv.FormatInt(ns, 10)+"."+hash)
		if _, err := s.system.Stat(dir); err != nil {
			return dir // also if nobody can tell: making it will
		}
	}
}

// makeQuarantineDir makes the directory of an entry, whose name is durable when it
// returns nil: a loss of power must not take it away when a file, which may be the only
// one of an object, was renamed into it.
func (s *Store) makeQuarantineDir(ctx context.Context, mp *fs.Mountpath, dir string) error {
	err := mp.MakeDurableDirs(context.WithoutCancel(ctx), dir)
	if err != nil {
		_ = s.system.Rmdir(dir) // else it counts as an entry
	}
	return err
}

// setUnnamedAside moves a file of the escaped place to quarantine whose record,
// which alone has its name, cannot be read; moved is false if it can be read by
// now, or is gone. There is no name to lock, so all commits to the bucket wait
// meanwhile.
func (s *Store) setUnnamedAside(ctx context.Context, entry meta.BucketEntry, mp *fs.Mountpath, path string, finding error) (moved bool, err error) {
	b := s.bucket(entry.Bck, entry.Props)
	if b == nil {
		return false, nil
	}
	if err := s.acquire(ctx, mp); err != nil {
		if errors.Is(err, errLeft) {
			return false, nil
		}
		return false, err
	}
	defer mp.Release()
	b.gate.Lock()
	defer b.gate.Unlock()
	if _, _, err := s.recordAt(mp, entry.Bck, path); !errors.Is(err, errRecordDamaged) || b.gone {
		return false, nil //nolint:nilerr // another look will tell
	}
	now := s.options.Clock()
	dir := s.quarantineDir(mp, strings.TrimSuffix(filepath.Base(path), "/"), now)
	if err := s.makeQuarantineDir(ctx, mp, dir); err != nil {
		return false, mp.IOError("quarantine "+path, err)
	}
	if err := s.system.Rename(path, filepath.Join(dir, "data")); err != nil {
		_ = s.system.Rmdir(dir) // else it counts as an entry
		return false, mp.IOError("quarantine "+path, err)
	}
	s.explain(dir, why{Bucket: entry.Bck.String(), Path: path, Time: now.UTC().Format(time.RFC3339Nano), Finding: finding.Error()})
	if entry.Props.SyncWrites() {
		flush := fs.FlushRequest{Dirs: []string{dir, filepath.Dir(path)}}
		if err := mp.Filesystem().Flush(context.WithoutCancel(ctx), flush); err != nil {
			s.log.Warn("quarantine is not durable yet", "dir", dir, "err", err)
		}
	}
	s.log.Error("file of an unknown object moved to quarantine", "bucket", entry.Bck, "path", path, "dir", dir, "finding", finding)
	if report := s.options.OnDamage; report != nil {
		report(Damage{Mountpath: mp, Key: Key{Bck: entry.Bck, Props: entry.Props}, Quarantine: dir, Err: finding})
	}
	return true, nil
}

// explain writes what an operator should know of a quarantined object.
func (s *Store) explain(dir string, w why) {
	text, err := json.MarshalIndent(w, "", "    ")
	if err == nil {
		err = s.writeFile(filepath.Join(dir, "why.json"), text)
	}
	if err != nil {
		s.log.Warn("quarantine without an explanation", "dir", dir, "err", err)
	}
}
