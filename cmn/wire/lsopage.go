package wire

import "cmp"

// Flags of an entry: the low five bits are its location status, the others
// are single bits. The numbers are wire facts.
const (
	EntryStatusMask         uint16 = 1<<5 - 1
	EntryOK                 uint16 = 0
	EntryMisplacedNode      uint16 = 1 // belongs to another node
	EntryMisplacedMountpath uint16 = 2 // belongs to another mountpath
	EntryReplica            uint16 = 3
	EntryOrphanReplica      uint16 = 4 // replica, its main copy is missing
	EntryPresent            uint16 = 1 << 6
	EntryInArchive          uint16 = 1 << 7
	EntryIsDir              uint16 = 1 << 8 // virtual directory; alone, never with EntryPresent
	EntryIsArchive          uint16 = 1 << 9
	EntryVersionChanged     uint16 = 1 << 10
	EntryVersionRemoved     uint16 = 1 << 11
	EntryHeadFailed         uint16 = 1 << 12
	EntryIsChunked          uint16 = 1 << 13
)

// PageIncomplete is the flag of a page whose counts may be off because data
// is being moved.
const PageIncomplete uint32 = 1

// LsoEntry is one name of a listing: an object, or a virtual directory, whose
// name ends in a slash. Fields that were not asked for are zero.
type LsoEntry struct {
	Name     string `json:"name"`
	Checksum string `json:"checksum,omitempty"` // value without the type
	Atime    string `json:"atime,omitempty"`
	Version  string `json:"version,omitempty"`
	Location string `json:"location,omitempty"` // "t[id]:mp[...]"
	Custom   string `json:"custom-md,omitempty"`
	Size     int64  `json:"size,string,omitempty"` // bytes
	Copies   int16  `json:"copies,omitempty"`
	Flags    uint16 `json:"flags,omitempty"`

	// Mark is only between targets and gateways, beside the page, and nil
	// unless objects may lie with former owners; see AppendMarks.
	Mark *LsoMark `json:"-"`
}

// IsDir tells a virtual directory.
func (e *LsoEntry) IsDir() bool { return e.Flags&EntryIsDir != 0 }

// IsPresent tells an object that is in the cluster.
func (e *LsoEntry) IsPresent() bool { return e.Flags&EntryPresent != 0 }

// Status is the location status, EntryOK to EntryOrphanReplica.
func (e *LsoEntry) Status() uint16 { return e.Flags & EntryStatusMask }

// StringBytes is what the strings of an entry take, in bytes.
func (e *LsoEntry) StringBytes() int {
	return len(e.Name) + len(e.Checksum) + len(e.Atime) + len(e.Version) + len(e.Location) + len(e.Custom)
}

// Compare is the order of a listing: names bytewise, equal names by status.
func (e *LsoEntry) Compare(o *LsoEntry) int {
	if c := cmp.Compare(e.Name, o.Name); c != 0 {
		return c
	}
	return cmp.Compare(e.Status(), o.Status())
}

// LsoPage is the answer to a list-objects request. An empty continuation
// token ends the listing.
type LsoPage struct {
	UUID              string     `json:"uuid"`
	ContinuationToken string     `json:"continuation_token"`
	Entries           []LsoEntry `json:"entries"` // null in JSON when there is none
	Flags             uint32     `json:"flags"`
}

// MarshalJSON writes null, not [], when there is no entry: a wire fact.
func (p LsoPage) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }
