package core

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"
)

const (
	manifestMagic = "AMAN"
	partMagic     = "APRT"

	// maxManifest bounds a manifest file, in bytes: ten thousand chunks need
	// a third of it.
	maxManifest = 2 << 20
	// maxPartRecord bounds the attribute of a part.
	maxPartRecord = 1024
)

// manifestState tells what a manifest describes.
type manifestState uint8

const (
	stateUpload    manifestState = 1 // an upload that may be continued
	stateCompleted manifestState = 2 // the chunks of an object
)

// manifest is an upload, or the chunks of an object.
type manifest struct {
	state   manifestState
	upload  string
	bid     uint64
	name    string
	created int64   // of an upload
	custom  []KV    // of an upload: for the object that it becomes
	chunks  []chunk // of a completed one, numbers ascending
	size    int64   // of all chunks
}

// chunk is one entry of a manifest.
type chunk struct {
	number int
	size   int64
	crc    uint32 // CRC-32C of its bytes
	mp     string // id of the mountpath
}

// partRecord is what the file of a part says of itself.
type partRecord struct {
	number int
	size   int64
	clock  uint64
	bid    uint64
	crc    uint32
	md5    string // 16 bytes, "" if it was not asked for
	upload string

	// The checksum of the whole up to here, if all parts before had come in
	// order: type and state of the hash. "" if they had not.
	wholeType  string
	wholeState string
}

// Tags of the fields of manifests and of parts.
const (
	tagState     = 2
	tagUpload    = 4
	tagManiBID   = 8
	tagManiName  = 12
	tagCreated   = 14
	tagChunk     = 16 // may repeat
	tagManiPair  = 18 // may repeat
	tagPart      = 2
	tagPartSize  = 4
	tagClock     = 6
	tagPartBID   = 8
	tagCRC       = 10
	tagPartMD5   = 11
	tagPartOwner = 12
	tagWhole     = 13
)

// appendFrame puts the frame of a sidecar around what body appends.
func appendFrame(dst []byte, magic string, body func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, recordVersion, formInline, 0, 0, 0, 0, 0, 0)
	dst = body(dst)
	binary.LittleEndian.PutUint32(dst[start+8:], uint32(len(dst)-start-sidecarHead))
	return appendSum(dst, start)
}

// openFrameOf checks such a frame and returns what is in it.
func openFrameOf(magic string, frame []byte) ([]byte, error) {
	end := len(frame) - frameSum
	if end < sidecarHead {
		return nil, damaged("%d bytes", len(frame))
	}
	if string(frame[:4]) != magic || frame[4] != recordVersion || frame[5] != formInline || frame[6] != 0 || frame[7] != 0 {
		return nil, damaged("unknown format %x", frame[:8])
	}
	if int64(binary.LittleEndian.Uint32(frame[8:])) != int64(end-sidecarHead) {
		return nil, damaged("wrong length")
	}
	if xxhash.Sum64(frame[:end]) != binary.LittleEndian.Uint64(frame[end:]) {
		return nil, damaged("wrong checksum")
	}
	return frame[sidecarHead:end], nil
}

// fields calls set for each field of a body, in ascending order of the tags;
// repeats tells which may come again. An unknown field that changes the
// meaning is for set to refuse.
func fields(body []byte, repeats func(tag uint64) bool, set func(tag uint64, value string) bool) error {
	rest := string(body)
	last := uint64(0)
	for rest != "" {
		tag, n := uvarint(rest)
		if n == 0 || tag < last || tag == last && !repeats(tag) {
			return damaged("field %d out of order", tag)
		}
		last = tag
		value, after, ok := cutCounted(rest[n:])
		if !ok {
			return damaged("field %d is cut off", tag)
		}
		if !set(tag, value) {
			return damaged("field %d", tag)
		}
		rest = after
	}
	return nil
}

// number reads a uvarint that fills a field.
func number(value string) (uint64, bool) {
	v, n := uvarint(value)
	return v, n > 0 && n == len(value)
}

// encode is the manifest as it lies in its file.
func (m *manifest) encode() []byte {
	size := 128 + len(m.name) + len(m.chunks)*40
	return appendFrame(make([]byte, 0, size), manifestMagic, func(dst []byte) []byte {
		dst = appendNumber(dst, tagState, uint64(m.state))
		dst = appendText(dst, tagUpload, m.upload)
		dst = appendNumber(dst, tagManiBID, m.bid)
		dst = appendText(dst, tagManiName, m.name)
		dst = appendNumber(dst, tagCreated, zigzag(m.created))
		for i := range m.chunks {
			c := &m.chunks[i]
			length := uvarintLength(uint64(c.number)) + uvarintLength(uint64(c.size)) + 4 + len(c.mp)
			dst = binary.AppendUvarint(append(dst, tagChunk), uint64(length))
			dst = binary.AppendUvarint(dst, uint64(c.number))
			dst = binary.AppendUvarint(dst, uint64(c.size))
			dst = binary.LittleEndian.AppendUint32(dst, c.crc)
			dst = append(dst, c.mp...)
		}
		for _, kv := range m.custom {
			dst = appendPair(dst, tagManiPair, kv.Key, kv.Value)
		}
		return dst
	})
}

