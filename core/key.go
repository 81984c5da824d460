package core

import (
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// Key names an object, by its true name (see package naming), together with the properties of the bucket incarnation
// that the caller saw. Props must not be nil; its BID is compared with that of
// the stored record on every read and with that of the current bucket at every
// commit, so that a destroyed and re-created bucket never shows old objects.
type Key struct {
	Bck   wire.Bck
	Props *meta.Bprops
	Name  string
}

// Cname is the canonical display name: "ais://bucket/object", the object in its
// native form.
func (k Key) Cname() string { return k.Bck.Cname(naming.Native(k.Name)) }

// CheckWritable refuses a name in a bucket with a remote backend: 501.
func (k *Key) CheckWritable() error {
	if k.Props.IsRemote(k.Bck) {
		return apierr.NotImplemented("writing to remote buckets (%s) is not built yet", k.Bck)
	}
	return nil
}

// LastChange tells two states of an object apart, also those of one generation.
func (a *Attrs) LastChange() Stamp {
	if a.Revision.IsZero() {
		return a.Stamp
	}
	return a.Revision
}

// KV is one pair of custom metadata.
type KV struct {
	Key   string
	Value string
}

// Attrs is what is known of a stored object. Strings and slices are shared
// and must not be changed.
type Attrs struct {
	Size     int64       // bytes
	Checksum cksum.Value // zero or type "none": the object has no checksum
	Version  string      // "" if the bucket does not count versions
	Atime    int64       // last access, nanoseconds since the epoch
	Mtime    int64       // when the content was stored, nanoseconds since the epoch
	Custom   []KV        // sorted by key
	Stamp    Stamp

	// Versioned: the generation has a version id of its own, see VersionID.
	// Revision is the stamp of the last change of its metadata; zero: none, or
	// Stamp tells it.
	Versioned bool
	Revision  Stamp

	BID    uint64 // incarnation of the bucket
	Place  Place
	Copies int // copies on this target, this one included
	// CopiesOn are the ids of the mountpaths on which further copies are, or are
	// about to be.
	CopiesOn []string

	Chunks       int   // 0: the object is one file
	LargestChunk int64 // bytes; 0 if the object is one file

	// Mountpath is where the object lies; its String is what clients see in
	// Ais-Location after the target's name.
	Mountpath *fs.Mountpath
}

// CustomValue returns the value of a custom key and whether it is there.
func (a *Attrs) CustomValue(key string) (string, bool) {
	for i := range a.Custom {
		if a.Custom[i].Key == key {
			return a.Custom[i].Value, true
		}
	}
	return "", false
}
