package core

import (
	"log/slog"
	"time"

	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/memsys"
)

// Options is what a Store needs. FS and NodeID are required.
type Options struct {
	FS     *fs.Manager
	NodeID string

	// Epoch is the placement epoch that goes into stamps; nil means 0.
	Epoch func() uint64

	// Guard lets writes and deletes take effect; nil lets all.
	Guard Guard

	Ports Ports

	// SpreadReads tells whether reads of objects with copies go to the mountpath
	// that has the least to do; nil: no. It must neither block nor allocate.
	SpreadReads func() bool

	Memory *memsys.Pool // buffers; nil: the store makes its own
	Logger *slog.Logger // nil: slog.Default

	// MetadataCache bounds the memory, in bytes, in which records of objects
	// that were read are kept; 0 is DefaultMetadataCache, negative is none.
	MetadataCache int64
	// MetadataAge is for how long such a record is used, and how far access
	// times on the disk may lag behind; nil means DefaultMetadataAge.
	MetadataAge func() time.Duration

	// Clock is the wall clock; nil means time.Now.
	Clock func() time.Time

	// BootID identifies the run of the machine, so that a start after a loss
	// of power can be told from one after the end of the process alone; "" =
	// as the kernel says.
	BootID string
	// JournalSegment is the size of a segment of the commit journal, in bytes;
	// 0 = journal.DefaultSegment.
	JournalSegment int64
	// IndexRetry is after what time a listing index that could not be opened, or
	// was given up, is made again; 0 = a minute.
	IndexRetry time.Duration
	// WalkOnly: listings walk the files, and no index is kept.
	WalkOnly bool

	// OnDamage, if set, is told of every object that was found damaged, and was
	// moved to quarantine, or stays in its place because it lies in chunks. It
	// is told once. It must not block. (Calls that fail with an I/O
	// error are reported by fs.)
	OnDamage func(Damage)
}

// Guard knows whether this target may change a name now. Both methods are
// called under the exclusive name lock, and must neither block nor allocate.
//
// Begin comes right before a write or a delete becomes visible: an error (not
// the owner, no lease) ends the operation with that error and without effect.
// End comes once for every Begin without an error, when the effect is there
// and as durable as it has to be, or has failed, and before the operation is
// acknowledged: an error (the lease has ended meanwhile) is the operation's,
// which has then taken place without being acknowledged.
type Guard interface {
	Begin(key Key, unameDigest uint64) (Ticket, error)
	End(Ticket) error
}

// Ticket is one commit between Begin and End, in the guard's own terms.
type Ticket uint64

// Damage is an object that cannot be served.
type Damage struct {
	Mountpath  *fs.Mountpath
	Key        Key
	Quarantine string // the directory where it lies now; "" = where it lay, or nowhere
	Err        error
}

// PutOptions is what a client says of an object that it sends.
type PutOptions struct {
	Size     int64       // bytes announced; -1: unknown, the body ends with io.EOF
	Checksum cksum.Value // of the client; verified. Type without value: none
	Custom   []KV        // keys to set; others of an existing object survive
	Version  string      // base of the new version instead of the stored one
	Keep     Keep        // what becomes of the generation that is replaced
	SkipVC   bool        // do not look at the previous object: version restarts, old custom keys go

	// Conditions must hold when the write takes effect.
	Conditions Conditions
}

// ListOptions selects a page of a listing.
type ListOptions struct {
	Prefix string // names must start with it
	After  string // names must be greater than it, bytewise
	Limit  int    // at most so many entries; <= 0: DefaultListLimit

	// NoRecursion lists one level below the prefix: objects, and one entry
	// per directory (name with a trailing slash, flags wire.EntryIsDir).
	NoRecursion bool

	Props ListProps // what entries show beside name and flags

	// Stamps sets Attrs.Stamp of every entry, and lists tombstones as well.
	Stamps bool

	// Missing lists every file of a name, also one that lies on another
	// mountpath or node than it belongs to, and copies, with its status in
	// the flags (wire.EntryStatusMask).
	Missing bool

	// Owns, if set, tells by the digest of a unique name whether this target
	// owns it. A name that it does not own is not listed, or listed as
	// misplaced with Missing.
	Owns func(unameDigest uint64) bool
}

// DefaultListLimit is the page size if the caller names none.
const DefaultListLimit = 10000

// ListProps is a set of properties wanted in a listing. The empty set lists
// names only.
type ListProps uint16

// Properties of a listing.
const (
	ListSize ListProps = 1 << iota
	ListChecksum
	ListAtime
	ListVersion
	ListCopies
	ListCustom
	ListLocation
	ListMtime
	ListETag // the custom key ETag
)

// Entry is one name of a listing. Attributes that were not asked for are zero.
type Entry struct {
	Name  string
	Flags uint16 // wire.EntryPresent with others, or wire.EntryIsDir for a virtual directory
	Attrs Attrs
	ETag  string

	Tombstone bool // the name was deleted; see ListOptions.Stamps
}
