package core

import (
	"encoding/binary"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// Tags of the fields of a record's body: tag (uvarint), length (uvarint),
// bytes, tags ascending. An unknown even tag makes the record unreadable, an
// unknown odd one is skipped.
const (
	tagKind     = 2
	tagSize     = 4
	tagStamp    = 6
	tagBID      = 8
	tagPlace    = 10
	tagName     = 12
	tagVersion  = 13
	tagChecksum = 14
	tagMtime    = 15
	tagAtime    = 17
	tagCustom   = 18 // may repeat
	tagCopy     = 19 // may repeat
	tagFlags    = 20
	tagChunks   = 22
	tagRevision = 24
)

// appendBody encodes the fields. Fields with a zero value are left out.
func (r *record) appendBody(dst []byte) []byte {
	dst = appendNumber(dst, tagKind, uint64(r.kind))
	dst = appendNumber(dst, tagSize, uint64(r.size))
	dst = append(dst, tagStamp, stampSize)
	dst = r.stamp.append(dst)
	dst = appendNumber(dst, tagBID, r.bid)
	dst = appendNumber(dst, tagPlace, uint64(r.place))
	dst = appendText(dst, tagName, r.name)
	dst = appendText(dst, tagVersion, r.version)
	if !r.checksum.IsNone() {
		dst = appendPair(dst, tagChecksum, r.checksum.Type, r.checksum.Value)
	}
	dst = appendNumber(dst, tagMtime, zigzag(r.mtime))
	dst = appendNumber(dst, tagAtime, zigzag(r.atime))
	for _, kv := range r.custom {
		dst = appendPair(dst, tagCustom, kv.Key, kv.Value)
	}
	for _, id := range r.copies {
		dst = appendText(dst, tagCopy, id)
	}
	dst = appendNumber(dst, tagFlags, r.flags)
	dst = r.chunks.append(dst)
	if !r.revision.IsZero() {
		dst = append(dst, tagRevision, stampSize)
		dst = r.revision.append(dst)
	}
	return dst
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func uvarintLength(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag, byte(uvarintLength(v))), v)
}

func appendText(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(s))), s...)
}

// appendPair encodes two strings as one field: the first has its length before
// it, the second is the rest.
func appendPair(dst []byte, tag byte, first, rest string) []byte {
	length := uvarintLength(uint64(len(first))) + len(first) + len(rest)
	dst = binary.AppendUvarint(append(dst, tag), uint64(length))
	dst = binary.AppendUvarint(dst, uint64(len(first)))
	return append(append(dst, first...), rest...)
}

// decodeBody reads the fields. All strings of the result share one allocation.
func (r *record) decodeBody(body []byte) error {
	*r = record{}
	if err := fields(body, func(tag uint64) bool { return tag == tagCustom || tag == tagCopy }, r.setField); err != nil {
		return err
	}
	if r.kind < KindObject || r.kind > KindTombstone || r.place > PlaceEscaped || r.size < 0 || (r.kind == KindChunked) != (r.chunks.upload != "") {
		return damaged("kind %d, place %d, size %d, chunks of %q", r.kind, r.place, r.size, r.chunks.upload)
	}
	return nil
}

func (r *record) setField(tag uint64, value string) bool {
	var number uint64
	switch tag {
	case tagKind, tagSize, tagBID, tagPlace, tagMtime, tagAtime, tagFlags:
		var n int
		if number, n = uvarint(value); n == 0 || n != len(value) {
			return false
		}
	}
	switch tag {
	case tagKind:
		r.kind = Kind(min(number, 0xff))
	case tagSize:
		r.size = int64(number)
	case tagStamp:
		if len(value) != stampSize {
			return false
		}
		r.stamp = decodeStamp([]byte(value))
	case tagBID:
		r.bid = number
	case tagPlace:
		r.place = Place(min(number, 0xff))
	case tagName:
		r.name = value
	case tagVersion:
		r.version = value
	case tagChecksum:
		kind, digest, ok := cutCounted(value)
		if !ok || cksum.Validate(kind) != nil {
			return false
		}
		r.checksum = cksum.Value{Type: kind, Value: digest}
	case tagMtime:
		r.mtime = unzigzag(number)
	case tagAtime:
		r.atime = unzigzag(number)
	case tagCustom:
		key, text, ok := cutCounted(value)
		if !ok {
			return false
		}
		r.custom = append(r.custom, KV{Key: key, Value: text})
	case tagCopy:
		r.copies = append(r.copies, value)
	case tagFlags:
		r.flags = number
		return number&^flagVersioned == 0 // an unknown one changes the meaning
	case tagChunks:
		return r.chunks.decode(value)
	case tagRevision:
		if len(value) != stampSize {
			return false
		}
		r.revision = decodeStamp([]byte(value))
	default:
		return tag%2 == 1
	}
	return true
}

// kindOf tells the kind from a body without decoding the rest.
func kindOf(body []byte) Kind {
	if len(body) > 2 && body[0] == tagKind && body[1] == 1 {
		return Kind(body[2])
	}
	return 0
}

// peek finds stamp, bucket id and place in a body without decoding the rest.
func peek(body []byte) (stamp Stamp, bid uint64, place Place, ok bool) {
	for len(body) > 0 {
		tag, n := binary.Uvarint(body)
		if n <= 0 {
			return stamp, bid, place, false
		}
		if tag > tagPlace {
			break
		}
		body = body[n:]
		length, n := binary.Uvarint(body)
		if n <= 0 || length > uint64(len(body)-n) {
			return stamp, bid, place, false
		}
		value := body[n : n+int(length)]
		body = body[n+int(length):]
		switch tag {
		case tagStamp:
			if len(value) != stampSize {
				return stamp, bid, place, false
			}
			stamp = decodeStamp(value)
		case tagBID:
			bid, _ = binary.Uvarint(value)
		case tagPlace:
			number, _ := binary.Uvarint(value)
			place = Place(min(number, 0xff))
		}
	}
	return stamp, bid, place, true
}

// uvarint is binary.Uvarint of a string; n is 0 if there is none.
func uvarint(s string) (v uint64, n int) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		c := s[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			return 0, 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// cutCounted splits off a string that has its length before it.
func cutCounted(s string) (text, rest string, ok bool) {
	length, n := uvarint(s)
	if n == 0 || length > uint64(len(s)-n) {
		return "", "", false
	}
	end := n + int(length)
	return s[n:end], s[end:], true
}
