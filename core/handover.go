package core

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/fs"
)

// A write whose name has another owner by the time of its commit is not lost:
// the body that this target has received goes to the owner, who commits it with
// all that the client said of it.

// ErrNotOwner is the cause of a guard's refusal if the name belongs to another
// target, or is about to.
var ErrNotOwner = errors.New("the name belongs to another target")

// Handover is a write that its name's owner is to commit for another target.
type Handover struct {
	// Options are the client's; Size and Checksum are those of the body as it
	// was received, whatever the client said.
	Options PutOptions
	// Summed: the client gave the checksum of the body, so that the owner may
	// find that it holds this body already.
	Summed bool
	// Origin is set if the write is a copy: what is taken over from where.
	Origin *Origin

	// Body opens the content, from its start, each time.
	Body func() (io.ReadCloser, error)
}

// mayHandOver tells whether a write has anything that another target can
// commit.
func (w *write) mayHandOver() bool {
	return w.s.options.Ports.Peers != nil && !w.tombstone && !w.marker && w.relaid == nil
}

// handOver has the owner of the name commit what was received, and removes it
// here.
func (w *write) handOver(ctx context.Context) (Attrs, error) {
	h := Handover{Options: w.opts, Origin: w.origin, Body: w.content}
	h.Summed = !w.unsummed && !w.opts.Checksum.IsNone() && w.opts.Checksum.Equal(w.sum)
	h.Options.Size, h.Options.Checksum = w.size, w.sum
	if w.sum.IsNone() {
		sum, err := w.sumContent()
		if err != nil {
			return Attrs{}, err
		}
		h.Options.Checksum = sum
	}
	attrs, err := w.s.options.Ports.Peers.HandOver(ctx, w.Key, &h)
	if err != nil {
		return Attrs{}, err
	}
	w.handed = true
	if err := w.close(); err != nil {
		w.s.log.Warn("a work file that another target has the content of", "object", w.Cname(), "err", err)
	}
	w.discardSidecar()
	if w.chunks == nil {
		w.removeWork(&w.work)
	}
	return attrs, nil
}

// sumContent computes a checksum for the way of a body that has none.
func (w *write) sumContent() (sum cksum.Value, err error) {
	h, err := cksum.New(cksum.XXHash2)
	if err != nil {
		return sum, err
	}
	body, err := w.content()
	if err != nil {
		return sum, err
	}
	buf := w.s.memory.Get(streamBuffer)
	defer buf.Free()
	_, err = io.CopyBuffer(h, struct{ io.Reader }{body}, buf.Bytes())
	return cksum.Sum(cksum.XXHash2, h), errors.Join(err, body.Close())
}

// content opens what was received.
func (w *write) content() (io.ReadCloser, error) {
	switch {
	case w.data != nil:
		return io.NopCloser(bytes.NewReader(w.data)), nil
	case w.work == "":
		return nil, apierr.New(apierr.StatusInternalServerError, "", "PUT %s: its work file is gone", w.Cname())
	}
	files := &fileSequence{s: w.s}
	if w.chunks == nil {
		files.pieces = []piece{{w.home, w.work, w.size}}
		return files, nil
	}
	for i, c := range w.chunks.chunks {
		mp, path := w.home, w.work
		if i > 0 {
			var err error
			if mp, err = w.mountpath(c.mp); err != nil {
				return nil, err
			}
			path = chunkPath(mp, &w.object, w.chunks.upload, c.number)
		}
		files.pieces = append(files.pieces, piece{mp, path, c.size})
	}
	return files, nil
}

// mountpath finds that of a chunk; 503: it is out of use.
func (w *write) mountpath(id string) (*fs.Mountpath, error) {
	for _, mp := range w.s.options.FS.Available().All() {
		if mp.ID == id {
			return mp, nil
		}
	}
	return nil, apierr.Unavailable(changeTime, "PUT %s: a mountpath with a chunk of it is out of use", w.Cname())
}

// fileSequence reads files one after the other, in slots of their mountpaths.
type fileSequence struct {
	s      *Store
	pieces []piece
	file   fs.File
	off    int64
}

type piece struct {
	mp   *fs.Mountpath
	path string
	size int64
}

// Read implements io.Reader.
func (q *fileSequence) Read(p []byte) (n int, err error) {
	for len(q.pieces) > 0 && q.off == q.pieces[0].size {
		if err := q.Close(); err != nil {
			return 0, err
		}
		q.pieces, q.off = q.pieces[1:], 0
	}
	if len(q.pieces) == 0 {
		return 0, io.EOF
	}
	now := &q.pieces[0]
	if err := now.mp.Acquire(context.Background()); err != nil {
		return 0, err
	}
	defer now.mp.Release()
	if q.file == nil {
		if q.file, err = q.s.openFile(now.path); err != nil {
			return 0, err
		}
	}
	if left := now.size - q.off; int64(len(p)) > left {
		p = p[:left]
	}
	n, err = q.file.ReadAt(p, q.off)
	q.off += int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF
	}
	return 0, err
}

// Close implements io.Closer.
func (q *fileSequence) Close() error {
	if q.file == nil {
		return nil
	}
	f := q.file
	q.file = nil
	return f.Close()
}

// Take commits a write that another target received when it owned the name.
// The body is compared with its checksum. Errors are those of Put.
func (s *Store) Take(ctx context.Context, key Key, body io.Reader, h *Handover) (Attrs, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	if err := o.CheckWritable(); err != nil {
		return Attrs{}, err
	}
	if err := ValidateCustom(h.Options.Custom); err != nil {
		return Attrs{}, err
	}
	if err := o.room(h.Options.Size); err != nil {
		return Attrs{}, err
	}
	w := &write{s: s, object: o, opts: h.Options, sync: key.Props.SyncWrites(), origin: h.Origin, unsummed: !h.Summed}
	defer w.discard()
	return w.put(ctx, body)
}
