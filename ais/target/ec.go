package target

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/transport/rpc"
)

// Slices on other targets: what the engine of package ec needs of the cluster,
// and its calls to other targets.

const (
	// sliceStall is how long a target that sends a slice may send no byte before it is
	// given up.
	sliceStall = 20 * time.Second
	// sliceCallTime bounds a call without content; one that has slices read may
	// take as long as its context allows.
	sliceCallTime = 30 * time.Second

	callSlices = "slices" // a sliceCall
	callSlice  = "slice"  // the bytes of one

	// An answer that is an LZ4 frame says so.
	headerEncoding = "Content-Encoding"
	encodingLZ4    = "lz4"
)

// ecCluster is the engine's view of the cluster.
type ecCluster struct{ t *Target }

// Self implements ec.Cluster.
func (c ecCluster) Self() string { return c.t.node.ID() }

// Order implements ec.Cluster.
func (c ecCluster) Order(key core.Key) []string {
	smap := c.t.control.View().Smap
	owner, err := objreq.Owner(smap, key.Bck, key.Name)
	if err != nil {
		return nil
	}
	digest := hrw.Digest(key.Bck.Uname(key.Name))
	active := slices.Clone(smap.ActiveTargets())
	weight := func(sn *meta.Snode) uint64 { return hrw.Weight(hrw.Digest(sn.ID), digest) }
	slices.SortFunc(active, func(a, b *meta.Snode) int {
		switch {
		case a.ID == owner.ID:
			return -1
		case b.ID == owner.ID:
			return 1
		}
		return cmp.Compare(weight(b), weight(a))
	})
	ids := make([]string, len(active))
	for i, sn := range active {
		ids[i] = sn.ID
	}
	return ids
}

