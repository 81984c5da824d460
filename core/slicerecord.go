package core

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// XattrSlice is the extended attribute with the record of a slice.
const XattrSlice = "user.ais.slice"

const (
	sliceMagic = "ASLI"
	// maxSliceDetails bounds the details of a slice in bytes: the checksums of a
	// slice of 2 TiB and the greatest record.
	maxSliceDetails = 64<<20 + maxRecordBody
)

// Tags of the fields of a slice's record, and of its details.
const (
	tagSliceState   = 2
	tagSliceStamp   = 4
	tagSliceBID     = 6
	tagSliceName    = 8
	tagSliceNumber  = 10
	tagSliceData    = 12
	tagSliceParity  = 14
	tagSliceLength  = 16
	tagSliceDetails = 18
	tagSliceTail    = 20

	tagDetailObject = 2
	tagDetailSums   = 4
)

// sliceTail is where the details lie in the file; length 0: in the attribute.
type sliceTail struct {
	offset int64
	length uint32
	sum    uint64
}

func (t *sliceTail) holds(details []byte) bool {
	return uint32(len(details)) == t.length && xxhash.Sum64(details) == t.sum
}

// appendDetails encodes the object's record and the checksums.
func (sl *Slice) appendDetails(dst []byte) []byte {
	if sl.IsMark() {
		return dst
	}
	a := &sl.Object
	rec := record{
		kind: KindObject, size: a.Size, bid: a.BID, stamp: a.Stamp, revision: a.Revision, mtime: a.Mtime, atime: a.Atime,
		version: a.Version, checksum: a.Checksum, custom: a.Custom,
	}
	if a.Versioned {
		rec.flags |= flagVersioned
	}
	dst = appendText(dst, tagDetailObject, string(rec.appendBody(nil)))
	return appendText(dst, tagDetailSums, string(sl.sums))
}

// append encodes the record with the given details in it, or with the place
// where they are.
func (sl *Slice) append(dst, details []byte, tail sliceTail) []byte {
	return appendFrame(dst, sliceMagic, func(dst []byte) []byte {
		dst = appendNumber(dst, tagSliceState, uint64(sl.State))
		dst = append(dst, tagSliceStamp, stampSize)
		dst = sl.Stamp.append(dst)
		dst = appendNumber(dst, tagSliceBID, sl.Object.BID)
		dst = appendText(dst, tagSliceName, sl.Name)
		dst = appendNumber(dst, tagSliceNumber, uint64(sl.Number))
		dst = appendNumber(dst, tagSliceData, uint64(sl.Data))
		dst = appendNumber(dst, tagSliceParity, uint64(sl.Parity))
		dst = appendNumber(dst, tagSliceLength, uint64(sl.Length))
		if tail.length == 0 {
			return appendText(dst, tagSliceDetails, string(details))
		}
		dst = append(dst, tagSliceTail, 20)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(tail.offset))
		dst = binary.LittleEndian.AppendUint32(dst, tail.length)
		return binary.LittleEndian.AppendUint64(dst, tail.sum)
	})
}

// AppendSlice encodes a slice for another target, without the checksums of its
// content.
func (sl *Slice) AppendSlice(dst []byte) []byte {
	plain := *sl
	plain.sums = nil
	return plain.append(dst, plain.appendDetails(nil), sliceTail{})
}

// DecodeSlice reads what AppendSlice has encoded.
func DecodeSlice(frame []byte) (sl Slice, err error) {
	if err = sl.decode(frame); err == nil && sl.tail.length != 0 {
		err = damaged("details elsewhere")
	}
	return sl, err
}

// decode reads a record. If its details are elsewhere, tail says where.
func (sl *Slice) decode(frame []byte) error {
	body, err := openFrameOf(sliceMagic, frame)
	if err != nil {
		return err
	}
	*sl = Slice{}
	var details string
	var name string
	var bid uint64
	err = fields(body, func(uint64) bool { return false }, func(tag uint64, value string) bool {
		switch tag {
		case tagSliceStamp:
			if len(value) != stampSize {
				return false
			}
			sl.Stamp = decodeStamp([]byte(value))
			return true
		case tagSliceName:
			name = value
			return true
		case tagSliceDetails:
			details = value
			return true
		case tagSliceTail:
			if len(value) != 20 {
				return false
			}
			raw := []byte(value)
			sl.tail = sliceTail{
				offset: int64(binary.LittleEndian.Uint64(raw)), length: binary.LittleEndian.Uint32(raw[8:]), sum: binary.LittleEndian.Uint64(raw[12:]),
			}
			return sl.tail.offset >= 0 && sl.tail.length > 0 && sl.tail.length <= maxSliceDetails
		}
		v, ok := number(value)
		switch tag {
		case tagSliceState:
			sl.State = SliceState(min(v, 0xff))
		case tagSliceBID:
			bid = v
		case tagSliceNumber:
			sl.Number = int(min(v, 0xff))
		case tagSliceData:
			sl.Data = int(min(v, 0xff))
		case tagSliceParity:
			sl.Parity = int(min(v, 0xff))
		case tagSliceLength:
			sl.Length = int64(v)
		default:
			return tag%2 == 1
		}
		return ok
	})
	if err != nil {
		return err
	}
	sl.Object.BID, sl.Name = bid, name
	switch {
	case sl.State < SliceKept || sl.State > SliceDeleted, name == "", sl.Stamp.IsZero(), sl.Length < 0,
		sl.Data+sl.Parity > MaxSlices, sl.Number > sl.Data+sl.Parity:
		return damaged("state %d, number %d of %d+%d", sl.State, sl.Number, sl.Data, sl.Parity)
	case sl.tail.length != 0 || sl.IsMark():
		return nil
	}
	return sl.decodeDetails([]byte(details))
}

// decodeDetails reads the object's record and the checksums.
func (sl *Slice) decodeDetails(details []byte) error {
	bid := sl.Object.BID
	var rec record
	sl.sums = nil
	err := fields(details, func(uint64) bool { return false }, func(tag uint64, value string) bool {
		switch tag {
		case tagDetailObject:
			return rec.decodeBody([]byte(value)) == nil
		case tagDetailSums:
			sl.sums = []byte(value)
			return true
		}
		return tag%2 == 1
	})
	if err != nil {
		return err
	}
	if rec.kind != KindObject || rec.bid != bid || rec.written() != sl.Stamp || sl.Length != SliceLength(rec.size, sl.Data) {
		return damaged("slice of another object or generation")
	}
	sl.Object = rec.attrs(nil)
	sl.Object.Copies = 0
	return nil
}
