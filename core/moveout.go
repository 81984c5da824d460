package core

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
	fsys "github.com/aistore-go/aistore/fs"
)

// A name that belongs to another target by now leaves as a whole: its current
// generation (an object, a tombstone, a delete marker) and its noncurrent
// versions, each with stamp, times, version, custom metadata and chunks as they
// are. Each is sent by itself; what has arrived is removed here when all have,
// unless the name has changed meanwhile. Whether a generation counts its stamp
// decides, wherever it lies, so that sending one twice, or too late, does nothing.

// smallParcel is the largest content that is read at once when a generation
// leaves, so that no file stays open for it, in bytes.
const smallParcel = 128 << 10

// Departure is a name on its way to another target. It is for one goroutine, but
// parcels are opened and read from any; Close ends it.
type Departure struct {
	s       *Store
	o       object
	parcels []*Parcel // noncurrent versions, the oldest first, then the current generation
	open    bool
	bid     uint64 // the bucket for which it is described; 0: its own
}

// Parcel is one generation as it is sent. Open may be called again and again, from any
// goroutine. What was opened before the Departure is closed can be read to its end.
type Parcel struct {
	Head    []byte // describes it, see Store.Arrive
	Size    int64  // of the body, bytes
	Content int64  // of the object, bytes
	Kind    Kind
	Stamp   Stamp
	Current bool

	d       *Departure
	version string        // id of a noncurrent version, whose file is opened when it is read
	written Stamp         // of the record
	data    []byte        // the body, if it is small
	reader  *SharedReader // of the current generation, if it is not
	trailer bool
}

// Depart takes a name as it is now. Nothing of it is no error: the Departure
// has no parcels. There is one Departure of a name at a time: another one waits
// for its end. A damaged generation is restored if it can be; else it is
// where a read that found it would leave it, and the error says so.
//
// Errors: 400 bad name; 404 no such bucket; 500 BAD DATA CHECKSUM, I/O; 503 a
// mountpath is busy.
func (s *Store) Depart(ctx context.Context, key Key) (*Departure, error) {
	return s.depart(ctx, key, 0)
}

// DepartTo is Depart for another bucket, which has the names of this one: what it has
// described Arrive stores there. The name stays here: Remove fails.
func (s *Store) DepartTo(ctx context.Context, key Key, bid uint64) (*Departure, error) {
	return s.depart(ctx, key, bid)
}

