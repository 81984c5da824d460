package objreq

import (
	"context"
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// Control is what this package needs of the control plane; see
// node.ControlPlane.
type Control interface {
	View() *meta.View
	Barrier(ctx context.Context) (stale bool, err error)
}

// Bucket returns the properties of a bucket. One that this node does not know
// may have been created through another a moment ago: that is settled with
// the primary before the answer is 404. Without a majority the 404 is marked
// as stale.
func Bucket(ctx context.Context, control Control, bck wire.Bck) (*meta.Bprops, error) {
	if props, ok := control.View().BMD.Get(bck); ok {
		return props, nil
	}
	stale, err := control.Barrier(ctx)
	if err != nil {
		return nil, err
	}
	if props, ok := control.View().BMD.Get(bck); ok {
		return props, nil
	}
	return nil, apierr.MarkStale(ErrBucketNotFound(bck), stale)
}

// ErrBucketNotFound is the 404 of a bucket that the cluster does not know. A
// cloud bucket might exist at its provider, but no backend can be asked.
func ErrBucketNotFound(bck wire.Bck) error {
	if bck.IsCloud() {
		return ErrNoBackend(http.StatusNotFound, wire.CodeFailedTo, bck.Provider, "failed to look up "+bck.String()+": ")
	}
	return apierr.BucketNotFound(bck)
}

// ErrNoBackend is the answer to a request for a cloud provider without a
// backend. Which status and code clients expect depends on the call.
func ErrNoBackend(status int, code, provider, prefix string) error {
	return apierr.New(status, code, "%s%s backend is missing in the cluster configuration", prefix, strings.ToUpper(provider))
}

// accessChanges are the permissions of what changes a bucket or its content.
const accessChanges = meta.AccessPut | meta.AccessAppend | meta.AccessDeleteObject | meta.AccessMoveObject | meta.AccessPromote |
	meta.AccessUpdateObject | meta.AccessPatch | meta.AccessSetBucketACL | meta.AccessDestroyBucket | meta.AccessMoveBucket

// ErrRenaming is the 409 of a change of a bucket that is being renamed, or is the
// new one.
func ErrRenaming(bck wire.Bck) error {
	return apierr.New(http.StatusConflict, wire.CodeBusy, "bucket %q is currently busy (it is being renamed), please try again", bck.String())
}

// CheckAccess returns the 403 of a bucket whose access mask lacks a permission,
// and the 409 of a change while the bucket is being renamed.
func CheckAccess(bck wire.Bck, props *meta.Bprops, need meta.Access) error {
	if props.Renamed != "" && need&accessChanges != 0 {
		return ErrRenaming(bck)
	}
	if props.Access.Allows(need) {
		return nil
	}
	return apierr.New(http.StatusForbidden, wire.CodeBucketAccessDenied, "bucket %s: %s access denied (allowed: [%s])",
		bck, need.Describe(), props.Access.Describe())
}
