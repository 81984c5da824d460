package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// listRetryAfter is when to ask again for a listing that a target did not answer.
const listRetryAfter = 5 * time.Second

// lister asks all active targets for the names of one bucket.
type lister struct {
	proxy   *Proxy
	bck     wire.Bck
	msg     *wire.LsoMsg
	targets []*meta.Snode
	query   string // that names the bucket to a target

	// marked asks for marks, because a name may be listed by several targets.
	marked bool
	// incomplete tells that a target which may hold objects has left the
	// cluster map.
	incomplete bool
	// moving: objects are, or may be, where they do not belong.
	moving atomic.Bool
}

// newLister fails at once if a target is known to be down: its names would be
// missing from the page.
func (p *Proxy) newLister(bck wire.Bck, msg *wire.LsoMsg) (*lister, error) {
	view := p.control.View()
	l := &lister{proxy: p, bck: bck, msg: msg, targets: view.Smap.ActiveTargets()}
	if len(l.targets) == 0 {
		return nil, apierr.New(http.StatusBadRequest, wire.CodeNoNodes, "no active targets in the cluster map")
	}
	for _, target := range l.targets {
		if p.control.IsDown(target.ID) {
			return nil, l.unavailable(target, errors.New("it is down"))
		}
	}
	query := url.Values{
		wire.QueryProvider:  {bck.Provider},
		wire.QueryNamespace: {bck.Ns.Uname()},
		wire.QueryUUID:      {msg.UUID},
	}
	if msg.ContinuationToken != "" {
		query.Set(wire.QueryListGoesOn, "true")
	}
	l.query = "?" + query.Encode()
	return l, l.addFormerOwners(view)
}

// addFormerOwners has targets asked as well that own nothing now, but may hold
// what nobody has moved yet. One that is in the map and down fails the page, as
// an owner does. One that was decommissioned or declared lost has nothing that counts. What another one that has left the map took with it is not in the
// cluster: the page goes without it, and says so, unless the bucket is erasure-coded and survives the loss of
// so many.
func (l *lister) addFormerOwners(view *meta.View) error {
	if view.Placement.Settled() {
		return nil
	}
	l.marked = true
	l.moving.Store(true)
	l.query += "&" + wire.QueryMarks + "=true"
	if lost := view.Placement.LastLost(); lost > 0 {
		l.query += "&" + wire.QueryPlacement + "=" + strconv.FormatInt(lost, 10)
	}
	l.targets = slices.Clone(l.targets)
	// What was an owner's that has left is listed by those who hold its slices.
	survives := 0
	if props, ok := view.BMD.Get(l.bck); ok && props.EC.Enabled {
		survives = props.EC.ParitySlices
		l.query += "&" + wire.QueryAbsent + "=" + url.QueryEscape(strings.Join(absentOwners(view), ","))
	}
	left := 0
	for _, id := range view.Placement.Holders() {
		target := view.Smap.Tmap[id]
		switch {
		case slices.ContainsFunc(l.targets, func(n *meta.Snode) bool { return n.ID == id }):
		case target == nil:
			left++
		case l.proxy.control.IsDown(id):
			return l.unavailable(target, errors.New("it is down, and may hold objects that were not moved yet"))
		default:
			l.targets = append(l.targets, target)
		}
	}
	l.incomplete = left > survives
	return nil
}

