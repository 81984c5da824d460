package stats

import (
	"strconv"
	"strings"
	"time"
)

// count groups the digits by three.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// inUnits shows a number of bytes in the largest unit that fits, "-" for none.
func inUnits(n float64, digits int, suffix string) string {
	if n < 1 {
		return "-"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := 0
	for n >= 1024 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 {
		digits = 0
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + units[unit] + suffix
}

func size(n int64) string { return inUnits(float64(n), 1, "") }

// speed is bytes a second.
func speed(n int64, over time.Duration) string {
	if over <= 0 {
		return "-"
	}
	return inUnits(float64(n)/over.Seconds(), 2, "/s")
}

// latency shows a time in its largest unit, with three digits of a fraction.
func latency(d time.Duration) string {
	unit, suffix := time.Microsecond, "µs"
	switch {
	case d <= 0:
		return "-"
	case d >= time.Second:
		unit, suffix = time.Second, "s"
	case d >= time.Millisecond:
		unit, suffix = time.Millisecond, "ms"
	}
	return strconv.FormatFloat(float64(d)/float64(unit), 'f', 3, 64) + suffix
}
