package core

import (
	"cmp"
	"context"
	"encoding/hex"
	"hash"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

const (
	// firstBuffer is the buffer for a body of unknown size; streamBuffer that
	// for longer ones, and the greatest body that is held in memory. (256 KiB
	// take 3 % less processor time than 128 for 32 MiB.)
	firstBuffer  = 64 << 10
	streamBuffer = 256 << 10
	// tightBuffer is that of further streams when memory is short, or many
	// have buffers already: a thousand slow clients must not fill the memory.
	tightBuffer = 32 << 10

	// writeBackEvery is after how many bytes a long write asks the kernel to
	// begin writing out, so that neither its dirty pages nor the last flush
	// grow with the object.
	writeBackEvery = 8 << 20
	// maxPreallocated bounds the room that is reserved for what is only
	// announced.
	maxPreallocated = 64 << 20
	// ownFlush is from which size on a durable write flushes its data itself
	// before it joins a round, so that small writes do not wait for it.
	ownFlush = 1 << 20
)

// write is one object on its way to its place.
type write struct {
	s *Store
	object
	opts      PutOptions
	tombstone bool      // nothing is stored but that the name was deleted
	marker    bool      // the same, as a version of the name
	spare     bool      // there was no space for a work file, see fileOf
	origin    *Origin   // what is taken over from the object that this is a copy of; nil: it is none
	moved     *arriving // a generation that comes from another target as it is; nil: it is none
	relaid    *relaid   // a generation of this target that is stored in other chunks; nil: it is none
	unsummed  bool      // the checksum in opts is not the client's: the body was to be stored whatever the name holds

	amends   Stamp // the generation whose metadata alone have changed; zero: none
	replaces bool  // this target held what the write has replaced

	earlier earlierState
	handed  bool // another target has committed it

	// Of a write whose slices are made before its commit, see stagesFirst.
	staging Staging // its turn; nil: it has none
	staged  Stamp   // the generation of which all slices are staged
	placed  bool    // the name may hold that generation

	sync bool // the bucket's writes are acknowledged when they are durable
	// The name lock: may place give it up for the last flush, whose turn it
	// was then, and was nobody told of a later write of the name meanwhile.
	ownLock bool
	turn    uint64
	latest  bool

	size int64
	sum  cksum.Value // of the bucket's type

	// Generations of the name whose content was compared with their checksum,
	// and agreed, or did not.
	verified, rotten Stamp

	buf  memsys.Buffer // with data, if the whole body fits
	data []byte

	home    *fs.Mountpath // where the work file lies
	tag     string        // begins the work file's name; "": put
	work    string        // path of the work file, "" once it was renamed or never made
	file    fs.File
	made    int64 // when, ns since the epoch; 0: not by this write
	flushed bool  // the data is on stable storage

	nameless bool // the work file has had a record without the object's name

	sidecarWork string
	sidecarFile fs.File

	chunks *chunkWriter // nil: the object is one file

	noted noted // what the journal says of it, once its data was flushed
}

// receive reads the body, counts and checks it. Bodies that fit one buffer
// stay in it; longer ones are written to the work file on the way.
func (w *write) receive(ctx context.Context, body io.Reader) error {
	want := w.opts.Size + 1 // one more byte tells a body that is too long
	if w.opts.Size < 0 {
		want = firstBuffer
	} else if want > streamBuffer {
		want = w.streamSize()
	}
	w.buf = w.s.memory.Get(want)
	slab := w.buf.Bytes()
	n, ended, err := fill(body, slab)
	if err != nil {
		return badBody(&w.object, err, "body broke off after %d bytes", n)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if ended && int64(n) <= w.monolithic() {
		w.data, w.size = slab[:n], int64(n)
		if err := w.checkSize(); err != nil {
			return err
		}
		return w.checkSmall()
	}
	if w.opts.Size >= 0 && int64(n) > w.opts.Size {
		w.size = int64(n)
		return w.checkSize()
	}
	return w.stream(ctx, body, slab[:n])
}

// streamSize is the size of the buffer for a long body.
func (w *write) streamSize() int64 {
	if w.s.memory.Tight() {
		return tightBuffer
	}
	return streamBuffer
}

// checkSize compares what came with what was announced.
func (w *write) checkSize() error {
	b := body{of: &w.object, what: "body", size: w.opts.Size}
	return b.check(w.size)
}

// checkSmall computes the checksums of a body in memory.
func (w *write) checkSmall() error {
	kind := w.Props.Checksum.Type
	var err error
	if w.sum, err = sumOf(kind, w.data); err != nil {
		return err
	}
	given := w.opts.Checksum
	if given.IsNone() {
		return nil
	}
	computed := w.sum
	if !cksum.SameAlgorithm(kind, given.Type) {
		if computed, err = sumOf(given.Type, w.data); err != nil {
			return err
		}
	}
	return w.verify(computed)
}

// verify compares a computed checksum with that of the client.
func (w *write) verify(computed cksum.Value) error {
	given := w.opts.Checksum
	if given.Value == computed.Value {
		return nil
	}
	return apierr.BadChecksum(given.Type, given.Value, computed.Value, w.Cname())
}

// sumOf is cksum.Of without allocations beyond the text for the usual types.
func sumOf(kind string, data []byte) (cksum.Value, error) {
	if kind != cksum.XXHash && kind != cksum.XXHash2 {
		return cksum.Of(kind, data)
	}
	return cksum.Value{Type: kind, Value: hex64(xxhash.Sum64(data))}, nil
}

func hex64(v uint64) string {
	var raw [8]byte
	var text [16]byte
	for i := range raw {
		raw[i] = byte(v >> (56 - 8*i))
	}
	hex.Encode(text[:], raw[:])
	return string(text[:])
}

// stream writes a long body to the work file; head is what was read of it.
func (w *write) stream(ctx context.Context, body io.Reader, head []byte) error {
	kind := w.Props.Checksum.Type
	own, err := cksum.New(kind)
	if err != nil {
		return err
	}
	var theirs hash.Hash
	if given := w.opts.Checksum; !given.IsNone() && !cksum.SameAlgorithm(kind, given.Type) {
		if theirs, err = cksum.New(given.Type); err != nil {
			return err
		}
	}
	if err := w.create(ctx); err != nil {
		return err
	}
	chunk, ended, started := head, false, int64(0)
	for {
		w.size += int64(len(chunk))
		if w.opts.Size >= 0 && w.size > w.opts.Size {
			return w.checkSize()
		}
		if own != nil {
			_, _ = own.Write(chunk) // hashes never fail
		}
		if theirs != nil {
			_, _ = theirs.Write(chunk) // hashes never fail
		}
		if err := w.deliver(ctx, chunk); err != nil {
			return err
		}
		if w.chunks == nil && w.size-started >= writeBackEvery {
			if err := w.startWriteback(ctx, started); err != nil {
				return err
			}
			started = w.size
		}
		if ended {
			break
		}
		if size := w.streamSize(); int64(len(w.buf.Bytes())) < size {
			w.buf.Free()
			w.buf = w.s.memory.Get(size)
		}
		slab := w.buf.Bytes()
		var n int
		if n, ended, err = fill(body, slab); err != nil {
			return badBody(&w.object, err, "body broke off after %d bytes", w.size+int64(n))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk = slab[:n]
	}
	w.buf.Free()
	if err := w.checkSize(); err != nil {
		return err
	}
	w.sum = cksum.Sum(kind, own)
	if !w.opts.Checksum.IsNone() {
		computed := w.sum
		if theirs != nil {
			computed = cksum.Sum(w.opts.Checksum.Type, theirs)
		}
		if err := w.verify(computed); err != nil {
			return err
		}
	}
	if w.chunks != nil {
		if err := w.endChunks(ctx); err != nil {
			return err
		}
		w.listChunks()
		return nil
	}
	if w.sync && w.size >= ownFlush {
		return w.onDisk(ctx, func() error {
			w.flushed = true
			return w.file.Datasync()
		})
	}
	return nil
}

// onDisk runs one disk operation in a slot of the mountpath.
func (w *write) onDisk(ctx context.Context, operation func() error) error {
	if err := w.mp.Acquire(ctx); err != nil {
		return err
	}
	defer w.mp.Release()
	return operation()
}

func (w *write) append(ctx context.Context, chunk []byte) error {
	if err := w.mp.Acquire(ctx); err != nil {
		return err
	}
	age := w.mp.Begin()
	_, err := w.file.Write(chunk)
	w.mp.Leave(age)
	w.mp.Wrote(int64(len(chunk)))
	return err
}

func (w *write) startWriteback(ctx context.Context, from int64) error {
	return w.onDisk(ctx, func() error {
		err := w.file.StartWriteback(from, w.size-from)
		if err != nil && fs.IsNoSpace(err) {
			return err
		}
		// Anything else is a filesystem that cannot: the flush at the end
		// does the same, and reports what went wrong.
		return nil
	})
}

// create makes the work file of a long body.
func (w *write) create(ctx context.Context) error {
	return w.onDisk(ctx, func() error {
		if err := w.createWork(); err != nil {
			return err
		}
		return w.preallocate()
	})
}

// preallocate reserves the room of a body whose length is announced, or of its
// beginning: the file lies in few pieces, a disk that is too full says so before
// the body is sent, and who announces much and sends little takes no more than
// that. In memory neither counts.
func (w *write) preallocate() error {
	size := w.opts.Size
	if size < writeBackEvery || size > w.monolithic() || w.mp.Filesystem().Type == "tmpfs" {
		return nil
	}
	if err := w.file.Preallocate(min(size, maxPreallocated)); err != nil && fs.IsNoSpace(err) {
		return err
	}
	return nil // any other error is one of a filesystem that cannot
}

func (w *write) createWork() (err error) {
	w.home, w.made = w.mp, time.Now().UnixNano() // the kernel's clock: that of the file's times
	w.work, w.file, err = w.mp.NewWork(w.Bck, cmp.Or(w.tag, "put"))
	return err
}

// materialize makes the work file of a body in memory, if it is not there yet.
func (w *write) materialize() error {
	if w.file != nil || w.work != "" {
		return nil
	}
	if err := w.createWork(); err != nil {
		return err
	}
	if len(w.data) == 0 {
		return nil
	}
	_, err := w.file.Write(w.data)
	w.mp.Wrote(int64(len(w.data)))
	return err
}

// discard removes what is left of a write that did not reach its place, and
// gives its memory back.
func (w *write) discard() {
	w.buf.Free()
	w.noted.cancel()
	if w.file != nil {
		_ = w.file.Close() // of a file that is given up
		w.file = nil
	}
	w.discardChunks()
	w.removeWork(&w.work)
	w.discardSidecar()
}

func (w *write) discardSidecar() {
	if w.sidecarFile != nil {
		_ = w.sidecarFile.Close() // of a file that is given up
		w.sidecarFile = nil
	}
	if w.sidecarWork != "" {
		w.s.sidecars.done(w.sidecarWork)
	}
	w.removeWork(&w.sidecarWork)
}

// removeWork unlinks a work file. One that cannot be removed now is removed at
// the next start.
func (w *write) removeWork(path *string) {
	if *path == "" {
		return
	}
	if err := w.s.system.Unlink(*path); err != nil && !isNotExist(err) {
		w.s.log.Warn("work file stays until the next start", "path", *path, "err", err)
	}
	*path = ""
}