// absentOwners are the targets of earlier placements that are not in the map,
// also those that were declared lost.
func absentOwners(view *meta.View) (ids []string) {
	add := func(more []string) {
		for _, id := range more {
			if view.Smap.Tmap[id] == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	for i := range view.Placement.Sets {
		add(view.Placement.Sets[i].Targets)
	}
	add(view.Placement.Older)
	return ids
}

// merge returns the limit smallest names after a name, of all targets, for a
// message whose prefix is taken literally.
func (l *lister) merge(ctx context.Context, msg wire.LsoMsg, after string, limit int) (entries []wire.LsoEntry, full bool, err error) {
	fetches := make([]fetchFunc, len(l.targets))
	for i, target := range l.targets {
		fetches[i] = func(ctx context.Context, after string, limit int) ([]wire.LsoEntry, bool, error) {
			return l.fetch(ctx, target, &msg, after, limit)
		}
	}
	return mergePage(ctx, fetches, after, limit, listsEvery(&msg))
}

// level lists one level for a prefix that does not end in a slash. If it
// names a directory, that is the directory's content, and the object of the
// same name if there is one; else the prefix is taken literally.
func (l *lister) level(ctx context.Context, prefix, after string, limit int) (entries []wire.LsoEntry, full bool, err error) {
	below, same := *l.msg, *l.msg
	below.Flags = below.Flags&^wire.LsoNoRecursion | wire.LsoNameOnly
	below.Prefix = prefix + "/"
	same.Flags &^= wire.LsoNoRecursion
	same.Prefix = prefix // the name itself is the smallest that begins with it
	var self, inside []wire.LsoEntry
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		inside, _, err = l.merge(groupCtx, below, "", 1)
		return err
	})
	group.Go(func() (err error) {
		self, _, err = l.merge(groupCtx, same, "", 1)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, false, err
	}
	msg := *l.msg
	if len(inside) == 0 {
		return l.merge(ctx, msg, after, limit)
	}
	msg.Prefix = prefix + "/"
	if len(self) == 0 || self[0].Name != prefix || after >= prefix {
		return l.merge(ctx, msg, after, limit)
	}
	if limit == 1 {
		return self, true, nil
	}
	entries, full, err = l.merge(ctx, msg, after, limit-1)
	return append(self, entries...), full, err
}

// fetch asks one target for its next names.
func (l *lister) fetch(ctx context.Context, target *meta.Snode, msg *wire.LsoMsg, after string, limit int) ([]wire.LsoEntry, bool, error) {
	ask := *msg
	ask.Prefix, ask.ContinuationToken, ask.StartAfter = naming.Token(msg.Prefix), naming.Token(after), ""
	ask.PageSize = int64(limit)
	ask.UUID, ask.Target, ask.Header = "", "", nil
	body, err := json.Marshal(&ask)
	if err != nil {
		return nil, false, apierr.Wrap(err, http.StatusInternalServerError, "", "encode the list message")
	}
	address := target.IntraData.URL + wire.PathIntra + "/list/" + l.bck.Name + l.query
	answer, header, err := l.proxy.node.RPC().Request(ctx, rpc.Data, http.MethodPost, address, wire.ContentJSON, body)
	if err != nil {
		return nil, false, l.failed(ctx, target, err)
	}
	var page wire.LsoPage
	if err := l.decode(&page, answer, header); err != nil {
		return nil, false, l.unavailable(target, err)
	}
	if err := checkWindow(&page, msg, after, limit); err != nil {
		return nil, false, l.unavailable(target, err)
	}
	if page.Flags&wire.PageIncomplete != 0 {
		l.moving.Store(true)
	}
	return page.Entries, page.ContinuationToken != "", nil
}

// decode reads the answer of a target.
func (l *lister) decode(page *wire.LsoPage, answer []byte, header http.Header) error {
	if kind := header.Get(wire.HeaderContentType); kind != wire.ContentMsgpack {
		return fmt.Errorf("its answer has the content type %.40q and not %q", kind, wire.ContentMsgpack)
	}
	if !l.marked {
		return page.DecodeMsgpack(answer)
	}
	size, err := strconv.Atoi(header.Get(wire.HeaderListMarks))
	if err != nil || size < 0 || size > len(answer) {
		return fmt.Errorf("invalid header %s=%.20q", wire.HeaderListMarks, header.Get(wire.HeaderListMarks))
	}
	end := len(answer) - size
	if err := page.DecodeMsgpack(answer[:end]); err != nil {
		return err
	}
	return page.SetMarks(answer[end:])
}

// checkWindow refuses an answer with which the merged page would not be whole
// or not in order: names have to begin with the prefix, to come after the one
// that was asked for, to ascend (one name may have several files where all are
// listed) and to be no more than were asked for, and whoever has more has to say
// from where.
func checkWindow(page *wire.LsoPage, msg *wire.LsoMsg, after string, limit int) error {
	every := listsEvery(msg)
	last, names := after, 0
	for i := range page.Entries {
		switch name := page.Entries[i].Name; {
		case name > last:
			names++
			last = name
		case every && i > 0 && name == last:
		default:
			return fmt.Errorf("its answer has the name %.80q after %.80q", name, last)
		}
		if !strings.HasPrefix(last, msg.Prefix) {
			return fmt.Errorf("its answer has the name %.80q, which does not begin with %.80q", last, msg.Prefix)
		}
	}
	switch token := page.ContinuationToken; {
	case names > limit:
		return fmt.Errorf("its answer has %d names, asked for were %d", names, limit)
	case token != "" && (names == 0 || token != last):
		return fmt.Errorf("its answer ends with the name %.80q and goes on after %.80q", last, token)
	}
	return nil
}

// listsEvery tells a listing with all files of every name.
func listsEvery(msg *wire.LsoMsg) bool {
	return msg.Flags.Has(wire.LsoMissing) && !msg.Flags.Has(wire.LsoNameOnly)
}

// failed is the error of a page one of whose targets failed: what the target
// said of the client's request, or a 503 with its name if it said nothing of use
// to a client.
func (l *lister) failed(ctx context.Context, target *meta.Snode, err error) error {
	var typed *apierr.Error
	if errors.As(err, &typed) {
		switch typed.Status {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusTooManyRequests:
			return typed
		}
		return l.unavailable(target, err)
	}
	if ctx.Err() != nil {
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return ctx.Err() // another target's failure, or the client left
		}
		err = fmt.Errorf("no whole answer within client.list_timeout (%s)", l.proxy.node.Config().Client.ListTimeout)
	}
	return l.unavailable(target, err)
}

func (l *lister) unavailable(target *meta.Snode, cause error) error {
	return apierr.Unavailable(listRetryAfter, "cannot list %s: %s: %v", l.bck, target, cause)
}
