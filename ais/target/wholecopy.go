package target

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// A whole object goes from one target to another as one body: the length of
// its description (4 bytes, big-endian), the description in JSON, the content.

const (
	// maxCopyHead bounds the description, in bytes.
	maxCopyHead = 256 << 10
	// maxCopyError bounds the answer of a copy that failed, in bytes.
	maxCopyError = 64 << 10
	// paramSmap is the version of the map by which the sender chose the owner.
	paramSmap = "smap"
)

// copyHead describes an object. Texts are bytes: they need not be UTF-8.
type copyHead struct {
	Size    int64       `json:"size"`
	SumType string      `json:"sum_type"`
	Sum     string      `json:"sum"`
	Version []byte      `json:"version,omitempty"`
	Custom  [][2][]byte `json:"custom,omitempty"`
	Mtime   int64       `json:"mtime,omitempty"`
	Atime   int64       `json:"atime,omitempty"`
}

// encodeHead is the part of the body before the content.
func encodeHead(from *core.Origin) ([]byte, error) {
	head := copyHead{
		Size: from.Size, SumType: from.Checksum.Type, Sum: from.Checksum.Value, Version: []byte(from.Version),
		Mtime: from.Mtime, Atime: from.Atime,
	}
	for _, kv := range from.Custom {
		head.Custom = append(head.Custom, [2][]byte{[]byte(kv.Key), []byte(kv.Value)})
	}
	text, err := json.Marshal(&head)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), nil
}

// decodeHead reads the part of the body before the content.
func decodeHead(body io.Reader) (from core.Origin, err error) {
	var length [4]byte
	if _, err := io.ReadFull(body, length[:]); err != nil {
		return from, apierr.BadRequest("copy: the description is cut off: %v", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxCopyHead {
		return from, apierr.BadRequest("copy: a description of %d bytes, more than %d", n, maxCopyHead)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(body, text); err != nil {
		return from, apierr.BadRequest("copy: the description is cut off: %v", err)
	}
	var head copyHead
	if err := json.Unmarshal(text, &head); err != nil {
		return from, apierr.BadRequest("copy: the description cannot be read: %v", err)
	}
	if head.Size < 0 || head.SumType != "" && cksum.Validate(head.SumType) != nil {
		return from, apierr.BadRequest("copy: invalid size %d or checksum type %.40q", head.Size, head.SumType)
	}
	from = core.Origin{
		Size: head.Size, Checksum: cksum.Value{Type: head.SumType, Value: head.Sum}, Version: string(head.Version),
		Mtime: head.Mtime, Atime: head.Atime,
	}
	for _, kv := range head.Custom {
		from.Custom = append(from.Custom, core.KV{Key: string(kv[0]), Value: string(kv[1])})
	}
	return from, nil
}

// sendCopy sends an object to the owner of another name, which verifies and
// commits it, and returns the source's attributes.
func (t *Target) sendCopy(ctx context.Context, from, to core.Key, smap *meta.Smap, owner *meta.Snode, moves bool) (core.Attrs, error) {
	reader, err := t.store.Open(ctx, from)
	if err != nil {
		return core.Attrs{}, err
	}
	defer func() { _ = reader.Close() }() // was only read
	if err := reader.Prepare(ctx, 0, reader.Size); err != nil {
		return core.Attrs{}, err
	}
	origin := core.OriginOf(&reader.Attrs, moves)
	if origin.Checksum.IsNone() {
		// The receiver has to compare something.
		if origin.Checksum, err = t.rangeChecksum(reader, cksum.XXHash2, 0, reader.Size); err != nil {
			return core.Attrs{}, err
		}
	}
	head, err := encodeHead(&origin)
	if err != nil {
		return core.Attrs{}, err
	}
	address := intraURL(owner, "store", to.Bck, "&"+paramName+"="+url.QueryEscape(to.Name)+"&"+paramSmap+"="+strconv.FormatInt(smap.Version, 10))
	body := io.MultiReader(bytes.NewReader(head), io.NewSectionReader(reader, 0, reader.Size))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, io.NopCloser(body))
	if err != nil {
		return core.Attrs{}, err
	}
	req.ContentLength = int64(len(head)) + reader.Size
	res, err := t.node.RPC().Do(rpc.Data, req)
	if err != nil {
		return core.Attrs{}, err
	}
	defer func() { _ = res.Body.Close() }() // was only read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxCopyError))
	if err != nil {
		return core.Attrs{}, apierr.Wrap(err, http.StatusServiceUnavailable, "", "%s: whether %s has stored it is not known", to.Cname(), owner)
	}
	if res.StatusCode != http.StatusOK {
		return core.Attrs{}, rpc.DecodeError(res, answer)
	}
	return reader.Attrs, nil
}

// storeCopy stores what another target sends as the copy of an object.
func (t *Target) storeCopy(w http.ResponseWriter, r *http.Request, bucket string) error {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if version, err := strconv.ParseInt(q.Get(paramSmap), 10, 64); err == nil && version > t.control.View().Smap.Ver() {
		if err := t.control.Pull(r.Context()); err != nil {
			return err
		}
	}
	key, err := t.intraKey(r, bucket)
	if err != nil {
		return err
	}
	key.Name = q.Get(paramName)
	origin, err := decodeHead(r.Body)
	if err != nil {
		return err
	}
	if _, err := t.store.PutCopy(r.Context(), key, r.Body, origin); err != nil {
		return err
	}
	return answerEmpty(w, http.StatusOK)
}

// fetchHome takes over an object from a former owner of its name, with its
// version and times.
func (t *Target) fetchHome(ctx context.Context, key core.Key, from *meta.Snode) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	address := intraURL(from, "fetch", key.Bck, "&"+paramName+"="+url.QueryEscape(key.Name))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	res, err := t.node.RPC().Do(rpc.Data, req)
	if err != nil {
		return t.errUnknown(key, []string{from.String()})
	}
	defer func() { _ = res.Body.Close() }() // was only read
	if res.StatusCode != http.StatusOK {
		return t.errUnknown(key, []string{from.String()})
	}
	origin, err := decodeHead(res.Body)
	if err != nil {
		return err
	}
	_, err = t.store.PutCopy(ctx, key, res.Body, origin)
	return err
}

// sendWhole answers fetchHome of another target.
func (t *Target) sendWhole(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.intraKey(r, bucket)
	if err != nil {
		return err
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	key.Name = q.Get(paramName)
	reader, err := t.store.Open(r.Context(), key)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }() // was only read
	if err := reader.Prepare(r.Context(), 0, reader.Size); err != nil {
		return err
	}
	origin := core.OriginOf(&reader.Attrs, true)
	head, err := encodeHead(&origin)
	if err != nil {
		return err
	}
	w.Header()[wire.HeaderContentType] = binaryType
	w.Header()[wire.HeaderContentLength] = []string{strconv.FormatInt(int64(len(head))+reader.Size, 10)}
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(head); err != nil {
		t.metrics.HTTPWriteFailed()
		return nil
	}
	buf := t.memory.Get(sumBuffer)
	defer buf.Free()
	content := io.NewSectionReader(reader, 0, reader.Size)
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{content}, buf.Bytes()); err != nil {
		return t.readFailed(reader, err) // breaks the connection off
	}
	return nil
}
