package naming

import (
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Limits of names, in bytes.
const (
	MaxBucketName = 64
	MaxNsName     = 64
	MaxNsUUID     = 32
)

// System buckets: the only names that may begin with a dot.
const (
	SystemInventory  = ".sys-inventory"
	SystemShardIndex = ".sys-shardidx"
)

const alphabet = "may only contain letters, numbers, dashes (-), underscores (_), and dots (.)"

// ValidateBucket checks name, provider and namespace of a bucket. The provider
// must be canonical: see wire.NormalizeProvider.
func ValidateBucket(b wire.Bck) error {
	if err := ValidateBucketName(b.Name); err != nil {
		return err
	}
	if err := ValidateProvider(b.Provider); err != nil {
		return err
	}
	return ValidateNamespace(b.Ns)
}

// ParseBucket reads a bucket as messages and command lines write it:
// "[<provider>://][@<uuid>#<namespace>/]<bucket>". Aliases of providers are
// accepted, and no provider is "ais". Errors have status 400 and are those of
// Provider and ValidateBucket.
func ParseBucket(text string) (b wire.Bck, err error) {
	scheme, rest, found := strings.Cut(text, "://")
	switch {
	case !found:
		scheme, rest = "", text
	case scheme == "":
		return b, invalidProvider("")
	}
	if b.Provider, err = Provider(scheme); err != nil {
		return wire.Bck{}, err
	}
	b.Name = strings.TrimSuffix(rest, "/")
	if ns, name, found := strings.Cut(b.Name, "/"); found && strings.ContainsAny(ns, "@#") {
		b.Ns, b.Name = wire.ParseNs(ns), name
	}
	if err := ValidateBucket(b); err != nil {
		return wire.Bck{}, err
	}
	return b, nil
}

// ValidateBucketName checks the name alone.
func ValidateBucketName(name string) error {
	switch {
	case name == "":
		return apierr.BadRequest("bucket name is missing")
	case len(name) > MaxBucketName:
		return apierr.BadRequest("bucket name is too long: %d > %d(max length)", len(name), MaxBucketName)
	case !isWord(name):
		return apierr.BadRequest("bucket name is invalid: %s (have %q)", alphabet, name)
	case strings.Contains(name, ".."):
		return apierr.BadRequest("bucket name is invalid: %s, and no two dots in a row (have %q)", alphabet, name)
	case name[0] == '.' && !IsSystemBucketName(name):
		return apierr.BadRequest("reserved bucket name %q (unknown system bucket)", name)
	}
	return nil
}

// IsSystemBucketName tells the names of system buckets.
func IsSystemBucketName(name string) bool { return name == SystemInventory || name == SystemShardIndex }

// IsSystemBucket tells a bucket that only requests with sys=true may see.
func IsSystemBucket(b wire.Bck) bool { return b.IsAIS() && IsSystemBucketName(b.Name) }

// ValidateProvider accepts canonical providers only.
func ValidateProvider(provider string) error {
	if canonical, ok := wire.NormalizeProvider(provider); !ok || canonical != provider {
		return invalidProvider(provider)
	}
	return nil
}

// Provider returns the canonical form of a provider or alias; empty is "ais".
// The error has the type code ErrInvalidBackendProvider.
func Provider(provider string) (string, error) {
	canonical, ok := wire.NormalizeProvider(provider)
	if !ok {
		return "", invalidProvider(provider)
	}
	return canonical, nil
}

func invalidProvider(provider string) error {
	return apierr.New(http.StatusBadRequest, wire.CodeInvalidProvider,
		"invalid backend provider %q: must be one of [ais aws azure gcp oci], or an alias: s3, gs, az, oc", shorten(provider))
}

// ValidateNamespace checks name and UUID (or alias) of a namespace.
func ValidateNamespace(ns wire.Ns) error {
	switch {
	case ns == (wire.Ns{}):
		return nil
	case len(ns.Name) > MaxNsName:
		return apierr.BadRequest("namespace name is too long: %d > %d(max length)", len(ns.Name), MaxNsName)
	case !isWord(ns.Name) || strings.Contains(ns.Name, ".."):
		return apierr.BadRequest("namespace name is invalid: %s, and no two dots in a row (have %q)", alphabet, ns.Name)
	case len(ns.UUID) > MaxNsUUID:
		return apierr.BadRequest("namespace UUID is too long: %d > %d(max length)", len(ns.UUID), MaxNsUUID)
	case ns.UUID != "" && !isID(ns.UUID):
		return apierr.BadRequest("namespace UUID is invalid: %s (have %q)", idAlphabet, ns.UUID)
	}
	return nil
}

// isWord tells a string of letters, digits, dashes, underscores and dots; the
// empty string is one.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
