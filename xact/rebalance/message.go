package rebalance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// A message is a kind (1 byte), the length of its description (4 bytes,
// big-endian), the description, the XXH64 of all before (8 bytes, big-endian),
// and, of a generation, its content. Texts in the description have their length
// before them (uvarint).

// Kinds of messages.
const (
	kindGeneration = 1 // to be stored
	kindQuestion   = 2 // a generation without content: is it there?
	kindProgress   = 3 // how far is the receiver with a job?
)

const (
	messageHead = 5
	messageSum  = 8
	// maxDescription bounds a description, in bytes: names, and what core says.
	maxDescription = core.MaxMoveHead + 64<<10
)

// subject is what a message is about.
type subject struct {
	bck  wire.Bck
	name string
	head []byte // of a generation, see core.Parcel
}

// encode is a message up to its content.
func (s *subject) encode(kind byte) []byte {
	data := make([]byte, messageHead, messageHead+64+len(s.name)+len(s.head))
	for _, text := range [...]string{s.bck.Provider, s.bck.Ns.UUID, s.bck.Ns.Name, s.bck.Name, s.name} {
		data = append(binary.AppendUvarint(data, uint64(len(text))), text...)
	}
	return frame(kind, append(data, s.head...))
}

// frame completes a message whose description is behind room for its head.
func frame(kind byte, data []byte) []byte {
	data[0] = kind
	binary.BigEndian.PutUint32(data[1:], uint32(len(data)-messageHead))
	return binary.BigEndian.AppendUint64(data, xxhash.Sum64(data))
}

// readMessage reads a message up to its content.
func readMessage(body io.Reader) (kind byte, description []byte, err error) {
	var head [messageHead]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return 0, nil, fmt.Errorf("rebalance: a message is cut off: %w", err)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxDescription {
		return 0, nil, apierr.BadRequest("rebalance: a description of %d bytes, more than %d", length, maxDescription)
	}
	data := make([]byte, messageHead+int(length)+messageSum)
	copy(data, head[:])
	if _, err := io.ReadFull(body, data[messageHead:]); err != nil {
		return 0, nil, fmt.Errorf("rebalance: a description is cut off: %w", err)
	}
	end := len(data) - messageSum
	if binary.BigEndian.Uint64(data[end:]) != xxhash.Sum64(data[:end]) {
		return 0, nil, apierr.BadRequest("rebalance: a description with a wrong checksum")
	}
	return data[0], data[messageHead:end], nil
}

// decodeSubject reads a description.
func decodeSubject(data []byte) (s subject, err error) {
	for _, text := range [...]*string{&s.bck.Provider, &s.bck.Ns.UUID, &s.bck.Ns.Name, &s.bck.Name, &s.name} {
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return s, apierr.BadRequest("rebalance: a description that cannot be read")
		}
		*text = string(data[n : n+int(length)])
		data = data[n+int(length):]
	}
	s.head = data
	return s, nil
}

// whole is a message that is at hand.
func whole(data []byte) (size int64, open func() (io.ReadCloser, error)) {
	return int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// withContent puts a description before a content.
func withContent(description []byte, content io.ReadCloser) io.ReadCloser {
	body := described{io.MultiReader(bytes.NewReader(description), content), content}
	if file, ok := content.(inFile); ok {
		return describedFile{body, description, file}
	}
	return body
}

// described is a description and the content behind it.
type described struct {
	io.Reader
	io.Closer
}

// inFile is a content that lies in one file, or finds out when it is asked that
// it does not; see core.Parcel.
type inFile interface {
	SourceFile() (file *os.File, offset int64)
}

// describedFile is one whose content may be sent from its file: a
// transport.HeadedFile.
type describedFile struct {
	described
	head []byte
	inFile
}

// SourceHead returns what comes before the file.
func (d describedFile) SourceHead() []byte { return d.head }
