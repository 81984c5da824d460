package wire

// ErrorBody is the JSON body of every failed request, and for HEAD the value
// of the header HeaderError. Status equals the HTTP status.
type ErrorBody struct {
	TypeCode   string `json:"tcode,omitempty"`
	Message    string `json:"message"`
	Method     string `json:"method"`
	URLPath    string `json:"url_path"`
	RemoteAddr string `json:"remote_addr"`
	Caller     string `json:"caller"`
	Node       string `json:"node"`
	Status     int    `json:"status"`
}

// Type codes of errors that clients test for or print.
const (
	CodeBckNotFound         = "ErrBckNotFound"
	CodeRemoteBckNotFound   = "ErrRemoteBckNotFound"
	CodeBucketExists        = "ErrBucketAlreadyExists"
	CodeBucketAccessDenied  = "ErrBucketAccessDenied"
	CodeInvalidProvider     = "ErrInvalidBackendProvider"
	CodeMissingBackend      = "ErrMissingBackend"
	CodeNotRemoteBck        = "ErrNotRemoteBck"
	CodeNotFound            = "ErrNotFound"
	CodeInvalidPath         = "errInvalidPath"
	CodeBadChecksum         = "ErrBadCksum"
	CodeRangeNotSatisfiable = "ErrRangeNotSatisfiable"
	CodeUnsupported         = "ErrUnsupp"
	CodeNotImplemented      = "ErrNotImpl"
	CodeFailedTo            = "ErrFailedTo"
	CodeBusy                = "ErrBusy"
	CodeLimitedCoexistence  = "ErrLimitedCoexistence"
	CodeNotEnoughTargets    = "ErrNotEnoughTargets"
	CodeNoNodes             = "ErrNoNodes"
	CodeNodeNotFound        = "errNodeNotFound"
	CodeNotPrimary          = "errNotPrimary"
	CodeUnknownCaller       = "errUnknownCaller" // between nodes: the caller is not in the cluster map
	CodeCapExceeded         = "ErrCapExceeded"
	CodeMountpathNotFound   = "ErrMpathNotFound"
	CodeInvalidMountpath    = "ErrInvalidMountpath"
	CodeXactNotFound        = "ErrXactNotFound"
	CodeXactUsePrev         = "ErrXactUsePrev" // the same job is running already
	CodeRateLimitFrontend   = "ErrRateLimitFrontend"
)
