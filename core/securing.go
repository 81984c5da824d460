package core

import (
	"context"
	"path/filepath"
	"slices"

	fsys "github.com/aistore-go/aistore/fs"
)

// maxOpenSecured bounds the files that are held open for one flush.
const maxOpenSecured = 256

// securing makes files durable that others have written, together with their
// names. The zero securing with a store is ready; whoever uses one calls close
// in the end.
type securing struct {
	s       *Store
	flushes fsys.FlushGroup
	open    []fsys.File
}

// full tells that it is time for a flush.
func (f *securing) full() bool { return len(f.open) >= maxOpenSecured }

// add notes a file; one that is not there is an error of the file system.
func (f *securing) add(mp *fsys.Mountpath, path string, size int64) error {
	file, err := f.s.openFile(path)
	if err != nil {
		return err
	}
	f.open = append(f.open, file)
	request := f.flushes.Of(mp)
	request.Files = append(request.Files, file)
	request.Bytes += size
	if dir := filepath.Dir(path); !slices.Contains(request.Dirs, dir) {
		request.Dirs = append(request.Dirs, dir)
	}
	return nil
}

// flush makes durable what was noted.
func (f *securing) flush(ctx context.Context) error {
	if err := f.flushes.Flush(ctx); err != nil {
		return err
	}
	for len(f.open) > 0 {
		err := f.open[0].Close()
		if f.open = f.open[1:]; err != nil {
			return err
		}
	}
	return nil
}

// close lets go of what a failure has left open.
func (f *securing) close() {
	for _, file := range f.open {
		_ = file.Close() // was not written to
	}
	f.open = nil
}

// secure makes all that a name holds durable, if writes of its bucket are:
// somebody who acknowledges what he found acknowledges what may have been
// written under another durability.
func (s *Store) secure(ctx context.Context, o *object) error {
	if !o.Props.SyncWrites() {
		return nil
	}
	all, err := s.Belongings(ctx, o.Key)
	if err != nil {
		return err
	}
	f := securing{s: s}
	defer f.close()
	for i := range all {
		if f.full() {
			if err := f.flush(ctx); err != nil {
				return o.mp.IOError("flush "+o.Cname(), err)
			}
		}
		b := &all[i]
		err := s.withSlot(b.Mountpath, nil, func() error { return f.add(b.Mountpath, b.Path, b.Size) })
		if err != nil && !isNotExist(err) { // another write has replaced it
			return b.Mountpath.IOError("flush "+b.Path, err)
		}
	}
	if err := f.flush(ctx); err != nil {
		return o.mp.IOError("flush "+o.Cname(), err)
	}
	return nil
}
