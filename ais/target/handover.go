package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// A change that this target admitted as the owner of its name, and may not
// commit any more, is committed by the new owner: a body goes there as it was
// received, with what the client said of it; of other changes the message. The
// client has one answer, which is the new owner's.

// codeNotOwner marks, between targets, that nothing was done since the receiver
// does not own the name either.
const codeNotOwner = "ErrNotOwner"

// handoverHead describes a write. The embedded fields are those of the body and
// of the client: checksum, version to go on from, keys to set.
type handoverHead struct {
	copyHead
	BID         uint64    `json:"bid,string"`
	Summed      bool      `json:"summed,omitempty"`
	SkipVC      bool      `json:"skip_vc,omitempty"`
	Keep        core.Keep `json:"keep,omitempty"`
	IfMatch     []byte    `json:"if_match,omitempty"`
	IfNoneMatch []byte    `json:"if_none_match,omitempty"`
	Origin      *copyHead `json:"origin,omitempty"`
}

func handoverHeadOf(bid uint64, h *core.Handover) *handoverHead {
	o := &h.Options
	head := &handoverHead{
		copyHead: headOf(&core.Origin{Size: o.Size, Checksum: o.Checksum, Version: o.Version, Custom: o.Custom}),
		BID:      bid, Summed: h.Summed, SkipVC: o.SkipVC, Keep: o.Keep,
		IfMatch: []byte(o.Conditions.IfMatch), IfNoneMatch: []byte(o.Conditions.IfNoneMatch),
	}
	if h.Origin != nil {
		origin := headOf(h.Origin)
		head.Origin = &origin
	}
	return head
}

// handover is what the head says, without the body.
func (h *handoverHead) handover() (*core.Handover, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	if h.Keep > core.KeepNull {
		return nil, apierr.BadRequest("copy: invalid way %d to keep a generation", h.Keep)
	}
	made := &core.Handover{
		Options: core.PutOptions{
			Size: h.Size, Checksum: cksum.Value{Type: h.SumType, Value: h.Sum}, Version: string(h.Version), Custom: customOfPairs(h.Custom),
			SkipVC: h.SkipVC, Keep: h.Keep,
			Conditions: core.Conditions{IfMatch: string(h.IfMatch), IfNoneMatch: string(h.IfNoneMatch)},
		},
		Summed: h.Summed,
	}
	if h.Origin != nil {
		if err := h.Origin.check(); err != nil {
			return nil, err
		}
		origin := h.Origin.origin()
		made.Origin = &origin
	}
	return made, nil
}

// newOwner is the target that owns a name instead of this one;
// core.ErrNotOwner: it is this one after all, or that is about to change.
func (t *Target) newOwner(key core.Key) (*meta.Snode, *meta.Smap, error) {
	view := t.control.View()
	owner, err := objreq.Owner(view.Smap, key.Bck, key.Name)
	if err != nil {
		return nil, nil, err
	}
	pending := view.Transition.Now()
	switch {
	case owner.ID == t.node.ID(), pending != nil && pending.Owner(hrw.Digest(key.Bck.Uname(key.Name))) != owner.ID:
		return nil, nil, core.ErrNotOwner
	case t.control.IsDown(owner.ID):
		return nil, nil, apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", key.Cname(), owner)
	}
	return owner, view.Smap, nil
}

// HandOver implements core.Peers.
func (t *Target) HandOver(ctx context.Context, key core.Key, h *core.Handover) (core.Attrs, error) {
	owner, smap, err := t.newOwner(key)
	if err != nil {
		return core.Attrs{}, err
	}
	head, err := encodeFrame(handoverHeadOf(key.Props.BID, h))
	if err != nil {
		return core.Attrs{}, err
	}
	content, err := h.Body()
	if err != nil {
		return core.Attrs{}, err
	}
	answer, err := t.post(ctx, key, "take", smap, owner, io.MultiReader(bytes.NewReader(head), content), int64(len(head))+h.Options.Size)
	if err := errors.Join(err, content.Close()); err != nil {
		return core.Attrs{}, notTaken(key, owner, err)
	}
	var made lookReply
	if err := json.Unmarshal(answer, &made); err != nil {
		return core.Attrs{}, notTaken(key, owner, err)
	}
	t.logger.Debug("a write was committed by the new owner of its name", "object", key.Cname(), "owner", owner.ID)
	return made.attrs(), nil
}