// Everybody implements ec.Cluster.
func (c ecCluster) Everybody() []string {
	smap := c.t.control.View().Smap
	ids := make([]string, 0, len(smap.Tmap))
	for id := range smap.Tmap {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Down implements ec.Cluster.
func (c ecCluster) Down(id string) bool { return c.t.control.IsDown(id) }

// sliceCall is a question about slices, or a step.
type sliceCall struct {
	Op     string          `json:"op"`
	BID    uint64          `json:"bid,string"`
	Name   []byte          `json:"name,omitempty"` // need not be UTF-8
	Verify bool            `json:"verify,omitempty"`
	Stamp  core.Stamp      `json:"stamp"`
	From   core.Stamp      `json:"from"`
	Number int             `json:"number,omitempty"`
	State  core.SliceState `json:"state,omitempty"`
	Always bool            `json:"always,omitempty"`
	Slice  []byte          `json:"slice,omitempty"` // core.Slice.AppendSlice
	Held   []ec.Held       `json:"held,omitempty"`
}

// sliceReply is the answer.
type sliceReply struct {
	Verdict  core.SliceVerdict `json:"verdict"`
	Slices   []heldSlice       `json:"slices,omitempty"`
	Verdicts []ec.Verdict      `json:"verdicts,omitempty"`
}

type heldSlice struct {
	Slice  []byte `json:"slice"`
	Staged bool   `json:"staged,omitempty"`
}

// Operations of a sliceCall.
const (
	opLook    = "look"
	opCommit  = "commit"
	opMark    = "mark"
	opForget  = "forget"
	opDrop    = "drop"
	opAmend   = "amend"
	opExamine = "examine"
	opJudge   = "judge"
)

// ecHolders calls other targets. It is the engine's ec.Holders.
type ecHolders struct{ t *Target }

func (h ecHolders) target(id string) (*meta.Snode, error) {
	sn := h.t.control.View().Smap.Tmap[id]
	if sn == nil {
		return nil, apierr.Unavailable(objreq.RetryAfter, "t[%s] is not in the cluster map", id)
	}
	return sn, nil
}

func (h ecHolders) call(ctx context.Context, id string, bck wire.Bck, call *sliceCall) (reply sliceReply, err error) {
	to, err := h.target(id)
	if err != nil {
		return reply, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sliceCallTime)
		defer cancel()
	}
	err = h.t.question(ctx, to, callSlices, bck, call, &reply)
	return reply, err
}

func callOf(op string, key core.Key) *sliceCall {
	return &sliceCall{Op: op, BID: key.Props.BID, Name: []byte(key.Name)}
}

// Look implements ec.Holders.
func (h ecHolders) Look(ctx context.Context, id string, key core.Key, verify bool) ([]core.Slice, error) {
	call := callOf(opLook, key)
	call.Verify = verify
	reply, err := h.call(ctx, id, key.Bck, call)
	if err != nil {
		return nil, err
	}
	found := make([]core.Slice, 0, len(reply.Slices))
	for _, held := range reply.Slices {
		sl, err := core.DecodeSlice(held.Slice)
		if err != nil {
			return nil, err
		}
		sl.Staged = held.Staged
		found = append(found, sl)
	}
	return found, nil
}

// Commit implements ec.Holders.
func (h ecHolders) Commit(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int) (core.SliceVerdict, error) {
	call := callOf(opCommit, key)
	call.Stamp, call.Number = stamp, number
	reply, err := h.call(ctx, id, key.Bck, call)
	return reply.Verdict, err
}

// Mark implements ec.Holders.
func (h ecHolders) Mark(ctx context.Context, id string, key core.Key, stamp core.Stamp, state core.SliceState, always bool) (core.SliceVerdict, error) {
	call := callOf(opMark, key)
	call.Stamp, call.State, call.Always = stamp, state, always
	reply, err := h.call(ctx, id, key.Bck, call)
	return reply.Verdict, err
}

// Forget implements ec.Holders.
func (h ecHolders) Forget(ctx context.Context, id string, key core.Key, stamp core.Stamp) error {
	call := callOf(opForget, key)
	call.Stamp = stamp
	_, err := h.call(ctx, id, key.Bck, call)
	return err
}

// Drop implements ec.Holders.
func (h ecHolders) Drop(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int) error {
	call := callOf(opDrop, key)
	call.Stamp, call.Number = stamp, number
	_, err := h.call(ctx, id, key.Bck, call)
	return err
}

// Amend implements ec.Holders.
func (h ecHolders) Amend(ctx context.Context, id string, key core.Key, from core.Stamp, attrs *core.Attrs) (core.SliceVerdict, error) {
	call := callOf(opAmend, key)
	call.From = from
	// Of a slice only the object's attributes count here.
	sl := core.Slice{Name: key.Name, State: core.SliceKept, Stamp: attrs.LastChange(), Parity: 1, Length: attrs.Size, Object: *attrs}
	call.Slice = sl.AppendSlice(nil)
	reply, err := h.call(ctx, id, key.Bck, call)
	return reply.Verdict, err
}

// Examine implements ec.Holders.
func (h ecHolders) Examine(ctx context.Context, id string, bck wire.Bck, held []ec.Held) ([]ec.Verdict, error) {
	return h.ask(ctx, opExamine, id, bck, held)
}

// Judge implements ec.Holders.
func (h ecHolders) Judge(ctx context.Context, id string, bck wire.Bck, held []ec.Held) ([]ec.Verdict, error) {
	return h.ask(ctx, opJudge, id, bck, held)
}

// ask asks the owner of names about them.
func (h ecHolders) ask(ctx context.Context, op, id string, bck wire.Bck, held []ec.Held) ([]ec.Verdict, error) {
	props, ok := h.t.control.View().BMD.Get(bck)
	if !ok {
		return nil, apierr.BucketNotFound(bck)
	}
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	reply, err := h.call(ctx, id, bck, &sliceCall{Op: op, BID: props.BID, Held: held})
	return reply.Verdicts, err
}

// examineTime bounds the rebuilding of a batch of objects by their owner.
const examineTime = 30 * time.Minute

// causeOf is the error of a call that this target may have broken off itself.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Read implements ec.Holders.
func (h ecHolders) Read(ctx context.Context, id string, key core.Key, stamp core.Stamp, number int, off, length int64) (io.ReadCloser, error) {
	to, err := h.target(id)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(stamp)
	if err != nil {
		return nil, err
	}
	q := "&" + paramName + "=" + url.QueryEscape(key.Name) + "&stamp=" + url.QueryEscape(string(text)) + "&number=" + strconv.Itoa(number) +
		"&off=" + strconv.FormatInt(off, 10) + "&len=" + strconv.FormatInt(length, 10)
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := time.AfterFunc(sliceStall, func() {
		cancel(apierr.Unavailable(objreq.RetryAfter, "%s sends no byte of slice %d of %s", to, number, key.Cname()))
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, intraURL(to, callSlice, key.Bck, q), http.NoBody)
	if err != nil {
		stalled.Stop()
		cancel(nil)
		return nil, err
	}
	res, err := h.t.node.RPC().Do(rpc.Data, req)
	if err == nil && res.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(res.Body, maxCopyHead)) // the status says enough
		_ = res.Body.Close()                                           // was only read
		err = rpc.DecodeError(res, answer)
	}
	if err != nil {
		err = causeOf(ctx, err)
		stalled.Stop()
		cancel(nil)
		return nil, err
	}
	b := &sliceBody{ctx: ctx, body: res.Body, content: res.Body, stalled: stalled, cancel: cancel}
	if res.Header.Get(headerEncoding) == encodingLZ4 {
		b.content = lz4.NewReader(res.Body)
	}
	return b, nil
}

// sliceBody is the answer of a target that sends a slice, and is given up if it
// stalls.
type sliceBody struct {
	ctx     context.Context
	body    io.ReadCloser
	content io.Reader // of the body, without its compression
	stalled *time.Timer
	cancel  context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *sliceBody) Read(p []byte) (int, error) {
	b.stalled.Reset(sliceStall)
	n, err := b.content.Read(p)
	b.stalled.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = causeOf(b.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *sliceBody) Close() error {
	b.stalled.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}
