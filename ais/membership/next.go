package membership

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Steps of an operation, see the package comment.
const (
	StepAdmitted = "admitted"
	StepFlagged  = "flagged"
	StepMoving   = "moving"
	StepFinal    = "final"
	StepDone     = "done"
	StepFailed   = "failed"
)

// How long nodes that should answer are asked again.
const (
	tellPatience   = 15 * time.Second
	verifyPatience = time.Minute
)

// Facts are what this primary has found out about the current operation. A
// new primary begins without any: everything may be done twice.
type Facts struct {
	Now        time.Time
	Told       map[string]*Contact // by node id
	Left       map[string]*Contact // by target id: Done when it holds nothing any more
	MoveBegun  bool
	MoveEnded  bool
	MoveFailed string // why the rebalance failed

	// Begin returns the changes that begin a change of the map: the change
	// itself, or a transition, where names get other owners. It is pure.
	Begin func(*meta.View, *meta.PendingMap) ([]meta.Change, error)
}

// Contact is how far this primary has got with a node.
type Contact struct {
	Since   time.Time // of the first try
	Done    bool
	Down    bool   // the node does not run, as far as the cluster knows
	Problem string // of the last try
}

// over tells that there is no point in further tries.
func (c *Contact) over(now time.Time, patience time.Duration) bool {
	return c != nil && (c.Done || c.Down || now.Sub(c.Since) >= patience)
}

// Effect is something to do outside of the documents.
type Effect string

// Effects.
const (
	Tell   Effect = "tell"   // nodes: do what the operation says
	Move   Effect = "move"   // start the rebalance, if it does not run, and see whether it has ended
	Verify Effect = "verify" // targets: what do you still hold?
)

// Decision is what comes next: a commit, an effect, or waiting.
type Decision struct {
	Changes []meta.Change // to be committed as one command
	Effect  Effect
	Nodes   []string // of Effect
	Wait    string   // for what; looked at again when something changes
}

// Next says what comes next for the current operation. It is pure; an error
// means that a change could not be encoded.
func Next(v *meta.View, f *Facts) (Decision, error) {
	op := v.Operations.Now()
	if op == nil {
		return Decision{}, nil
	}
	s := &step{v: v, op: op, f: f}
	switch op.Step {
	case StepAdmitted:
		return s.admitted()
	case StepFlagged:
		return s.flagged()
	case StepMoving:
		return s.moving()
	case StepFinal:
		return s.final()
	}
	return s.end(StepFailed, fmt.Sprintf("unknown step %q", op.Step))
}

// step is one decision in the making.
type step struct {
	v  *meta.View
	op *meta.Operation
	f  *Facts
}

// admitted puts the map on its way that the operation begins with.
func (s *step) admitted() (Decision, error) {
	if s.op.Action == wire.ActDecommission {
		return s.everybody()
	}
	if s.op.Action == wire.ActRemoveUnsafe {
		// First: a node that is removed and does not know why comes back.
		if ids := s.untold(); len(ids) > 0 {
			return Decision{Effect: Tell, Nodes: ids}, nil
		}
	}
	if pending := s.v.Transition.Now(); pending != nil && pending.Operation != s.op.ID {
		return Decision{Wait: "another change of the cluster's targets: " + pending.Action}, nil
	}
	patch := s.first()
	if empty(patch) {
		return s.to(s.afterMap(), s.rebalance()...)
	}
	return s.begin(patch)
}

// begin commits a change of the map, or that it is on its way.
func (s *step) begin(patch *meta.SmapPatch) (Decision, error) {
	changes, err := s.f.Begin(s.v, &meta.PendingMap{
		Action: s.op.Action, Patch: *patch, Rebalance: s.op.Rebalance > 0, Operation: s.op.ID,
	})
	if err != nil {
		return Decision{}, err
	}
	// What the operation becomes is decided here alone.
	changes = slices.DeleteFunc(changes, func(c meta.Change) bool { return c.Kind == meta.KindOperations })
	next := StepFlagged
	if slices.ContainsFunc(changes, func(c meta.Change) bool { return c.Kind == meta.KindSmap }) {
		next = s.afterMap()
	}
	d, err := s.to(next)
	d.Changes = append(changes, d.Changes...)
	return d, err
}

// rebalance asks for the rebalance of an operation that does not change who
// owns what: what an earlier one has left behind has to move.
func (s *step) rebalance() []change {
	if s.op.Rebalance == 0 {
		return nil
	}
	return []change{{meta.KindRMD, &meta.RMDPatch{}}}
}

