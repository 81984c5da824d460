package target

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/transport/rpc"
)

// After the set of targets has changed, an object may still lie with a former
// owner of its name, under a smaller stamp or under the only one. As long as
// the placement is not settled, the owner asks the former ones before it
// answers that there is nothing, or that what it has is the newest.

const (
	// lookTime bounds the question to other targets what they hold.
	lookTime = 5 * time.Second
	// maxLook bounds question and answer, in bytes.
	maxLook = 64 << 10
	// paramName holds the object's name in calls between targets.
	paramName = "objname"
)

// lookRequest asks a target what it holds of a name. With Remove it gives up
// what has a smaller stamp, since the name was deleted.
type lookRequest struct {
	Name   []byte      `json:"name"` // need not be UTF-8
	Remove *core.Stamp `json:"remove,omitempty"`
	// Placement is the version that declared the receiver lost, if any has: see
	// Target.knows.
	Placement int64 `json:"placement,omitempty,string"`
}

// lookReply is what it holds; Kind 0: nothing.
type lookReply struct {
	copyHead
	Kind   core.Kind  `json:"kind"`
	Stamp  core.Stamp `json:"stamp"`
	Chunks int        `json:"chunks,omitempty"`
	// Versions: it holds noncurrent versions, or what would become one.
	Versions bool `json:"versions,omitempty"`
}

func lookReplyOf(kind core.Kind, a *core.Attrs) lookReply {
	origin := core.OriginOf(a, true)
	return lookReply{copyHead: headOf(&origin), Kind: kind, Stamp: a.Stamp, Chunks: a.Chunks}
}

// attrs are the attributes that clients see.
func (r *lookReply) attrs() core.Attrs {
	o := r.origin()
	return core.Attrs{
		Size: o.Size, Checksum: o.Checksum, Version: o.Version, Custom: o.Custom, Mtime: o.Mtime, Atime: o.Atime,
		Stamp: r.Stamp, Chunks: r.Chunks,
	}
}

// holding is what one target holds of a name.
type holding struct {
	lookReply
	node *meta.Snode // nil: this target
}

// findings are what all targets hold that may hold something of a name.
type findings struct {
	local    holding
	best     holding     // of the greatest stamp; local if that is it
	unknown  []string    // names of targets that could not be asked
	down     bool        // one of them is an owner of names, and will be back or go out soon
	versions bool        // somebody who answered has several, or what would become one of several
	slices   *ec.Content // what is to be read instead, see newestOfSlices
	live     bool        // somebody who answered has an object, though there may be a newer tombstone elsewhere
}

// none tells that nobody who answered has an object.
func (f *findings) none() bool { return f.best.Kind == 0 || f.best.Kind.IsDeleted() }

// formerOwners returns the ids of other targets that may hold something of a
// name; none if the placement is settled.
func (t *Target) formerOwners(view *meta.View, key core.Key) []string {
	if view.Placement.Settled() {
		return nil
	}
	ids := view.Placement.AppendEarlierOwners(nil, hrw.Digest(key.Bck.Uname(key.Name)))
	others := ids[:0]
	for _, id := range ids {
		if id != t.node.ID() {
			others = append(others, id)
		}
	}
	return others
}

// decided tells that what the owner itself holds is the newest there is: it
// was committed since the present owners are in force.
func decided(view *meta.View, here core.Stamp) bool {
	sets := view.Placement.Sets
	return !here.IsZero() && here.Epoch >= uint64(sets[len(sets)-1].Epoch)
}

// read answers GET and HEAD.
func (t *Target) read(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	// As long as the lease holds nobody else can have written the name since.
	if t.control.Stale() || !t.control.LeaseValid() {
		node.MarkStale(w)
	}
	if req.insteadOf != nil {
		return t.readInstead(w, r, req, req.insteadOf)
	}
	return t.readObject(w, r, req)
}

