package wire

import (
	"errors"
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"
)

// Limits of a decoded page.
const (
	MaxPageEntries   = 1 << 20
	maxMsgpackString = 1 << 20 // bytes, one string
	maxMsgpackDepth  = 32      // nesting of unknown values
)

// Keys of a page in the order in which they are written.
const (
	keyUUID    = "UUID"
	keyToken   = "ContinuationToken"
	keyEntries = "Entries"
	keyFlags   = "Flags"
)

// AppendMsgpack appends the page in the one form that clients read: a map of
// four in fixed order, with the shortest integer encodings.
func (p *LsoPage) AppendMsgpack(dst []byte) []byte {
	dst = msgp.AppendMapHeader(dst, 4)
	dst = msgp.AppendString(dst, keyUUID)
	dst = msgp.AppendString(dst, p.UUID)
	dst = msgp.AppendString(dst, keyToken)
	dst = msgp.AppendString(dst, p.ContinuationToken)
	dst = msgp.AppendString(dst, keyEntries)
	dst = msgp.AppendArrayHeader(dst, uint32(len(p.Entries)))
	for i := range p.Entries {
		dst = p.Entries[i].AppendMsgpack(dst)
	}
	dst = msgp.AppendString(dst, keyFlags)
	return msgp.AppendUint32(dst, p.Flags)
}

// AppendMsgpack appends one entry; all keys but "n" are left out when zero.
func (e *LsoEntry) AppendMsgpack(dst []byte) []byte {
	pairs := byte(1)
	for _, s := range [...]*string{&e.Checksum, &e.Atime, &e.Version, &e.Location, &e.Custom} {
		if *s != "" {
			pairs++
		}
	}
	if e.Size != 0 {
		pairs++
	}
	if e.Copies != 0 {
		pairs++
	}
	if e.Flags != 0 {
		pairs++
	}
	dst = append(dst, 0x80|pairs, 0xa1, 'n')
	dst = msgp.AppendString(dst, e.Name)
	if e.Checksum != "" {
		dst = append(dst, 0xa2, 'c', 's')
		dst = msgp.AppendString(dst, e.Checksum)
	}
	if e.Atime != "" {
		dst = append(dst, 0xa1, 'a')
		dst = msgp.AppendString(dst, e.Atime)
	}
	if e.Version != "" {
		dst = append(dst, 0xa1, 'v')
		dst = msgp.AppendString(dst, e.Version)
	}
	if e.Location != "" {
		dst = append(dst, 0xa1, 't')
		dst = msgp.AppendString(dst, e.Location)
	}
	if e.Custom != "" {
		dst = append(dst, 0xa1, 'm')
		dst = msgp.AppendString(dst, e.Custom)
	}
	if e.Size != 0 {
		dst = append(dst, 0xa1, 's')
		dst = msgp.AppendInt64(dst, e.Size)
	}
	if e.Copies != 0 {
		dst = append(dst, 0xa1, 'c')
		dst = msgp.AppendInt16(dst, e.Copies)
	}
	if e.Flags != 0 {
		dst = append(dst, 0xa1, 'f')
		dst = msgp.AppendUint16(dst, e.Flags)
	}
	return dst
}

// DecodeMsgpack reads a page that fills all of data. It takes any integer
// width, any order of keys, unknown keys (skipped), nil for a string, a number
// or an entry (dropped), and refuses more than MaxPageEntries entries. The
// page does not refer to data afterwards; all its strings share one copy of it,
// so who keeps a few names of a page for long should clone them.
func (p *LsoPage) DecodeMsgpack(data []byte) error {
	*p = LsoPage{}
	d := pageDecoder{text: string(data)}
	rest, err := d.page(p, data)
	if err != nil {
		return fmt.Errorf("list page in msgpack: %w", err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("list page in msgpack: %d bytes after its end", len(rest))
	}
	return nil
}

// pageDecoder takes a page apart. Its methods get what is left of the page and
// return what is left then.
type pageDecoder struct {
	text string // the whole page
}

// string is the first n bytes of what is left.
func (d *pageDecoder) string(b []byte, n int) string {
	at := len(d.text) - len(b)
	return d.text[at : at+n]
}

func (d *pageDecoder) page(p *LsoPage, b []byte) ([]byte, error) {
	pairs, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil, err
	}
	for ; pairs > 0; pairs-- {
		var key []byte
		if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
			return nil, err
		}
		switch string(key) {
		case keyUUID:
			p.UUID, b, err = d.readString(b)
		case keyToken:
			p.ContinuationToken, b, err = d.readString(b)
		case keyEntries:
			b, err = d.entries(p, b)
		case keyFlags:
			var n int64
			n, b, err = readInt(b, 0, math.MaxUint32)
			p.Flags = uint32(n)
		default:
			b, err = skipValue(b, maxMsgpackDepth)
		}
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", key, err)
		}
	}
	return b, nil
}

