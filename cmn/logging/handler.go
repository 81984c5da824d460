package logging

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine is the longest line in bytes, with its newline.
const maxLine = 2 << 10

// cut marks a line that was too long.
const cut = "...\n"

// Letters of a line.
const (
	letterInfo    = 'I'
	letterWarning = 'W'
	letterError   = 'E'
)

// handler is the slog.Handler of a Log.
type handler struct {
	log    *Log
	module uint64
	attrs  []byte // of WithAttrs, as they stand in a line
	prefix string // of WithGroup: "a.b."
}

// Enabled tells whether a record would be written.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return Level(h.log.level.Load()).enabled(level, h.module)
}

// Handle writes one record.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	letter := byte(letterInfo)
	switch {
	case r.Level >= slog.LevelError:
		letter = letterError
	case r.Level >= slog.LevelWarn:
		letter = letterWarning
	}
	at := h.log.clock()
	var space [512]byte
	line := append(space[:0], letter, ' ')
	line = at.AppendFormat(line, "15:04:05.000000")
	line = append(line, ' ')
	line = appendSource(line, r.PC)
	line = append(line, ' ')
	line = appendEscaped(line, r.Message)
	line = append(line, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, h.prefix, a)
		return len(line) < maxLine
	})
	if len(line) > maxLine-1 {
		end := maxLine - len(cut)
		for !utf8.RuneStart(line[end]) {
			end-- // the line is valid UTF-8, so this is at most three bytes
		}
		line = append(line[:end], cut...)
	} else {
		line = append(line, '\n')
	}
	h.log.write(line, letter, at)
	return nil
}

// WithAttrs returns a handler that adds attributes to every record.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	next := *h
	next.attrs = slices.Clip(slices.Clone(h.attrs))
	for _, a := range attrs {
		next.attrs = appendAttr(next.attrs, h.prefix, a)
	}
	return &next
}

// WithGroup returns a handler that puts a name before the keys to come.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix = h.prefix + name + "."
	return &next
}

func appendSource(dst []byte, pc uintptr) []byte {
	if pc == 0 {
		return append(dst, "-:0"...)
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	dst = append(dst, filepath.Base(frame.File)...)
	dst = append(dst, ':')
	return strconv.AppendInt(dst, int64(frame.Line), 10)
}

func appendAttr(dst []byte, prefix string, a slog.Attr) []byte {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			dst = appendAttr(dst, prefix, member)
		}
		return dst
	}
	if a.Equal(slog.Attr{}) {
		return dst
	}
	dst = append(dst, ' ')
	dst = appendEscaped(dst, prefix)
	dst = appendEscaped(dst, a.Key)
	dst = append(dst, '=')
	switch value.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(dst, value.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(dst, value.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(dst, value.Bool())
	case slog.KindFloat64:
		return strconv.AppendFloat(dst, value.Float64(), 'g', -1, 64)
	case slog.KindTime:
		return value.Time().AppendFormat(dst, time.RFC3339Nano)
	default:
		return appendValue(dst, text(value))
	}
}

// text is the text of a value that is no number.
func text(v slog.Value) string {
	if v.Kind() != slog.KindAny {
		return v.String()
	}
	switch x := v.Any().(type) {
	case error:
		return safely(x.Error)
	case fmt.Stringer:
		return safely(x.String)
	case encoding.TextMarshaler:
		return safely(func() string {
			b, err := x.MarshalText()
			if err != nil {
				return err.Error()
			}
			return string(b)
		})
	case []byte:
		return string(x)
	default:
		return fmt.Sprintf("%+v", x)
	}
}

// safely calls a method of a value that may be a nil pointer: a log line must
// not end the node.
func safely(f func() string) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = "!PANIC: " + fmt.Sprint(p)
		}
	}()
	return f()
}

// appendValue quotes what could not be told from the next pair.
func appendValue(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '"', '"')
	}
	s = bounded(s)
	for i := range len(s) {
		if c := s[i]; c == ' ' || c == '"' || c == '=' || c < 0x20 || c == 0x7f {
			return strconv.AppendQuote(dst, s)
		}
	}
	return appendEscaped(dst, s)
}

// appendEscaped appends text in which nothing can end the line or steer a
// terminal: control characters, invalid UTF-8 and line separators are escaped.
func appendEscaped(dst []byte, s string) []byte {
	s = bounded(s)
	plain := 0 // start of what needs no escape
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= 0x20 && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[plain:i]...)
			dst = appendControl(dst, c)
			i++
			plain = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[plain:i]...)
			dst = appendHex(dst, s[i])
			plain = i + size
		} else if !unicode.IsGraphic(r) {
			dst = append(dst, s[plain:i]...)
			quoted := strconv.QuoteRuneToASCII(r)
			dst = append(dst, quoted[1:len(quoted)-1]...)
			plain = i + size
		}
		i += size
	}
	return append(dst, s[plain:]...)
}

// bounded cuts text that could not be in a line anyway.
func bounded(s string) string { return s[:min(len(s), maxLine)] }

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return appendHex(dst, c)
	}
}

func appendHex(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'x', digits[c>>4], digits[c&0xf])
}

func escape(s string) string { return string(appendEscaped(nil, s)) }
