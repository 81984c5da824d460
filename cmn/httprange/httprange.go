// Package httprange parses the header Range of an object read. Unlike RFC 9110
// servers it never ignores a range: what cannot be served is an error, so that
// a client that asked for a part never gets the whole.
package httprange

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// unit is the only range unit; it is matched without regard to case.
const unit = "bytes="

// maxShown is how much of a bad header an error repeats, in bytes.
const maxShown = 128

// Parse returns the part of an object of size bytes that header asks for.
// With an empty header ok is false and there is no range. Every error has
// status 416:
//
//   - type code ErrRangeNotSatisfiable when the range is well-formed but lies
//     behind the end; answer it with UnsatisfiedContentRange;
//   - type code ErrUnsupp for several ranges;
//   - no type code when it is malformed.
//
// An end behind the object's is cut; a suffix longer than the object is all
// of it. On success length is at least 1.
func Parse(header string, size int64) (start, length int64, ok bool, err error) {
	if header == "" {
		return 0, 0, false, nil
	}
	if len(header) < len(unit) || !strings.EqualFold(header[:len(unit)], unit) {
		return 0, 0, false, malformed(header, "must begin with \""+unit+"\"")
	}
	spec, several := single(header[len(unit):])
	if several {
		return 0, 0, false, apierr.New(http.StatusRequestedRangeNotSatisfiable, wire.CodeUnsupported,
			"invalid range %q: multiple ranges are not supported", shorten(header))
	}
	first, last, found := strings.Cut(spec, "-")
	first, last = trim(first), trim(last)
	switch {
	case !found:
		return 0, 0, false, malformed(header, "has no \"-\"")
	case first == "" && last == "":
		return 0, 0, false, malformed(header, "has no number")
	case first == "":
		n, valid := number(last)
		if !valid {
			return 0, 0, false, malformed(header, "the suffix length is not a number")
		}
		n = min(n, size)
		if n <= 0 {
			return 0, 0, false, unsatisfiable(header, size)
		}
		return size - n, n, true, nil
	}
	start, valid := number(first)
	if !valid {
		return 0, 0, false, malformed(header, "the first position is not a number")
	}
	end := int64(math.MaxInt64)
	if last != "" {
		if end, valid = number(last); !valid {
			return 0, 0, false, malformed(header, "the last position is not a number")
		}
		if end < start {
			return 0, 0, false, malformed(header, "the last position is before the first")
		}
	}
	if start >= size {
		return 0, 0, false, unsatisfiable(header, size)
	}
	end = min(end, size-1)
	return start, end - start + 1, true, nil
}

// FormatContentRange is the value of Content-Range of a 206 answer.
func FormatContentRange(start, length, size int64) string {
	b := make([]byte, 0, 64)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, start+length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}

// UnsatisfiedContentRange is the value of Content-Range of a 416 answer; ok is
// false when the error must be answered without that header.
func UnsatisfiedContentRange(err error, size int64) (value string, ok bool) {
	var e *apierr.Error
	if !errors.As(err, &e) || e.Code != wire.CodeRangeNotSatisfiable {
		return "", false
	}
	return "bytes */" + strconv.FormatInt(size, 10), true
}

// single returns the one element of a comma-separated list; empty elements do
// not count.
func single(list string) (element string, several bool) {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if item = trim(item); item == "" {
			continue
		}
		if element != "" {
			return "", true
		}
		element = item
	}
	return element, false
}

// number reads decimal digits. What does not fit is the largest number: it
// lies behind the end of every object anyway.
func number(s string) (n int64, ok bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

func malformed(header, reason string) error {
	return apierr.New(http.StatusRequestedRangeNotSatisfiable, "", "invalid range %q: %s", shorten(header), reason)
}

func unsatisfiable(header string, size int64) error {
	return apierr.New(http.StatusRequestedRangeNotSatisfiable, wire.CodeRangeNotSatisfiable,
		"range %q is not satisfiable: the object has %d bytes", shorten(header), size)
}

func shorten(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}
