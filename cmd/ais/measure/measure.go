// Package measure reads and prints sizes, durations and counts as users write
// and like them.
package measure

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Units is how sizes are read and printed.
type Units string

// The three systems.
const (
	IEC Units = "iec" // powers of 1024: KiB, MiB
	SI  Units = "si"  // powers of 1000: KB, MB
	Raw Units = "raw" // bytes
)

// ParseUnits reads the value of the flag --units; empty is IEC.
func ParseUnits(text string) (Units, error) {
	switch u := Units(strings.ToLower(text)); u {
	case "":
		return IEC, nil
	case IEC, SI, Raw:
		return u, nil
	}
	return "", fmt.Errorf("invalid units %q (expected one of iec, si, raw)", text)
}

var suffixes = []struct {
	text   string
	factor float64
	binary bool
}{
	{"kib", 1 << 10, true}, {"mib", 1 << 20, true}, {"gib", 1 << 30, true}, {"tib", 1 << 40, true},
	{"kb", 1e3, false}, {"mb", 1e6, false}, {"gb", 1e9, false}, {"tb", 1e12, false},
	{"k", 1e3, false}, {"m", 1e6, false}, {"g", 1e9, false}, {"t", 1e12, false},
	{"b", 1, false},
}

// ParseSize reads a size in bytes: a number, fractions allowed, with an
// optional suffix in any case. KiB and the like are powers of 1024; K, KB and
// the like are powers of 1000, unless units, as given by the user, is IEC. Raw
// takes no suffix, SI none of 1024. Units is empty if the user gave none.
func ParseSize(text string, units Units) (int64, error) {
	number, factor := strings.ToLower(strings.TrimSpace(text)), 1.0
	for _, suffix := range suffixes {
		rest, found := strings.CutSuffix(number, suffix.text)
		if !found {
			continue
		}
		if units == Raw || units == SI && suffix.binary {
			return 0, fmt.Errorf("invalid size %q: suffix %q does not go with units %q", text, suffix.text, units)
		}
		number, factor = strings.TrimSpace(rest), suffix.factor
		if units == IEC && !suffix.binary {
			factor = map[float64]float64{1: 1, 1e3: 1 << 10, 1e6: 1 << 20, 1e9: 1 << 30, 1e12: 1 << 40}[factor]
		}
		break
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && factor == 1 && n >= 0 {
		return n, nil
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || value < 0 || math.IsNaN(value) || value*factor >= math.MaxInt64 || strings.ContainsAny(number, "xpXP_einEIN") {
		return 0, fmt.Errorf("invalid size %q (expected e.g. 10, 4KiB, 1.5GiB)", text)
	}
	return int64(value * factor), nil
}

// Size prints bytes: "0B", "11B", "2.50KiB"; in SI "2.56KB"; raw "2560".
func Size(bytes int64, units Units) string {
	base, names := 1024.0, []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	switch units {
	case Raw:
		return strconv.FormatInt(bytes, 10)
	case SI:
		base, names = 1000, []string{"KB", "MB", "GB", "TB", "PB"}
	}
	value := float64(bytes)
	if math.Abs(value) < base {
		return strconv.FormatInt(bytes, 10) + "B"
	}
	i := -1
	for math.Abs(value) >= base && i+1 < len(names) {
		value /= base
		i++
	}
	return strconv.FormatFloat(value, 'f', 2, 64) + names[i]
}

// ParseDuration reads Go's form ("1m30s"); a bare whole number is seconds.
func ParseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds < int64(math.MaxInt64/time.Second) && seconds > int64(math.MinInt64/time.Second) {
		return time.Duration(seconds) * time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("invalid duration %q (expected e.g. 10s, 1m30s, or seconds)", text)
	}
	return d, nil
}

// Count prints a whole number with thousands separators.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Elapsed prints a duration with a precision that fits its size: "1.234s",
// "2m3s", "450ms".
func Elapsed(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + "s"
	}
	return d.Round(time.Second).String()
}

// Uptime prints whole seconds, "-" for none.
func Uptime(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	text := d.Truncate(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
