package node

import (
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
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

// rebalanceCleanup is the bit of jobArgs.Flags for a rebalance that only
// removes what is in a wrong place.
const rebalanceCleanup = 16

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

// startJob answers the action "start": everything is checked, and a job that
// could be started is 501, as none is built.
func (n *Node) startJob(_ http.ResponseWriter, _ *http.Request, msg *ActMsg) error {
	args, err := readJobArgs(msg)
	if err != nil {
		return err
	}
	kind := findJobKind(args.Kind)
	if kind == nil {
		return apierr.BadRequest("invalid xaction (job) kind %.64q", args.Kind)
	}
	hasBucket := args.Bck != nil && args.Bck.Name != ""
	if kind.bucket && kind.start == startable && !hasBucket {
		return apierr.BadRequest("xaction %q requires a bucket to start", kind.name)
	}
	if err := n.checkJobBucket(args.Bck); err != nil {
		return err
	}
	for i := range args.Buckets {
		if err := n.checkJobBucket(&args.Buckets[i]); err != nil {
			return err
		}
	}
	switch kind.start {
	case startedByItsCall:
		return apierr.BadRequest("initiating %q must be done via a separate documented API", kind.name)
	case startedByPut:
		return apierr.BadRequest("cannot start %q: it is driven by PUT requests", kind.name)
	case startable:
		if err := n.mayStart(kind, args, msg.Name, hasBucket); err != nil {
			return err
		}
	}
	return apierr.NotImplemented("job %q is not built yet", kind.name)
}

// mayStart checks what is particular to a kind.
func (n *Node) mayStart(kind *jobKind, args *jobArgs, prefix string, hasBucket bool) error {
	smap := n.View().Smap
	switch kind.name {
	case "resilver":
		if args.NodeID == "" {
			return apierr.NotImplemented("resilver of all targets at a time is not built: name one target (DaemonID)")
		}
		if smap.Tmap[args.NodeID] == nil {
			return apierr.BadRequest("cannot start %q: node %q not present in Smap v%d", kind.name, clip(args.NodeID), smap.Version)
		}
	case jobRebalance:
		cleanup := args.Flags&rebalanceCleanup != 0
		switch op := n.View().Operations.Now(); {
		case op != nil:
			return apierr.New(http.StatusConflict, wire.CodeBusy, "%s %q is currently busy (%s of %v is under way), please try again",
				n.name, jobRebalance, op.Action, op.Nodes)
		case prefix != "" && !hasBucket:
			return apierr.BadRequest("cannot start %q: prefix %.64q needs a bucket", kind.name, prefix)
		case len(smap.Tmap) < 2, cleanup && smap.CountTargets() < 2:
			return apierr.New(http.StatusBadRequest, wire.CodeNotEnoughTargets, "cannot start %q: not enough targets (%d active of %d, need 2)",
				kind.name, smap.CountTargets(), len(smap.Tmap))
		case !cleanup && !n.Config().Rebalance.Enabled:
			return apierr.BadRequest("cannot start %q: it is disabled (rebalance.enabled)", kind.name)
		}
	}
	return nil
}

// stopJob answers the action "stop". A job that is not known has ended, so
// there is nothing to stop; what cannot be stopped is refused.
func (n *Node) stopJob(w http.ResponseWriter, _ *http.Request, msg *ActMsg) error {
	args, err := readJobArgs(msg)
	if err != nil {
		return err
	}
	kind := findJobKind(args.Kind)
	switch {
	case args.ID == "" && args.Kind == "":
		return apierr.BadRequest("action %q: neither id nor kind of the job is given", msg.Action)
	case args.Kind != "" && kind == nil:
		return apierr.BadRequest("invalid xaction (job) kind %.64q", args.Kind)
	case args.ID != "" && !validJobID(args.ID):
		return apierr.BadRequest("invalid job id %q", clip(args.ID))
	}
	if err := n.checkJobBucket(args.Bck); err != nil {
		return err
	}
	if op := n.View().Operations.Now(); op != nil && op.Rebalance != 0 {
		id := meta.RebalanceID(op.Rebalance)
		if args.ID == id || args.ID == "" && kind.name == jobRebalance {
			return apierr.BadRequest("cannot stop rebalance[%s]: %s of %v goes on when it has ended", id, op.Action, op.Nodes)
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