// readObject answers a read of a name that this target owns. The owners of names may
// change while it does, and the object leave for the next one: that there is nothing
// is the answer of a placement that was in force from the beginning to the end.
func (t *Target) readObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	for attempt := 1; ; attempt++ {
		view := t.control.View()
		owner, err := objreq.Owner(view.Smap, req.key.Bck, req.key.Name)
		switch {
		case err != nil:
			return err
		case owner.ID != t.node.ID():
			return errNotOwner(t.node.Name(), req.key, owner, view.Smap)
		}
		err = t.readOnce(w, r, req, view)
		var left *leftError
		switch moved := errors.As(err, &left); {
		case !moved && !(apierr.IsNotFound(err) && t.control.View().Placement.Ver() != view.Placement.Ver()):
			return err
		case attempt < readAttempts: // it is here by now, or deleted
		case moved:
			return t.errUnknown(req.key, []string{left.from.String()})
		default:
			return apierr.Unavailable(objreq.RetryAfter, "%s: the owner of %s keeps changing", t.node.Name(), req.key.Cname())
		}
	}
}

// readAttempts is how often a read follows an object that leaves while it is
// asked for.
const readAttempts = 4

// leftError: what a former owner held a moment ago has left it.
type leftError struct{ from *meta.Snode }

// Error implements error.
func (e *leftError) Error() string { return "the object has left " + e.from.String() }

// readOnce is readObject under one placement. Errors: leftError, and those that are
// answered.
func (t *Target) readOnce(w http.ResponseWriter, r *http.Request, req *objectRequest, view *meta.View) error {
	if view.Transition.Now() != nil {
		if served, err := t.readMoving(w, r, req, view); served || err != nil {
			return err
		}
	}
	former := t.formerOwners(view, req.key)
	if len(former) == 0 {
		return t.readLocal(w, r, req)
	}
	f, err := t.find(r.Context(), view, req.key, former)
	switch {
	case err != nil:
		return err
	case f.best.Kind == 0 && req.key.Props.EC.Enabled:
		return t.readFromSlices(w, r, req, f.unknown)
	case len(f.unknown) > 0 && !t.newestOfSlices(r.Context(), req.key, &f):
		return t.errUnknown(req.key, f.unknown)
	case f.none():
		return apierr.ObjectNotFound(t.node.Name() + ": " + req.key.Cname())
	case f.slices != nil:
		return t.sendContent(w, r, req, f.slices)
	case f.best.node == nil:
		return t.readLocal(w, r, req)
	}
	return t.relay(w, r, req, f.best.node)
}

// readMoving answers a read of a name that another target is about to own, and
// may own already without this one knowing it: what was written there since is
// newer. served is false if there is nothing newer.
func (t *Target) readMoving(w http.ResponseWriter, r *http.Request, req *objectRequest, view *meta.View) (served bool, err error) {
	pending := view.Transition.Now()
	id := pending.Owner(hrw.Digest(req.key.Bck.Uname(req.key.Name)))
	if id == "" || id == t.node.ID() {
		return false, nil
	}
	next := view.Smap.Tmap[id]
	for _, node := range pending.Patch.Put {
		if node.ID == id {
			next = node
		}
	}
	local, kind, err := t.store.Look(r.Context(), req.key)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	there, err := t.askOne(ctx, next, req.key, nil)
	switch {
	case err != nil && kind == 0:
		return false, t.errUnknown(req.key, []string{next.String()})
	case err != nil:
		// Whether it owns the name already, nobody can tell.
		node.MarkStale(w)
		return false, nil //nolint:nilerr // what is here is the best there is
	case there.Kind == 0 || there.Stamp.Compare(local.Stamp) <= 0:
		return false, nil
	case there.Kind.IsDeleted():
		return true, apierr.ObjectNotFound(t.node.Name() + ": " + req.key.Cname())
	}
	return true, t.relay(w, r, req, next)
}

// readLocal answers with what this target itself holds.
func (t *Target) readLocal(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	if r.Method == http.MethodHead {
		return t.headObject(w, r, req)
	}
	return t.getObject(w, r, req)
}

