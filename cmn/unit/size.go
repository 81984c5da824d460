package unit

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Size is a number of bytes. In JSON it is a string with a binary unit
// ("64MiB"); a JSON number is refused.
type Size int64

// Binary units.
const (
	B   Size = 1
	KiB      = 1024 * B
	MiB      = 1024 * KiB
	GiB      = 1024 * MiB
	TiB      = 1024 * GiB
)

// maxSizeText bounds the text of a size.
const maxSizeText = 40

// String writes the size without decimals, in the largest unit that holds it
// exactly: "0B", "64MiB", "1536MiB", "1000B". So what was written reads back
// as the same number of bytes.
func (s Size) String() string {
	unit, suffix := B, "B"
	switch {
	case s == 0:
	case s%TiB == 0:
		unit, suffix = TiB, "TiB"
	case s%GiB == 0:
		unit, suffix = GiB, "GiB"
	case s%MiB == 0:
		unit, suffix = MiB, "MiB"
	case s%KiB == 0:
		unit, suffix = KiB, "KiB"
	}
	return strconv.FormatInt(int64(s/unit), 10) + suffix
}

// ParseSize reads a decimal number with an optional unit: none or B, K, KB,
// Ki, KiB, and the same with M, G and T, in any case, all powers of 1024. A
// fraction is rounded to whole bytes; the empty text is 0. The error is a 400.
func ParseSize(text string) (Size, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	if s == "" {
		return 0, nil
	}
	if len(s) > maxSizeText {
		return 0, badSize(text)
	}
	number, unit := splitUnit(s)
	whole, fraction, hasFraction := strings.Cut(strings.TrimPrefix(number, "-"), ".")
	if !isDigits(whole) || hasFraction && !isDigits(fraction) {
		return 0, badSize(text)
	}
	if !hasFraction {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
			return 0, badSize(text)
		}
		return Size(n) * unit, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	f = math.Round(f * float64(unit))
	if err != nil || f >= math.MaxInt64 || f <= math.MinInt64 {
		return 0, badSize(text)
	}
	return Size(f), nil
}

// splitUnit cuts the unit off a lower-case size.
func splitUnit(s string) (number string, unit Size) {
	end := len(s)
	for end > 0 && (s[end-1] < '0' || s[end-1] > '9') && s[end-1] != '.' {
		end--
	}
	number = s[:end]
	switch strings.TrimSpace(s[end:]) {
	case "", "b":
		return number, B
	case "k", "kb", "ki", "kib":
		return number, KiB
	case "m", "mb", "mi", "mib":
		return number, MiB
	case "g", "gb", "gi", "gib":
		return number, GiB
	case "t", "tb", "ti", "tib":
		return number, TiB
	}
	return "", B
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func badSize(text string) error {
	return apierr.BadRequest("invalid size %q (expecting a number with an optional unit B, KiB, MiB, GiB or TiB)", clip(text))
}

// clip shortens a text from outside for a message.
func clip(text string) string {
	if len(text) > maxSizeText {
		return text[:maxSizeText] + "..."
	}
	return text
}

// MarshalJSON writes the string form.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads the string form.
func (s *Size) UnmarshalJSON(data []byte) error {
	text, err := jsonText(data, "size", "64MiB")
	if err != nil {
		return err
	}
	*s, err = ParseSize(text)
	return err
}

// UnmarshalText reads the same text as ParseSize.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// jsonText returns the JSON string in data.
func jsonText(data []byte, what, example string) (text string, err error) {
	if err := json.Unmarshal(data, &text); err != nil || len(data) == 0 || data[0] != '"' {
		return "", apierr.BadRequest("invalid %s %s (expecting a JSON string such as %q)", what, clip(string(data)), example)
	}
	return text, nil
}
