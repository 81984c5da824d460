package objreq

import (
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// What is known by name and cannot be done is refused with a sentence: a
// request must never fall through to a plain read or write that its sender
// did not ask for.

// CheckGet refuses reads that are more than reading an object.
func CheckGet(r *http.Request, q *query.Values) error {
	switch {
	case q.Get(wire.QueryArchPath) != "", q.Get(wire.QueryArchRegx) != "", q.Get(wire.QueryArchMode) != "":
		return apierr.NotImplemented("reading files inside archives (%s, %s, %s) is not built yet",
			wire.QueryArchPath, wire.QueryArchRegx, wire.QueryArchMode)
	case q.Get(wire.QueryETLName) != "":
		return ErrETL()
	case query.ParseBool(r.Header.Get(wire.HeaderBlobDownload)), r.Header.Get(wire.HeaderBlobThreshold) != "" && r.Header.Get(wire.HeaderBlobThreshold) != "0":
		return apierr.NotImplemented("blob download (%s, %s) is not built yet", wire.HeaderBlobDownload, wire.HeaderBlobThreshold)
	}
	return nil
}

// CheckPut refuses writes that are more than replacing an object.
func CheckPut(q *query.Values) error {
	switch {
	case q.Get(wire.QueryObjectTo) != "":
		if q.Get(wire.QueryETLName) != "" {
			return ErrETL()
		}
		_, _, err := CopyTo(q)
		return err
	case q.Get(wire.QueryUploadID) != "":
		return nil
	case q.Get(wire.QueryArchPath) != "":
		return apierr.NotImplemented("writing files into archives (%s) is not built yet", wire.QueryArchPath)
	case q.Get(wire.QueryAppendType) != "":
		return CheckAppend(q)
	case q.Get(wire.QueryETLName) != "":
		return ErrETL()
	}
	return checkWhole(q)
}

// ErrETL refuses everything that has to do with transformations. Clients
// compare status, code and text.
func ErrETL() error {
	return apierr.New(http.StatusNotImplemented, wire.CodeUnsupported,
		"cannot use ETL in a build without ETL support - operation not supported")
}

// ErrObjectAction is the answer to POST with an action that is not built, or
// not known.
func ErrObjectAction(action string) error {
	switch action {
	case wire.ActBlobDownload:
		return apierr.NotImplemented("object action %q is not built yet", action)
	}
	return apierr.BadRequest("invalid action %q", action)
}