func (d *pageDecoder) entries(p *LsoPage, b []byte) ([]byte, error) {
	if msgp.IsNil(b) {
		return msgp.ReadNilBytes(b)
	}
	count, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return nil, err
	}
	if count > MaxPageEntries {
		return nil, fmt.Errorf("too many entries: %d > %d", count, MaxPageEntries)
	}
	// An entry is at least four bytes long ("81 a1 6e a0"), so a false count
	// cannot make us reserve more than a small multiple of what was sent.
	p.Entries = make([]LsoEntry, 0, min(int(count), len(b)/4))
	for i := range count {
		if msgp.IsNil(b) {
			if b, err = msgp.ReadNilBytes(b); err != nil {
				return nil, err
			}
			continue
		}
		p.Entries = append(p.Entries, LsoEntry{})
		if b, err = d.entry(&p.Entries[len(p.Entries)-1], b); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return b, nil
}

func (d *pageDecoder) entry(e *LsoEntry, b []byte) ([]byte, error) {
	pairs, b, err := readPairs(b)
	if err != nil {
		return nil, err
	}
	for ; pairs > 0; pairs-- {
		var key []byte
		if key, b, err = readKey(b); err != nil {
			return nil, err
		}
		var n int64
		switch string(key) {
		case "n":
			e.Name, b, err = d.readString(b)
		case "cs":
			e.Checksum, b, err = d.readString(b)
		case "a":
			e.Atime, b, err = d.readString(b)
		case "v":
			e.Version, b, err = d.readString(b)
		case "t":
			e.Location, b, err = d.readString(b)
		case "m":
			e.Custom, b, err = d.readString(b)
		case "s":
			e.Size, b, err = readInt(b, math.MinInt64, math.MaxInt64)
		case "c":
			n, b, err = readInt(b, math.MinInt16, math.MaxInt16)
			e.Copies = int16(n)
		case "f":
			n, b, err = readInt(b, 0, math.MaxUint16)
			e.Flags = uint16(n)
		default:
			b, err = skipValue(b, maxMsgpackDepth)
		}
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", key, err)
		}
	}
	return b, nil
}

// The forms that nearly all values have are read here, the others by the
// library.

func readPairs(b []byte) (uint32, []byte, error) {
	if len(b) > 0 && b[0]&0xf0 == 0x80 {
		return uint32(b[0] & 0x0f), b[1:], nil
	}
	return msgp.ReadMapHeaderBytes(b)
}

func readKey(b []byte) (key, rest []byte, err error) {
	if n, head := shortString(b); head > 0 {
		return b[head : head+n], b[head+n:], nil
	}
	return msgp.ReadMapKeyZC(b)
}

// shortString is the length of a string of up to 255 bytes that is there as a
// whole, and that of its head; 0 for anything else.
func shortString(b []byte) (n, head int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0]&0xe0 == 0xa0:
		n, head = int(b[0]&0x1f), 1
	case b[0] == 0xd9 && len(b) > 1:
		n, head = int(b[1]), 2
	}
	if head+n > len(b) {
		return 0, 0
	}
	return n, head
}

func (d *pageDecoder) readString(b []byte) (string, []byte, error) {
	if n, head := shortString(b); head > 0 {
		return d.string(b[head:], n), b[head+n:], nil
	}
	if msgp.IsNil(b) {
		rest, err := msgp.ReadNilBytes(b)
		return "", rest, err
	}
	var raw []byte
	var err error
	// Writers that do not tell text from bytes send names as "bin".
	if msgp.NextType(b) == msgp.BinType {
		raw, b, err = msgp.ReadBytesZC(b)
	} else {
		raw, b, err = msgp.ReadStringZC(b)
	}
	if err != nil {
		return "", nil, err
	}
	if len(raw) > maxMsgpackString {
		return "", nil, fmt.Errorf("string too long: %d > %d bytes", len(raw), maxMsgpackString)
	}
	at := len(d.text) - len(b)
	return d.text[at-len(raw) : at], b, nil
}

func readInt(b []byte, low, high int64) (int64, []byte, error) {
	if len(b) > 0 && b[0] < 0x80 { // within all ranges
		return int64(b[0]), b[1:], nil
	}
	if msgp.IsNil(b) {
		rest, err := msgp.ReadNilBytes(b)
		return 0, rest, err
	}
	n, b, err := msgp.ReadInt64Bytes(b)
	if err != nil {
		return 0, nil, err
	}
	if n < low || n > high {
		return 0, nil, fmt.Errorf("number %d out of range %d..%d", n, low, high)
	}
	return n, b, nil
}

var errTooDeep = errors.New("unknown value is nested too deeply")

// skipValue skips one value. Unlike msgp.Skip it has a depth that a hostile
// page cannot turn into a deep stack.
func skipValue(b []byte, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errTooDeep
	}
	var n uint32
	var err error
	var values uint64
	switch msgp.NextType(b) {
	case msgp.MapType:
		n, b, err = msgp.ReadMapHeaderBytes(b)
		values = 2 * uint64(n)
	case msgp.ArrayType:
		n, b, err = msgp.ReadArrayHeaderBytes(b)
		values = uint64(n)
	default:
		return msgp.Skip(b)
	}
	if err != nil {
		return nil, err
	}
	for ; values > 0; values-- {
		if b, err = skipValue(b, depth-1); err != nil {
			return nil, err
		}
	}
	return b, nil
}
