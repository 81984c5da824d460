package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

// clusterObjects is what jobs ask about objects anywhere in the cluster:
// selection.Cluster, rename.Cluster and promote.Cluster.
type clusterObjects struct{ t *Target }

// Stat implements selection.Cluster.
func (c clusterObjects) Stat(ctx context.Context, key core.Key) (core.Attrs, error) {
	t := c.t
	view := t.control.View()
	former := t.formerOwners(view, key)
	if len(former) == 0 {
		return t.store.Head(ctx, key)
	}
	f, err := t.find(ctx, view, key, former)
	switch {
	case err != nil:
		return core.Attrs{}, err
	case len(f.unknown) > 0:
		return core.Attrs{}, t.errUnknown(key, f.unknown)
	case f.none():
		return core.Attrs{}, apierr.ObjectNotFound(t.node.Name() + ": " + key.Cname())
	}
	return f.best.attrs(), nil
}

// Remove implements selection.Cluster.
func (c clusterObjects) Remove(ctx context.Context, key core.Key) (size int64, err error) {
	t := c.t
	if err := t.staying(key); err != nil {
		return 0, err
	}
	owner, err := objreq.Owner(t.control.View().Smap, key.Bck, key.Name)
	if err != nil {
		return 0, err
	}
	if owner.ID == t.node.ID() {
		attrs, err := c.Stat(ctx, key)
		if err != nil {
			return 0, err
		}
		size = attrs.Size
	} else {
		there, err := t.askOne(ctx, owner, key, nil)
		if err != nil {
			return 0, t.errUnknown(key, []string{owner.String()})
		}
		size = there.Size
		if there.Kind == 0 || there.Kind.IsDeleted() { // then this target has what its owner will find
			if attrs, kind, err := t.store.Look(ctx, key); err == nil && kind != 0 && !kind.IsDeleted() {
				size = attrs.Size
			}
		}
	}
	return size, t.asOwner(ctx, key, func() error { return t.remove(ctx, key) }, &changeRequest{Delete: true})
}

// Copy implements selection.Cluster.
func (c clusterObjects) Copy(ctx context.Context, job string, from, to core.Key, moves bool) (source core.Attrs, sent bool, err error) {
	t := c.t
	if err := to.CheckWritable(); err != nil {
		return source, false, err
	}
	owner, err := objreq.Owner(t.control.View().Smap, from.Bck, from.Name)
	if err != nil {
		return source, false, err
	}
	if owner.ID == t.node.ID() {
		if err := t.bringHome(ctx, from); err != nil {
			return source, false, err
		}
		return t.copyHeld(ctx, job, from, to, moves)
	}
	source, sent, err = t.copyHeld(ctx, job, from, to, moves)
	if apierr.IsNotFound(err) && apierr.CodeOf(err) == wire.CodeNotFound {
		return source, sent, apierr.New(http.StatusConflict, wire.CodeBusy, "%s has moved to %s during the job, please try again", from.Cname(), owner)
	}
	return source, sent, err
}

