package naming

import (
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// MaxObjectName is the longest object name, in bytes.
const MaxObjectName = 4096

const tooLong = "too long, more than 4096 bytes"

// maxShown is how much of a bad name an error repeats.
const maxShown = 256

// ValidateObject checks an object name: 1 to MaxObjectName bytes, no control
// bytes (below 0x20, or 0x7f), no component "." or "..", not beginning with
// "~/", not ending in "/". Everything else is legal, invalid UTF-8 too.
func ValidateObject(name string) error {
	if reason := badName(name); reason != "" {
		return apierr.InvalidObjectName(shorten(name), reason)
	}
	if name[len(name)-1] == '/' {
		return apierr.InvalidObjectName(shorten(name), "must not end with a slash")
	}
	return nil
}

// ValidateObjectHead is ValidateObject for HEAD, which may ask for a virtual
// directory: a trailing slash is allowed.
func ValidateObjectHead(name string) error {
	if reason := badName(name); reason != "" {
		return apierr.InvalidObjectName(shorten(name), reason)
	}
	return nil
}

// ValidatePrefix checks the prefix of a listing; empty is legal, and a
// trailing slash.
func ValidatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if reason := badName(prefix); reason != "" {
		return apierr.BadRequest("invalid prefix %q: %s", shorten(prefix), reason)
	}
	return nil
}

// badName returns why a name is refused, "" if it is not. It looks at every
// byte once.
func badName(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > MaxObjectName:
		return tooLong
	case strings.HasPrefix(name, "~/"):
		return "must not begin with \"~/\""
	}
	start := 0 // of the current component
	for i := range len(name) {
		c := name[i]
		if c == '/' {
			if isDots(name[start:i]) {
				return "must not have \".\" or \"..\" as a path component"
			}
			start = i + 1
		} else if c < 0x20 || c == 0x7f {
			return "must not contain control characters"
		}
	}
	if isDots(name[start:]) {
		return "must not have \".\" or \"..\" as a path component"
	}
	return ""
}

func isDots(component string) bool { return component == "." || component == ".." }

// shorten cuts what an error repeats of a name.
func shorten(name string) string {
	if len(name) > maxShown {
		return name[:maxShown] + "..."
	}
	return name
}
