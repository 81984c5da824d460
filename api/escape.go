package api

import (
	"net/url"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// escapeName percent-encodes a bucket or object name for a URL path: all but
// letters, digits, "-._~" and "/". Slashes of a name are part of it and stay.
func escapeName(name string) string {
	const hexDigits = "0123456789ABCDEF"
	extra := 0
	for i := range len(name) {
		if !plainInPath(name[i]) {
			extra += 2
		}
	}
	if extra == 0 {
		return name
	}
	var b strings.Builder
	b.Grow(len(name) + extra)
	for i := range len(name) {
		ch := name[i]
		if plainInPath(ch) {
			b.WriteByte(ch)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[ch>>4])
		b.WriteByte(hexDigits[ch&15])
	}
	return b.String()
}

// plainInPath tells the bytes that need no escape.
func plainInPath(ch byte) bool {
	switch {
	case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9':
		return true
	}
	return ch == '-' || ch == '.' || ch == '_' || ch == '~' || ch == '/'
}

// bucketPath is the path of a bucket below one resource.
func bucketPath(resource string, b wire.Bck) string { return resource + "/" + b.Name }

// bucketQuery returns the query that names the provider and the namespace.
// A query for buckets of any provider has neither.
func bucketQuery(b wire.Bck) url.Values {
	q := url.Values{}
	if b.Provider != "" {
		q.Set(wire.QueryProvider, b.Provider)
	}
	if b.Ns != (wire.Ns{}) {
		q.Set(wire.QueryNamespace, b.Ns.Uname())
	}
	return q
}

// normalized returns the bucket with its provider in canonical form; the
// server judges a provider that is none.
func normalized(b wire.Bck) wire.Bck {
	if p, ok := wire.NormalizeProvider(b.Provider); ok {
		b.Provider = p
	}
	return b
}
