package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/promote"
)

// smallPromotion is how many files are promoted at once, without a job.
const smallPromotion = 16

// promote makes objects of files on the targets. Every target says what it sees of
// the source; if that is little, they promote it before the answer, which is empty;
// else a job does, and the answer is its id.
func (p *Proxy) promote(w http.ResponseWriter, r *http.Request, bucket string, body []byte, msg *node.ActMsg, q *query.Values) error {
	bck, err := q.Bck(bucket)
	if err != nil {
		return err
	}
	args := &promote.Args{}
	if err := node.DecodeValue(msg.Value, &args.PromoteMsg, msg.Action); err != nil {
		return err
	}
	switch {
	case args.Source == "":
		args.Source = msg.Name
	case msg.Name != "" && msg.Name != args.Source:
		return apierr.BadRequest("conflicting promote source: %q in \"name\" and %q in \"src\"", msg.Name, args.Source)
	}
	if err := promote.CheckSource(args.Source); err != nil {
		return err
	}
	return p.asPrimary(w, r, body, func(w http.ResponseWriter, r *http.Request) error {
		id, err := p.runPromotion(r.Context(), bck, args)
		if err != nil {
			return err
		}
		return node.WriteText(w, r, id)
	})
}

// runPromotion promotes, or starts the job that does.
func (p *Proxy) runPromotion(ctx context.Context, bck wire.Bck, args *promote.Args) (jobID string, err error) {
	view := p.control.View()
	props, err := bucketFor(view, bck, meta.AccessPromote)
	if err != nil {
		return "", err
	}
	targets := view.Smap.ActiveTargets()
	if args.NodeID != "" {
		target := view.Smap.Tmap[args.NodeID]
		if target == nil || !target.Active() {
			return "", apierr.BadRequest("promote: target %.64q is not present in Smap v%d", args.NodeID, view.Smap.Version)
		}
		targets = []*meta.Snode{target}
	}
	seen, err := p.lookAtSource(ctx, bck, targets, args)
	if err != nil {
		return "", err
	}
	if len(seen) == 0 {
		return "", apierr.New(http.StatusNotFound, "", "promote source %q does not exist", args.Source)
	}
	var files int64
	share := !args.NotShared && args.NodeID == "" && len(targets) > 1 && len(seen) == len(targets) &&
		!p.node.Config().Features.Has(feature.NoAutoDetectFileShare)
	for i := range seen {
		files += seen[i].Files
		share = share && seen[i].Seen == seen[0].Seen
	}
	if files == 0 {
		return "", apierr.BadRequest("promote source %q is an empty directory%s", args.Source, recursionHint(args))
	}
	if args.Shared = share; share {
		files = seen[0].Files
	}
	encoded, err := json.Marshal(args)
	if err != nil {
		return "", err
	}
	if files <= smallPromotion && !share {
		return "", p.promoteNow(ctx, bck, seen, encoded)
	}
	spec := &xact.Spec{Kind: wire.ActPromote, Bck: bck, BID: props.BID, Args: encoded, Control: args.Source, Targets: []string{}}
	for i := range seen {
		spec.Targets = append(spec.Targets, seen[i].target.ID)
	}
	return p.jobs.Start(ctx, spec, nil)
}

func recursionHint(args *promote.Args) string {
	if args.Recursive {
		return ""
	}
	return " (what lies in its subdirectories is promoted only recursively)"
}

// seenBy is what one target sees of a source.
type seenBy struct {
	promote.Seen
	target *meta.Snode
}

// lookAtSource asks targets what they see of a source; those that see nothing are left out.
func (p *Proxy) lookAtSource(ctx context.Context, bck wire.Bck, targets []*meta.Snode, args *promote.Args) (seen []seenBy, err error) {
	body, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	answers := make([]*promote.Seen, len(targets))
	group, ctx := errgroup.WithContext(ctx)
	for i, target := range targets {
		group.Go(func() error {
			data, err := p.askPromotion(ctx, bck, target, "promote-look", body)
			if apierr.IsNotFound(err) && apierr.CodeOf(err) == "" {
				return nil
			}
			if err != nil {
				return err
			}
			answers[i] = &promote.Seen{}
			return json.Unmarshal(data, answers[i])
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, answer := range answers {
		if answer != nil {
			seen = append(seen, seenBy{*answer, targets[i]})
		}
	}
	return seen, nil
}

// promoteNow has the targets promote, and returns when they have.
func (p *Proxy) promoteNow(ctx context.Context, bck wire.Bck, seen []seenBy, args []byte) error {
	var mu sync.Mutex
	var failed error
	var group errgroup.Group
	for i := range seen {
		group.Go(func() error {
			if _, err := p.askPromotion(ctx, bck, seen[i].target, "promote", args); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait() // the calls keep their error in failed
	return failed
}

func (p *Proxy) askPromotion(ctx context.Context, bck wire.Bck, target *meta.Snode, call string, body []byte) ([]byte, error) {
	q := url.Values{wire.QueryProvider: {bck.Provider}, wire.QueryNamespace: {bck.Ns.Uname()}}
	address := target.IntraData.URL + wire.PathIntra + "/" + call + "/" + bck.Name + "?" + q.Encode()
	data, _, err := p.node.RPC().Request(ctx, rpc.Data, http.MethodPost, address, wire.ContentJSON, body)
	return data, err
}
