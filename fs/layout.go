package fs

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Content types: the directories of a bucket on a mountpath.
const (
	ContentObject   = "%ob" // objects under their own names
	ContentEscaped  = "%ox" // objects whose names no path can hold
	ContentWork     = "%wk" // work files, never valid after a restart
	ContentSidecar  = "%md" // records that do not fit their attribute
	ContentChunk    = "%ch" // chunks of chunked objects
	ContentManifest = "%ut" // manifests of chunked objects and uploads
	ContentVersion  = "%ov" // noncurrent versions and delete markers
	ContentSlice    = "%ec" // slices and replicas of other targets' objects, made with the first
)

// contentTypes are made with a bucket.
var contentTypes = [...]string{
	ContentObject, ContentEscaped, ContentWork, ContentSidecar, ContentChunk, ContentManifest, ContentVersion,
}

// Entries of a mountpath's root that are not buckets.
const (
	TrashDir      = ".$deleted"       // what is to be removed in the background
	QuarantineDir = ".ais.quarantine" // damaged objects, kept for an operator
	JournalDir    = ".ais.journal"    // commit journal and state of the listing index
	IndexDir      = ".ais.index"      // listing index
	idRecordName  = ".ais.id"
	lockFileName  = ".ais.lock"
)

// Limits of names that lie under their own path.
const (
	MaxPlainComponent = 255
	MaxPlainName      = 1024
)

// IsPlainName tells whether a name may lie under its own path: no empty, "."
// or ".." component (which covers leading and trailing slashes), no component
// over MaxPlainComponent bytes, no NUL, at most MaxPlainName bytes. Whether
// the directories can be made is seen only by trying.
func IsPlainName(name string) bool {
	if len(name) == 0 || len(name) > MaxPlainName {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) {
			if name[i] == 0 {
				return false
			}
			if name[i] != '/' {
				continue
			}
		}
		if !isSafeComponent(name[start:i]) {
			return false
		}
		start = i + 1
	}
	return true
}

// isSafeComponent tells whether a slash-free string names an entry of the
// directory in which it is looked up.
func isSafeComponent(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= MaxPlainComponent
}

// component returns s if it can stand as one component of a path, else a
// harmless stand-in. Names are validated long before; this keeps a mistake
// there from leaving the mountpath.
func component(s string) string {
	if isSafeComponent(s) && strings.IndexByte(s, '/') < 0 && strings.IndexByte(s, 0) < 0 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "%bad-" + hex.EncodeToString(sum[:])
}

// appendBucketPath appends "/@provider/[namespace/]bucket".
func appendBucketPath(dst []byte, b wire.Bck) []byte {
	provider := b.Provider
	if provider == "" {
		provider = wire.ProviderAIS
	}
	if len(provider) >= MaxPlainComponent {
		provider = component(provider + "@") // too long with the "@" before it
	}
	dst = append(dst, "/@"...)
	dst = append(dst, component(provider)...)
	if b.Ns != (wire.Ns{}) {
		dst = append(dst, '/')
		dst = append(dst, component(b.Ns.String())...)
	}
	dst = append(dst, '/')
	return append(dst, component(b.Name)...)
}

// pathBuffer holds the usual path on the stack; longer ones move to the heap.
const pathBuffer = 512

// BucketDir is the directory of one content type of a bucket; an empty
// content type is the bucket's own directory.
func (mp *Mountpath) BucketDir(b wire.Bck, content string) string {
	var stack [pathBuffer]byte
	path := appendBucketPath(append(stack[:0], mp.Path...), b)
	if content != "" {
		path = append(append(path, '/'), component(content)...)
	}
	return string(path)
}

// PlainPath is where an object lies under its own name; ok is false if the
// name must be escaped (see IsPlainName).
func (mp *Mountpath) PlainPath(b wire.Bck, name string) (path string, ok bool) {
	if !IsPlainName(name) {
		return "", false
	}
	var stack [pathBuffer]byte
	buf := appendBucketPath(append(stack[:0], mp.Path...), b)
	buf = append(buf, '/')
	buf = append(buf, ContentObject...)
	buf = append(buf, '/')
	return string(append(buf, name...)), true
}

// EscapedPath is where an object lies whose name no path can hold:
// "%ox/<first 2 hex digits>/<64 hex digits of the name's SHA-256>". Any name
// has one.
func (mp *Mountpath) EscapedPath(b wire.Bck, name string) string {
	return mp.HashedPath(b, ContentEscaped, name, "")
}

// HashedPath is "<content>/<2 hex>/<SHA-256 of the name in hex><suffix>"; the
// suffix must be free of slashes. Sidecars, versions and escaped names lie so.
func (mp *Mountpath) HashedPath(b wire.Bck, content, name, suffix string) string {
	sum := sha256.Sum256([]byte(name))
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	var stack [pathBuffer]byte
	buf := appendBucketPath(append(stack[:0], mp.Path...), b)
	buf = append(buf, '/')
	buf = append(buf, component(content)...)
	buf = append(buf, '/')
	buf = append(buf, digits[:2]...)
	buf = append(buf, '/')
	return string(append(buf, component(string(digits[:])+suffix)...))
}
