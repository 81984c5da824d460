// Package feature holds the feature flags of a cluster and of its buckets.
package feature

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Flags is a set of features. In JSON it is a string with the unsigned
// decimal value of the mask ("0"); a JSON number is refused.
type Flags uint64

// The features. Those that a bucket may have as well are in BucketScope.
const (
	EnforceIntraClusterAccess Flags = 1 << iota
	SkipVersionChecksumMD
	NoAutoDetectFileShare
	S3APIviaRoot
	FsyncPUT // same as durability "sync"
	LZ4Block1MB
	LZ4FrameChecksum
	NoFQNtoETL
	IgnoreLimitedCoexistence
	S3PresignedRequest
	NoOptimizeVirtualDirs
	DisableColdGET
	StreamingColdGET
	S3ReverseProxy
	S3UsePathStyle
	NoDeleteWhenRebalancing
	NoControlPlaneToS
	TrustCryptoSafeChecksums
	S3ListObjectVersions
	DetailedPromMetrics
	ForceContainerCPUMem
	ResumeInterruptedMPU
	KeepUnknownFQN
	LoadBalanceGET
	CountObjectNotFound
	GoRuntimeMetrics
	DloadAllowPrivateEgress
	S3RedirectRebuild
)

// BucketScope are the features that are also bucket properties.
const BucketScope = SkipVersionChecksumMD | FsyncPUT | S3PresignedRequest | DisableColdGET | StreamingColdGET |
	S3UsePathStyle | S3ListObjectVersions | ResumeInterruptedMPU | CountObjectNotFound

// names are the features' names by bit number.
var names = [...]string{
	"Enforce-IntraCluster-Access",
	"Skip-Loading-VersionChecksum-MD",
	"Do-not-Auto-Detect-FileShare",
	"S3-API-via-Root",
	"Fsync-PUT",
	"LZ4-Block-1MB",
	"LZ4-Frame-Checksum",
	"Do-not-Allow-Passing-FQN-to-ETL",
	"Ignore-LimitedCoexistence-Conflicts",
	"S3-Presigned-Request",
	"Do-not-Optimize-Listing-Virtual-Dirs",
	"Disable-Cold-GET",
	"Streaming-Cold-GET",
	"S3-Reverse-Proxy",
	"S3-Use-Path-Style",
	"Do-not-Delete-When-Rebalancing",
	"Do-not-Set-Control-Plane-ToS",
	"Trust-Crypto-Safe-Checksums",
	"S3-ListObjectVersions",
	"Enable-Detailed-Prom-Metrics",
	"Force-Container-CPU-Mem",
	"Resume-Interrupted-MPU",
	"Keep-Unknown-FQN",
	"Load-Balance-GET",
	"Count-Object-NotFound-Stats",
	"Enable-Go-Runtime-Metrics",
	"Dload-Allow-Private-Egress",
	"S3-Redirect-Rebuild",
}

// Defined are all features that exist.
const Defined Flags = 1<<len(names) - 1

// Has tells that all features of o are set.
func (f Flags) Has(o Flags) bool { return f&o == o }

// Names returns the names of the features that are set, by ascending bit.
func (f Flags) Names() []string {
	var set []string
	for i, name := range names {
		if f&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return set
}

// AllNames returns the names of all features, by ascending bit.
func AllNames() []string { return append([]string(nil), names[:]...) }

// ByName returns the feature with a name, compared without regard to case.
func ByName(name string) (Flags, bool) {
	for i, n := range names {
		if strings.EqualFold(n, name) {
			return 1 << i, true
		}
	}
	return 0, false
}

// String is the decimal form.
func (f Flags) String() string { return strconv.FormatUint(uint64(f), 10) }

// Parse reads the decimal form; the empty text is 0. The error is a 400.
func Parse(text string) (Flags, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, apierr.BadRequest("invalid features %q (expecting an unsigned decimal number)", clip(text))
	}
	return Flags(n), nil
}

// Validate refuses undefined bits and features that exclude each other.
func (f Flags) Validate() error {
	if extra := f &^ Defined; extra != 0 {
		return apierr.BadRequest("invalid features %s: bits %#x are not defined", f, uint64(extra))
	}
	for _, pair := range [...][2]Flags{{DisableColdGET, StreamingColdGET}, {S3ReverseProxy, S3RedirectRebuild}} {
		if f.Has(pair[0] | pair[1]) {
			both := (pair[0] | pair[1]).Names()
			return apierr.BadRequest("invalid features %s: %s and %s exclude each other", f, both[0], both[1])
		}
	}
	return nil
}

// MarshalJSON writes the decimal form as a JSON string.
func (f Flags) MarshalJSON() ([]byte, error) { return []byte(`"` + f.String() + `"`), nil }

// UnmarshalJSON reads a JSON string.
func (f *Flags) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil || len(data) == 0 || data[0] != '"' {
		return apierr.BadRequest(`invalid features %s (expecting a JSON string such as "0")`, clip(string(data)))
	}
	n, err := Parse(text)
	if err == nil {
		*f = n
	}
	return err
}

// UnmarshalText reads the same text as Parse.
func (f *Flags) UnmarshalText(text []byte) (err error) {
	*f, err = Parse(string(text))
	return err
}

func clip(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}