// decodeManifest reads a whole manifest file.
func decodeManifest(file []byte) (*manifest, error) {
	body, err := openFrameOf(manifestMagic, file)
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	err = fields(body, func(tag uint64) bool { return tag == tagChunk || tag == tagManiPair }, m.setField)
	if err != nil {
		return nil, err
	}
	switch {
	case !isUploadID(m.upload) || m.name == "":
		return nil, damaged("manifest of %q, upload %q", m.name, m.upload)
	case m.state == stateUpload && len(m.chunks) == 0:
	case m.state == stateCompleted && len(m.chunks) > 0 && len(m.custom) == 0:
	default:
		return nil, damaged("manifest of state %d with %d chunks", m.state, len(m.chunks))
	}
	return m, nil
}

func (m *manifest) setField(tag uint64, value string) bool {
	switch tag {
	case tagState:
		v, ok := number(value)
		m.state = manifestState(min(v, 0xff))
		return ok
	case tagUpload:
		m.upload = value
	case tagManiBID:
		v, ok := number(value)
		m.bid = v
		return ok
	case tagManiName:
		m.name = value
	case tagCreated:
		v, ok := number(value)
		m.created = unzigzag(v)
		return ok
	case tagChunk:
		return m.addChunk(value)
	case tagManiPair:
		key, text, ok := cutCounted(value)
		m.custom = append(m.custom, KV{Key: key, Value: text})
		return ok
	default:
		return tag%2 == 1
	}
	return true
}

func (m *manifest) addChunk(value string) bool {
	no, n := uvarint(value)
	if n == 0 || no == 0 || no > maxChunkNumber {
		return false
	}
	value = value[n:]
	size, n := uvarint(value)
	if n == 0 || int64(size) < 0 || len(value)-n < 4 {
		return false
	}
	value = value[n:]
	c := chunk{number: int(no), size: int64(size), crc: binary.LittleEndian.Uint32([]byte(value[:4])), mp: value[4:]}
	if k := len(m.chunks); k > 0 && m.chunks[k-1].number >= c.number || m.size > math.MaxInt64-c.size {
		return false
	}
	m.add(c)
	return true
}

// add appends a chunk.
func (m *manifest) add(c chunk) {
	m.chunks = append(m.chunks, c)
	m.size += c.size
}

// ref is what the record says of a completed manifest.
func (m *manifest) ref(file []byte) chunkRef {
	ref := chunkRef{upload: m.upload, count: uint32(len(m.chunks)), length: uint32(len(file)), sum: xxhash.Sum64(file)}
	for i := range m.chunks {
		ref.largest = max(ref.largest, m.chunks[i].size)
	}
	return ref
}

// encode is the record as it lies in the attribute of a part.
func (p *partRecord) encode(dst []byte) []byte {
	return appendFrame(dst, partMagic, func(dst []byte) []byte {
		dst = appendNumber(dst, tagPart, uint64(p.number))
		dst = appendNumber(dst, tagPartSize, uint64(p.size))
		dst = appendNumber(dst, tagClock, p.clock)
		dst = appendNumber(dst, tagPartBID, p.bid)
		dst = appendNumber(dst, tagCRC, uint64(p.crc))
		dst = appendText(dst, tagPartMD5, p.md5)
		dst = appendText(dst, tagPartOwner, p.upload)
		if p.wholeType != "" {
			dst = appendPair(dst, tagWhole, p.wholeType, p.wholeState)
		}
		return dst
	})
}

// decodePart reads the attribute of a part.
func decodePart(frame []byte) (p partRecord, err error) {
	body, err := openFrameOf(partMagic, frame)
	if err != nil {
		return p, err
	}
	err = fields(body, func(uint64) bool { return false }, p.setField)
	if err == nil && (p.number < 1 || p.number > maxChunkNumber || p.size < 0 || !isUploadID(p.upload)) {
		err = damaged("part %d of %d bytes of upload %q", p.number, p.size, p.upload)
	}
	return p, err
}

func (p *partRecord) setField(tag uint64, value string) bool {
	var v uint64
	switch tag {
	case tagPart, tagPartSize, tagClock, tagPartBID, tagCRC:
		var ok bool
		if v, ok = number(value); !ok {
			return false
		}
	}
	switch tag {
	case tagPart:
		p.number = int(min(v, maxChunkNumber+1))
	case tagPartSize:
		p.size = int64(v)
	case tagClock:
		p.clock = v
	case tagPartBID:
		p.bid = v
	case tagCRC:
		p.crc = uint32(v)
		return v <= math.MaxUint32
	case tagPartMD5:
		p.md5 = value
		return len(value) == 16
	case tagPartOwner:
		p.upload = value
	case tagWhole:
		var ok bool
		p.wholeType, p.wholeState, ok = cutCounted(value)
		return ok && p.wholeType != ""
	default:
		return tag%2 == 1
	}
	return true
}