// everybody tells all nodes of a cluster that is given up; the primary, which
// is the last of the nodes, is told in the same effect. Nothing can be
// committed after that.
func (s *step) everybody() (Decision, error) {
	return Decision{Effect: Tell, Nodes: s.op.Nodes}, nil
}

// flagged waits for the map to come into force.
func (s *step) flagged() (Decision, error) {
	if pending := s.v.Transition.Now(); pending != nil && pending.Operation == s.op.ID {
		return Decision{Wait: "targets to stop writing names that they lose"}, nil
	}
	if !empty(s.first()) { // it was given up
		return s.to(StepAdmitted)
	}
	return s.to(s.afterMap())
}

// afterMap is the step that follows the map.
func (s *step) afterMap() string {
	switch {
	case s.op.Rebalance > 0:
		return StepMoving
	case s.op.Action == wire.ActStopMaintenance, s.op.Action == wire.ActRemoveUnsafe:
		return StepDone
	case s.verifies() && len(s.targets()) > 0:
		return StepMoving
	}
	return StepFinal
}

// moving waits for the data.
func (s *step) moving() (Decision, error) {
	if s.op.Rebalance > 0 {
		switch {
		case s.f.MoveFailed != "":
			return s.end(StepFailed, rebalanceName(s.op.Rebalance)+": "+s.f.MoveFailed)
		case !s.f.MoveEnded:
			return Decision{Effect: Move}, nil
		}
	}
	switch {
	case s.op.Action == wire.ActStopMaintenance:
		return s.end(StepDone, "")
	case !s.verifies():
		return s.to(StepFinal)
	}
	var ask, problems []string
	for _, id := range s.targets() {
		switch c := s.f.Left[id]; {
		case c != nil && c.Done:
		case c == nil || !c.Down && s.f.Now.Sub(c.Since) < verifyPatience:
			ask = append(ask, id)
		default:
			problems = append(problems, c.Problem)
		}
	}
	switch {
	case len(ask) > 0:
		return Decision{Effect: Verify, Nodes: ask}, nil
	case len(problems) > 0:
		return s.end(StepFailed, strings.Join(problems, "; "))
	}
	return s.to(StepFinal)
}

// final tells the nodes, then shows the end in the map.
func (s *step) final() (Decision, error) {
	if !empty(s.first()) {
		return s.to(StepAdmitted) // somebody has undone it
	}
	if id := s.voter(); id != "" {
		return Decision{Wait: s.v.Smap.Node(id).String() + " to be replaced as a voter"}, nil
	}
	if ids := s.untold(); len(ids) > 0 {
		return Decision{Effect: Tell, Nodes: ids}, nil
	}
	patch := s.last()
	if empty(patch) {
		return s.end(StepDone, s.problems())
	}
	changes, err := s.f.Begin(s.v, &meta.PendingMap{Action: s.op.Action, Patch: *patch})
	if err != nil {
		return Decision{}, err
	}
	if gone, err := s.gone(changes); err != nil {
		return Decision{}, err
	} else if gone != nil {
		changes = append(changes, *gone)
	}
	d, err := s.end(StepDone, s.problems())
	d.Changes = append(changes, d.Changes...)
	return d, err
}

// gone is the change which says that targets that leave for good hold nothing
// that counts any more; nil if nobody asks them. Their data has left, or the
// operator has given it up.
func (s *step) gone(changes []meta.Change) (*meta.Change, error) {
	p := s.v.Placement
	if s.op.Action != wire.ActDecommissionNode || p.Settled() || slices.ContainsFunc(changes, func(c meta.Change) bool { return c.Kind == meta.KindPlacement }) {
		return nil, nil
	}
	patch := &meta.PlacementPatch{Targets: p.Current()}
	for _, id := range s.targets() {
		if slices.Contains(p.Holders(), id) && !slices.Contains(p.Current(), id) {
			patch.Gone = append(patch.Gone, id)
		}
	}
	if len(patch.Gone) == 0 {
		return nil, nil
	}
	slices.Sort(patch.Gone)
	change, err := meta.NewChange(s.v, meta.KindPlacement, patch)
	return &change, err
}

// verifies tells that targets have to show that their data has left. Without
// buckets there is none.
func (s *step) verifies() bool { return verifies(s.op) && s.v.BMD.Len() > 0 }

// nodes are the nodes of the operation that are still in the map. One that
// has become primary meanwhile stays as it is.
func (s *step) nodes() (list []*meta.Snode) {
	for _, id := range s.op.Nodes {
		if node := s.v.Smap.Node(id); node != nil && !s.v.Smap.IsPrimary(id) {
			list = append(list, node)
		}
	}
	return list
}

