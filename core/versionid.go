package core

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/index"
)

// Keep says what becomes of the generation that a write replaces, and whether
// the new one has a version id of its own.
type Keep uint8

// Modes of keeping.
const (
	// KeepNothing replaces the current generation. The new one is the null
	// version; noncurrent versions with an id stay.
	KeepNothing Keep = iota
	// KeepVersion makes the current generation a noncurrent version; the new
	// one has an id of its own. (S3: versioning is enabled.)
	KeepVersion
	// KeepNull makes a current generation with an id a noncurrent version; the
	// new one is the null version and replaces that which there is, current
	// or not. (S3: versioning is suspended.)
	KeepNull
)

// NullVersion is the id of generations that were written without one.
const NullVersion = "null"

// flagVersioned in a record: the generation has a version id of its own.
const flagVersioned = 1

// versionID is the id of a generation.
func (r *record) versionID() string {
	if r.flags&flagVersioned == 0 {
		return NullVersion
	}
	return r.stamp.fileSuffix()
}

// VersionID is the id of a generation: NullVersion, or 48 hex digits that only
// this generation of the name has.
func (a *Attrs) VersionID() string {
	if !a.Versioned {
		return NullVersion
	}
	return a.Stamp.fileSuffix()
}

// parseVersionID returns the stamp of a version with an id of its own; null
// tells that the null version is meant.
func parseVersionID(id string) (stamp Stamp, null bool, err error) {
	if id == NullVersion {
		return stamp, true, nil
	}
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != stampSize {
		return stamp, false, apierr.BadRequest("invalid version id %.64q: expecting %q or %d hex digits", id, NullVersion, 2*stampSize)
	}
	be := binary.BigEndian
	return Stamp{Epoch: be.Uint64(raw), Clock: be.Uint64(raw[8:]), Node: be.Uint64(raw[16:])}, false, nil
}

// inverted is the stamp with every bit flipped, in 48 hex digits: names of
// noncurrent versions, of which the newest sorts first.
func (s Stamp) inverted() string {
	return Stamp{Epoch: ^s.Epoch, Clock: ^s.Clock, Node: ^s.Node}.fileSuffix()
}

// stampOfInverted is the reverse of inverted.
func stampOfInverted(name string) (s Stamp, ok bool) {
	flipped, null, err := parseVersionID(name)
	if err != nil || null || flipped.fileSuffix() != name {
		return s, false
	}
	return Stamp{Epoch: ^flipped.Epoch, Clock: ^flipped.Clock, Node: ^flipped.Node}, true
}

// indexVersion is the stamp as keys of the listing index hold it: what inverted
// says in hex digits.
func (s Stamp) indexVersion() (v index.Version) {
	be := binary.BigEndian
	be.PutUint64(v[:], ^s.Epoch)
	be.PutUint64(v[8:], ^s.Clock)
	be.PutUint64(v[16:], ^s.Node)
	return v
}

// stampOfVersion is the reverse of indexVersion.
func stampOfVersion(v *index.Version) Stamp {
	be := binary.BigEndian
	return Stamp{Epoch: ^be.Uint64(v[:]), Clock: ^be.Uint64(v[8:]), Node: ^be.Uint64(v[16:])}
}
