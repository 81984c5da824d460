package target

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// The owner of a name has former owners send all of its generations: it calls
// "surrender" at each that holds any, and that one calls "arrive" at the owner
// for each generation, and removes what has arrived before it answers. A
// description goes before the content, with its length (4 bytes, big-endian); the
// answer is one byte, the core.Arrival. docs/rebalance.md, "Names with versions".

const (
	callSurrender = "surrender"
	callArrive    = "arrive"
	// surrenderTries is how often a name is sent that changes meanwhile.
	surrenderTries = 4
	// departTime bounds the wait for a move of the same name that is under way.
	departTime = 20 * time.Second
)

// Gather implements core.Peers.
func (t *Target) Gather(ctx context.Context, key core.Key, here core.Stamp, must bool) (all bool, err error) {
	if !t.control.LeaseValid() {
		return false, t.errNoLease(key)
	}
	view := t.control.View()
	former := t.formerOwners(view, key)
	if len(former) == 0 || decided(view, here) {
		return true, nil
	}
	all = true
	for _, answer := range t.ask(ctx, view, key, former, nil) {
		switch {
		case errors.Is(answer.err, errOut) && !must:
			all = false
			continue
		case answer.err == nil && answer.Kind == 0 && !answer.Versions:
			continue
		case answer.err == nil:
			answer.err = t.callOff(ctx, key, view.Smap, answer.node)
		}
		if answer.err != nil {
			t.logger.Warn("a former owner does not send what it holds of a name", "object", key.Cname(), "target", answer.id, "err", answer.err)
			return false, t.errUnknown(key, []string{meta.NodeName(meta.RoleTarget, answer.id)})
		}
	}
	return all, nil
}

// callOff has a former owner of a name send it here.
func (t *Target) callOff(ctx context.Context, key core.Key, smap *meta.Smap, from *meta.Snode) error {
	_, err := t.post(ctx, key, callSurrender, smap, from, bytes.NewReader(nil), 0)
	return err
}

// surrender sends all that this target holds of a name to its owner, and gives
// it up.
func (t *Target) surrender(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.posted(r, bucket)
	if err != nil {
		return err
	}
	smap := t.control.View().Smap
	owner, err := objreq.Owner(smap, key.Bck, key.Name)
	if err != nil {
		return err
	}
	if owner.ID == t.node.ID() {
		return apierr.Unavailable(time.Second, "%s owns %s itself", t.node.Name(), key.Cname())
	}
	for range surrenderTries {
		gone, err := t.sendName(r.Context(), key, smap, owner)
		if err != nil {
			return err
		}
		if gone {
			return answerEmpty(w, http.StatusOK)
		}
	}
	return apierr.Unavailable(time.Second, "%s changes while it is sent to %s", key.Cname(), owner)
}

// sendName sends what there is of a name, and removes it if it has not changed
// meanwhile.
func (t *Target) sendName(ctx context.Context, key core.Key, smap *meta.Smap, owner *meta.Snode) (gone bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, departTime)
	defer cancel()
	d, err := t.store.Depart(waiting, key)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, p := range d.Parcels() {
		if err := t.sendParcel(ctx, key, p, smap, owner); err != nil {
			return false, err
		}
	}
	if len(d.Parcels()) == 0 {
		return true, nil
	}
	return d.Remove(ctx)
}

// sendParcel sends one generation; nil: the owner has it, or something newer.
func (t *Target) sendParcel(ctx context.Context, key core.Key, p *core.Parcel, smap *meta.Smap, owner *meta.Snode) (err error) {
	content, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	head := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(p.Head)), uint32(len(p.Head))), p.Head...)
	answer, err := t.post(ctx, key, callArrive, smap, owner, io.MultiReader(bytes.NewReader(head), content), int64(len(head))+p.Size)
	switch {
	case err != nil:
		return err
	case len(answer) != 1 || answer[0] < byte(core.ArrivalStored) || answer[0] > byte(core.ArrivalOlder):
		return apierr.Unavailable(time.Second, "%s: an answer of %s that cannot be read: %.20q", key.Cname(), owner, answer)
	}
	return nil
}

// arrive stores a generation that a former owner of a name sends.
func (t *Target) arrive(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.posted(r, bucket)
	if err != nil {
		return err
	}
	var length [4]byte
	if _, err := io.ReadFull(r.Body, length[:]); err != nil {
		return apierr.BadRequest("the description of a generation is cut off: %v", err)
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > core.MaxMoveHead {
		return apierr.BadRequest("the description of a generation has %d bytes, more than %d", size, core.MaxMoveHead)
	}
	head := make([]byte, size)
	if _, err := io.ReadFull(r.Body, head); err != nil {
		return apierr.BadRequest("the description of a generation is cut off: %v", err)
	}
	arrival, err := t.store.Arrive(r.Context(), key, head, r.Body)
	if err != nil {
		return err
	}
	return node.WriteText(w, r, string(rune(arrival)))
}
