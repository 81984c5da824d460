package target

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/pierrec/lz4/v4"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// maxSliceCall bounds a question about slices, in bytes.
const maxSliceCall = 4 << 20

// sliceKey finds the bucket that a call about slices is about, in the incarnation
// that the caller knows.
func (t *Target) sliceKey(r *http.Request, bucket string, call *sliceCall) (key core.Key, err error) {
	key, err = t.intraKey(r, bucket)
	if err == nil && key.Props.BID != call.BID {
		err = apierr.BucketNotFound(key.Bck)
	}
	key.Name = string(call.Name)
	return key, err
}

// slices answers another target about the slices that this one holds.
func (t *Target) slices(w http.ResponseWriter, r *http.Request, bucket string) error {
	var call sliceCall
	if err := readQuestion(r, maxSliceCall, &call); err != nil {
		return err
	}
	key, err := t.sliceKey(r, bucket, &call)
	if err != nil {
		return err
	}
	var reply sliceReply
	ctx := r.Context()
	switch call.Op {
	case opLook:
		var found []core.Slice
		found, err = t.store.LookSlices(ctx, key, call.Verify)
		for i := range found {
			reply.Slices = append(reply.Slices, heldSlice{Slice: found[i].AppendSlice(nil), Staged: found[i].Staged})
		}
	case opCommit:
		reply.Verdict, err = t.store.CommitSlice(ctx, key, call.Stamp, call.Number)
	case opMark:
		reply.Verdict, err = t.store.MarkSlices(ctx, key, call.Stamp, call.State, call.Always)
	case opForget:
		err = t.store.ForgetMark(ctx, key, call.Stamp)
	case opDrop:
		err = t.store.DropSlice(ctx, key, call.Stamp, call.Number)
	case opAmend:
		var sl core.Slice
		if sl, err = core.DecodeSlice(call.Slice); err == nil {
			reply.Verdict, err = t.store.AmendSlice(ctx, key, call.From, &sl.Object)
		}
	case opExamine:
		reply.Verdicts = t.ec.Examine(ctx, meta.BucketEntry{Bck: key.Bck, Props: key.Props}, call.Held)
	case opJudge:
		reply.Verdicts = t.ec.Judge(ctx, meta.BucketEntry{Bck: key.Bck, Props: key.Props}, call.Held)
	default:
		err = apierr.BadRequest("invalid operation %.40q on slices", call.Op)
	}
	if err != nil {
		return err
	}
	return node.WriteJSON(w, r, &reply)
}

// sendSlice answers with bytes of a slice. Once the answer has begun, what fails
// shows as a connection that ends before the announced length.
func (t *Target) sendSlice(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, q, err := t.intraObject(r, bucket)
	if err != nil {
		return err
	}
	var stamp core.Stamp
	if err := json.Unmarshal([]byte(q.Get("stamp")), &stamp); err != nil {
		return apierr.BadRequest("invalid stamp of a slice: %v", err)
	}
	number, err := strconv.Atoi(q.Get("number"))
	if err != nil {
		return apierr.BadRequest("invalid number of a slice: %v", err)
	}
	off, err1 := strconv.ParseInt(q.Get("off"), 10, 64)
	length, err2 := strconv.ParseInt(q.Get("len"), 10, 64)
	slice, err := t.store.OpenSlice(r.Context(), key, stamp, number)
	if err != nil {
		return err
	}
	defer func() { _ = slice.Close() }() // was only read
	if err1 != nil || err2 != nil || off < 0 || length < 0 || off+length > slice.Length {
		return apierr.BadRequest("invalid range %.40q+%.40q of a slice of %d bytes", q.Get("off"), q.Get("len"), slice.Length)
	}
	done := t.sliceJob(key.Bck, kindECResp)
	defer func() { done(1, length) }()
	buf := t.memory.Get(core.SliceUnit)
	defer buf.Free()
	content := io.NewSectionReader(slice, off, length)
	first, err := io.ReadFull(content, buf.Bytes()[:min(length, core.SliceUnit)])
	if err != nil {
		return err // before the answer has begun: the bytes are damaged
	}
	out := io.Writer(struct{ io.Writer }{w})
	end := func() error { return nil }
	if key.Props.EC.Compression == config.CompressAlways && length > 0 {
		w.Header().Set(headerEncoding, encodingLZ4)
		packed := lz4.NewWriter(w)
		out, end = struct{ io.Writer }{packed}, packed.Close
	} else {
		w.Header().Set(wire.HeaderContentLength, strconv.FormatInt(length, 10))
	}
	w.WriteHeader(http.StatusOK)
	if _, err := out.Write(buf.Bytes()[:first]); err != nil {
		return nil //nolint:nilerr // the caller is gone
	}
	_, err = io.CopyBuffer(out, struct{ io.Reader }{content}, buf.Bytes())
	if err == nil {
		err = end() // without it the answer is not whole
	}
	if err != nil {
		t.logger.Warn("a slice was not sent to its end", "object", key.Cname(), "slice", number, "err", err)
	}
	return nil
}
