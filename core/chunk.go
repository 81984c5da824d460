package core

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/aistore-go/aistore/cmn/hrw"
	fsys "github.com/aistore-go/aistore/fs"
)

// An object that came in parts, or that is larger than its bucket allows for
// one file, is chunked: its first chunk is the object's file, the others lie
// over the mountpaths, and a manifest lists them. All that belongs to one
// generation has its upload id in its name; docs/on_disk_layout.md, section 6,
// has the bytes.

const (
	// MaxParts is the greatest part number of a native upload.
	MaxParts = 9999
	// maxChunkNumber is the greatest number that a file may have: S3 clients
	// number up to it.
	maxChunkNumber = 10000

	uploadIDLength = 12
	numberDigits   = 5
	// manifestSuffix makes the name of a completed manifest of an upload id.
	manifestSuffix = ".done"
)

// uploadIDLetters is what upload ids are made of.
const uploadIDLetters = "0123456789abcdefghijklmnopqrstuvwxyz"

// newUploadID returns a random upload id.
func newUploadID() string {
	var raw, id [uploadIDLength]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	for i, b := range raw {
		id[i] = uploadIDLetters[int(b)%len(uploadIDLetters)]
	}
	return string(id[:])
}

// isUploadID tells whether a text has the form of an upload id. Nothing else
// becomes a part of a path.
func isUploadID(text string) bool {
	if len(text) != uploadIDLength {
		return false
	}
	for i := range len(text) {
		if strings.IndexByte(uploadIDLetters, text[i]) < 0 {
			return false
		}
	}
	return true
}

// chunkRef is what the record of a chunked object says of its chunks.
type chunkRef struct {
	upload  string
	count   uint32
	largest int64
	length  uint32 // of the manifest file
	sum     uint64 // XXH64 of it
}

// append encodes the reference as a field of the record.
func (c *chunkRef) append(dst []byte) []byte {
	if c.upload == "" {
		return dst
	}
	length := uvarintLength(uint64(c.count)) + uvarintLength(uint64(c.largest)) + 12 + len(c.upload)
	dst = append(dst, tagChunks, byte(length))
	dst = binary.AppendUvarint(dst, uint64(c.count))
	dst = binary.AppendUvarint(dst, uint64(c.largest))
	dst = binary.LittleEndian.AppendUint32(dst, c.length)
	dst = binary.LittleEndian.AppendUint64(dst, c.sum)
	return append(dst, c.upload...)
}

func (c *chunkRef) decode(value string) bool {
	count, n := uvarint(value)
	if n == 0 || count == 0 || count > maxChunkNumber {
		return false
	}
	value = value[n:]
	largest, n := uvarint(value)
	if n == 0 || int64(largest) < 0 || len(value)-n != 12+uploadIDLength {
		return false
	}
	value = value[n:]
	fixed := []byte(value[:12])
	*c = chunkRef{
		upload: value[12:], count: uint32(count), largest: int64(largest),
		length: binary.LittleEndian.Uint32(fixed), sum: binary.LittleEndian.Uint64(fixed[4:]),
	}
	return isUploadID(c.upload)
}

// chunkName is the file name of a chunk.
func chunkName(upload string, number int) string {
	return fmt.Sprintf("%s.%0*d", upload, numberDigits, number)
}

// parseChunkName is the reverse of chunkName.
func parseChunkName(name string) (upload string, number int, ok bool) {
	if len(name) != uploadIDLength+1+numberDigits || name[uploadIDLength] != '.' || !isUploadID(name[:uploadIDLength]) {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[uploadIDLength+1:], 10, 32)
	if err != nil || n == 0 || n > maxChunkNumber {
		return "", 0, false
	}
	return name[:uploadIDLength], int(n), true
}

// parseManifestName tells of a file in %ut whose it is, and whether its name
// is that of a completed manifest.
func parseManifestName(name string) (upload string, completed, ok bool) {
	upload, completed = strings.CutSuffix(name, manifestSuffix)
	return upload, completed, isUploadID(upload)
}

// chunkDir is where the chunks of a name lie on a mountpath, manifestDir where
// its manifests and uploads do.
func chunkDir(mp *fsys.Mountpath, o *object) string {
	return mp.HashedPath(o.Bck, fsys.ContentChunk, o.Name, "")
}

func manifestDir(mp *fsys.Mountpath, o *object) string {
	return mp.HashedPath(o.Bck, fsys.ContentManifest, o.Name, "")
}

func chunkPath(mp *fsys.Mountpath, o *object, upload string, number int) string {
	return chunkDir(mp, o) + "/" + chunkName(upload, number)
}

func uploadPath(mp *fsys.Mountpath, o *object, upload string) string {
	return manifestDir(mp, o) + "/" + upload
}

func manifestPath(mp *fsys.Mountpath, o *object, upload string) string {
	return manifestDir(mp, o) + "/" + upload + manifestSuffix
}

// chunkOwner is the mountpath for a new chunk: the first lies with the object.
func chunkOwner(set *fsys.Set, o *object, upload string, number int) *fsys.Mountpath {
	if number == 1 {
		return set.Owner(o.digest)
	}
	var stack [512]byte
	uname := o.Bck.AppendUname(stack[:0], o.Name)
	uname = append(append(uname, '/'), chunkName(upload, number)...)
	return set.Owner(hrw.DigestBytes(uname))
}
