package config

import (
	"encoding/json"
	"strconv"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// LogLevel is the verbosity (1 to 5) in the lowest three bits and above them
// one bit a module, which is then logged at the highest verbosity. In JSON it
// is a string with the decimal number ("3", "4611").
type LogLevel uint32

// logModules is the number of module bits.
const logModules = 18

// Verbosity is 1 to 5.
func (l LogLevel) Verbosity() int { return int(l & 7) }

// Modules are the module bits, the lowest is bit 0.
func (l LogLevel) Modules() uint32 { return uint32(l >> 3) }

// String is the decimal number.
func (l LogLevel) String() string { return strconv.FormatUint(uint64(l), 10) }

// ParseLogLevel reads the decimal number. The error is a 400.
func ParseLogLevel(text string) (LogLevel, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, apierr.BadRequest("invalid log.level %q (expecting a decimal number)", text)
	}
	l := LogLevel(n)
	return l, l.validate()
}

func (l LogLevel) validate() error {
	if v := l.Verbosity(); v < 1 || v > 5 || l.Modules() >= 1<<logModules {
		return apierr.BadRequest("invalid log.level %s (expecting a verbosity of 1 to 5, plus 8 times the mask of %d modules)", l, logModules)
	}
	return nil
}

// MarshalJSON writes the decimal number as a JSON string.
func (l LogLevel) MarshalJSON() ([]byte, error) { return []byte(`"` + l.String() + `"`), nil }

// UnmarshalJSON reads a JSON string.
func (l *LogLevel) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil || len(data) == 0 || data[0] != '"' {
		return apierr.BadRequest(`invalid log.level (expecting a JSON string such as "3")`)
	}
	return l.UnmarshalText([]byte(text))
}

// UnmarshalText reads the same text as ParseLogLevel.
func (l *LogLevel) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLogLevel(string(text))
	return err
}
