package core

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/memsys"
)

// maxRelocations is how often the place of a name may change under one write.
const maxRelocations = 10

// lockPrepared takes the exclusive lock of the name, with all done that can be
// done before. If the place of the name has moved to another mountpath since
// the body came, the body is moved there first.
func (w *write) lockPrepared(ctx, flushing context.Context) (before existing, rec record, prepared bool, err error) {
	for range maxRelocations {
		if w.displaced() {
			if err := w.relocate(ctx); err != nil {
				return before, rec, false, err
			}
		}
		prepared = false
		if w.sync {
			if err := w.beginStaging(ctx); err != nil {
				return before, rec, false, err
			}
			if before, rec, prepared, err = w.prepare(ctx, flushing); err != nil {
				return before, rec, false, err
			}
			if err := w.stage(ctx, prepared, &rec); err != nil {
				return before, rec, false, err
			}
		}
		if err := w.s.lock(ctx, &w.object, true); err != nil {
			return before, rec, false, err
		}
		if !w.displaced() {
			return before, rec, prepared, nil
		}
		w.s.unlock(&w.object, true)
	}
	return before, rec, false, apierr.Unavailable(time.Second, "PUT %s: the mountpaths of %s keep changing", w.Cname(), w.s.nodeName)
}

// displaced tells that the body lies on another mountpath than the object will.
func (w *write) displaced() bool { return w.work != "" && w.home != w.mp }

// relocate moves a received body to the mountpath that its name has now.
func (w *write) relocate(ctx context.Context) error {
	w.discardSidecar()
	if w.data != nil { // in memory: it is written again
		if w.file != nil {
			_ = w.file.Close() // of a file that is given up
			w.file = nil
		}
		w.removeWork(&w.work)
		w.flushed = false
		return nil
	}
	from, fromPath := w.file, w.work
	if from == nil {
		var err error
		if from, err = w.s.system.Open(fromPath, unix.O_RDONLY|unix.O_NOFOLLOW, 0); err != nil {
			return err
		}
	}
	home := w.home
	w.file, w.work, w.flushed = nil, "", false
	err := w.mp.Room(w.size)
	if err == nil {
		err = w.create(ctx)
	}
	if err == nil {
		err = w.copyFrom(ctx, from)
	}
	_ = from.Close() // of a file that is given up, or was only read
	if err != nil {  // the body stays where it was: an append may go on with it
		if w.file != nil {
			_ = w.file.Close() // of a file that is given up
			w.file = nil
		}
		w.removeWork(&w.work)
		w.home, w.work = home, fromPath
		return err
	}
	if w.chunks == nil || fromPath != w.chunks.borrowed {
		w.removeWork(&fromPath)
	}
	return nil
}

// copyFrom writes the whole body again.
func (w *write) copyFrom(ctx context.Context, from io.ReaderAt) error {
	buf := w.s.memory.Get(memsys.MaxSlab)
	defer buf.Free()
	for size, off := w.fileSize(), int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.ReadAt(buf.Bytes()[:min(int64(len(buf.Bytes())), size-off)], off)
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := w.append(ctx, buf.Bytes()[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
