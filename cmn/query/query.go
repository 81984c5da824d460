// Package query parses the query part of a URL and is the one place where a
// bucket is read from it. It allocates nothing for the queries that object
// requests usually carry.
package query

import (
	"iter"
	"net/url"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
)

// MaxParams is the largest number of parameters of one query.
const MaxParams = 100

// inline is how many parameters are held without an allocation: a bucket
// (2), a redirect's marks (3), and one of the operation's own.
const inline = 6

// maxShown is how much of a bad parameter an error repeats, in bytes.
const maxShown = 128

type pair struct{ key, value string }

// Values are the parameters of a query in their order. The zero value has
// none.
type Values struct {
	first [inline]pair
	more  []pair
	count int
}

// Parse splits a raw query (without the question mark). A bad escape and more
// than MaxParams parameters are errors with status 400. Parameters that only
// S3 clients sign with, and those whose values never carry escapes, are taken
// as they are; all others are unescaped, with "+" for a blank.
func Parse(raw string) (Values, error) {
	var v Values
	for raw != "" {
		var item string
		item, raw, _ = strings.Cut(raw, "&")
		if item == "" {
			continue
		}
		if v.count == MaxParams {
			return Values{}, apierr.BadRequest("too many query parameters: more than %d", MaxParams)
		}
		key, value, _ := strings.Cut(item, "=")
		p := pair{key, value}
		if !isVerbatim(key) {
			var err error
			if p.key, err = unescape(key); err == nil {
				p.value, err = unescape(value)
			}
			if err != nil {
				return Values{}, apierr.BadRequest("dpq: '%s=%s', err: %v", shorten(key), shorten(value), err)
			}
		}
		if v.count < inline {
			v.first[v.count] = p
		} else {
			v.more = append(v.more, p)
		}
		v.count++
	}
	return v, nil
}

// isVerbatim tells the parameters that are never unescaped (wire facts).
func isVerbatim(key string) bool {
	switch key {
	case wire.QueryProvider, wire.QueryETLName, "append_type", wire.QueryUploads, wire.QueryPartNumber,
		wire.QueryPresence, wire.QuerySetNewCustom, "tid",
		"AWSAccessKeyId", "Expires", "Signature", "x-id", wire.QueryDontHeadRemote:
		return true
	}
	return strings.HasPrefix(key, "X-Amz-")
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

func shorten(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}

// Len is the number of parameters.
func (v *Values) Len() int { return v.count }

// Get returns the first value of a parameter, "" if there is none: an empty
// value equals an absent one.
func (v *Values) Get(key string) string {
	value, _ := v.lookup(key)
	return value
}

// Has tells that a parameter is there, even if empty.
func (v *Values) Has(key string) bool {
	_, ok := v.lookup(key)
	return ok
}

// Bool is ParseBool of a parameter.
func (v *Values) Bool(key string) bool { return ParseBool(v.Get(key)) }

// All iterates over the parameters in the order of the query.
func (v *Values) All() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for i := range min(v.count, inline) {
			if !yield(v.first[i].key, v.first[i].value) {
				return
			}
		}
		for _, p := range v.more {
			if !yield(p.key, p.value) {
				return
			}
		}
	}
}

func (v *Values) lookup(key string) (string, bool) {
	for i := range min(v.count, inline) {
		if v.first[i].key == key {
			return v.first[i].value, true
		}
	}
	for i := range v.more {
		if v.more[i].key == key {
			return v.more[i].value, true
		}
	}
	return "", false
}

// ParseBool is true for true, 1, t, T, TRUE, True, y, yes and on, and false
// for everything else.
func ParseBool(s string) bool {
	switch s {
	case "true", "1", "t", "T", "TRUE", "True", "y", "yes", "on":
		return true
	}
	return false
}

// Bck returns the bucket of a request: its name comes from the path, provider
// and namespace from the query. It is validated; an error has status 400.
func (v *Values) Bck(name string) (wire.Bck, error) {
	b := wire.Bck{Name: name, Ns: wire.ParseNs(v.Get(wire.QueryNamespace))}
	var err error
	if b.Provider, err = naming.Provider(v.Get(wire.QueryProvider)); err != nil {
		return wire.Bck{}, err
	}
	if err := naming.ValidateBucket(b); err != nil {
		return wire.Bck{}, err
	}
	return b, nil
}

// AnyRemote is the namespace UUID of a query for all attached clusters.
const AnyRemote = "@"

// BckQuery returns the filter of a request that lists buckets. Without a
// provider it stays empty (all providers), and the namespace may be that of
// AnyRemote. The name is always empty.
func (v *Values) BckQuery() (wire.Bck, error) {
	b := wire.Bck{Ns: wire.ParseNs(v.Get(wire.QueryNamespace))}
	if p := v.Get(wire.QueryProvider); p != "" {
		var err error
		if b.Provider, err = naming.Provider(p); err != nil {
			return wire.Bck{}, err
		}
	}
	ns := b.Ns
	if ns.UUID == AnyRemote {
		ns.UUID = ""
	}
	if err := naming.ValidateNamespace(ns); err != nil {
		return wire.Bck{}, err
	}
	return b, nil
}
