package metasync

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// envelope says in every call who sends it, and in the name of which cluster.
type envelope struct {
	From        string `json:"from"`               // node id
	URL         string `json:"url"`                // of its intra-control network
	RaftID      uint64 `json:"raft_id,string"`     //
	Incarnation uint64 `json:"incarnation,string"` // of the process, random
	UUID        string `json:"uuid,omitempty"`     // of its cluster, "" before it belongs to one
	Lineage     string `json:"lineage,omitempty"`  //
	Term        uint64 `json:"term,string"`        // highest that it has seen
	Index       uint64 `json:"index,string"`       // of the last command in effect at the sender
	Stalled     bool   `json:"stalled,omitempty"`  // the sender's storage stalls: it cannot lead

	To        string   `json:"to,omitempty"`        // node id of who is meant, where only that one may answer
	Ancestors []string `json:"ancestors,omitempty"` // of Lineage, oldest first
}

// hint names the leader as the sender knows it.
type hint struct {
	ID   string `json:"leader,omitempty"`
	URL  string `json:"leader_url,omitempty"`
	Term uint64 `json:"leader_term,string,omitempty"`
}

// delta is one committed command on its way to a node.
type delta struct {
	Prev    uint64          `json:"prev,string"`  // index of the command before it
	Index   uint64          `json:"index,string"` //
	Term    uint64          `json:"term,string"`  //
	Command json.RawMessage `json:"command"`

	command *meta.Command // the same; only at the node that made the delta
}

// groupWord is a leader's word on whether the receiver is a member of the Raft
// group.
type groupWord struct {
	Member bool   `json:"member"`       //
	Group  uint64 `json:"group,string"` // Raft index at which that is so
	Known  bool   `json:"known"`        // a majority knows that the group is as it is
}

// pushRequest carries committed commands. Either Deltas continue where the
// node is, or View is the whole of it; both are missing for a member of the
// Raft group, which has the commands from there.
type pushRequest struct {
	envelope
	Primary bool `json:"primary"` // the sender is primary, not a caretaker
	groupWord
	Upto   uint64          `json:"upto,string"` // the receiver answers when this index is in effect
	Deltas []delta         `json:"deltas,omitempty"`
	View   json.RawMessage `json:"view,omitempty"`
}

// pushReply is the acknowledgement.
type pushReply struct {
	envelope
	Need bool `json:"need,omitempty"` // the deltas did not fit: send what follows Index
}

type pullRequest struct{ envelope }

// pullReply has the form of a push; nothing is in it if the caller is up to date.
type pullReply struct {
	pushRequest
	Hint hint `json:"hint"`
}

type joinRequest struct {
	envelope
	Node *meta.Snode `json:"node"`
	// Want is set by a node without state that may join one cluster only.
	Want *wanted `json:"want,omitempty"`
	joinTrust
}

// joinReply admits (View is set), or names who can.
type joinReply struct {
	envelope
	Admitted bool `json:"admitted"`
	groupWord
	View json.RawMessage `json:"view,omitempty"`
	Hint hint            `json:"hint"`
	// Decommissioned is the operation that has removed the applicant for good.
	Decommissioned *meta.Operation `json:"decommissioned,omitempty"`
	joinVouch
}

type keepaliveRequest struct {
	envelope
	Quiesced int64 `json:"quiesced,string,omitempty"` // of a target, see Agent.Quiesced
}

type keepaliveReply struct {
	envelope
	Leads   bool `json:"leads"`   // the sender leads; everything but Hint is empty if not
	Primary bool `json:"primary"` // and is the primary
	groupWord
	Unknown     bool     `json:"unknown"`         // the caller is not in the map: it should join
	Lease       bool     `json:"lease,omitempty"` // the caller, a target, has a lease from when it asked
	SmapVersion int64    `json:"smap_version,string"`
	Down        []string `json:"down,omitempty"`
	Hint        hint     `json:"hint"`
}

type leaveRequest struct {
	envelope
	Quiesced int64 `json:"quiesced,string,omitempty"` // of a target: it will not commit again
}

type leaveReply struct {
	envelope
	Hint hint `json:"hint"`
}

type readIndexRequest struct{ envelope }

type readIndexReply struct {
	envelope
	Read uint64 `json:"read,string"` // of the command that must be in effect
	Hint hint   `json:"hint"`
	OK   bool   `json:"ok"`
}

type whoisRequest struct{ envelope }

type whoisReply struct {
	envelope
	Role string       `json:"role"`
	Hint hint         `json:"hint"`
	Self announcement `json:"self"`
}

// Codes of errors between nodes.
const (
	codeDuplicate = "ErrDuplicateNode"
	codeForeign   = "ErrClusterIntegrity"
	codeNotJoined = "ErrNotJoined"
	codeOldTerm   = "ErrOldTerm"   // the sender does not lead any more
	codeWrongNode = "ErrWrongNode" // another node has the address now
)

func errForeign(what, theirs, ours string) error {
	return apierr.New(apierr.StatusConflict, codeForeign, "cluster integrity error: %s %q does not match %q", what, theirs, ours)
}

func errDuplicate(node *meta.Snode, url string) error {
	return apierr.New(apierr.StatusConflict, codeDuplicate, "duplicate node ID: another %s is running at %s", node, url)
}

func errWrongNode(wanted, got string) error {
	return apierr.New(apierr.StatusConflict, codeWrongNode, "this is node %q, the call is not for it (%q)", got, wanted)
}

func unmarshal(kind string, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal %q call", kind)
	}
	return nil
}

// frame is a Raft message on its way.
type frame struct {
	uuid, lineage string
	from, url     string // node id and URL of the sender
	incarnation   uint64 // of the sender
	message       *raftpb.Message
}

const maxFrame = 64 << 20 // bytes; a snapshot of all documents fits

var errFrame = errors.New("malformed raft frame")

// appendFrame appends a message: length, four strings, incarnation, message.
func appendFrame(b []byte, f *frame) ([]byte, error) {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, s := range [...]string{f.uuid, f.lineage, f.from, f.url} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, f.incarnation)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, f.message)
	if err != nil {
		return nil, err
	}
	size := len(b) - start - 4
	if size > maxFrame {
		return nil, errFrame
	}
	binary.BigEndian.PutUint32(b[start:], uint32(size))
	return b, nil
}

// nextFrame cuts one message off b.
func nextFrame(b []byte) (f *frame, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errFrame
	}
	size := binary.BigEndian.Uint32(b)
	if size > maxFrame || uint64(len(b)) < 4+uint64(size) {
		return nil, nil, errFrame
	}
	rest, b = b[4+size:], b[4:4+size]
	f = new(frame)
	for _, s := range [...]*string{&f.uuid, &f.lineage, &f.from, &f.url} {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, nil, errFrame
		}
		*s = string(b[used : used+int(n)])
		b = b[used+int(n):]
	}
	incarnation, used := binary.Uvarint(b)
	if used <= 0 {
		return nil, nil, errFrame
	}
	f.incarnation, b = incarnation, b[used:]
	f.message = new(raftpb.Message)
	if err := proto.Unmarshal(b, f.message); err != nil {
		return nil, nil, errors.Join(errFrame, err)
	}
	return f, rest, nil
}