// readInstead answers a read while the owner of the name does not: with the
// newest that can be found here and at former owners. Whether the owner has
// something newer nobody can tell, so the answer is marked as one that may be
// stale, and "there is nothing" is no answer at all.
func (t *Target) readInstead(w http.ResponseWriter, r *http.Request, req *objectRequest, owner *meta.Snode) error {
	if req.key.Props.EC.Enabled {
		err := t.readSlices(w, r, req)
		if !apierr.IsNotFound(err) && apierr.StatusOf(err) != apierr.StatusServiceUnavailable {
			return err
		}
	}
	view := t.control.View()
	unavailable := apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", req.key.Cname(), owner)
	if view.Placement.Settled() {
		return unavailable
	}
	f, err := t.find(r.Context(), view, req.key, t.formerOwners(view, req.key))
	if err != nil {
		return err
	}
	if f.none() {
		return unavailable
	}
	node.MarkStale(w)
	if f.best.node == nil {
		return t.readLocal(w, r, req)
	}
	var left *leftError
	if err := t.relay(w, r, req, f.best.node); !errors.As(err, &left) {
		return err
	}
	return unavailable
}

// find asks all targets that may hold something of a name, this one included. An
// object that leaves one of them while they are asked comes to its owner first:
// who finds nothing newer elsewhere looks at the owner once more.
func (t *Target) find(ctx context.Context, view *meta.View, key core.Key, others []string) (findings, error) {
	for attempt := 1; ; attempt++ {
		f, err := t.findOnce(ctx, view, key, others)
		if err != nil || f.best.node != nil || decided(view, f.local.Stamp) {
			return f, err
		}
		attrs, kind, err := t.store.Look(ctx, key)
		if err != nil {
			return f, err
		}
		now := t.control.View()
		if kind == f.local.Kind && attrs.Stamp == f.local.Stamp && now.Placement.Ver() == view.Placement.Ver() {
			return f, nil
		}
		if attempt == readAttempts {
			return f, t.errUnknown(key, []string{t.node.Name()})
		}
		view = now
		if others = t.formerOwners(view, key); view.Placement.Settled() {
			others = nil
		}
	}
}

func (t *Target) findOnce(ctx context.Context, view *meta.View, key core.Key, others []string) (findings, error) {
	f := findings{}
	attrs, kind, err := t.store.Look(ctx, key)
	if err != nil {
		return f, err
	}
	f.local = holding{lookReply: lookReplyOf(kind, &attrs)}
	f.best = f.local
	f.live = !f.none()
	if decided(view, f.local.Stamp) {
		return f, nil
	}
	for _, answer := range t.ask(ctx, view, key, others, nil) {
		switch {
		case answer.err != nil:
			f.unknown = append(f.unknown, meta.NodeName(meta.RoleTarget, answer.id))
			f.down = f.down || !errors.Is(answer.err, errOut)
			t.logger.Debug("cannot ask a former owner", "object", key.Cname(), "target", answer.id, "err", answer.err)
		case answer.Kind != 0 && (f.best.Kind == 0 || answer.Stamp.Compare(f.best.Stamp) > 0):
			f.best = answer.holding
		}
		f.versions = f.versions || answer.err == nil && answer.Versions
		f.live = f.live || answer.err == nil && answer.Kind != 0 && !answer.Kind.IsDeleted()
	}
	return f, nil
}

// answer is what one target said.
type answer struct {
	holding
	id  string
	err error
}

var (
	errDown = errors.New("it is down")
	// errOut: the target owns no names and does not run. Nobody waits for it to
	// come back soon.
	errOut = errors.New("it is out of the cluster, or out of service and not running")
)

// ask puts a question to targets, to all at the same time.
func (t *Target) ask(ctx context.Context, view *meta.View, key core.Key, ids []string, remove *core.Stamp) []answer {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	answers := make([]answer, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		a := &answers[i]
		a.id, a.node = id, view.Smap.Tmap[id]
		if down := a.node != nil && t.control.IsDown(id); a.node == nil || down && !a.node.Active() {
			a.err = errOut
			continue
		} else if down {
			a.err = errDown
			continue
		}
		all.Go(func() { a.lookReply, a.err = t.askOne(ctx, a.node, key, remove) })
	}
	all.Wait()
	return answers
}

func (t *Target) askOne(ctx context.Context, to *meta.Snode, key core.Key, remove *core.Stamp) (reply lookReply, err error) {
	ask := lookRequest{Name: []byte(key.Name), Remove: remove, Placement: t.control.View().Placement.LostAt(to.ID)}
	err = t.question(ctx, to, "look", key.Bck, &ask, &reply)
	return reply, err
}

