package wire

import (
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends the page as encoding/json would write it without escapes
// for HTML. Bytes that are not UTF-8 become U+FFFD: names that have some are
// whole in msgpack only.
func (p *LsoPage) AppendJSON(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"uuid":`...), p.UUID)
	dst = appendJSONString(append(dst, `,"continuation_token":`...), p.ContinuationToken)
	dst = append(dst, `,"entries":`...)
	if len(p.Entries) == 0 {
		dst = append(dst, "null"...) // a wire fact
	} else {
		dst = append(dst, '[')
		for i := range p.Entries {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = p.Entries[i].appendJSON(dst)
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"flags":`...)
	return append(strconv.AppendUint(dst, uint64(p.Flags), 10), '}')
}

func (e *LsoEntry) appendJSON(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"name":`...), e.Name)
	if e.Checksum != "" {
		dst = appendJSONString(append(dst, `,"checksum":`...), e.Checksum)
	}
	if e.Atime != "" {
		dst = appendJSONString(append(dst, `,"atime":`...), e.Atime)
	}
	if e.Version != "" {
		dst = appendJSONString(append(dst, `,"version":`...), e.Version)
	}
	if e.Location != "" {
		dst = appendJSONString(append(dst, `,"location":`...), e.Location)
	}
	if e.Custom != "" {
		dst = appendJSONString(append(dst, `,"custom-md":`...), e.Custom)
	}
	if e.Size != 0 {
		dst = append(strconv.AppendInt(append(dst, `,"size":"`...), e.Size, 10), '"')
	}
	if e.Copies != 0 {
		dst = strconv.AppendInt(append(dst, `,"copies":`...), int64(e.Copies), 10)
	}
	if e.Flags != 0 {
		dst = strconv.AppendUint(append(dst, `,"flags":`...), uint64(e.Flags), 10)
	}
	return append(dst, '}')
}

func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendJSONEscape(dst, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if invalid := r == utf8.RuneError && size == 1; invalid || r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[from:i]...)
			switch r {
			case '\u2028':
				dst = append(dst, `\u2028`...)
			case '\u2029':
				dst = append(dst, `\u2029`...)
			default:
				dst = append(dst, `\ufffd`...)
			}
			from = i + size
		}
		i += size
	}
	return append(append(dst, s[from:]...), '"')
}

func appendJSONEscape(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
