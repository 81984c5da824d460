package naming

import (
	"strings"
	"unicode/utf8"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// The engine stores true names: 1 to MaxObjectName bytes, any byte. Native
// endpoints refuse some of them (see ValidateObject), which come from S3
// clients. Such a name has one native form: EscapePrefix and the name with
//
//   - "%" and control bytes (below 0x20, and 0x7f),
//   - a leading "~",
//   - the dots of whole components "." and "..",
//   - the last slash of a name that ends in one
//
// percent-encoded, in upper-case hex, and nothing else. A name that is legal
// natively and does not begin with EscapePrefix is its own native form.

// EscapePrefix begins the native form of names that native endpoints refuse.
const EscapePrefix = "~x/"

// ValidateTrue checks a true name: 1 to MaxObjectName bytes. Errors have
// status 400.
func ValidateTrue(name string) error {
	switch {
	case name == "":
		return apierr.InvalidObjectName("", "must not be empty")
	case len(name) > MaxObjectName:
		return apierr.InvalidObjectName(shorten(name), tooLong)
	}
	return nil
}

// Native returns the native form of a true name, in which it is shown in
// listings, headers and messages. It allocates only if that is another string.
func Native(name string) string {
	if isNative(name) {
		return name
	}
	escaped := appendEscaped(make([]byte, 0, len(EscapePrefix)+len(name)+16), name, false)
	if last := len(escaped) - 1; escaped[last] == '/' {
		escaped = append(escaped[:last], "%2F"...)
	}
	return string(escaped)
}

// True returns the true name of which the argument is the native form. Every
// true name has one: a name that begins with EscapePrefix and is not written
// as Native would write it is refused. Errors have status 400.
func True(native string) (string, error) {
	escaped, ok := strings.CutPrefix(native, EscapePrefix)
	if !ok {
		return native, ValidateObject(native)
	}
	name, ok := unescape(escaped)
	if !ok || name == "" || len(name) > MaxObjectName || Native(name) != native {
		return "", apierr.InvalidObjectName(shorten(native), `begins with "~x/" and is not the escaped form of a name (see docs/object.md, Names)`)
	}
	return name, nil
}

// TruePrefix returns what true names begin with that a native prefix of a
// listing selects. Behind EscapePrefix any well-formed escapes are accepted,
// so that the beginning of an escaped name is a prefix too; EscapePrefix alone
// selects all names. Errors have status 400.
func TruePrefix(native string) (string, error) {
	escaped, ok := strings.CutPrefix(native, EscapePrefix)
	if !ok {
		return native, ValidatePrefix(native)
	}
	prefix, ok := unescape(escaped)
	switch {
	case !ok:
		return "", apierr.BadRequest(`invalid prefix %q: behind "~x/" a "%%" must be followed by two hex digits`, shorten(native))
	case len(prefix) > MaxObjectName:
		return "", apierr.BadRequest("invalid prefix %q: %s", shorten(native), tooLong)
	}
	return prefix, nil
}

// NativeDir returns the native form of a virtual directory: of what names
// begin with, up to and with a slash. It ends in a slash, and TruePrefix
// returns the directory. The directory of names that begin with a slash is
// "~x//", since the prefix "/" is the top level.
func NativeDir(dir string) string {
	if dir != "/" && badName(dir) == "" && !strings.HasPrefix(dir, EscapePrefix) {
		return dir
	}
	return string(appendEscaped(make([]byte, 0, len(EscapePrefix)+len(dir)+16), dir, false))
}

// Token returns a form of a true name or prefix that survives JSON, which
// names that are not UTF-8 do not. TrueToken returns the argument.
func Token(name string) string {
	if name == "" || isNative(name) && utf8.ValidString(name) {
		return name
	}
	return string(appendEscaped(make([]byte, 0, len(EscapePrefix)+len(name)+16), name, true))
}

// TrueToken returns the true name, or prefix, of a token. It accepts what
// Token returns, and names and directories in their native form. Errors have
// status 400.
func TrueToken(token string) (string, error) {
	escaped, ok := strings.CutPrefix(token, EscapePrefix)
	if !ok {
		return token, nil
	}
	name, ok := unescape(escaped)
	if !ok {
		return "", apierr.BadRequest("%q begins with %q and is not the escaped form of a name (see docs/object.md, Names)", shorten(token), EscapePrefix)
	}
	return name, nil
}

// isNative tells that a true name is its own native form.
func isNative(name string) bool {
	return badName(name) == "" && name[len(name)-1] != '/' && !strings.HasPrefix(name, EscapePrefix)
}

const upperHex = "0123456789ABCDEF"

// appendEscaped appends EscapePrefix and a name, escaped but for a slash at
// its end; ascii: bytes from 0x80 on are escaped as well.
func appendEscaped(dst []byte, name string, ascii bool) []byte {
	dst = append(dst, EscapePrefix...)
	start := 0 // of the current component
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		component := name[start:i]
		dots := isDots(component)
		for j := range len(component) {
			c := component[j]
			if c == '%' || c < 0x20 || c == 0x7f || dots || c == '~' && start+j == 0 || ascii && c >= utf8.RuneSelf {
				dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
			} else {
				dst = append(dst, c)
			}
		}
		if i < len(name) {
			dst = append(dst, '/')
		}
		start = i + 1
	}
	return dst
}

// unescape decodes percent escapes; ok is false if one is cut off or wrong.
func unescape(s string) (name string, ok bool) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, true
	}
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := fromHex(s[i+1]), fromHex(s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		out = append(out, byte(high<<4|low))
		i += 2
	}
	return string(out), true
}

func fromHex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
