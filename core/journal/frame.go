package journal

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"
)

// Op is what was about to happen to a name.
type Op uint8

// Operations. Commit and Delete name an object; Bucket says that every name of
// a bucket is in the index, or in a frame after this one, and Doubted that this
// is not so any more; Unflushed that names of a bucket change and nobody waits
// until that is on stable storage.
const (
	Commit    Op = 1
	Delete    Op = 2
	Bucket    Op = 5
	Doubted   Op = 6
	Unflushed Op = 7
)

// Record is one frame.
type Record struct {
	Op   Op
	BID  uint64 // of the bucket
	Name string // true name of the object, "" with Bucket and Unflushed
}

// The layout of segments and frames is that of docs/on_disk_layout.md,
// section 8; this file is its only reader and writer.
const (
	magic      = "AJRN"
	version    = 1
	headSize   = 16 // magic, version, sequence number of the first frame
	frameHead  = 12 // length of the body, sequence number
	frameSum   = 8
	maxBody    = 64 << 10
	tagOp      = 2
	tagBID     = 4
	tagName    = 12
	maxNameLen = 60 << 10
)

var errLongName = errors.New("name is too long for a journal frame")

func appendHead(dst []byte, first uint64) []byte {
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	return binary.LittleEndian.AppendUint64(dst, first)
}

// parseHead returns the sequence number of the first frame.
func parseHead(data []byte) (first uint64, ok bool) {
	if len(data) < headSize || string(data[:4]) != magic || binary.LittleEndian.Uint32(data[4:]) != version {
		return 0, false
	}
	return binary.LittleEndian.Uint64(data[8:]), true
}

// appendFrame encodes a frame at the end of dst.
func appendFrame(dst []byte, seq uint64, r *Record) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = append(dst, tagOp, 1, byte(r.Op))
	var number [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(number[:], r.BID)
	dst = append(append(dst, tagBID, byte(n)), number[:n]...)
	if r.Name != "" {
		dst = binary.AppendUvarint(append(dst, tagName), uint64(len(r.Name)))
		dst = append(dst, r.Name...)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-frameHead))
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}

// parseFrame reads the frame at the beginning of data, which must have the
// given sequence number. n is its size; 0: there is none, or not a whole one.
func parseFrame(data []byte, seq uint64) (r Record, n int) {
	if len(data) < frameHead+frameSum {
		return r, 0
	}
	body := uint64(binary.LittleEndian.Uint32(data))
	if body > maxBody || uint64(len(data)) < frameHead+body+frameSum || binary.LittleEndian.Uint64(data[4:]) != seq {
		return r, 0
	}
	end := frameHead + int(body)
	if xxhash.Sum64(data[:end]) != binary.LittleEndian.Uint64(data[end:]) {
		return r, 0
	}
	if !r.parse(data[frameHead:end]) {
		return Record{}, 0
	}
	return r, end + frameSum
}

// parse reads the fields of a body. Tags ascend; an unknown odd one is skipped.
func (r *Record) parse(body []byte) bool {
	last := uint64(0)
	for len(body) > 0 {
		tag, n := binary.Uvarint(body)
		if n <= 0 || tag <= last {
			return false
		}
		last, body = tag, body[n:]
		length, n := binary.Uvarint(body)
		if n <= 0 || length > uint64(len(body)-n) {
			return false
		}
		value := body[n : n+int(length)]
		body = body[n+int(length):]
		switch tag {
		case tagOp:
			if len(value) != 1 {
				return false
			}
			r.Op = Op(value[0])
		case tagBID:
			var size int
			if r.BID, size = binary.Uvarint(value); size <= 0 || size != len(value) {
				return false
			}
		case tagName:
			r.Name = string(value)
		default:
			if tag%2 == 0 {
				return false
			}
		}
	}
	return r.Op != 0
}
