package objreq

import (
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Access returns the permission that a request for an object needs on its
// bucket. action is that of the body of a POST.
func Access(method string, q *query.Values, action string) meta.Access {
	switch method {
	case http.MethodGet:
		return meta.AccessGet
	case http.MethodHead:
		return meta.AccessHeadObject
	case http.MethodPut:
		if q.Get(wire.QueryObjectTo) == "" && q.Get(wire.QueryUploadID) == "" && q.Get(wire.QueryAppendType) != "" {
			return meta.AccessAppend
		}
		return meta.AccessPut // also for a copy: of its source
	case http.MethodPatch:
		return meta.AccessUpdateObject
	case http.MethodPost:
		switch action {
		case wire.ActRenameObject:
			return meta.AccessMoveObject
		case wire.ActCheckLock:
			return meta.AccessReadOnly
		}
		return meta.AccessReadWrite
	}
	return meta.AccessDeleteObject
}

// CheckAction refuses what is no action on one object, and what is not built.
func CheckAction(action string) error {
	switch action {
	case wire.ActRenameObject, wire.ActCheckLock, wire.ActMultipartUpload, wire.ActMultipartDone:
		return nil
	}
	return ErrObjectAction(action)
}

// RenameTo returns the true name that an object with the true name from is to
// have, by the native form that the client gave. It refuses a rename that cannot
// be: to the same name, or in a bucket whose objects lie elsewhere, too.
func RenameTo(bck wire.Bck, props *meta.Bprops, from, native string) (to string, err error) {
	if to, err = naming.True(native); err != nil {
		return "", err
	}
	switch {
	case from == to:
		return "", apierr.BadRequest("cannot rename %s to self, nothing to do", bck.Cname(native))
	case props.IsRemote(bck):
		return "", errRename(bck, "remote")
	case props.EC.Enabled:
		return "", errRename(bck, "erasure-coded")
	}
	return to, nil
}

func errRename(bck wire.Bck, kind string) error {
	return apierr.New(http.StatusNotImplemented, wire.CodeUnsupported, "cannot rename objects of a bucket that is %s: %s - operation not supported", kind, bck)
}

// CopyTo returns the bucket and the true name that a copy is to have.
func CopyTo(q *query.Values) (bck wire.Bck, object string, err error) {
	return naming.ParseUname(q.Get(wire.QueryObjectTo))
}
