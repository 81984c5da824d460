package node

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rebalance"
)

// jobArgs is the value of the actions that start and stop jobs. The rest of
// what clients send in it means nothing to the server.
type jobArgs struct {
	ID          string     `json:"ID"`
	Kind        string     `json:"Kind"`
	NodeID      string     `json:"DaemonID"`
	Bck         *wire.Bck  `json:"Bck"`
	Buckets     []wire.Bck `json:"Buckets"`
	Timeout     int64      `json:"Timeout"` // ns, for the client itself
	Flags       uint32     `json:"flags"`
	Force       bool       `json:"Force"`
	OnlyRunning bool       `json:"OnlyRunning"`
}

// maxJobBuckets bounds the list of buckets of one job.
const maxJobBuckets = 10_000

func readJobArgs(msg *ActMsg) (*jobArgs, error) {
	args := &jobArgs{}
	if err := DecodeValue(msg.Value, args, "the value of action "+msg.Action); err != nil {
		return nil, err
	}
	if len(args.Buckets) > maxJobBuckets {
		return nil, apierr.BadRequest("action %q names %d buckets (expecting at most %d)", msg.Action, len(args.Buckets), maxJobBuckets)
	}
	return args, nil
}

// startJob answers the action "start" with the id of the job. Kinds that are
// not built are 501.
func (n *Node) startJob(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	args, err := readJobArgs(msg)
	if err != nil {
		return err
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	args.Force = args.Force || q.Bool(wire.QueryForce) // some clients say it there alone
	kind, ok := xact.FindKind(args.Kind)
	if !ok {
		return apierr.BadRequest("invalid xaction (job) kind %.64q", args.Kind)
	}
	hasBucket := args.Bck != nil && args.Bck.Name != ""
	if kind.Scope == xact.ScopeBucket && kind.Start == xact.StartGeneric && !hasBucket {
		return apierr.BadRequest("xaction %q requires a bucket to start", kind.Name)
	}
	if err := n.checkJobBucket(args.Bck); err != nil {
		return err
	}
	for i := range args.Buckets {
		if err := n.checkJobBucket(&args.Buckets[i]); err != nil {
			return err
		}
	}
	switch kind.Start {
	case xact.StartByCall:
		return apierr.BadRequest("initiating %q must be done via a separate documented API", kind.Name)
	case xact.StartByPut:
		return apierr.BadRequest("cannot start %q: it is driven by PUT requests", kind.Name)
	case xact.StartGeneric:
		if err := n.mayStart(kind.Name, args, msg.Name, hasBucket); err != nil {
			return err
		}
	}
	engine := n.jobs.Load()
	if kind.Start == xact.StartNever {
		return errNeverStarted(kind)
	}
	if engine == nil {
		return errJobNotBuilt(kind)
	}
	spec, with, err := n.jobSpec(kind, args, msg.Name)
	if err != nil {
		return err
	}
	id, err := engine.Start(r.Context(), spec, with)
	if err != nil {
		return err
	}
	return WriteText(w, r, id)
}

// errNeverStarted is the 501 of a kind that the generic call does not start.
func errNeverStarted(kind xact.Kind) error {
	switch kind.Name {
	case xact.KindCopyBck, xact.KindMoveBck, xact.KindSummary, wire.ActCopyListRange, wire.ActPromote:
		return apierr.NotImplemented("cannot start %q by this action: it has an action of its own on the bucket", kind.Name)
	case "election", "ec-put", "ec-get", "ec-resp", "list":
		return apierr.NotImplemented("cannot start %q: it begins by itself", kind.Name)
	}
	return errJobNotBuilt(kind)
}

func errJobNotBuilt(kind xact.Kind) error {
	return apierr.NotImplemented("job %q is not built yet", kind.Name)
}

// jobSpec is what a job is to do that the generic call starts.
func (n *Node) jobSpec(kind xact.Kind, args *jobArgs, name string) (*xact.Spec, jobs.With, error) {
	start := xact.StartArgs{Name: name, Flags: args.Flags, Force: args.Force}
	bmd := n.View().BMD
	for _, bck := range args.Buckets {
		bck, err := canonical(bck)
		if err != nil {
			return nil, nil, err
		}
		start.Buckets = append(start.Buckets, bck)
	}
	spec := &xact.Spec{Kind: kind.Name}
	if args.Bck != nil && args.Bck.Name != "" {
		var err error
		if spec.Bck, err = canonical(*args.Bck); err != nil {
			return nil, nil, err
		}
		if props, ok := bmd.Get(spec.Bck); ok {
			spec.BID = props.BID
		}
		spec.Control = spec.Bck.String()
	}
	if name != "" {
		spec.Control += " " + name
	}
	var err error
	if spec.Args, err = json.Marshal(&start); err != nil {
		return nil, nil, err
	}
	switch kind.Name {
	case xact.KindResilver:
		spec.Targets = []string{args.NodeID}
	case xact.KindRebalance:
		if args.Flags&xact.FlagCleanup != 0 {
			spec.Control += ":cleanup" // by which clients tell it from one that moves
		}
		return spec, func(v *meta.View, spec *xact.Spec) ([]meta.Change, error) {
			return rebalance.Next(v, spec, RebalanceOwed(v))
		}, nil
	}
	return spec, nil, nil
}

// mayStart checks what is particular to a kind.
func (n *Node) mayStart(kind string, args *jobArgs, prefix string, hasBucket bool) error {
	smap := n.View().Smap
	if known := knownFlags(kind); kind != xact.KindCleanup && args.Flags&^known != 0 { // a cleanup says more
		return apierr.BadRequest("cannot start %q: flags %d (accepted are %d)", kind, args.Flags, known)
	}
	switch kind {
	case xact.KindResilver:
		if args.NodeID == "" {
			return apierr.NotImplemented("resilver of all targets at a time is not built: name one target (DaemonID)")
		}
		if smap.Tmap[args.NodeID] == nil {
			return apierr.BadRequest("cannot start %q: node %q not present in Smap v%d", kind, clip(args.NodeID), smap.Version)
		}
	case xact.KindRebalance:
		cleanup := args.Flags&xact.FlagCleanup != 0
		switch op := n.View().Operations.Now(); {
		case op != nil:
			return apierr.New(http.StatusConflict, wire.CodeBusy, "%s %q is currently busy (%s of %v is under way), please try again",
				n.name, kind, op.Action, op.Nodes)
		case prefix != "" && !hasBucket:
			return apierr.BadRequest("cannot start %q: prefix %.64q needs a bucket", kind, prefix)
		case len(smap.Tmap) < 2, cleanup && smap.CountTargets() < 2:
			return apierr.New(http.StatusBadRequest, wire.CodeNotEnoughTargets, "cannot start %q: not enough targets (%d active of %d, need 2)",
				kind, smap.CountTargets(), len(smap.Tmap))
		case !cleanup && !n.Config().Rebalance.Enabled:
			return apierr.BadRequest("cannot start %q: it is disabled (rebalance.enabled)", kind)
		}
		if smap.CountTargets() < 2 {
			n.logger.Warn("a rebalance with fewer than two active targets", "active", smap.CountTargets())
		}
	}
	return nil
}

// knownFlags are the bits that a kind knows, but for cleanup-store: whoever asks for a dry run of
// another one must not get the job itself.
func knownFlags(kind string) uint32 {
	switch kind {
	case xact.KindRebalance:
		return xact.FlagLatest | xact.FlagSync | xact.FlagCleanup
	case wire.ActPrefetch:
		return xact.FlagLatest | xact.FlagSync
	}
	return 0
}

// stopJob answers the action "stop". A job that is not known has ended, so
// there is nothing to stop; what cannot be stopped is refused.
func (n *Node) stopJob(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	args, err := readJobArgs(msg)
	if err != nil {
		return err
	}
	kind, ok := xact.FindKind(args.Kind)
	switch {
	case args.ID == "" && args.Kind == "":
		return apierr.BadRequest("action %q: neither id nor kind of the job is given", msg.Action)
	case args.Kind != "" && !ok:
		return apierr.BadRequest("invalid xaction (job) kind %.64q", args.Kind)
	case args.ID != "" && !validJobID(args.ID):
		return apierr.BadRequest("invalid job id %q", clip(args.ID))
	}
	if err := n.checkJobBucket(args.Bck); err != nil {
		return err
	}
	if op := n.View().Operations.Now(); op != nil && op.Rebalance != 0 && !args.Force {
		id := meta.RebalanceID(op.Rebalance)
		if args.ID == id || args.ID == "" && kind.Name == xact.KindRebalance {
			return apierr.BadRequest("cannot stop rebalance[%s]: %s of %v goes on when it has ended", id, op.Action, op.Nodes)
		}
	}
	if engine := n.jobs.Load(); engine != nil {
		var bck wire.Bck
		if args.Bck != nil && args.Bck.Name != "" {
			if bck, err = canonical(*args.Bck); err != nil {
				return err
			}
		}
		// A client that goes away has stopped the job all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), n.limits.ControlTimeout)
		defer cancel()
		if err := engine.Stop(ctx, args.ID, kind.Name, bck); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// canonical is a bucket with the canonical name of its provider.
func canonical(bck wire.Bck) (wire.Bck, error) {
	var err error
	bck.Provider, err = naming.Provider(bck.Provider)
	return bck, err
}
