package trust

import (
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
)

const (
	statusUnauthorized = http.StatusUnauthorized
	statusForbidden    = http.StatusForbidden
)

// Codes of errors. All are 403, except CodeJoinProof, which is 401.
const (
	CodeSignature  = "ErrCallerSignature"   // missing, malformed or wrong
	CodeUnknownKey = "ErrUnknownClusterKey" // made with a key that the receiver does not hold
	CodeClockSkew  = "ErrClockSkew"         // signed too long ago, or in the future
	CodeReplay     = "ErrReplayed"          // seen before
	CodeIdentity   = "ErrNodeIdentity"      // the caller is not whom it says it is
	CodeRedirect   = "ErrRedirectMarker"    // of a redirect: wrong or too old
	CodeJoinProof  = "ErrJoinSecret"        // the join secret was not proven
)

func refused(code, format string, args ...any) *apierr.Error {
	return apierr.New(statusForbidden, code, format, args...)
}