// notTaken is the error of a change that the new owner did not make: what it
// refused for the client's sake is the client's, all else is to be tried again.
func notTaken(key core.Key, owner *meta.Snode, err error) error {
	var typed *apierr.Error
	switch errors.As(err, &typed); {
	case typed == nil:
	case typed.Code == codeNotOwner:
		return core.ErrNotOwner
	case typed.Status < http.StatusInternalServerError && typed.Status != http.StatusForbidden, typed.Status == http.StatusInsufficientStorage:
		return typed
	}
	e := apierr.Unavailable(objreq.RetryAfter, "%s: it is owned by %s now, which has not acknowledged it: %v", key.Cname(), owner, err)
	e.Cause = err
	return e
}

// refusedOwner marks the error of a receiver that does not own the name either.
func refusedOwner(err error) error {
	if errors.Is(err, core.ErrNotOwner) {
		return apierr.New(http.StatusServiceUnavailable, codeNotOwner, "%v", err)
	}
	return err
}

// take commits what another target hands over, and answers with the attributes.
func (t *Target) take(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.posted(r, bucket)
	if err != nil {
		return err
	}
	var head handoverHead
	if err := decodeFrame(r.Body, &head); err != nil {
		return err
	}
	h, err := head.handover()
	if err != nil {
		return err
	}
	if head.BID != key.Props.BID {
		return apierr.BucketNotFound(key.Bck) // it was destroyed, and made again
	}
	attrs, err := t.store.Take(r.Context(), key, r.Body, h)
	if err != nil {
		return refusedOwner(err)
	}
	t.countReceived(r, attrs.Size)
	reply := lookReplyOf(core.KindObject, &attrs)
	return node.WriteJSON(w, r, &reply)
}

// changeRequest is a change without a body: of custom metadata, or, with
// Delete, the removal of the name, with Only of what has that stamp.
type changeRequest struct {
	BID     uint64      `json:"bid,string"`
	Custom  [][2][]byte `json:"custom,omitempty"`
	Replace bool        `json:"replace,omitempty"`
	Delete  bool        `json:"delete,omitempty"`
	Only    *core.Stamp `json:"only,omitempty"`
}

const (
	// changeTime is how long a change waits for a change of owners that is
	// under way, before the client is asked to come back.
	changeTime = 10 * time.Second
	// changePause is how often it looks.
	changePause = 5 * time.Millisecond
)

// asOwner makes a change here or, if the name belongs to another target by now,
// has that one make it.
func (t *Target) asOwner(ctx context.Context, key core.Key, here func() error, there *changeRequest) error {
	tick := time.NewTicker(changePause)
	defer tick.Stop()
	for began := time.Now(); ; {
		err := here()
		if !errors.Is(err, core.ErrNotOwner) {
			return err
		}
		if sent := t.sendChange(ctx, key, there); !errors.Is(sent, core.ErrNotOwner) {
			return sent
		}
		if time.Since(began) > changeTime {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *Target) sendChange(ctx context.Context, key core.Key, change *changeRequest) error {
	owner, smap, err := t.newOwner(key)
	if err != nil {
		return err
	}
	change.BID = key.Props.BID
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	if _, err := t.post(ctx, key, "change", smap, owner, bytes.NewReader(body), int64(len(body))); err != nil {
		return notTaken(key, owner, err)
	}
	return nil
}

// change makes the change that another target sends.
func (t *Target) change(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.posted(r, bucket)
	if err != nil {
		return err
	}
	var change changeRequest
	if err := readQuestion(r, maxCopyHead, &change); err != nil {
		return err
	}
	switch {
	case change.BID != key.Props.BID:
		err = apierr.BucketNotFound(key.Bck)
	case change.Only != nil:
		err = t.removeOnly(r.Context(), key, *change.Only)
	case change.Delete:
		err = t.remove(r.Context(), key)
	default:
		err = t.setCustom(r.Context(), key, customOfPairs(change.Custom), change.Replace)
	}
	if err != nil {
		return refusedOwner(err)
	}
	return answerEmpty(w, http.StatusOK)
}

// removeOnly removes a generation, and older ones, wherever they are. What is
// newer stays.
func (t *Target) removeOnly(ctx context.Context, key core.Key, stamp core.Stamp) error {
	if err := t.staying(key); err != nil {
		return err
	}
	than := stamp
	than.Node++
	if err := t.giveUpElsewhere(ctx, key, than); err != nil {
		return err
	}
	return t.store.RemoveOlder(ctx, key, than)
}