func (s *step) targets() (ids []string) {
	for _, node := range s.nodes() {
		if node.Role == meta.RoleTarget {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// first is the change of the map that the operation begins with; it is empty
// once it is in force.
func (s *step) first() *meta.SmapPatch {
	patch := &meta.SmapPatch{}
	for _, node := range s.nodes() {
		switch s.op.Action {
		case wire.ActStartMaintenance, wire.ActShutdownNode:
			put(patch, node, node.Flags|meta.FlagMaintenance)
		case wire.ActDecommissionNode:
			put(patch, node, node.Flags|meta.FlagDecommission)
		case wire.ActStopMaintenance:
			put(patch, node, node.Flags&^(meta.FlagMaintenance|meta.FlagPostMaintenance))
		case wire.ActRemoveUnsafe:
			patch.Del = append(patch.Del, node.ID)
		}
	}
	return patch
}

// last is the change of the map that the operation ends with.
func (s *step) last() *meta.SmapPatch {
	patch := &meta.SmapPatch{}
	for _, node := range s.nodes() {
		switch s.op.Action {
		case wire.ActStartMaintenance, wire.ActShutdownNode:
			if node.Role == meta.RoleTarget {
				put(patch, node, node.Flags|meta.FlagPostMaintenance)
			}
		case wire.ActDecommissionNode:
			patch.Del = append(patch.Del, node.ID)
		}
	}
	return patch
}

func put(patch *meta.SmapPatch, node *meta.Snode, flags uint64) {
	if flags&(meta.FlagMaintenance|meta.FlagDecommission) != 0 {
		flags &^= meta.FlagIC
	}
	if flags == node.Flags {
		return
	}
	changed := node.Clone()
	changed.Flags = flags
	patch.Put = append(patch.Put, changed)
}

func empty(patch *meta.SmapPatch) bool { return len(patch.Put)+len(patch.Del) == 0 }

// untold are the nodes that still have to be told.
func (s *step) untold() (ids []string) {
	for _, node := range s.nodes() {
		if !s.f.Told[node.ID].over(s.f.Now, tellPatience) {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// problems says who could not be told although it seems to run.
func (s *step) problems() string {
	var list []string
	for _, node := range s.nodes() {
		if c := s.f.Told[node.ID]; c != nil && !c.Done && !c.Down {
			list = append(list, fmt.Sprintf("%s could not be told: %s", node, c.Problem))
		}
	}
	return strings.Join(list, "; ")
}

// voter returns a node that is about to stop and still has a vote, "" if
// there is none: two of three voters that stop at once would stop the cluster.
func (s *step) voter() string {
	stops := s.op.Action == wire.ActShutdownNode || s.op.Action == wire.ActDecommissionNode
	if !stops {
		return ""
	}
	for _, node := range s.nodes() {
		if member, ok := s.v.Voters.ByNode(node.ID); ok && !member.Learner {
			return node.ID
		}
	}
	return ""
}

// change is a part of a command.
type change struct {
	kind  string
	patch any
}

// to commits changes and that the operation stands at another step.
func (s *step) to(name string, changes ...change) (Decision, error) {
	if name == StepDone {
		return s.end(StepDone, "", changes...)
	}
	next := s.next(name)
	return s.commit(append(changes, change{meta.KindOperations, &meta.OperationsPatch{Current: next}}))
}

// end commits changes and the end of the operation.
func (s *step) end(name, problem string, changes ...change) (Decision, error) {
	next := s.next(name)
	next.Error, next.Ended = problem, s.f.Now.UnixNano()
	if s.op.Action == wire.ActDecommissionNode && name == StepDone {
		next.Identities = s.identities()
	}
	return s.commit(append(changes, change{meta.KindOperations, &meta.OperationsPatch{Current: next, End: true}}))
}

// identities are the keys of the nodes that leave for good: one that was down
// is known by its key when it returns, and told then.
func (s *step) identities() map[string][]byte {
	keys := map[string][]byte{}
	for _, node := range s.nodes() {
		if len(node.VerifyingKey) > 0 {
			keys[node.ID] = slices.Clone(node.VerifyingKey)
		}
	}
	return keys
}

func (s *step) next(name string) *meta.Operation {
	next := *s.op
	next.Step = name
	if name == StepMoving && next.Rebalance > 0 { // another one may have come first
		next.Rebalance = s.v.RMD.Ver()
		if s.op.Step == StepAdmitted {
			next.Rebalance++ // in the same command
		}
	}
	return &next
}

func (s *step) commit(changes []change) (d Decision, err error) {
	for _, c := range changes {
		made, err := meta.NewChange(s.v, c.kind, c.patch)
		if err != nil {
			return Decision{}, err
		}
		d.Changes = append(d.Changes, made)
	}
	return d, nil
}
