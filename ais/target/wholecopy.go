package target

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"

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
	// maxCopyHead bounds the description, and any answer to it, in bytes.
	maxCopyHead = 256 << 10
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

// headOf describes what a copy takes over.
func headOf(from *core.Origin) copyHead {
	return copyHead{
		Size: from.Size, SumType: from.Checksum.Type, Sum: from.Checksum.Value, Version: []byte(from.Version),
		Mtime: from.Mtime, Atime: from.Atime, Custom: pairsOf(from.Custom),
	}
}

// check refuses a description that no sender makes.
func (h *copyHead) check() error {
	if h.Size < 0 || h.SumType != "" && cksum.Validate(h.SumType) != nil {
		return apierr.BadRequest("copy: invalid size %d or checksum type %.40q", h.Size, h.SumType)
	}
	return nil
}

func (h *copyHead) origin() core.Origin {
	return core.Origin{
		Size: h.Size, Checksum: cksum.Value{Type: h.SumType, Value: h.Sum}, Version: string(h.Version),
		Mtime: h.Mtime, Atime: h.Atime, Custom: customOfPairs(h.Custom),
	}
}

// pairsOf is custom metadata as bytes.
func pairsOf(custom []core.KV) [][2][]byte {
	var pairs [][2][]byte
	for _, kv := range custom {
		pairs = append(pairs, [2][]byte{[]byte(kv.Key), []byte(kv.Value)})
	}
	return pairs
}

func customOfPairs(pairs [][2][]byte) []core.KV {
	var custom []core.KV
	for _, kv := range pairs {
		custom = append(custom, core.KV{Key: string(kv[0]), Value: string(kv[1])})
	}
	return custom
}

// encodeHead is the part of the body before the content.
func encodeHead(from *core.Origin) ([]byte, error) {
	head := headOf(from)
	return encodeFrame(&head)
}

// decodeHead reads the part of the body before the content.
func decodeHead(body io.Reader) (from core.Origin, err error) {
	var head copyHead
	if err := decodeFrame(body, &head); err != nil {
		return from, err
	}
	return head.origin(), head.check()
}

// encodeFrame is a description with its length before it.
func encodeFrame(head any) ([]byte, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), nil
}

func decodeFrame(body io.Reader, head any) error {
	var length [4]byte
	if _, err := io.ReadFull(body, length[:]); err != nil {
		return apierr.BadRequest("copy: the description is cut off: %v", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxCopyHead {
		return apierr.BadRequest("copy: a description of %d bytes, more than %d", n, maxCopyHead)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(body, text); err != nil {
		return apierr.BadRequest("copy: the description is cut off: %v", err)
	}
	if err := json.Unmarshal(text, head); err != nil {
		return apierr.BadRequest("copy: the description cannot be read: %v", err)
	}
	return nil
}

// sendCopy sends an object to the owner of another name, which verifies and
// commits it, and returns the source's attributes.
func (t *Target) sendCopy(ctx context.Context, job string, from, to core.Key, smap *meta.Smap, owner *meta.Snode, moves bool) (core.Attrs, error) {
	reader, err := t.store.Open(ctx, from)
	if err != nil {
		return core.Attrs{}, err
	}
	kept := true
	defer func() {
		if kept {
			_ = reader.Close() // was only read
		}
	}()
	if err := reader.Prepare(ctx, 0, reader.Size); err != nil {
		return core.Attrs{}, err
	}
	if !moves {
		reader.Touch()
	}
	origin := core.OriginOf(&reader.Attrs, moves)
	if origin.Checksum.IsNone() {
		// The receiver has to compare something.
		if origin.Checksum, err = t.rangeChecksum(reader, cksum.XXHash2, 0, reader.Size); err != nil {
			return core.Attrs{}, err
		}
	}
	if job != "" {
		kept = false
		attrs := reader.Attrs
		return attrs, t.copying.send(ctx, job, to, smap, owner, &origin, reader)
	}
	head, err := encodeHead(&origin)
	if err != nil {
		return core.Attrs{}, err
	}
	body := io.MultiReader(bytes.NewReader(head), io.NewSectionReader(reader, 0, reader.Size))
	_, err = t.post(ctx, to, "store", smap, owner, body, int64(len(head))+reader.Size)
	if err != nil {
		return core.Attrs{}, err
	}
	return reader.Attrs, nil
}

// lentBody is the body of a request, which the connection may go on to read from when the
// answer has come before its end, and whoever sends it has closed what it is read from.
type lentBody struct {
	mu   sync.Mutex
	from io.Reader // nil: it was taken back
}

// Read implements io.Reader.
func (b *lentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.from == nil {
		return 0, errTakenBack
	}
	return b.from.Read(p)
}

// takeBack returns when nobody reads from it any more.
func (b *lentBody) takeBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.from = nil
}

// errTakenBack: the request has its answer.
var errTakenBack = errors.New("the request has ended")

// post sends a body to the owner of a name, and returns the answer.
func (t *Target) post(ctx context.Context, to core.Key, call string, smap *meta.Smap, owner *meta.Snode, body io.Reader, size int64) ([]byte, error) {
	return t.postOf(ctx, "", to, call, smap, owner, body, size)
}

// postOf is post for a job, for which the receiver counts the object; "": none.
func (t *Target) postOf(ctx context.Context, job string, to core.Key, call string, smap *meta.Smap, owner *meta.Snode, body io.Reader, size int64) ([]byte, error) {
	more := "&" + paramName + "=" + url.QueryEscape(to.Name) + "&" + paramSmap + "=" + strconv.FormatInt(smap.Version, 10)
	if job != "" {
		more += "&" + wire.QueryUUID + "=" + url.QueryEscape(job)
	}
	address := intraURL(owner, call, to.Bck, more)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lent := &lentBody{from: body}
	defer lent.takeBack()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, io.NopCloser(lent))
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	res, err := t.node.RPC().Do(rpc.Data, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // was only read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxCopyHead))
	if err != nil {
		return nil, apierr.Wrap(err, http.StatusServiceUnavailable, "", "%s: whether %s has stored it is not known", to.Cname(), owner)
	}
	if res.StatusCode != http.StatusOK {
		return nil, rpc.DecodeError(res, answer)
	}
	return answer, nil
}

// posted finds the name that a body is for, by a map that is not older than the
// sender's.
func (t *Target) posted(r *http.Request, bucket string) (key core.Key, err error) {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return key, err
	}
	if version, err := strconv.ParseInt(q.Get(paramSmap), 10, 64); err == nil && version > t.control.View().Smap.Ver() {
		if err := t.control.Pull(r.Context()); err != nil {
			return key, err
		}
	}
	key, err = t.intraKey(r, bucket)
	key.Name = q.Get(paramName)
	return key, err
}

// storeCopy stores what another target sends as the copy of an object.
func (t *Target) storeCopy(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.posted(r, bucket)
	if err != nil {
		return err
	}
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
	key, _, err := t.intraObject(r, bucket)
	if err != nil {
		return err
	}
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
