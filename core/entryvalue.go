package core

import (
	"encoding/binary"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// A value of the listing index holds what a listing shows of a file, so that
// no page opens objects. Its layout is that of docs/on_disk_layout.md, section
// 8; this file is its only reader and writer.
const (
	valueVersion = 2
	valueHead    = 3 + stampSize // version, kind, flags, stamp
	valueFlagsAt = 2

	valueEscaped     = 1 << 0 // it lies in the escaped place
	valueReplica     = 1 << 1 // it is a copy of what lies on another mountpath
	valueCustomInRec = 1 << 2 // custom metadata is to be read from the record
	valueVersioned   = 1 << 3 // the generation has a version id of its own
	valueDamaged     = 1 << 4 // the record cannot be read: only the stamp counts

	// maxValueCustom is how many bytes of custom metadata a value holds.
	maxValueCustom = 256
)

// checksumCodes are the types that a value holds as one byte, by position;
// 0 is none, and 255 is followed by the type.
var checksumCodes = [...]string{"", cksum.XXHash, cksum.XXHash2, cksum.MD5, cksum.CRC32C, cksum.SHA256, cksum.SHA512}

const otherChecksum = 255

// appendValue encodes what a listing shows of a record of a mountpath with an
// id.
func appendValue(dst []byte, r *record, mountpath string) []byte {
	flags := byte(0)
	if r.place == PlaceEscaped {
		flags |= valueEscaped
	}
	if r.isReplica(mountpath) {
		flags |= valueReplica
	}
	if r.flags&flagVersioned != 0 {
		flags |= valueVersioned
	}
	size := 0
	for i := range r.custom {
		size += len(r.custom[i].Key) + len(r.custom[i].Value)
	}
	if size > maxValueCustom {
		flags |= valueCustomInRec
	}
	dst = append(dst, valueVersion, byte(r.kind), flags)
	dst = r.stamp.append(dst)
	dst = binary.AppendUvarint(dst, uint64(r.size))
	dst = binary.AppendVarint(dst, r.mtime)
	dst = binary.AppendVarint(dst, r.atime-r.mtime)
	dst = binary.AppendUvarint(dst, uint64(len(r.copies)))
	dst = appendChecksum(dst, r.checksum)
	dst = appendCounted(dst, r.version)
	etag := ""
	for i := range r.custom {
		if r.custom[i].Key == CustomETag {
			etag = r.custom[i].Value
		}
	}
	dst = appendCounted(dst, etag)
	if flags&valueCustomInRec == 0 {
		for i := range r.custom {
			dst = appendCounted(dst, r.custom[i].Key)
			dst = appendCounted(dst, r.custom[i].Value)
		}
	}
	return dst
}

// isReplica tells that a file is a copy of what lies on another mountpath: its
// own mountpath is among the further ones.
func (r *record) isReplica(mountpath string) bool {
	for _, id := range r.copies {
		if id == mountpath {
			return true
		}
	}
	return false
}

func appendCounted(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendChecksum(dst []byte, sum cksum.Value) []byte {
	if sum.IsNone() {
		return append(dst, 0)
	}
	for code, kind := range checksumCodes {
		if code > 0 && kind == sum.Type {
			return appendCounted(append(dst, byte(code)), sum.Value)
		}
	}
	return appendCounted(appendCounted(append(dst, otherChecksum), sum.Type), sum.Value)
}

// entryValue is a value as it was read. The fields after stamp are decoded by
// details.
type entryValue struct {
	kind  Kind
	flags byte
	stamp Stamp
	rest  []byte

	size     int64
	mtime    int64
	atime    int64 // when the record was written
	copies   int   // further ones
	checksum cksum.Value
	version  string
	etag     string
	custom   []KV // if valueCustomInRec is not set
}

// decodeHead reads what every page needs.
func (v *entryValue) decodeHead(data []byte) bool {
	if len(data) < valueHead || data[0] != valueVersion {
		return false
	}
	*v = entryValue{kind: Kind(data[1]), flags: data[2], stamp: decodeStamp(data[3:]), rest: data[valueHead:]}
	return v.kind >= KindObject && v.kind <= KindTombstone
}

func (v *entryValue) place() Place {
	if v.flags&valueEscaped != 0 {
		return PlaceEscaped
	}
	return PlacePlain
}

// details decodes the rest. All strings share one allocation.
func (v *entryValue) details(custom bool) bool {
	d := valueReader{data: string(v.rest), ok: true}
	v.size = int64(d.number())
	v.mtime = d.signed()
	v.atime = v.mtime + d.signed()
	v.copies = int(d.number())
	switch code := d.byte(); {
	case code == 0:
	case code == otherChecksum:
		v.checksum = cksum.Value{Type: d.counted(), Value: d.counted()}
	case int(code) < len(checksumCodes):
		v.checksum = cksum.Value{Type: checksumCodes[code], Value: d.counted()}
	default:
		return false
	}
	v.version, v.etag = d.counted(), d.counted()
	if custom && v.flags&valueCustomInRec == 0 {
		for d.ok && d.data != "" {
			v.custom = append(v.custom, KV{Key: d.counted(), Value: d.counted()})
		}
	}
	return d.ok && v.size >= 0
}

// valueReader takes a value apart; ok is false after the first thing that is
// not there.
type valueReader struct {
	data string
	ok   bool
}

func (d *valueReader) number() uint64 {
	v, n := uvarint(d.data)
	d.ok = d.ok && n > 0
	d.data = d.data[n:]
	return v
}

func (d *valueReader) signed() int64 { return unzigzag(d.number()) }

func (d *valueReader) byte() byte {
	if d.data == "" {
		d.ok = false
		return 0
	}
	c := d.data[0]
	d.data = d.data[1:]
	return c
}

func (d *valueReader) counted() string {
	text, rest, ok := cutCounted(d.data)
	d.data, d.ok = rest, d.ok && ok
	return text
}
