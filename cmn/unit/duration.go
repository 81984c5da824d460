package unit

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Duration is a time span. In JSON it is a string in Go's form ("10s",
// "24h0m"); a JSON number is refused.
type Duration time.Duration

// D is the duration as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is Go's form without a trailing "0s" after minutes: "10s", "2m",
// "24h0m".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		return s[:len(s)-2]
	}
	return s
}

// ParseDuration reads Go's form; the number 0 needs no unit. The error is a 400.
func ParseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		return 0, apierr.BadRequest("invalid duration %q (expecting a number with a unit, such as 100ms, 10s, 5m or 24h)", clip(text))
	}
	return Duration(d), nil
}

// MarshalJSON writes the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the string form.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, err := jsonText(data, "duration", "10s")
	if err != nil {
		return err
	}
	*d, err = ParseDuration(text)
	return err
}

// UnmarshalText reads the same text as ParseDuration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}
