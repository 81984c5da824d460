package core

import "strconv"

// firstVersion is that of an object that replaces nothing.
const firstVersion = "1"

// nextVersion returns the version of a write to a bucket that counts versions.
//
// base is what counts as previous: the client's if it sent one, else the
// stored one. A decimal number is increased by one; anything else sticks. No
// base, or skip, starts anew. An object that came from a backend (custom key
// "source") keeps its version.
func nextVersion(stored, header string, skip bool, custom []KV) string {
	base := stored
	if header != "" {
		base = header
	}
	if skip || base == "" {
		return firstVersion
	}
	for _, kv := range custom {
		if kv.Key == CustomSource && kv.Value != "" {
			return base
		}
	}
	number, err := strconv.ParseUint(base, 10, 63)
	if err != nil {
		return base
	}
	return strconv.FormatUint(number+1, 10)
}
