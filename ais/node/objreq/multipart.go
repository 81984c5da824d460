package objreq

import (
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// MaxActionBody bounds the JSON body of a POST on an object, in bytes: the
// list of ten thousand parts that completes an upload.
const MaxActionBody = 2 << 20

// checkWhole refuses a write of a whole object that was to be a part of one: the
// part would become the object.
func checkWhole(q *query.Values) error {
	if text := q.Get(wire.QueryPartNumber); text != "" {
		return apierr.BadRequest("query parameter %s=%.40q needs %s, the id of a multipart upload", wire.QueryPartNumber, text, wire.QueryUploadID)
	}
	if text := q.Get(wire.QueryAppendHandle); text != "" {
		return apierr.BadRequest("query parameter %s=%.40q needs %s: %q or %q", wire.QueryAppendHandle, text, wire.QueryAppendType, AppendMore, AppendFlush)
	}
	return nil
}