// SendName implements rename.Cluster.
func (c clusterObjects) SendName(ctx context.Context, from, to core.Key) (generations, size int64, sent bool, err error) {
	t := c.t
	if err := to.CheckWritable(); err != nil {
		return 0, 0, false, err
	}
	smap := t.control.View().Smap
	owner, err := objreq.Owner(smap, to.Bck, to.Name)
	if err != nil {
		return 0, 0, false, err
	}
	waiting, cancel := context.WithTimeout(ctx, departTime)
	defer cancel()
	d, err := t.store.DepartTo(waiting, from, to.Props.BID)
	if err != nil {
		return 0, 0, false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	sent = owner.ID != t.node.ID()
	for _, p := range d.Parcels() {
		if sent {
			err = t.sendParcel(ctx, to, p, smap, owner)
		} else {
			err = t.storeParcel(ctx, to, p)
		}
		if err != nil {
			return 0, 0, false, err
		}
		generations, size = generations+1, size+p.Content
	}
	return generations, size, sent, nil
}

// storeParcel gives another bucket of this target one generation.
func (t *Target) storeParcel(ctx context.Context, to core.Key, p *core.Parcel) (err error) {
	content, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	_, err = t.store.Arrive(ctx, to, p.Head, content)
	return err
}

// presentRequest asks an owner which names there are.
type presentRequest struct {
	Names [][]byte `json:"names"` // need not be UTF-8
}

// Present implements selection.Cluster.
func (c clusterObjects) Present(ctx context.Context, bck wire.Bck, props *meta.Bprops, names []string) ([]bool, error) {
	t := c.t
	smap := t.control.View().Smap
	byOwner := map[string][]int{}
	for i, name := range names {
		owner, err := objreq.Owner(smap, bck, name)
		if err != nil {
			return nil, err
		}
		byOwner[owner.ID] = append(byOwner[owner.ID], i)
	}
	there := make([]bool, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for id, indexes := range byOwner {
		group.Go(func() error {
			asked := make([]string, len(indexes))
			for i, at := range indexes {
				asked[i] = names[at]
			}
			answers, err := c.presentAt(ctx, smap.Node(id), bck, props, asked)
			for i, ok := range answers {
				there[indexes[i]] = ok
			}
			return err
		})
	}
	return there, group.Wait()
}

// presentAt asks one owner.
func (c clusterObjects) presentAt(ctx context.Context, owner *meta.Snode, bck wire.Bck, props *meta.Bprops, names []string) ([]bool, error) {
	t := c.t
	if owner.ID == t.node.ID() {
		return c.presentHere(ctx, bck, props, names)
	}
	var ask presentRequest
	for _, name := range names {
		ask.Names = append(ask.Names, []byte(name))
	}
	var answers []bool
	if err := t.question(ctx, owner, "present", bck, &ask, &answers); err != nil {
		return nil, apierr.Unavailable(objreq.RetryAfter, "%s: %s cannot be asked what it has of %s: %v", t.node.Name(), owner, bck, err)
	}
	if len(answers) != len(names) {
		return nil, apierr.Unavailable(objreq.RetryAfter, "%s: %s gives %d answers to %d questions", t.node.Name(), owner, len(answers), len(names))
	}
	return answers, nil
}

// presentHere answers as the owner of names.
func (c clusterObjects) presentHere(ctx context.Context, bck wire.Bck, props *meta.Bprops, names []string) ([]bool, error) {
	answers := make([]bool, len(names))
	for i, name := range names {
		_, err := c.Stat(ctx, core.Key{Bck: bck, Props: props, Name: name})
		if apierr.IsNotFound(err) && apierr.CodeOf(err) == wire.CodeNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		answers[i] = true
	}
	return answers, nil
}

// present answers another target which of some names there are.
func (t *Target) present(w http.ResponseWriter, r *http.Request, bucket string) error {
	key, err := t.intraKey(r, bucket)
	if err != nil {
		return err
	}
	var ask presentRequest
	if err := readQuestion(r, maxListAnswer, &ask); err != nil {
		return err
	}
	names := make([]string, len(ask.Names))
	for i, name := range ask.Names {
		names[i] = string(name)
	}
	answers, err := clusterObjects{t}.presentHere(r.Context(), key.Bck, key.Props, names)
	if err != nil {
		return err
	}
	return node.WriteJSON(w, r, answers)
}

// Answers implements selection.Cluster: of several holders of what the owner does
// not have, the one with the newest answers, and of equal ones the first by id.
func (c clusterObjects) Answers(ctx context.Context, key core.Key, stamp core.Stamp) (bool, error) {
	t := c.t
	view := t.control.View()
	owner, err := objreq.Owner(view.Smap, key.Bck, key.Name)
	if err != nil {
		return false, err
	}
	self := t.node.ID()
	others := view.Placement.AppendEarlierOwners([]string{owner.ID}, hrw.Digest(key.Bck.Uname(key.Name)))
	slices.Sort(others)
	others = slices.DeleteFunc(slices.Compact(others), func(id string) bool { return id == self })
	for _, answer := range t.ask(ctx, view, key, others, nil) {
		switch {
		case errors.Is(answer.err, errOut):
		case answer.err != nil:
			return false, t.errUnknown(key, []string{meta.NodeName(meta.RoleTarget, answer.id)})
		case answer.Kind == 0:
		case answer.id == owner.ID && !answer.Kind.IsDeleted():
			return false, nil // the owner finds what others hold
		case answer.Stamp.Compare(stamp) > 0, answer.Stamp == stamp && answer.id < self:
			return false, nil
		}
	}
	return true, nil
}

// Quiesce implements rename.Cluster.
func (c clusterObjects) Quiesce(ctx context.Context) error {
	if c.t.guard == nil {
		return apierr.Unavailable(time.Second, "%s is starting", c.t.node.Name())
	}
	return c.t.guard.Quiesce(ctx)
}

// Owns implements promote.Cluster.
func (c clusterObjects) Owns(bck wire.Bck, name string) (bool, error) {
	owner, err := objreq.Owner(c.t.control.View().Smap, bck, name)
	return err == nil && owner.ID == c.t.node.ID(), err
}

// PutFile implements promote.Cluster.
func (c clusterObjects) PutFile(ctx context.Context, job string, key core.Key, f io.ReaderAt, size int64, overwrite bool) (done, sent bool, err error) {
	t := c.t
	if err := key.CheckWritable(); err != nil {
		return false, false, err
	}
	smap := t.control.View().Smap
	owner, err := objreq.Owner(smap, key.Bck, key.Name)
	if err != nil {
		return false, false, err
	}
	if !overwrite { // most likely its content need not be read
		there, err := c.presentAt(ctx, owner, key.Bck, key.Props, []string{key.Name})
		if err != nil || there[0] {
			return false, false, err
		}
	}
	opts := core.PutOptions{Size: size}
	if !overwrite {
		opts.Conditions.IfNoneMatch = "*"
	}
	if sent = owner.ID != t.node.ID(); sent {
		err = t.handFile(ctx, job, key, f, &opts, smap, owner)
	} else {
		_, err = t.store.Put(ctx, key, io.NewSectionReader(f, 0, size), opts)
	}
	if apierr.StatusOf(err) == http.StatusPreconditionFailed && !overwrite {
		return false, false, nil // somebody was faster
	}
	return err == nil, sent, err
}

// handFile has the owner of a name commit a file.
func (t *Target) handFile(ctx context.Context, job string, key core.Key, f io.ReaderAt, opts *core.PutOptions, smap *meta.Smap, owner *meta.Snode) error {
	if t.control.IsDown(owner.ID) {
		return apierr.Unavailable(objreq.RetryAfter, "%s: its owner %s does not answer", key.Cname(), owner)
	}
	h, err := cksum.New(cksum.XXHash2) // the receiver has to compare something
	if err != nil {
		return err
	}
	buf := t.memory.Get(sumBuffer)
	_, err = io.CopyBuffer(h, io.NewSectionReader(f, 0, opts.Size), buf.Bytes())
	buf.Free()
	if err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "%s: its source cannot be read: %v", key.Cname(), err)
	}
	opts.Checksum = cksum.Sum(cksum.XXHash2, h)
	head, err := encodeFrame(handoverHeadOf(key.Props.BID, &core.Handover{Options: *opts}))
	if err != nil {
		return err
	}
	body := io.MultiReader(bytes.NewReader(head), io.NewSectionReader(f, 0, opts.Size))
	if _, err := t.postOf(ctx, job, key, "take", smap, owner, body, int64(len(head))+opts.Size); err != nil {
		return notTaken(key, owner, err)
	}
	return nil
}

// countReceived counts an object that another target has sent for a job.
func (t *Target) countReceived(r *http.Request, size int64) {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil || q.Get(wire.QueryUUID) == "" {
		return
	}
	t.countReceivedOf(q.Get(wire.QueryUUID), size)
}

// countReceivedOf is countReceived for the job with an id.
func (t *Target) countReceivedOf(job string, size int64) {
	if x := t.jobs.Find(job); x != nil {
		x.AddIn(1, size)
	}
}
