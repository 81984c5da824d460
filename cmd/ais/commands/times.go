package commands

import "time"

// unixNano is a time of the wire; 0 is none.
func unixNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// dateTime prints a time with its date, "-" for none.
func dateTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("2006-01-02 15:04:05")
}
