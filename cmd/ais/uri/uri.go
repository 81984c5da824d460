// Package uri reads the names that users type for buckets, objects and whole
// providers: "[provider://][@uuid][#namespace][/]bucket[/object]".
package uri

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

const separator = "://"

// URI is a parsed name. Bucket.Name is empty for a query over buckets; Object
// is empty for a bucket.
type URI struct {
	Bucket wire.Bck
	Object string
	// Slash tells that a slash followed the bucket although nothing came after it.
	Slash bool
}

// String is the display form.
func (u URI) String() string {
	if u.Object != "" {
		return u.Bucket.Cname(u.Object)
	}
	return u.Bucket.String()
}

// Parse reads a bucket or an object. Provider is assumed when the text has no
// scheme; it may be empty, then a scheme is required.
func Parse(text, provider string) (URI, error) {
	u, err := parse(text, provider)
	if err != nil {
		return u, err
	}
	if u.Bucket.Name == "" {
		return u, fmt.Errorf("%q: bucket name is missing (expected e.g. ais://bucket or ais://bucket/object)", text)
	}
	return u, checkBucket(text, u.Bucket.Name)
}

// ParseBucket reads a bucket; an object name after it is an error.
func ParseBucket(text, provider string) (wire.Bck, error) {
	u, err := Parse(text, provider)
	if err != nil {
		return wire.Bck{}, err
	}
	if u.Object != "" {
		return wire.Bck{}, fmt.Errorf("%q: unexpected object name %q (expected a bucket)", text, u.Object)
	}
	return u.Bucket, nil
}

// ParseObject reads an object; a bucket alone is an error.
func ParseObject(text, provider string) (URI, error) {
	u, err := Parse(text, provider)
	if err != nil {
		return u, err
	}
	if u.Object == "" {
		return u, fmt.Errorf("%q: missing object name (expected BUCKET/OBJECT_NAME)", text)
	}
	return u, nil
}

// ParseQuery reads what selects buckets: nothing, a whole provider ("s3:",
// "s3", "s3://", "ais://@", "ais://#ns"), a bucket, or a bucket with a name.
func ParseQuery(text, provider string) (URI, error) {
	if text == "" {
		return URI{}, nil
	}
	bare := strings.TrimSuffix(text, ":")
	if canonical, ok := wire.NormalizeProvider(bare); ok && bare != "" {
		return URI{Bucket: wire.Bck{Provider: canonical}}, nil
	}
	u, err := parse(text, provider)
	if err != nil || u.Bucket.Name == "" {
		return u, err
	}
	return u, checkBucket(text, u.Bucket.Name)
}

func parse(text, provider string) (URI, error) {
	scheme, rest, found := strings.Cut(text, separator)
	if !found {
		scheme, rest = provider, text
		if scheme == "" {
			return URI{}, fmt.Errorf("%q: missing backend provider (expected e.g. \"ais://%s\" or \"s3://%s\")", text, text, text)
		}
	}
	canonical, ok := wire.NormalizeProvider(scheme)
	if !ok || scheme == "" {
		return URI{}, fmt.Errorf("invalid backend provider %q (expected one of ais, s3, gs, az, oc)", scheme)
	}
	u := URI{Bucket: wire.Bck{Provider: canonical}}
	if strings.HasPrefix(rest, "@") || strings.HasPrefix(rest, "#") {
		ns, after, _ := strings.Cut(rest, "/")
		u.Bucket.Ns = parseNamespace(ns)
		rest = after
	}
	name, object, slash := strings.Cut(rest, "/")
	u.Bucket.Name, u.Object, u.Slash = name, object, slash && object == ""
	return u, nil
}

// parseNamespace reads "@uuid", "#name" or "@uuid#name". A lone "@" is every
// attached cluster.
func parseNamespace(text string) wire.Ns {
	if text == "@" {
		return wire.Ns{UUID: "@"}
	}
	return wire.ParseNs(text)
}

// checkBucket refuses what cannot be a bucket's name before the cluster is
// asked, because some of it would change the URL.
func checkBucket(text, name string) error {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r) {
			return fmt.Errorf("%q: %w", text, errBucketName)
		}
	}
	if strings.Contains(name, "..") {
		return fmt.Errorf("%q: %w, and no two dots in a row", text, errBucketName)
	}
	return nil
}

var errBucketName = errors.New("bucket name is invalid: may only contain letters, numbers, dashes (-), underscores (_), and dots (.)")
