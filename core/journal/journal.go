package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs"
)

// DefaultSegment is the usual size of a segment, in bytes: some forty thousand
// frames.
const DefaultSegment = 4 << 20

// spareName is a segment of former times whose blocks wait for the next use.
const spareName = "spare"

// Options is what a Journal needs. Dir, which must exist, and System are
// required.
type Options struct {
	Dir     string
	System  fs.System
	Logger  *slog.Logger
	Segment int64  // bytes; 0: DefaultSegment
	OnFull  func() // called, with no lock held, when a segment is full; must not block
}

// Journal is an open journal. All methods may be called at the same time.
//
// Its segments are preallocated and used again, so that frames can be written
// while the disk is full.
type Journal struct {
	options Options
	log     *slog.Logger

	mu      sync.Mutex
	current *segment
	sealed  []*segment // full, oldest first
	old     []string   // found at the opening, oldest first
	spare   bool       // there is a file of that name
	stuck   bool       // no new segment can be made, and that was logged
	next    uint64     // sequence number
	offset  int64      // in the current segment
	frame   []byte     // scratch
	closed  bool
}

// segment is one file. It stays open, and on the disk, as long as a Pin of one
// of its frames is held.
type segment struct {
	path string
	file fs.File
	pins atomic.Int64
}

// Pin keeps the segment of a frame: what the frame says is not in the index
// yet. The zero value pins nothing.
type Pin struct{ segment *segment }

// File is the file of the frame, for a flush; nil if there is none. It must not
// be used after Release.
func (p Pin) File() fs.File {
	if p.segment == nil {
		return nil
	}
	return p.segment.file
}

// Release lets the segment go.
func (p Pin) Release() {
	if p.segment != nil {
		p.segment.pins.Add(-1)
	}
}

