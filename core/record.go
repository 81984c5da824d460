package core

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/cksum"
)

// XattrRecord is the extended attribute that holds an object's record.
const XattrRecord = "user.ais.lom"

// MaxInlineRecord is the greatest record, in bytes, that is stored in the
// attribute itself; the body of a larger one goes to a sidecar.
const MaxInlineRecord = 2048

// The frame around a record, little-endian: magic (4 bytes), format version
// (1), form (1), length of what follows (2), body or reference, XXH64 of all
// before (8). docs/on_disk_layout.md is the contract; this file and
// recordfields.go are its only reader and writer.
const (
	recordMagic   = "ALOM"
	recordVersion = 1

	formInline  = 0 // the body follows
	formSidecar = 1 // a reference to the sidecar follows

	frameHead    = 8
	frameSum     = 8
	sidecarHead  = 12 // the frame of a sidecar has a 4-byte length after the head
	referenceLen = stampSize + 4 + 8

	maxRecordBody = 64 << 10
)

// Kind tells what a record describes.
type Kind uint8

// Kinds of records. Nothing writes KindECReplica yet: its number is kept free.
const (
	KindObject       Kind = 1 // the file is the content
	KindChunked      Kind = 2 // the file is the first chunk, the rest in %ch
	KindDeleteMarker Kind = 3
	KindECReplica    Kind = 4
	KindTombstone    Kind = 5 // the name was deleted; an older object of another target is none
)

// Place is where an object's file lies below its bucket's directory.
type Place uint8

// Places.
const (
	PlacePlain   Place = 0 // %ob/<name>
	PlaceEscaped Place = 1 // %ox/<2 hex>/<SHA-256 of the name>
)

// record is an object's metadata as it is stored.
type record struct {
	kind     Kind
	place    Place
	flags    uint64
	size     int64
	bid      uint64
	stamp    Stamp
	revision Stamp // of the last change of a record that keeps its stamp; zero: there was none
	mtime    int64 // nanoseconds since the epoch
	atime    int64 // the same, when the record was written
	version  string
	checksum cksum.Value
	custom   []KV // sorted by key
	name     string
	copies   []string // ids of the mountpaths with further copies
	chunks   chunkRef // of KindChunked, else zero
	sidecar  bool     // it was read from, or belongs to, a sidecar
}

// written is the stamp of the last writing of the record, and that of its
// sidecar. Of a generation with a version id, which is its stamp, it may be
// later than that.
func (r *record) written() Stamp {
	if r.revision.IsZero() {
		return r.stamp
	}
	return r.revision
}

// sidecarRef is what the attribute says of a sidecar.
type sidecarRef struct {
	stamp  Stamp
	length uint32 // of the file
	sum    uint64 // XXH64 of the whole file
}

// errRecordDamaged is in the chain of every error of a record that cannot be
// read.
var errRecordDamaged = errors.New("metadata record is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRecordDamaged, fmt.Sprintf(format, args...))
}

// appendInline encodes the record as it lies in the attribute, at the end of
// dst; ok is false if it does not fit.
func (r *record) appendInline(dst []byte) (frame []byte, ok bool) {
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = append(dst, recordVersion, formInline, 0, 0)
	dst = r.appendBody(dst)
	body := len(dst) - start - frameHead
	if frameHead+body+frameSum > MaxInlineRecord {
		return dst[:start], false
	}
	binary.LittleEndian.PutUint16(dst[start+6:], uint16(body))
	return appendSum(dst, start), true
}

// appendSidecar encodes the record as it lies in a sidecar.
func (r *record) appendSidecar(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = append(dst, recordVersion, formInline, 0, 0, 0, 0, 0, 0)
	dst = r.appendBody(dst)
	body := len(dst) - start - sidecarHead
	if body > maxRecordBody {
		return nil, fmt.Errorf("metadata record of %d bytes exceeds %d", body, maxRecordBody)
	}
	binary.LittleEndian.PutUint32(dst[start+8:], uint32(body))
	return appendSum(dst, start), nil
}

// append encodes the reference as it lies in the attribute.
func (ref sidecarRef) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = append(dst, recordVersion, formSidecar, referenceLen, 0)
	dst = ref.stamp.append(dst)
	dst = binary.LittleEndian.AppendUint32(dst, ref.length)
	dst = binary.LittleEndian.AppendUint64(dst, ref.sum)
	return appendSum(dst, start)
}

func appendSum(dst []byte, start int) []byte {
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}

// openFrame checks a frame of the attribute and returns what is in it.
func openFrame(frame []byte) (form byte, content []byte, err error) {
	if len(frame) < frameHead+frameSum {
		return 0, nil, damaged("%d bytes", len(frame))
	}
	if string(frame[:4]) != recordMagic || frame[4] != recordVersion || frame[5] > formSidecar {
		return 0, nil, damaged("unknown format %x", frame[:6])
	}
	end := len(frame) - frameSum
	if int(binary.LittleEndian.Uint16(frame[6:])) != end-frameHead {
		return 0, nil, damaged("wrong length")
	}
	if xxhash.Sum64(frame[:end]) != binary.LittleEndian.Uint64(frame[end:]) {
		return 0, nil, damaged("wrong checksum")
	}
	return frame[5], frame[frameHead:end], nil
}

// openSidecar checks a whole sidecar file against its reference and returns
// the body.
func openSidecar(file []byte, ref sidecarRef) ([]byte, error) {
	if uint32(len(file)) != ref.length || len(file) < sidecarHead+frameSum || xxhash.Sum64(file) != ref.sum {
		return nil, damaged("sidecar of %d bytes does not match its reference", len(file))
	}
	end := len(file) - frameSum
	if string(file[:4]) != recordMagic || file[4] != recordVersion || file[5] != formInline ||
		int64(binary.LittleEndian.Uint32(file[8:])) != int64(end-sidecarHead) ||
		xxhash.Sum64(file[:end]) != binary.LittleEndian.Uint64(file[end:]) {
		return nil, damaged("sidecar has an unknown format or a wrong checksum")
	}
	return file[sidecarHead:end], nil
}

// decodeReference reads the content of a frame of form formSidecar.
func decodeReference(content []byte) (sidecarRef, error) {
	if len(content) != referenceLen {
		return sidecarRef{}, damaged("sidecar reference of %d bytes", len(content))
	}
	return sidecarRef{
		stamp:  decodeStamp(content),
		length: binary.LittleEndian.Uint32(content[stampSize:]),
		sum:    binary.LittleEndian.Uint64(content[stampSize+4:]),
	}, nil
}
