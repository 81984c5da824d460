package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxPageSize bounds a page, in entries: a larger page size is taken for this
// one, and the token continues the listing.
const maxPageSize = 100_000

// listObjects answers one page of a bucket's names. Any gateway does it by
// itself and without a memory of earlier pages: the token, the last name of
// the page before, is all that a listing needs to go on, whichever gateway is
// asked, in whatever order.
func (p *Proxy) listObjects(w http.ResponseWriter, r *http.Request, bck wire.Bck, value json.RawMessage) error {
	began := time.Now()
	var msg wire.LsoMsg
	if err := node.DecodeValue(value, &msg, wire.ActList); err != nil {
		return err
	}
	if err := checkListMessage(&msg); err != nil {
		return err
	}
	props, stale, err := p.freshProps(r.Context(), bck)
	if err != nil {
		return err
	}
	if err := objreq.CheckAccess(bck, props, meta.AccessListObjects); err != nil {
		return err
	}
	if msg.UUID == "" {
		msg.UUID = meta.NewJobID()
	}
	page, incomplete, err := p.page(r.Context(), bck, &msg)
	if err != nil {
		p.metrics.Failed(metrics.List, bck, apierr.StatusOf(err))
		return err
	}
	page.UUID = msg.UUID
	markStale(w, stale || incomplete)
	p.metrics.Done(metrics.List, bck, 0, time.Since(began))
	return p.writePage(w, r, page)
}

// maxKeptBody is the largest body whose memory is kept for the next page, in
// bytes.
const maxKeptBody = 4 << 20

// writePage answers with a page in the form that the client reads.
func (p *Proxy) writePage(w http.ResponseWriter, r *http.Request, page *wire.LsoPage) error {
	kind := wire.ContentMsgpack
	if !acceptsMsgpack(r) {
		if node.FromBrowser(r) {
			return node.WriteJSON(w, r, page) // indented
		}
		kind = wire.ContentJSONUTF8
	}
	body, _ := p.pages.Get().(*[]byte)
	if body == nil {
		body = new([]byte)
	}
	if kind == wire.ContentMsgpack {
		*body = page.AppendMsgpack((*body)[:0])
	} else {
		*body = append(page.AppendJSON((*body)[:0]), '\n')
	}
	err := node.WriteBytes(w, r, kind, *body)
	if cap(*body) <= maxKeptBody {
		p.pages.Put(body)
	}
	return err
}

// checkListMessage validates and completes a list message. Its names are true
// names afterwards.
func checkListMessage(msg *wire.LsoMsg) error {
	const known = wire.LsoInventory<<1 - 1
	if msg.Flags&^known != 0 {
		return apierr.BadRequest("invalid list flags %d: the highest known bit is %d", msg.Flags, wire.LsoInventory)
	}
	msg.Normalize()
	if err := msg.Validate(false); err != nil {
		return apierr.BadRequest("%v", err)
	}
	switch {
	case msg.Flags.Has(wire.LsoArchDir):
		return apierr.NotImplemented("listing the content of archives (flag %d) is not built yet", wire.LsoArchDir)
	case msg.Flags.Has(wire.LsoInventory):
		return apierr.NotImplemented("listing from a bucket inventory (flag %d) is not built yet", wire.LsoInventory)
	}
	if msg.UUID != "" {
		if err := naming.ValidateUUID(msg.UUID); err != nil {
			return err
		}
	}
	switch {
	case msg.PageSize == 0:
		msg.PageSize = wire.DefaultPageSize
	case msg.PageSize > maxPageSize:
		msg.PageSize = maxPageSize
	}
	if msg.Flags.Has(wire.LsoNoRecursion) && msg.Prefix == "/" {
		msg.Prefix = ""
	}
	return trueNames(msg)
}

// trueNames turns prefix and token of a client, which are in the native form,
// into what names in the engine begin with, and into one of them.
func trueNames(msg *wire.LsoMsg) (err error) {
	if msg.Prefix, err = naming.TruePrefix(msg.Prefix); err != nil {
		return err
	}
	if msg.ContinuationToken, err = naming.TrueToken(msg.ContinuationToken); err != nil {
		return apierr.BadRequest(`invalid "continuation_token": %v`, err)
	}
	if msg.StartAfter, err = naming.TrueToken(msg.StartAfter); err != nil {
		return apierr.BadRequest(`invalid "start_after": %v`, err)
	}
	return nil
}

// nativeNames turns the names of a page into the form that clients use. The
// order remains that of the true names.
func nativeNames(entries []wire.LsoEntry) {
	for i := range entries {
		if entry := &entries[i]; entry.IsDir() {
			entry.Name = naming.NativeDir(entry.Name)
		} else {
			entry.Name = naming.Native(entry.Name)
		}
	}
}

// page lists all targets and merges. The token is set when the page is full,
// even if nothing follows. incomplete: objects of a target that is not in the
// cluster map any more are missing. The flag of the page says that objects are,
// or may be, where they do not belong.
func (p *Proxy) page(ctx context.Context, bck wire.Bck, msg *wire.LsoMsg) (page *wire.LsoPage, incomplete bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.node.Config().Client.ListTimeout.D())
	defer cancel()
	l, err := p.newLister(bck, msg)
	if err != nil {
		return nil, false, err
	}
	after := max(msg.ContinuationToken, msg.StartAfter)
	limit := int(msg.PageSize)
	var entries []wire.LsoEntry
	var full bool
	if dir := msg.Prefix; msg.Flags.Has(wire.LsoNoRecursion) && dir != "" && !strings.HasSuffix(dir, "/") {
		entries, full, err = l.level(ctx, dir, after, limit)
	} else {
		entries, full, err = l.merge(ctx, *msg, after, limit)
	}
	if err != nil {
		return nil, false, err
	}
	page = &wire.LsoPage{Entries: entries}
	if n := len(entries); full && n > 0 {
		page.ContinuationToken = naming.Token(entries[n-1].Name)
	}
	if l.moving.Load() {
		page.Flags = wire.PageIncomplete
	}
	nativeNames(entries)
	return page, l.incomplete, nil
}

// acceptsMsgpack tells that the client reads msgpack.
func acceptsMsgpack(r *http.Request) bool {
	for _, accept := range r.Header[wire.HeaderAccept] {
		for element := range strings.SplitSeq(accept, ",") {
			kind, _, _ := strings.Cut(element, ";")
			if strings.TrimSpace(kind) == wire.ContentMsgpack {
				return true
			}
		}
	}
	return false
}

// markStale marks an answer that was made without asking a majority.
func markStale(w http.ResponseWriter, stale bool) {
	if stale {
		node.MarkStale(w)
	}
}