// Open opens the journal of a directory. What is in it is kept, for Replay,
// until DropOld.
func Open(o Options) (*Journal, error) {
	if o.Segment == 0 {
		o.Segment = DefaultSegment
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	// Numbers never repeat, even if all segments were lost but the spare one,
	// which is full of frames of former times.
	j := &Journal{options: o, log: o.Logger, next: uint64(time.Now().UnixNano())}
	err := o.System.ReadDir(o.Dir, func(name []byte, _ fs.EntryKind) error {
		if string(name) == spareName {
			j.spare = true
		} else if seq, ok := segmentNumber(string(name)); ok {
			j.old = append(j.old, string(name))
			j.next = max(j.next, seq+1)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", o.Dir, err)
	}
	slices.Sort(j.old) // by number: all have 16 digits
	if n := len(j.old); n > 0 {
		last, err := j.scan(j.old[n-1], nil)
		if err != nil {
			return nil, err
		}
		j.next = max(j.next, last+1)
	}
	if err := j.rotate(); err != nil {
		return nil, fmt.Errorf("journal %s: %w", o.Dir, err)
	}
	j.prepareSpare()
	return j, nil
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016x", seq) }

func segmentNumber(name string) (uint64, bool) {
	if len(name) != 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(name, 16, 64)
	return seq, err == nil && segmentName(seq) == name
}

func (j *Journal) path(name string) string { return j.options.Dir + "/" + name }

// OldSegments is how many segments of an earlier process are kept.
func (j *Journal) OldSegments() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.old)
}

// Replay hands over the frames that were found at the opening, in order. A
// segment ends with the first frame that is torn, has a wrong checksum or
// breaks the sequence; a whole frame after that is ErrDamaged. An error of fn
// ends the replay and is returned.
func (j *Journal) Replay(fn func(Record) error) error {
	j.mu.Lock()
	old := slices.Clone(j.old)
	j.mu.Unlock()
	for _, name := range old {
		if _, err := j.scan(name, fn); err != nil {
			return err
		}
	}
	return nil
}

// scan reads one segment and returns the last sequence number that counts.
func (j *Journal) scan(name string, fn func(Record) error) (last uint64, err error) {
	first, _ := segmentNumber(name)
	f, err := j.options.System.Open(j.path(name), unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return first, fmt.Errorf("journal: %w", err)
	}
	info, err := f.Stat()
	var data []byte
	if err == nil {
		data = make([]byte, info.Size)
		n, readErr := f.ReadAt(data, 0)
		if data = data[:n]; readErr != nil && !errors.Is(readErr, io.EOF) {
			err = readErr
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return first, fmt.Errorf("journal: %w", err)
	}
	return parseSegment(data, first, fn)
}

// ErrDamaged says that a segment has a frame that cannot be read, and goes on after it.
var ErrDamaged = errors.New("a frame of the commit journal is damaged")

// framesFollow tells whether there is a whole frame behind one that is not, or
// that is another one than the next. What was written to the file in former
// times has smaller numbers.
func framesFollow(data []byte, seq uint64) bool {
	for at := 0; at+frameHead+frameSum <= len(data); at++ {
		found := binary.LittleEndian.Uint64(data[at+4:])
		if found < seq || found-seq > uint64(len(data)) {
			continue
		}
		if _, n := parseFrame(data[at:], found); n > 0 {
			return true
		}
	}
	return false
}

// parseSegment hands over the frames of a segment whose first has the given
// number.
func parseSegment(data []byte, first uint64, fn func(Record) error) (last uint64, err error) {
	last = first
	head, ok := parseHead(data)
	if !ok || head != first {
		if _, n := parseFrame(data[min(headSize, len(data)):], first); n == 0 {
			// Made, and nothing was flushed of it; or its file is a later segment
			// by now, and the former name was not removed for good.
			if fn != nil && !ok && framesFollow(data, first) {
				err = ErrDamaged
			}
			return last, err
		}
	}
	seq := first
	for rest := data[headSize:]; ; seq++ {
		r, n := parseFrame(rest, seq)
		if n == 0 {
			if fn != nil && framesFollow(rest, seq) {
				err = ErrDamaged
			}
			return last, err
		}
		rest, last = rest[n:], seq
		if fn != nil {
			if err := fn(r); err != nil {
				return last, err
			}
		}
	}
}

// DropOld removes what was found at the opening.
func (j *Journal) DropOld() error {
	j.mu.Lock()
	old := j.old
	j.old = nil
	j.mu.Unlock()
	var errs []error
	for _, name := range old {
		errs = append(errs, j.retire(j.path(name)))
	}
	return errors.Join(errs...)
}

// Append writes a frame with one write(2) and returns a pin of it. After an
// error nothing of it counts.
func (j *Journal) Append(op Op, bid uint64, name string) (Pin, error) {
	if len(name) > maxNameLen {
		return Pin{}, errLongName
	}
	full := false
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return Pin{}, iofs.ErrClosed
	}
	j.frame = appendFrame(j.frame[:0], j.next, &Record{Op: op, BID: bid, Name: name})
	size := int64(len(j.frame))
	if j.offset+size > j.options.Segment && j.offset > headSize {
		// If there is no room for another segment this one goes on as long
		// as it can.
		if err := j.rotate(); err != nil && !j.stuck {
			j.stuck = true
			j.log.Warn("no new journal segment", "dir", j.options.Dir, "err", err)
		}
		full = true
		// The frame has the next number all the same: the old segment may
		// hold part of it.
	}
	s := j.current
	if _, err := s.file.WriteAt(j.frame, j.offset); err != nil {
		j.mu.Unlock()
		return Pin{}, fmt.Errorf("journal: %w", err)
	}
	j.offset += size
	j.next++
	s.pins.Add(1)
	j.mu.Unlock()
	if full && j.options.OnFull != nil {
		j.options.OnFull()
	}
	return Pin{s}, nil
}

// rotate begins a segment: the spare one if there is one. It is called under
// the lock, or before anybody has the journal.
func (j *Journal) rotate() error {
	path := j.path(segmentName(j.next))
	if j.spare {
		if err := j.options.System.Rename(j.path(spareName), path); err != nil {
			return err
		}
		j.spare = false
	}
	f, err := j.options.System.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	if err := f.Preallocate(j.options.Segment); err != nil && !errors.Is(err, unix.ENOTSUP) {
		j.log.Warn("no room ahead for the journal", "path", path, "err", err)
	}
	_, err = f.WriteAt(appendHead(nil, j.next), 0)
	if err == nil {
		// Frames are flushed with the file; its name must be there for good before.
		err = j.syncDir()
	}
	if err != nil {
		_ = f.Close() // of a file that is given up
		// The next frame tries it again under another name.
		_ = j.options.System.Unlink(path)
		return err
	}
	if j.current != nil {
		j.sealed = append(j.sealed, j.current)
	}
	j.current, j.offset, j.stuck = &segment{path: path, file: f}, headSize, false
	return nil
}

func (j *Journal) syncDir() error {
	f, err := j.options.System.Open(j.options.Dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// prepareSpare makes a spare segment if there is none.
func (j *Journal) prepareSpare() {
	j.mu.Lock()
	wanted := !j.spare && !j.closed
	j.mu.Unlock()
	if !wanted {
		return
	}
	path := j.path(spareName)
	f, err := j.options.System.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, 0o644)
	made := err == nil // an empty one is still a name that need not be made
	if made {
		if err = f.Preallocate(j.options.Segment); errors.Is(err, unix.ENOTSUP) {
			err = nil
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		j.log.Warn("no spare journal segment", "path", path, "err", err)
	}
	j.mu.Lock()
	j.spare = j.spare || made
	j.mu.Unlock()
}

// Settled is the full segments of which no frame is pinned. Once the index has
// on the disk what was published before the call, they can be removed.
type Settled struct{ segments []*segment }

// Settled returns the segments that no pin holds.
func (j *Journal) Settled() Settled {
	j.mu.Lock()
	defer j.mu.Unlock()
	var s Settled
	for _, segment := range j.sealed {
		if segment.pins.Load() == 0 {
			s.segments = append(s.segments, segment)
		}
	}
	return s
}

// Remove removes segments that Settled returned, and keeps one as the spare.
func (j *Journal) Remove(s Settled) error {
	j.mu.Lock()
	j.sealed = slices.DeleteFunc(j.sealed, func(x *segment) bool { return slices.Contains(s.segments, x) })
	j.mu.Unlock()
	var errs []error
	for _, segment := range s.segments {
		errs = append(errs, segment.file.Close(), j.retire(segment.path))
	}
	j.prepareSpare()
	return errors.Join(errs...)
}

// retire makes a segment the spare one, or removes it if there is one.
func (j *Journal) retire(path string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.spare && !j.closed {
		if err := j.options.System.Rename(path, j.path(spareName)); err == nil {
			j.spare = true
			return nil
		}
	}
	err := j.options.System.Unlink(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}

// Close closes the files. With clean, which the caller may say if no pin is
// held and the index has everything on the disk, all segments are removed.
func (j *Journal) Close(clean bool) error {
	j.mu.Lock()
	j.closed = true
	segments := append(slices.Clone(j.sealed), j.current)
	old := j.old
	j.sealed, j.old = nil, nil
	j.mu.Unlock()
	var errs []error
	for _, segment := range segments {
		errs = append(errs, segment.file.Close())
		if clean {
			errs = append(errs, j.retire(segment.path))
		}
	}
	if clean {
		for _, name := range old {
			errs = append(errs, j.retire(j.path(name)))
		}
		if j.spare {
			errs = append(errs, j.retire(j.path(spareName)))
		}
	}
	return errors.Join(errs...)
}