// look answers another target what this one holds.
func (t *Target) look(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.intraKey(r, bucket)
	if err != nil {
		return err
	}
	var ask lookRequest
	if err := readQuestion(r, maxLook, &ask); err != nil {
		return err
	}
	if err := t.knows(r.Context(), ask.Placement); err != nil {
		return err
	}
	key.Name = string(ask.Name)
	if ask.Remove != nil {
		if err := t.store.GiveUp(r.Context(), key, *ask.Remove); err != nil {
			return err
		}
	}
	attrs, kind, err := t.store.Look(r.Context(), key)
	if err != nil {
		return err
	}
	reply := lookReplyOf(kind, &attrs)
	if reply.Versions, err = t.store.KeepsVersions(r.Context(), key); err != nil {
		return err
	}
	return node.WriteJSON(w, r, &reply)
}

// intraKey finds the bucket that a call between targets is about.
func (t *Target) intraKey(r *http.Request, bucket string) (key core.Key, err error) {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return key, err
	}
	if key.Bck, err = q.Bck(bucket); err != nil {
		return key, err
	}
	key.Props, err = objreq.Bucket(r.Context(), t.control, key.Bck)
	return key, err
}

// intraObject is intraKey of a call about one object, which the query names.
func (t *Target) intraObject(r *http.Request, bucket string) (key core.Key, q query.Values, err error) {
	if q, err = query.Parse(r.URL.RawQuery); err != nil {
		return key, q, err
	}
	key, err = t.intraKey(r, bucket)
	key.Name = q.Get(paramName)
	return key, q, err
}

// relay sends on what another target answers to the same read.
func (t *Target) relay(w http.ResponseWriter, r *http.Request, req *objectRequest, from *meta.Snode) error {
	more := "&" + paramName + "=" + url.QueryEscape(req.key.Name)
	for _, param := range []string{wire.QueryPresence, wire.QueryProps, wire.QueryValidateChecksum} {
		if req.query.Has(param) {
			more += "&" + param + "=" + url.QueryEscape(req.query.Get(param))
		}
	}
	ask, err := http.NewRequestWithContext(r.Context(), r.Method, intraURL(from, "object", req.key.Bck, more), http.NoBody)
	if err != nil {
		return err
	}
	if value := r.Header[wire.HeaderRange]; len(value) > 0 {
		ask.Header[wire.HeaderRange] = value
	}
	res, err := t.node.RPC().Do(rpc.Data, ask)
	if err != nil {
		return t.errUnknown(req.key, []string{from.String()})
	}
	defer func() { _ = res.Body.Close() }() // was only read
	switch {
	case res.StatusCode == http.StatusNotFound:
		return &leftError{from}
	case res.StatusCode >= http.StatusInternalServerError:
		// It was there a moment ago: whether it still is, the next try tells.
		return t.errUnknown(req.key, []string{from.String()})
	}
	header := w.Header()
	for key, values := range res.Header {
		switch {
		case key == "Date", key == "Connection", key == "Server", strings.HasPrefix(key, "Ais-Caller"):
		default:
			header[key] = values
		}
	}
	w.WriteHeader(res.StatusCode)
	t.pass(w, res)
	t.countRelayed(req, r.Method, res.ContentLength)
	return nil
}

// served answers a relayed read of another target with what this one holds.
func (t *Target) served(w http.ResponseWriter, r *http.Request, bucket string) error {
	req := objectRequest{began: time.Now()}
	var err error
	if req.query, err = query.Parse(r.URL.RawQuery); err != nil {
		return err
	}
	if req.key, err = t.intraKey(r, bucket); err != nil {
		return err
	}
	req.key.Name = req.query.Get(paramName)
	return t.readLocal(w, r, &req)
}

// errUnknown is the 503 of a read that some former owners would have to answer.
func (t *Target) errUnknown(key core.Key, who []string) error {
	return apierr.Unavailable(objreq.RetryAfter, "%s: %s may be at %s, which cannot be asked now", t.node.Name(), key.Cname(), strings.Join(who, ", "))
}