func (s *Store) depart(ctx context.Context, key Key, bid uint64) (*Departure, error) {
	o, err := s.resolve(key)
	if err != nil {
		return nil, err
	}
	if err := s.departures.enter(ctx, o.digest); err != nil {
		return nil, err
	}
	d := &Departure{s: s, o: o, open: true, bid: bid}
	if err := d.take(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Parcels are the generations in the order in which they are to be sent.
func (d *Departure) Parcels() []*Parcel { return d.parcels }

// Close lets go of the files.
func (d *Departure) Close() (err error) {
	for _, p := range d.parcels {
		if p.reader != nil {
			err = errors.Join(err, p.reader.Close())
		}
	}
	d.parcels = nil
	if d.open {
		d.open = false
		d.s.departures.leave(d.o.digest)
	}
	return err
}

func (d *Departure) take(ctx context.Context) error {
	current, newest, err := d.current(ctx)
	if err != nil {
		return err
	}
	if err := d.versions(ctx, newest); err != nil {
		if current != nil {
			d.parcels = append(d.parcels, current) // to be closed
		}
		return err
	}
	if current != nil {
		d.parcels = append(d.parcels, current)
	}
	return nil
}

// current makes the parcel of the current generation, nil if there is none, and
// returns its record.
func (d *Departure) current(ctx context.Context) (*Parcel, *record, error) {
	s := d.s
	for attempt := 0; ; attempt++ {
		c, err := s.openOnce(ctx, &d.o, true)
		if err != nil {
			return nil, nil, err
		}
		if c.file == nil && c.damage == nil || c.damage == nil && c.rec.kind == KindECReplica {
			return nil, nil, c.close(s)
		}
		found := c.damage
		if found == nil && c.held {
			found, err = s.openContent(ctx, &d.o, &c, false)
			if err == nil && found == nil {
				found = c.content.check(ctx, 0, c.rec.size)
			}
		}
		if err != nil {
			return nil, nil, errors.Join(err, c.close(s))
		}
		if found == nil {
			p, err := d.parcelOf(&c)
			return p, &c.rec, err
		}
		_ = c.close(s) // was not served
		if attempt > 0 {
			return nil, nil, found
		}
		if err := s.CheckContent(ctx, d.o.Key); err != nil && !apierr.IsNotFound(err) {
			return nil, nil, err
		}
	}
}

// parcelOf makes the parcel of an open generation, which it takes over.
func (d *Departure) parcelOf(c *candidate) (*Parcel, error) {
	attrs := c.attrs(d.s, &d.o)
	head := moveHead{rec: c.rec}
	head.rec.atime = attrs.Atime
	if c.content != nil {
		head.chunks = c.content.manifest.sizes()
	}
	p := d.parcel(&head)
	p.Current = true
	if c.rec.kind.IsDeleted() {
		return p, c.close(d.s)
	}
	r := &Reader{Attrs: attrs, File: c.file, chunked: c.content, store: d.s, digest: d.o.digest, key: d.o.Key}
	d.s.locks.beginSending(d.o.digest)
	if p.Content > smallParcel {
		p.reader = ShareReader(r)
		return p, nil
	}
	p.data = make([]byte, p.Content, p.Size)
	if _, err := r.ReadAt(p.data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	if p.trailer {
		p.data = binary.LittleEndian.AppendUint64(p.data, xxhash.Sum64(p.data))
	}
	return p, r.Close()
}

// parcel makes a parcel of a description.
func (d *Departure) parcel(m *moveHead) *Parcel {
	m.trailer = m.content() && m.rec.checksum.IsNone()
	if d.bid != 0 {
		m.rec.bid = d.bid
	}
	return &Parcel{
		d: d, Kind: m.rec.kind, Stamp: m.rec.stamp, written: m.rec.written(), trailer: m.trailer,
		Head: m.encode(), Size: m.bodySize(), Content: m.rec.size,
	}
}

// sizes are those of the chunks, in order.
func (m *manifest) sizes() []int64 {
	sizes := make([]int64, len(m.chunks))
	for i := range m.chunks {
		sizes[i] = m.chunks[i].size
	}
	return sizes
}

// versions adds the noncurrent versions, the oldest first.
func (d *Departure) versions(ctx context.Context, newest *record) error {
	s, o := d.s, &d.o
	former, err := func() ([]noncurrent, error) {
		if err := s.lock(ctx, o, false); err != nil {
			return nil, err
		}
		defer s.unlock(o, false)
		return s.noncurrentOf(o, newest)
	}()
	if err != nil {
		return err
	}
	for i := len(former) - 1; i >= 0; i-- {
		v := &former[i]
		if v.damage != nil {
			if err := s.takeVersionAside(ctx, v); err != nil {
				return err
			}
			return v.damage
		}
		head := moveHead{rec: v.rec, former: true}
		if v.rec.kind == KindChunked {
			if head.chunks, err = d.chunkSizes(ctx, v); err != nil {
				return err
			}
		}
		p := d.parcel(&head)
		p.version = v.rec.versionID()
		d.parcels = append(d.parcels, p)
	}
	return nil
}

// takeVersionAside moves a version with a damaged record to quarantine.
func (s *Store) takeVersionAside(ctx context.Context, v *noncurrent) error {
	if err := s.lockThere(ctx, &v.at); err != nil {
		return err
	}
	defer func() {
		v.at.mp.Release()
		s.locks.unlock(v.at.digest, true)
	}()
	_, err := s.quarantine(&v.at, v.path, v.damage)
	return err
}

func (d *Departure) chunkSizes(ctx context.Context, v *noncurrent) ([]int64, error) {
	r, err := d.s.OpenVersion(ctx, d.o.Key, v.rec.versionID())
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // was only read
	if err := r.Prepare(ctx, 0, r.Size); err != nil {
		return nil, err
	}
	return r.chunked.manifest.sizes(), nil
}

// Open returns the body from its start. Errors are those of Depart; 404: the
// generation is not here any more.
func (p *Parcel) Open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case p.data != nil || p.Size == 0:
		return io.NopCloser(bytes.NewReader(p.data)), nil
	case p.reader != nil && p.reader.Retain():
		return p.stream(p.reader.Reader, p.reader), nil
	case p.version == "":
		return nil, apierr.New(apierr.StatusInternalServerError, "", "%s: the departure is closed", p.d.o.Cname())
	}
	r, err := p.d.s.OpenVersion(ctx, p.d.o.Key, p.version)
	if err != nil {
		return nil, err
	}
	if r.Stamp != p.Stamp || r.LastChange() != p.written {
		return nil, errors.Join(p.d.s.notFound(p.d.o.Key), r.Close())
	}
	return p.stream(r, r), nil
}

func (p *Parcel) stream(r *Reader, closer io.Closer) io.ReadCloser {
	body := io.Reader(io.NewSectionReader(r, 0, p.Content))
	if !p.trailer {
		return &movedFile{Reader: body, closer: closer, of: r}
	}
	return struct {
		io.Reader
		io.Closer
	}{&trailing{from: body, hash: xxhash.New()}, closer}
}

// movedFile is the content of a generation, for those who can send a file
// without reading it.
type movedFile struct {
	io.Reader
	closer io.Closer
	of     *Reader
	file   *os.File // with a descriptor of its own; nil: nobody has asked
}

// SourceFile returns the file that holds the whole content, and where it begins
// in it; nil if there is no such file. It may be used until Close.
func (b *movedFile) SourceFile() (file *os.File, offset int64) {
	if b.file == nil && !b.of.IsChunked() {
		fd, err := unix.FcntlInt(b.of.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, 0 // reading does, too
		}
		b.file = os.NewFile(uintptr(fd), b.of.File.Path())
	}
	return b.file, 0
}

// Close implements io.Closer.
func (b *movedFile) Close() error {
	err := b.closer.Close()
	if b.file != nil {
		err = errors.Join(err, b.file.Close())
		b.file = nil
	}
	return err
}

// trailing is a content with its checksum behind it.
type trailing struct {
	from io.Reader
	hash *xxhash.Digest
	tail []byte
	over bool
}

// Read implements io.Reader.
func (t *trailing) Read(p []byte) (n int, err error) {
	if !t.over {
		n, err = t.from.Read(p)
		_, _ = t.hash.Write(p[:n]) // hashes never fail
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		t.over, t.tail = true, binary.LittleEndian.AppendUint64(nil, t.hash.Sum64())
		if n > 0 {
			return n, nil
		}
	}
	n = copy(p, t.tail)
	if t.tail = t.tail[n:]; len(t.tail) == 0 {
		err = io.EOF
	}
	return n, err
}

// durably is the same name in a bucket whose changes are all flushed: what
// moves is on stable storage in one place before it leaves the other, whatever
// clients asked for.
func (k Key) durably() Key {
	if !k.Props.SyncWrites() {
		k.Props = k.Props.Clone()
		k.Props.Durability = meta.DurabilitySync
	}
	return k
}

// Remove removes, durably, what has left: all parcels must have arrived. If the
// name has changed meanwhile, removed is false, and what has changed stays. It
// needs no permission of the guard, since it changes nothing for clients.
// Errors are those of Delete.
func (d *Departure) Remove(ctx context.Context) (removed bool, err error) {
	if d.bid != 0 {
		return false, apierr.New(apierr.StatusInternalServerError, "", "%s was sent to another bucket: it is not given up", d.o.Cname())
	}
	o, err := d.s.resolve(d.o.Key.durably())
	if err != nil {
		return false, err
	}
	if err := d.s.lock(ctx, &o, true); err != nil {
		return false, err
	}
	defer d.s.unlock(&o, true)
	ctx = context.WithoutCancel(ctx)
	now, err := d.s.current(&o)
	if err != nil {
		return false, err
	}
	if err := d.s.settleAbsence(ctx, &o); err != nil { // an earlier try has failed
		return false, err
	}
	holder, at := now.newestHolder(&o)
	if holder != nil && !d.has(&holder.rec, true) {
		return false, nil
	}
	var newest *record
	if holder != nil {
		newest = &holder.rec
	}
	former, err := d.s.noncurrentOf(&o, newest)
	if err != nil {
		return false, err
	}
	removed = true
	for i := len(former) - 1; i >= 0; i-- {
		v := &former[i]
		if v.damage != nil || !d.has(&v.rec, false) {
			removed = false
			continue
		}
		if err := d.s.removeNoncurrent(ctx, &o, v, true); err != nil {
			return false, err
		}
	}
	if holder == nil {
		return removed, nil
	}
	d.s.changed(&o)
	if err := d.s.dropSecondName(ctx, &o, at, newest.stamp, true); err != nil {
		return false, err
	}
	return removed, d.s.removeAll(ctx, &o, &now)
}

// has tells that a generation is among the parcels as it is.
func (d *Departure) has(rec *record, current bool) bool {
	for _, p := range d.parcels {
		if p.Current == current && p.Stamp == rec.stamp && p.written == rec.written() {
			return true
		}
	}
	return false
}

// SettleRemovals makes all removals on the mountpaths in use durable, also those
// whose flush has failed, or nobody asked for. Errors: 500, 503.
func (s *Store) SettleRemovals(ctx context.Context) error {
	seen := map[*fsys.Filesystem]bool{}
	for _, mp := range s.options.FS.Available().All() {
		filesystem := mp.Filesystem()
		if seen[filesystem] {
			continue
		}
		seen[filesystem] = true
		err := s.withSlot(mp, nil, func() error { return filesystem.SettleDoubts(ctx) })
		if err != nil {
			return mp.IOError("flush removals", err)
		}
	}
	return nil
}
