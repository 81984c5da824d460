package objreq

import (
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// MaxActionBody bounds the JSON body of a POST on an object, in bytes: the
// list of ten thousand parts that completes an upload.
const MaxActionBody = 2 << 20

// checkPart refuses a part number without an upload: the part would become the
// object.
func checkPart(q *query.Values) error {
	if q.Get(wire.QueryPartNumber) != "" && q.Get(wire.QueryUploadID) == "" {
		return apierr.BadRequest("query parameter %s=%.40q needs %s, the id of a multipart upload", wire.QueryPartNumber, q.Get(wire.QueryPartNumber), wire.QueryUploadID)
	}
	return nil
}
