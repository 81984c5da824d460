package target

import (
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// appendIdle is after how long without a request an append is given up.
	appendIdle = 24 * time.Hour
	// appendSweep is how often that is looked after.
	appendSweep = time.Hour
)

// appendObject begins or continues an append, or flushes what was appended.
func (t *Target) appendObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	text := req.query.Get(wire.QueryAppendHandle)
	var handle core.AppendHandle
	if text != "" {
		parsed, err := objreq.ParseAppendHandle(text)
		if err != nil {
			return err
		}
		handle = core.AppendHandle{Work: parsed.Work, Checksum: parsed.Checksum, State: parsed.State}
	}
	if req.query.Get(wire.QueryAppendType) == objreq.AppendFlush {
		return t.flushAppend(w, r, req, handle)
	}
	limit := int64(req.key.Props.Chunks.MaxMonolithicSize)
	body := &countingBody{r: r.Body}
	var err error
	if text == "" {
		if err := t.bringHome(r.Context(), req.key); err != nil {
			return err
		}
		handle, err = t.store.BeginAppend(r.Context(), req.key, body, r.ContentLength, limit)
	} else {
		handle, err = t.store.Append(r.Context(), req.key, handle, body, r.ContentLength, limit)
	}
	if err != nil {
		return err
	}
	next := objreq.AppendHandle{NodeID: t.node.ID(), Work: handle.Work, Checksum: handle.Checksum, State: handle.State}
	w.Header()[wire.HeaderAppendHandle] = []string{next.String()}
	delete(w.Header(), "Connection") // the body has been read to its end: no reason to close
	t.metrics.Done(metrics.Put, req.key.Bck, body.read, time.Since(req.began))
	return answerEmpty(w, http.StatusOK)
}

func (t *Target) flushAppend(w http.ResponseWriter, r *http.Request, req *objectRequest, handle core.AppendHandle) error {
	sum, err := flushChecksum(r)
	if err != nil {
		return err
	}
	if _, err := t.store.FlushAppend(r.Context(), req.key, handle, sum); err != nil {
		return err
	}
	return answerEmpty(w, http.StatusOK)
}

// flushChecksum reads the checksum of the whole content that a flush may bring.
func flushChecksum(r *http.Request) (sum cksum.Value, err error) {
	sum = cksum.Value{Type: first(r.Header[wire.HeaderObjChecksumType]), Value: first(r.Header[wire.HeaderObjChecksumValue])}
	if sum.Type == "" && sum.Value != "" {
		return sum, errNoChecksumType()
	}
	if sum.Type == "" {
		return sum, nil
	}
	empty, err := cksum.Of(sum.Type, nil)
	if err != nil {
		return sum, apierr.BadRequest("header %s: %v", wire.HeaderObjChecksumType, err)
	}
	if sum.IsNone() {
		return sum, nil
	}
	if _, err := hex.DecodeString(sum.Value); err != nil || len(sum.Value) != len(empty.Value) {
		return sum, apierr.BadRequest("invalid header %s=%.140q: expecting %d hex digits for a checksum of type %s",
			wire.HeaderObjChecksumValue, sum.Value, len(empty.Value), sum.Type)
	}
	return sum, nil
}

// admitAppend decides whether this target goes on with an append: it holds what
// was appended, and still owns the name. to is the target that a client should
// have asked.
func (t *Target) admitAppend(req *objectRequest, smap *meta.Smap, owner *meta.Snode) (to *meta.Snode, err error) {
	node, err := objreq.AppendOwner(smap, &req.query)
	switch {
	case err != nil:
		return nil, err
	case node == nil:
		return owner, nil
	case node.ID != t.node.ID() && req.marker.Present:
		return nil, apierr.BadRequest("invalid APPEND handle: it is that of %s, not of %s", node, t.node.Name())
	case node.ID == t.node.ID() && owner.ID != node.ID:
		return nil, apierr.New(http.StatusNotFound, wire.CodeNotFound,
			"append to %s: the object is owned by %s now, and what was appended is lost; begin again", req.key.Cname(), owner)
	}
	return node, nil
}
