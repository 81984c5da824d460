package core

import (
	"encoding/binary"
)

// A generation that moves to another target is described by a frame of the form
// of manifests; docs/rebalance.md, "What is sent", has the bytes.

const (
	moveMagic = "AMOV"

	tagMoveRecord  = 2 // body of the record, without copies
	tagMoveFormer  = 4 // 1: the generation is not the current one
	tagMoveTrailer = 6 // 1: the XXH64 of the content follows it, since the record has no checksum
	tagMoveChunk   = 8 // size of a chunk; repeats, in order

	// moveTrailer is the length of the checksum behind the content, in bytes.
	moveTrailer = 8
	// MaxMoveHead bounds the description of a generation, in bytes: a large
	// record, and the sizes of ten thousand chunks.
	MaxMoveHead = maxRecordBody + maxChunkNumber*(2+binary.MaxVarintLen64) + 4096
)

// moveHead is the description of a generation.
type moveHead struct {
	rec     record
	former  bool    // it is a noncurrent version
	trailer bool    // the content is followed by its checksum
	chunks  []int64 // sizes, of one that is chunked
}

// encode is the description as it is sent.
func (m *moveHead) encode() []byte {
	rec := m.rec
	rec.copies, rec.place, rec.name = nil, PlacePlain, ""
	body := rec.appendBody(make([]byte, 0, 256))
	return appendFrame(make([]byte, 0, len(body)+len(m.chunks)*4+64), moveMagic, func(dst []byte) []byte {
		dst = binary.AppendUvarint(append(dst, tagMoveRecord), uint64(len(body)))
		dst = append(dst, body...)
		if m.former {
			dst = appendNumber(dst, tagMoveFormer, 1)
		}
		if m.trailer {
			dst = appendNumber(dst, tagMoveTrailer, 1)
		}
		for _, size := range m.chunks {
			// A size of zero is a field, too.
			dst = binary.AppendUvarint(append(dst, tagMoveChunk, byte(uvarintLength(uint64(size)))), uint64(size))
		}
		return dst
	})
}

// decodeMoveHead reads and checks a description. What it accepts can be stored.
func decodeMoveHead(frame []byte) (*moveHead, error) {
	if len(frame) > MaxMoveHead {
		return nil, damaged("description of %d bytes", len(frame))
	}
	body, err := openFrameOf(moveMagic, frame)
	if err != nil {
		return nil, err
	}
	m := &moveHead{}
	found := false
	err = fields(body, func(tag uint64) bool { return tag == tagMoveChunk }, func(tag uint64, value string) bool {
		switch tag {
		case tagMoveRecord:
			found = true
			return m.rec.decodeBody([]byte(value)) == nil
		case tagMoveFormer, tagMoveTrailer:
			v, ok := number(value)
			if tag == tagMoveFormer {
				m.former = v == 1
			} else {
				m.trailer = v == 1
			}
			return ok && v == 1
		case tagMoveChunk:
			size, ok := number(value)
			m.chunks = append(m.chunks, int64(size))
			return ok && int64(size) >= 0 && len(m.chunks) <= maxChunkNumber
		}
		return tag%2 == 1
	})
	if err != nil {
		return nil, err
	}
	return m, m.check(found)
}

// check refuses descriptions that no store makes.
func (m *moveHead) check(found bool) error {
	rec := &m.rec
	total := int64(0)
	for _, size := range m.chunks {
		if total += size; total < 0 {
			return damaged("chunks without an end")
		}
	}
	switch {
	case !found || rec.stamp.IsZero() || len(rec.copies) > 0 || rec.place != PlacePlain || rec.name != "":
		return damaged("description of no generation")
	case rec.kind == KindECReplica:
		return damaged("a replica does not move")
	case rec.kind.IsDeleted() && (rec.size != 0 || m.trailer):
		return damaged("a deletion with content")
	case rec.kind == KindTombstone && m.former:
		return damaged("a tombstone among the versions")
	case (rec.kind == KindChunked) != (len(m.chunks) > 0), rec.kind == KindChunked && total != rec.size:
		return damaged("%d chunks of %d bytes, the object has %d", len(m.chunks), total, rec.size)
	}
	return nil
}

// content tells that something follows the description.
func (m *moveHead) content() bool { return !m.rec.kind.IsDeleted() }

// bodySize is the number of bytes that follow the description.
func (m *moveHead) bodySize() int64 {
	if m.trailer {
		return m.rec.size + moveTrailer
	}
	return m.rec.size
}
