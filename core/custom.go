package core

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// MaxCustomRequest is the most bytes of keys and values that one request may
// set (wire fact).
const MaxCustomRequest = 2048

// maxCustomTotal bounds what merging may pile up on one object, so that the
// record stays small however many requests add keys.
const maxCustomTotal = 32 << 10

// CustomSource is the key that names the backend an object came from.
const CustomSource = "source"

// ValidateCustom checks the custom metadata of one request: keys not empty,
// no control bytes, which no header can carry, and no sequence e3 2f bd in keys
// or values, at most MaxCustomRequest bytes altogether. Errors have status 400.
func ValidateCustom(custom []KV) error {
	total := 0
	for _, kv := range custom {
		if kv.Key == "" {
			return apierr.BadRequest("custom metadata: empty key (value %q)", kv.Value)
		}
		for _, text := range [...]string{kv.Key, kv.Value} {
			if strings.ContainsFunc(text, isControl) || strings.Contains(text, "\xe3\x2f\xbd") {
				return apierr.BadRequest("custom metadata: key %q: control bytes and the sequence e3 2f bd are not allowed", kv.Key)
			}
		}
		total += len(kv.Key) + len(kv.Value)
	}
	if total > MaxCustomRequest {
		return apierr.BadRequest("custom metadata: total size %d exceeds max %d bytes", total, MaxCustomRequest)
	}
	return nil
}

// isControl tells what a header field cannot hold.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// mergeCustom returns old with the keys of set added or replaced, sorted. Of a
// key given twice the last value counts. Neither argument is changed.
func mergeCustom(old, set []KV) ([]KV, error) {
	if len(set) == 0 {
		return old, nil
	}
	merged := make([]KV, 0, len(old)+len(set))
	merged = append(append(merged, old...), set...)
	slices.SortStableFunc(merged, func(a, b KV) int { return cmp.Compare(a.Key, b.Key) })
	kept := merged[:0]
	total := 0
	for i, kv := range merged {
		if i+1 < len(merged) && merged[i+1].Key == kv.Key {
			continue
		}
		kept = append(kept, kv)
		total += len(kv.Key) + len(kv.Value)
	}
	if total > maxCustomTotal {
		return nil, apierr.BadRequest("custom metadata: total size %d of the object exceeds max %d bytes", total, maxCustomTotal)
	}
	return kept, nil
}
