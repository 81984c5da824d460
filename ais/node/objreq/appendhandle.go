package objreq

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Values of the query parameter append_type.
const (
	AppendMore  = "append"
	AppendFlush = "flush"
)

// maxAppendHandle bounds the text of a handle, in bytes.
const maxAppendHandle = 512

// AppendHandle is what a client sends back to go on appending: the target that
// holds the unfinished object, its work file there, the type of the checksum
// that is being computed, and a state that only that target understands.
type AppendHandle struct {
	NodeID   string
	Work     string // file name, no path
	Checksum string // type
	State    []byte // not empty
}

// String is the text of a handle: four fields with "|" between them, the last
// one in base64. Clients do not look into it; gateways read the first field.
func (h AppendHandle) String() string {
	return h.NodeID + "|" + h.Work + "|" + h.Checksum + "|" + base64.StdEncoding.EncodeToString(h.State)
}

// ParseAppendHandle reads a handle; the error is a 400.
func ParseAppendHandle(text string) (h AppendHandle, err error) {
	fields := strings.Split(text, "|")
	if len(text) > maxAppendHandle || len(fields) != 4 || fields[1] == "" || strings.ContainsAny(fields[1], "/\x00") {
		return h, errAppendHandle(text)
	}
	h = AppendHandle{NodeID: fields[0], Work: fields[1], Checksum: fields[2]}
	if naming.ValidateNodeID(h.NodeID) != nil || cksum.Validate(h.Checksum) != nil {
		return AppendHandle{}, errAppendHandle(text)
	}
	if h.State, err = base64.StdEncoding.Strict().DecodeString(fields[3]); err != nil || len(h.State) == 0 || h.String() != text {
		return AppendHandle{}, errAppendHandle(text)
	}
	return h, nil
}

func errAppendHandle(text string) error {
	return apierr.BadRequest("invalid APPEND handle: %.64q, expecting what the header %s of the append before said", text, wire.HeaderAppendHandle)
}

// CheckAppend refuses an append that cannot be.
func CheckAppend(q *query.Values) error {
	kind, handle := q.Get(wire.QueryAppendType), q.Get(wire.QueryAppendHandle)
	switch kind {
	case AppendMore:
		if handle == "" {
			return nil
		}
	case AppendFlush:
		if handle == "" {
			return apierr.BadRequest("query parameter %s is missing: %s=%s needs the handle of the last append",
				wire.QueryAppendHandle, wire.QueryAppendType, AppendFlush)
		}
	default:
		return apierr.BadRequest("invalid query parameter %s=%.64q: expecting %q or %q", wire.QueryAppendType, kind, AppendMore, AppendFlush)
	}
	_, err := ParseAppendHandle(handle)
	return err
}

// AppendOwner returns the target that a handle names, nil if the query is not
// that of an append with a handle. The error is a 400.
func AppendOwner(smap *meta.Smap, q *query.Values) (*meta.Snode, error) {
	text := q.Get(wire.QueryAppendHandle)
	if text == "" || q.Get(wire.QueryAppendType) == "" || q.Get(wire.QueryObjectTo) != "" || q.Get(wire.QueryUploadID) != "" {
		return nil, nil
	}
	handle, err := ParseAppendHandle(text)
	if err != nil {
		return nil, err
	}
	node := smap.Tmap[handle.NodeID]
	if node == nil {
		return nil, apierr.New(http.StatusBadRequest, wire.CodeNodeNotFound, "invalid APPEND handle: node %q is not in the cluster map v%d", handle.NodeID, smap.Version)
	}
	return node, nil
}
