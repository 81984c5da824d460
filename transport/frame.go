package transport

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// kind is the type of a frame.
type kind uint8

// Types of frames; docs/transport.md says who sends them and what they carry.
const (
	kindOpen kind = iota + 1
	kindAnnounce
	kindData
	kindAbort
	kindFloor
	kindEnd
	kindVerdict
	kindCredit
	kindPing
	kindBye
	kindEndOfList
)

// flags of a frame.
type flags uint8

const (
	flagInline   flags = 1 << iota // of announce: the body is in it
	flagLZ4                        // the body's bytes are one LZ4 block
	flagUnsummed                   // of data: no checksum of the payload
	flagRawSum                     // a checksum of the uncompressed bytes precedes the compressed ones
	flagFailed                     // of verdict: an error
	flagLater                      // of verdict: an error, try again
	flagsKnown   = 1<<iota - 1
)

const (
	headSize = 32 // of a frame, in bytes
	// maxPayload bounds a frame's payload, in bytes: a block of 4 MiB that
	// does not shrink, and what precedes it.
	maxPayload = 4<<20 + 64<<10
	// maxInline is the longest message, header and body, that goes into one frame.
	maxInline = 64 << 10
	// maxHeaderLimit is the most that transport.max_header can be.
	maxHeaderLimit = 128 << 10
	// maxAnswer is the longest answer of a receiver.
	maxAnswer = 64 << 10
	maxFlow   = 256 // bytes of a flow's name
	sizeField = 8   // in front of the header of an announcement
)

// frame is the head of a frame.
type frame struct {
	kind   kind
	flags  flags
	length uint32 // of the payload
	stream uint32
	arg    uint32
	seq    uint64
	try    uint16 // which attempt at the message this is about
	sum    uint32 // of the payload
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// crcUpdate adds bytes to a checksum that began as 0.
func crcUpdate(sum uint32, p []byte) uint32 { return crc32.Update(sum, castagnoli, p) }

// put writes the head into dst, which has headSize bytes.
func (f *frame) put(dst []byte) {
	_ = dst[headSize-1]
	dst[0], dst[1] = byte(f.kind), byte(f.flags)
	binary.BigEndian.PutUint16(dst[2:], f.try)
	binary.BigEndian.PutUint32(dst[4:], f.length)
	binary.BigEndian.PutUint32(dst[8:], f.stream)
	binary.BigEndian.PutUint32(dst[12:], f.arg)
	binary.BigEndian.PutUint64(dst[16:], f.seq)
	binary.BigEndian.PutUint32(dst[24:], f.sum)
	binary.BigEndian.PutUint32(dst[28:], checksum(dst[:28]))
}

// parseFrame reads a head of headSize bytes; an error breaks the connection.
func parseFrame(p []byte) (f frame, err error) {
	_ = p[headSize-1]
	if have, want := checksum(p[:28]), binary.BigEndian.Uint32(p[28:]); have != want {
		return f, protocolError("the checksum of a frame's head is %08x, it says %08x", have, want)
	}
	f = frame{
		kind: kind(p[0]), flags: flags(p[1]), length: binary.BigEndian.Uint32(p[4:]), stream: binary.BigEndian.Uint32(p[8:]),
		arg: binary.BigEndian.Uint32(p[12:]), seq: binary.BigEndian.Uint64(p[16:]), sum: binary.BigEndian.Uint32(p[24:]), try: binary.BigEndian.Uint16(p[2:]),
	}
	switch {
	case f.kind == 0 || f.kind >= kindEndOfList:
		return f, protocolError("unknown type of frame %d", p[0])
	case f.flags&^flagsKnown != 0:
		return f, protocolError("unknown flags %#x of a frame", p[1])
	case f.length > maxPayload:
		return f, protocolError("a frame of %d bytes, at most %d are allowed", f.length, maxPayload)
	case f.flags&flagUnsummed != 0 && f.kind != kindData:
		return f, protocolError("a frame of type %d without a checksum", f.kind)
	}
	return f, nil
}

// checkPayload holds a payload against the head.
func (f *frame) checkPayload(p []byte) error {
	if f.flags&flagUnsummed != 0 {
		return nil
	}
	if have := checksum(p); have != f.sum {
		return protocolError("the checksum of a frame's payload is %08x, its head says %08x", have, f.sum)
	}
	return nil
}

// announcement is the payload of an announce frame.
type announcement struct {
	size   int64  // of the body
	header []byte // points into the payload
	inline []byte // likewise; of a frame with flag inline
}

func (f *frame) announcement(p []byte) (a announcement, err error) {
	if len(p) < sizeField || int64(f.arg) > int64(len(p)-sizeField) {
		return a, protocolError("an announcement of %d bytes with a header of %d", len(p), f.arg)
	}
	a.size = int64(binary.BigEndian.Uint64(p))
	a.header, a.inline = p[sizeField:sizeField+int(f.arg)], p[sizeField+int(f.arg):]
	inline := f.flags&flagInline != 0
	switch {
	case a.size < 0:
		return a, protocolError("a body of %d bytes", a.size)
	case !inline && len(a.inline) > 0:
		return a, protocolError("an announcement with %d bytes too many", len(a.inline))
	case inline && (a.size > maxInline || f.flags&flagLZ4 == 0 && int64(len(a.inline)) != a.size):
		return a, protocolError("an announced body of %d bytes has %d", a.size, len(a.inline))
	}
	return a, nil
}

// verdict is what became of a message.
type verdict struct {
	answer []byte
	err    error
	later  bool // err is not final: send it again after a pause
}

func (v *verdict) flags() flags {
	switch {
	case v.later:
		return flagFailed | flagLater
	case v.err != nil:
		return flagFailed
	}
	return 0
}

// payload is what a verdict frame carries.
func (v *verdict) payload() []byte {
	if v.err == nil {
		return v.answer
	}
	code, text := apierr.CodeOf(v.err), v.err.Error()
	code, text = code[:min(len(code), 255)], text[:min(len(text), maxAnswer/2)]
	p := binary.BigEndian.AppendUint16(make([]byte, 0, 3+len(code)+len(text)), uint16(apierr.StatusOf(v.err)))
	p = append(append(p, byte(len(code))), code...)
	return append(p, text...)
}

// parseVerdict copies what it keeps of the payload.
func parseVerdict(f *frame, p []byte) (v verdict, err error) {
	if f.flags&flagFailed == 0 {
		if len(p) > 0 {
			v.answer = append([]byte(nil), p...)
		}
		return v, nil
	}
	if len(p) < 3 || len(p) < 3+int(p[2]) {
		return v, protocolError("an error of %d bytes", len(p))
	}
	v.later = f.flags&flagLater != 0
	status, code, text := int(binary.BigEndian.Uint16(p)), string(p[3:3+int(p[2])]), string(p[3+int(p[2]):])
	v.err = apierr.New(status, code, "%s", text)
	return v, nil
}

// ProtocolError is what breaks a connection: the peer, or the network, said
// something that is not allowed.
type ProtocolError struct{ text string }

// Error implements error.
func (e *ProtocolError) Error() string { return "stream protocol: " + e.text }

func protocolError(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}
